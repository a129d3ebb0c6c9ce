//! Accuracy on a public benchmark beside comprehension: XCOPA (Ponti et al. 2020, arXiv:2005.00333).
//!
//! An item is a premise and two sentences, of which one is its cause or its effect. As the field's
//! harness asks it: the premise without its last character, a connector ("because", "therefore") in
//! the language, then each sentence with a small first letter; the more probable one is the answer.

use std::collections::BTreeMap;

use isogloss_eval::run::{Progress, RunError, Runner};
use isogloss_record::survey::SurveyResults;
use isogloss_record::{Estimate, Lang, Prompt, Request, Response, Span};
use isogloss_stats::correlation::{kendall, spearman};
use isogloss_stats::share;
use serde::{Deserialize, Serialize};

/// Languages by their code in the benchmark's file names: their code here, and their connectors for
/// causes and effects. Source: the task `xcopa` of the Language Model Evaluation Harness 0.4.13.
pub const LANGUAGES: [(&str, &str, &str, &str); 11] = [
    ("et", "est", "sest", "seetõttu"),
    ("ht", "hat", "poukisa", "donk sa"),
    ("id", "ind", "karena", "maka"),
    ("it", "ita", "perché", "quindi"),
    ("qu", "quy", "imataq", "chaymi"),
    ("sw", "swh", "kwa sababu", "kwa hiyo"),
    ("ta", "tam", "காரணமாக", "எனவே"),
    ("th", "tha", "เพราะ", "ดังนั้น"),
    ("tr", "tur", "çünkü", "bu yüzden"),
    ("vi", "vie", "bởi vì", "vì vậy"),
    ("zh", "cmn", "因为", "所以"),
];

/// An item, as the benchmark's files have it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Item {
    premise: String,
    choice1: String,
    choice2: String,
    question: Question,
    label: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Question {
    Cause,
    Effect,
}

/// Reads a file of items, one JSON object a line; the error says which line.
pub fn items(text: &str) -> Result<Vec<Item>, (usize, serde_json::Error)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| serde_json::from_str(line).map_err(|error| (i + 1, error)))
        .collect()
}

/// Context and the two continuations of an item.
fn question(item: &Item, [cause, effect]: [&str; 2]) -> (String, [String; 2]) {
    let premise = item.premise.trim();
    let stem = premise
        .char_indices()
        .last()
        .map_or("", |(last, _)| &premise[..last]);
    let connector = match item.question {
        Question::Cause => cause,
        Question::Effect => effect,
    };
    let choice = |text: &str| {
        let mut chars = text.chars();
        let first = chars.next().map(|c| c.to_lowercase().to_string());
        format!(" {}{}", first.unwrap_or_default(), chars.as_str())
    };
    (
        format!("{stem} {connector}"),
        [choice(&item.choice1), choice(&item.choice2)],
    )
}

