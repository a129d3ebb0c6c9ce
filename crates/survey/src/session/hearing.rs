//! The shipped identifier as the survey's ears.

use isogloss_lang::identify::Identifier;
use isogloss_record::Lang;
use isogloss_stats::Rate;

use super::listen::Hearing;
use crate::measures::fidelity::Reliability;

/// Below this sensitivity the correction would multiply one continuation by two and more.
const SENSITIVITY_MIN: f64 = 0.5;

/// Hears with an identifier, and knows its errors where they were measured on a register that it
/// was not trained on. A language of which a tenth or more is taken for another (or the other way
/// round) has a sister that it cannot be told from.
pub fn hearing(identifier: &Identifier) -> Hearing<'_> {
    Hearing {
        identify: Box::new(|text| identifier.identify(text).lang),
        reliability: Box::new(|lang| reliability(identifier, lang)),
    }
}

fn reliability(identifier: &Identifier, lang: Lang) -> Reliability {
    let Some(known) = identifier.reliability(lang) else {
        return Reliability::Unmeasured;
    };
    let has_sister = known
        .confused_with
        .iter()
        .any(|(other, _)| identifier.tells_apart(lang, *other) == Some(false));
    if has_sister {
        return Reliability::Sisters;
    }
    if known.sensitivity < SENSITIVITY_MIN {
        return Reliability::Missed;
    }
    let rate = |value| Rate { value, n: known.n };
    Reliability::Measured {
        sensitivity: rate(known.sensitivity),
        // Over all other languages' texts, so far more than this language's; but false alarms come
        // from few languages, and one that a model strays into is one of them or is not.
        specificity: rate(known.specificity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_the_identifier_decides_what_may_decide() {
        let ears = hearing(Identifier::shipped());
        let lang = |code: &str| code.parse::<Lang>().unwrap();
        let heard = (ears.identify)("Tout individu a droit à la vie, à la liberté et à la sûreté.");
        assert_eq!(heard, Some(lang("fra")));
        assert_eq!((ears.identify)("12, 13; 14."), None);
        assert!(matches!(
            (ears.reliability)(lang("fra")),
            Reliability::Measured { sensitivity, .. } if sensitivity.value > 0.9
        ));
        // Bosnian and Croatian are not told apart; an invented language was never heard.
        assert_eq!((ears.reliability)(lang("hrv")), Reliability::Sisters);
        assert_eq!((ears.reliability)(lang("qaa")), Reliability::Unmeasured);
    }
}
