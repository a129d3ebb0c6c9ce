//! What is not settled, and what would settle it.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::Lang;
use isogloss_record::decision::{Need, OpenQuestion};
use isogloss_record::survey::{ChoiceResult, SurveyResults, Verdict};
use isogloss_stats::kappa::{accuracy_of, chance_corrected};
use isogloss_stats::mean::mean_of;

use super::evidence::Evidence;
use super::{SETTLED, percent};
use crate::items::GROUP;

/// One-sided 5 % and a power of 80 %, in standard errors.
const Z_ONE_SIDED: f64 = 1.645 + 0.842;

/// Two-sided 5 % and a power of 80 %.
const Z_TWO_SIDED: f64 = 1.960 + 0.842;

/// More times the items than this is no advice.
const TIMES_MAX: f64 = 100.0;

/// Languages that are named for a lead.
const N_LANGUAGES: usize = 3;

/// The lead of the first over the second; `None` where it is settled.
///
/// With d the difference of two models on a document, over all languages by their weights, and s its
/// standard deviation, (2.49 s / d̄)² documents would settle it in four of five cases.
pub(super) fn lead(
    evidence: &Evidence,
    places: [usize; 2],
    names: [&str; 2],
    probability: f64,
) -> Option<OpenQuestion> {
    if probability >= SETTLED {
        return None;
    }
    let mut by_document: BTreeMap<usize, f64> = BTreeMap::new();
    let mut by_language: BTreeMap<Lang, Vec<f64>> = BTreeMap::new();
    let mut registers: BTreeSet<&str> = BTreeSet::new();
    for cell in &evidence.cells {
        registers.insert(&cell.register);
        let [a, b] = places.map(|place| &cell.cell.answers[place].right);
        for (document, pair) in a.iter().zip(b).enumerate() {
            let (Some(a), Some(b)) = pair else { continue };
            let difference = f64::from(i8::from(*a) - i8::from(*b)) * cell.cell.weight;
            *by_document.entry(document).or_default() += difference;
            by_language.entry(cell.lang).or_default().push(difference);
        }
    }
    let n_now = by_document.len();
    let question = format!(
        "Is {} better than {}? Probability {}.",
        names[0],
        names[1],
        percent(probability)
    );
    let open = |settles: String, n_needed: Option<usize>| {
        Some(OpenQuestion {
            question: question.clone(),
            settles,
            lang: None,
            n_now,
            n_needed,
        })
    };
    let Some(found) = mean_of(by_document.values().copied()) else {
        return open(
            "They share hardly any text item: survey both in one run.".to_owned(),
            None,
        );
    };
    let deviation = found.standard_error * (n_now as f64).sqrt();
    let n_needed = (Z_ONE_SIDED * deviation / found.value.abs()).powi(2).ceil();
    if !n_needed.is_finite() || n_needed > TIMES_MAX * n_now as f64 {
        return open(
            "Nothing soon: on these texts they are alike, and no practical number of items would \
             tell them apart. Price, licence or harder texts of your own may decide."
                .to_owned(),
            None,
        );
    }
    // Most uncertainty first: that is where more items tell most.
    let mut languages: Vec<(f64, Lang)> = by_language
        .into_iter()
        .filter_map(|(lang, differences)| {
            let error = mean_of(differences.iter().copied())?.standard_error;
            (error > 0.0).then_some((error, lang))
        })
        .collect();
    languages.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let named: Vec<String> = languages
        .iter()
        .take(N_LANGUAGES)
        .map(|(_, lang)| lang.to_string())
        .collect();
    let n_needed = (n_needed as usize).max(n_now + 1);
    let only_shipped = registers.iter().all(|register| *register == "udhr");
    let texts = if only_shipped && n_needed <= N_ARTICLES {
        format!("the declaration has {N_ARTICLES} articles: survey both with `--items all`")
    } else if only_shipped {
        format!(
            "the declaration has {N_ARTICLES} articles, so it takes pairs of your own: `--text`"
        )
    } else {
        "more of your own pairs: `--text` with `--items all`".to_owned()
    };
    let where_from = if named.is_empty() {
        String::new()
    } else {
        format!(", first of all in {}", named.join(", "))
    };
    open(
        format!(
            "About {n_needed} texts a language instead of {n_now}{where_from}, by how much the two \
             vary; {texts}."
        ),
        Some(n_needed),
    )
}

/// Articles of the declaration.
const N_ARTICLES: usize = 30;

/// Verdicts that a need asks for and that cannot be said.
pub(super) fn verdicts(results: &SurveyResults, needs: &BTreeMap<Lang, Need>) -> Vec<OpenQuestion> {
    let line = results.policy.thresholds.get("kappa").copied();
    let mut open = Vec::new();
    for (&lang, _) in needs.iter().filter(|(_, need)| need.minimum.is_some()) {
        for model in &results.models {
            let Some(language) = model.languages.get(&lang) else {
                continue;
            };
            if language.verdict != Verdict::CannotSay {
                continue;
            }
            let name = (results.languages.get(&lang)).map_or("", |facts| facts.name.as_str());
            let straddles = [language.comprehension, language.production]
                .into_iter()
                .flatten()
                .filter_map(|choice| n_to_clear(&choice, line?))
                .max();
            let settles = match straddles {
                Some(n) => format!("About {n} items: {}", language.reason),
                None => language.reason.clone(),
            };
            open.push(OpenQuestion {
                question: format!("Does {} serve {name}?", model.name),
                settles,
                lang: Some(lang),
                n_now: language.comprehension.map_or(0, |choice| choice.n),
                n_needed: straddles,
            });
        }
    }
    open
}

/// Items after which a κ that straddles the line would probably not any more.
fn n_to_clear(choice: &ChoiceResult, line: f64) -> Option<usize> {
    if choice.low > line || choice.high < line {
        return None;
    }
    let accuracy = accuracy_of(choice.value, GROUP).clamp(0.02, 0.98);
    let per_share = chance_corrected(1.0, GROUP) - chance_corrected(0.0, GROUP);
    let deviation = (accuracy * (1.0 - accuracy)).sqrt() * per_share;
    let n = (Z_TWO_SIDED * deviation / (choice.value - line).abs())
        .powi(2)
        .ceil();
    (n.is_finite() && n <= TIMES_MAX * choice.n as f64).then_some((n as usize).max(choice.n + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_to_clear_a_line_by_hand() {
        // κ .6 is 70 % right: √(.7 · .3) · 4/3 = .6110; (2.802 · .6110 / .3)² = 32.6.
        let choice = ChoiceResult {
            value: 0.6,
            low: 0.2,
            high: 0.8,
            n: 12,
            floor: None,
            length_baseline: None,
            relative: None,
            gain: None,
        };
        assert_eq!(n_to_clear(&choice, 0.3), Some(33));
        assert_eq!(n_to_clear(&choice, 0.1), None);
        assert_eq!(n_to_clear(&choice, 0.6), None);
    }
}