/// Share of items that a model answers right, by language; languages without items, and
/// those that are not the benchmark's ([`LANGUAGES`]), are left out.
///
/// # Errors
/// [`RunError`].
pub fn accuracy(
    runner: &mut Runner<'_>,
    items: &BTreeMap<Lang, Vec<Item>>,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<BTreeMap<Lang, Estimate>, RunError> {
    let mut requests = Vec::new();
    let mut labels = Vec::new();
    for (&lang, items) in items {
        let own = LANGUAGES.iter().find(|(_, code, ..)| *code == lang.code());
        let Some(&(_, _, cause, effect)) = own else {
            continue;
        };
        for item in items {
            let (context, choices) = question(item, [cause, effect]);
            requests.extend(choices.map(|continuation| Request::Score {
                context: Prompt::Text(context.clone()),
                continuation,
                span: Span::Continuation,
                pool: false,
            }));
            labels.push((lang, item.label));
        }
    }
    let answers = runner.ask(&requests, on_progress)?;
    let mut counts: BTreeMap<Lang, (usize, usize)> = BTreeMap::new();
    for ((lang, label), answers) in labels.iter().zip(answers.chunks_exact(2)) {
        let nats = |i: usize| match &answers[i].response {
            Response::Score { logprobs, .. } => logprobs
                .iter()
                .flatten()
                .map(|&x| f64::from(x))
                .sum::<f64>(),
            _ => unreachable!("a score is answered by a score"),
        };
        let chosen = u8::from(nats(1) > nats(0));
        let (n_right, n) = counts.entry(*lang).or_default();
        *n_right += usize::from(chosen == *label);
        *n += 1;
    }
    Ok(counts
        .into_iter()
        .filter_map(|(lang, (n_right, n))| Some((lang, share(n_right, n)?)))
        .collect())
}

/// One language of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Share right on the benchmark; one half is chance.
    pub accuracy: Estimate,
    /// κ of comprehension.
    pub kappa: Estimate,
    /// G of comprehension.
    pub gain: Option<Estimate>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct XcopaResults {
    /// Name.
    pub model: String,
    /// By language.
    pub languages: BTreeMap<Lang, Row>,
    /// Spearman's correlation of G and accuracy over the languages, with its interval; `None` for
    /// fewer than four.
    pub spearman_gain: Option<Estimate>,
    /// Likewise of κ.
    pub spearman_kappa: Option<Estimate>,
    /// Kendall's τ-b of G and accuracy; `None` for fewer than five.
    pub kendall_gain: Option<Estimate>,
}

/// Accuracies beside the survey's comprehension, model by model.
pub fn beside(
    results: &SurveyResults,
    accuracies: &[BTreeMap<Lang, Estimate>],
) -> Vec<XcopaResults> {
    (results.models.iter().zip(accuracies))
        .map(|(model, accuracies)| {
            let languages: BTreeMap<Lang, Row> = accuracies
                .iter()
                .filter_map(|(&lang, &accuracy)| {
                    let c = model.languages.get(&lang)?.comprehension?;
                    let estimate = |value, low, high, n| Estimate {
                        value,
                        low,
                        high,
                        n,
                    };
                    let row = Row {
                        accuracy,
                        kappa: estimate(c.value, c.low, c.high, c.n),
                        gain: c.gain.map(|g| estimate(g.value, g.low, g.high, g.n)),
                    };
                    Some((lang, row))
                })
                .collect();
            let column = |of: fn(&Row) -> Option<f64>| -> Option<Vec<f64>> {
                languages.values().map(of).collect()
            };
            let accuracy = column(|row| Some(row.accuracy.value));
            let kappa = column(|row| Some(row.kappa.value));
            let gain = column(|row| row.gain.map(|gain| gain.value));
            XcopaResults {
                model: model.name.clone(),
                spearman_gain: gain
                    .as_ref()
                    .zip(accuracy.as_ref())
                    .and_then(|(a, b)| spearman(a, b)),
                spearman_kappa: kappa
                    .as_ref()
                    .zip(accuracy.as_ref())
                    .and_then(|(a, b)| spearman(a, b)),
                kendall_gain: gain
                    .as_ref()
                    .zip(accuracy.as_ref())
                    .and_then(|(a, b)| kendall(a, b)),
                languages,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_asked_as_the_harness_does() {
        let line = r#"{"premise": "กระเป๋าว่างเปล่า.", "choice1": "ฉันหา", "choice2": "Ölü deniz", "question": "effect", "label": 1, "idx": 1, "changed": false}"#;
        let items = items(&format!("{line}\n\n")).unwrap();
        let (context, choices) = question(&items[0], ["เพราะ", "ดังนั้น"]);
        assert_eq!(context, "กระเป๋าว่างเปล่า ดังนั้น");
        assert_eq!(choices, [" ฉันหา", " ölü deniz"]);
        let (line, _) = super::items("{}\n").unwrap_err();
        assert_eq!(line, 1);
        let torn = super::items(&format!("{line}\n{{\"premise\": 3}}"));
        assert!(torn.is_err());
    }
}
