//! Fidelity: does the model stay in the language?
//!
//! The share of greedy continuations of a text's first half (raw; every model) that the identifier
//! puts in the language, corrected for the identifier's own errors (Rogan & Gladen: (observed +
//! specificity − 1) / (sensitivity + specificity − 1)), which were measured on another register
//! than it was trained on. Where they were not measured the share stands uncorrected and does not
//! decide; where the identifier cannot tell the language from a sister, it says nothing.
//!
//! An empty continuation is no answer: counted apart, never as wrong. One that the identifier
//! abstains on counts as not in the language, as it does in its sensitivity.

use isogloss_record::Estimate;
use isogloss_record::survey::{FidelityResult, MeasureCard};
use isogloss_stats::{Counted, Rate, corrected, share};

use super::{Measure, new_card};
use crate::items::normal::normalize;

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Fidelity,
        [
            "Fidelity",
            "Share of greedy continuations of a text's first half that are in the language, corrected \
             for the errors of the language identifier (Rogan–Gladen).",
            "0 to 1",
            "The identifier is less sure on short texts and on registers that it was not trained on; \
             where its errors are unknown the share is uncorrected and decides nothing. Answers through \
             a chat template stand beside it and never decide. A loop can stay in the language.",
        ],
        true,
    )
}

/// One generated text, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Continuation {
    /// Whether the identifier put it in the language; `None` where there is nothing to judge.
    pub in_language: Option<bool>,
    /// Share of its letters in the language's script; `None` without letters.
    pub script_share: Option<f64>,
    /// Whether it ends in a loop.
    pub loops: bool,
    /// Whether it repeats the true second half; `None` where that is too short to tell.
    pub verbatim: Option<bool>,
}

/// What is known of the identifier's errors for a language.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reliability {
    /// Counted on a register that it was not trained on.
    Measured {
        /// Share of texts in the language that it called so.
        sensitivity: Rate,
        /// Share of texts in other languages that it did not.
        specificity: Rate,
    },
    /// Not counted on a second register.
    Unmeasured,
    /// It cannot tell the language from a sister.
    Sisters,
    /// It misses too many texts in the language for a correction.
    Missed,
}

/// The result; `None` where every continuation is empty.
///
/// `chat` holds the answers through the chat template, judged likewise.
pub fn fidelity(
    continuations: &[Continuation],
    reliability: Reliability,
    chat: &[Continuation],
) -> Option<FidelityResult> {
    let judged: Vec<(bool, &Continuation)> = continuations
        .iter()
        .filter_map(|continuation| Some((continuation.in_language?, continuation)))
        .collect();
    let n = judged.len();
    let n_yes = judged
        .iter()
        .filter(|(in_language, _)| *in_language)
        .count();
    let observed = share(n_yes, n)?;
    let corrected_share = match reliability {
        Reliability::Measured {
            sensitivity,
            specificity,
        } => corrected(Counted { n_yes, n }, sensitivity, specificity),
        Reliability::Unmeasured | Reliability::Sisters | Reliability::Missed => None,
    };
    let Estimate {
        value, low, high, ..
    } = corrected_share.unwrap_or(observed);
    let (sensitivity, specificity) = match reliability {
        Reliability::Measured {
            sensitivity,
            specificity,
        } => (Some(sensitivity.value), Some(specificity.value)),
        Reliability::Unmeasured | Reliability::Sisters | Reliability::Missed => (None, None),
    };
    let scripts: Vec<f64> = judged.iter().filter_map(|(_, c)| c.script_share).collect();
    let n_chat = chat
        .iter()
        .filter(|answer| answer.in_language.is_some())
        .count();
    let n_chat_yes = chat
        .iter()
        .filter(|answer| answer.in_language == Some(true))
        .count();
    Some(FidelityResult {
        value,
        low,
        high,
        n,
        observed: observed.value,
        sensitivity,
        specificity,
        deciding: corrected_share.is_some(),
        script_share: scripts.iter().sum::<f64>() / scripts.len().max(1) as f64,
        loops: judged.iter().filter(|(_, c)| c.loops).count() as f64 / n as f64,
        n_no_answer: continuations.len() - n,
        chat: share(n_chat_yes, n_chat),
    })
}

/// Whether ids end in a loop: the last twelve or more repeat one to eight ids at least three times.
pub fn is_loop(token_ids: &[u32]) -> bool {
    const PERIOD_MAX: usize = 8;
    const TAIL_MIN: usize = 12;
    (1..=PERIOD_MAX).any(|period| {
        let tail = TAIL_MIN.max(3 * period);
        token_ids.len() >= tail && {
            let tail = &token_ids[token_ids.len() - tail..];
            tail.iter().zip(&tail[period..]).all(|(a, b)| a == b)
        }
    })
}

/// A text without the repetitions of the loop that it ends in: the first round stays. Rounds say the
/// same again, so an identifier that counts them takes one small hint for much evidence.
pub fn without_loop(text: &str) -> &str {
    const N_CHARS_MIN: usize = 12;
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let n = chars.len();
    let mut end = n;
    for period in 1..=n / 2 {
        // The longest tail that repeats itself after `period` characters.
        let same = |i: &usize| chars[n - 1 - i].1 == chars[n - 1 - period - i].1;
        let n_tail = period + (0..n - period).take_while(same).count();
        if n_tail >= (2 * period).max(N_CHARS_MIN) {
            end = end.min(n - n_tail + period);
        }
    }
    chars.get(end).map_or(text, |(at, _)| &text[..*at])
}

/// Whether a continuation repeats the true rest of a text word for word; `None` where one of them
/// is shorter than twenty characters.
pub fn is_verbatim(continuation: &str, rest: &str) -> Option<bool> {
    const N_CHARS_MIN: usize = 20;
    let (continuation, rest) = (normalize(continuation), normalize(rest));
    let n = continuation.chars().count().min(rest.chars().count());
    (n >= N_CHARS_MIN).then(|| continuation.chars().take(n).eq(rest.chars().take(n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(in_language: Option<bool>) -> Continuation {
        Continuation {
            in_language,
            script_share: in_language.map(f64::from),
            loops: false,
            verbatim: None,
        }
    }

    fn measured(se: f64, sp: f64) -> Reliability {
        Reliability::Measured {
            sensitivity: Rate { value: se, n: 100 },
            specificity: Rate { value: sp, n: 100 },
        }
    }

    #[test]
    fn the_share_is_corrected_for_the_identifier() {
        // 5 of 8 heard, sensitivity .8, specificity 1: (.625 + 1 − 1)/(.8 + 1 − 1) = .78125.
        let mut texts = vec![said(Some(true)); 5];
        texts.extend(vec![said(Some(false)); 3]);
        texts.push(said(None));
        let result = fidelity(&texts, measured(0.8, 1.0), &[]).unwrap();
        assert!((result.value - 0.78125).abs() < 1e-12);
        assert_eq!(
            (result.observed, result.n, result.n_no_answer),
            (0.625, 8, 1)
        );
        assert!(result.deciding && result.low < 0.625 && result.high == 1.0);
        assert!((result.script_share - 0.625).abs() < 1e-12);
    }

    #[test]
    fn without_known_errors_nothing_is_corrected_and_nothing_decides() {
        let texts = vec![said(Some(true)); 4];
        for reliability in [
            Reliability::Unmeasured,
            Reliability::Sisters,
            Reliability::Missed,
            measured(0.5, 0.5),
        ] {
            let result = fidelity(&texts, reliability, &[said(Some(false))]).unwrap();
            assert!(!result.deciding);
            assert_eq!(result.value, 1.0);
            assert_eq!(result.chat.unwrap().value, 0.0);
        }
        assert!(fidelity(&[said(None)], Reliability::Unmeasured, &[]).is_none());
        assert!(fidelity(&[], Reliability::Unmeasured, &[]).is_none());
    }

    #[test]
    fn loops_scripts_and_copies_are_seen() {
        assert!(is_loop(&[9, 8, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]));
        assert!(is_loop(&[5; 12]));
        assert!(!is_loop(&[5; 11]));
        assert!(!is_loop(&(0..40).collect::<Vec<u32>>()));
        for (text, script, share) in [
            ("мир and", "Cyrl", Some(0.5)),
            ("人人生而自由", "Hans", Some(1.0)),
            ("ひらカナ漢字", "Jpan", Some(1.0)),
            ("मनुष्यों", "Deva", Some(1.0)),
            ("الناس", "Latn", Some(0.0)),
            ("1, 2.", "Latn", None),
        ] {
            assert_eq!(
                isogloss_lang::script::share(text, script.parse().unwrap()),
                share,
                "{text}"
            );
        }
        for (text, first) in [
            (
                "İlginç bir şey. İlginç bir şey. İlginç bi",
                "İlginç bir şey. ",
            ),
            ("and then 2016, 2016, 2016, 20", "and then 2016,"),
            ("人人生而自由人人生而自由人人生", "人人生而自由"),
            ("यह सच है। यह सच है। यह सच है।", "यह सच है। "),
            ("นี่คือนี่คือนี่คือนี่", "นี่คือ"),
            ("هذا صحيح. هذا صحيح. هذا", "هذا صحيح. "),
            ("It does not repeat itself.", "It does not repeat itself."),
            ("no no no", "no no no"),
            ("", ""),
        ] {
            assert_eq!(without_loop(text), first);
        }
        let rest = "and should act towards one another in a spirit of brotherhood.";
        assert_eq!(
            is_verbatim(" and should act  towards one another", rest),
            Some(true)
        );
        assert_eq!(
            is_verbatim("and should never act so again", rest),
            Some(false)
        );
        assert_eq!(is_verbatim("and should", rest), None);
    }
}
