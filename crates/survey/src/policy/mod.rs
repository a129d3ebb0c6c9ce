//! Policy: from measures to the line on the map.
//!
//! ```text
//! Evidence per language -> axes (passes, fails, open) -> Benjamini-Hochberg over languages -> verdict
//! ```
//!
//! - **served**: the lower ends of κ of comprehension and of production reach the threshold and lie
//!   above their copy floors, G of comprehension stands above its floor by the policy's margin (its
//!   interval above zero), and fidelity reaches its own threshold (its point);
//! - **not served**: comprehension is at its floor (an upper end at or below the threshold, or no
//!   difference from chance or from the copy floor), or the model leaves the language. That nothing
//!   was seen is no difference only where a difference worth having is ruled out: the upper end of G
//!   (above the copy floor, where that was measured) is below the policy's margin. Otherwise it is
//!   doubt (`docs/decisions/0003-no-difference-is-shown.md`);
//! - **partly**: comprehension passes and a named axis fails;
//! - **cannot say**: an interval straddles, the identifier cannot tell, an axis was not measured, the
//!   text is known by heart, or there is no running text.
//!
//! Intervals that decide are corrected for peeking: where items come in up to K looks, each look
//! spends α / K (Bonferroni), so the chance of a wrong line over all looks stays below α. Over the
//! languages of a model the one-sided p-values of "κ is above the threshold" are corrected by
//! Benjamini–Hochberg; a language that no longer passes then becomes "cannot say". Cost and
//! information decide nothing.
//!
//! The thresholds are data (`packs/policies/default.toml`); a policy whose contents differ from what
//! is shipped under its name is stamped as edited.

mod axes;
mod floor;
mod thresholds;

use isogloss_record::survey::{ChoiceResult, FidelityResult, LexiconResult, Verdict};
use isogloss_stats::multiple::benjamini_hochberg;

pub use axes::Axis;
use axes::{choice_axis, choice_numbers, fidelity_axis, gain_axis, numbers, production_axis};
use floor::threshold_p_values;
pub use floor::{FloorStanding, Standing, floor_standing, is_at_chance, standing};
pub use thresholds::{Policy, PolicyError, Thresholds};

use crate::measures::choice::AboveFloor;
use crate::measures::fidelity::Reliability;
use crate::plan::Settings;

/// A choice measure with what its decision needs beside the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChoiceEvidence {
    /// The result.
    pub result: ChoiceResult,
    /// Right answers beside the copy floor's; `None` where the floor was not measured.
    pub above_floor: Option<AboveFloor>,
}

/// What a verdict of one language rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Whether there is running text at all.
    pub has_text: bool,
    /// Whether all of the running text is known by heart.
    pub memorized: bool,
    /// Comprehension.
    pub comprehension: Option<ChoiceEvidence>,
    /// Production.
    pub production: Option<ChoiceEvidence>,
    /// Words.
    pub lexicon: Option<LexiconResult>,
    /// Fidelity, with what is known of the identifier.
    pub fidelity: Option<(FidelityResult, Reliability)>,
    /// Looks at the items that were planned; at least 1.
    pub n_looks: usize,
    /// Registers that the measures come from, `words` among them where the lexicon was measured.
    pub n_registers: usize,
}

/// A verdict with its ground.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The line.
    pub verdict: Verdict,
    /// Whether it rests on one register only, or a second one disagrees.
    pub provisional: bool,
    /// One sentence with the numbers.
    pub reason: String,
}

/// The verdicts of one model's languages, in the order given.
///
/// All languages must be decided together, because of the correction for their number.
pub fn decide(languages: &[Evidence], policy: &Policy) -> Vec<Decision> {
    // What passes at all, as a p-value: the worse of comprehension and production.
    let p_values: Vec<f64> = languages
        .iter()
        .map(|evidence| {
            let p = |choice: &Option<ChoiceEvidence>| {
                choice.map_or(1.0, |choice| threshold_p_values(&choice.result, policy).0)
            };
            let p = p(&evidence.comprehension).max(p(&evidence.production));
            (p * evidence.n_looks.max(1) as f64).min(1.0)
        })
        .collect();
    // Only languages that were measured to the end are tested: the others claim nothing.
    let tested: Vec<usize> = (0..languages.len())
        .filter(|&i| {
            let evidence = &languages[i];
            // Text known by heart must not make the correction of the others milder.
            !evidence.memorized && evidence.comprehension.is_some() && evidence.production.is_some()
        })
        .collect();
    let adjusted = benjamini_hochberg(&tested.iter().map(|&i| p_values[i]).collect::<Vec<f64>>());
    let mut survives = vec![true; languages.len()];
    for (&i, q) in tested.iter().zip(adjusted) {
        survives[i] = q <= policy.thresholds.alpha / 2.0;
    }
    languages
        .iter()
        .zip(survives)
        .map(|(evidence, survives)| decide_one(evidence, survives, policy))
        .collect()
}

fn decide_one(evidence: &Evidence, survives: bool, policy: &Policy) -> Decision {
    let provisional = is_provisional(evidence, policy);
    let say = |verdict, reason| Decision {
        verdict,
        provisional: provisional && verdict != Verdict::CannotSay,
        reason,
    };
    if !evidence.has_text {
        let words = evidence.lexicon.map_or_else(String::new, |lexicon| {
            format!(
                " (words: {})",
                numbers(lexicon.value, lexicon.low, lexicon.high, lexicon.n)
            )
        });
        return say(
            Verdict::CannotSay,
            format!(
                "there is no running text in this language{words}: give your own with `--text`"
            ),
        );
    }
    let Some(comprehension) = &evidence.comprehension else {
        return say(
            Verdict::CannotSay,
            "comprehension was not measured: give more text with `--text`".to_owned(),
        );
    };
    if evidence.memorized {
        return say(
            Verdict::CannotSay,
            format!(
                "the model knows this text by heart ({}), so it decides nothing: give your own with \
                 `--text`",
                choice_numbers("comprehension", &comprehension.result)
            ),
        );
    }
    let understood = choice_axis("comprehension", comprehension, evidence.n_looks, policy);
    let deep = gain_axis(comprehension, policy);
    let produced = production_axis(evidence.production.as_ref(), evidence.n_looks, policy);
    let stayed = fidelity_axis(evidence.fidelity.as_ref(), policy);
    let summary = [
        Some(choice_numbers("comprehension", &comprehension.result)),
        evidence
            .production
            .map(|production| choice_numbers("production", &production.result)),
        evidence
            .fidelity
            .map(|(f, _)| format!("fidelity {}", numbers(f.value, f.low, f.high, f.n))),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<String>>()
    .join(", ");
    match (&understood, &stayed) {
        (Axis::Fails(reason), ..) => say(Verdict::NotServed, reason.clone()),
        (_, Axis::Fails(reason)) if leaves_language(evidence, policy) => {
            say(Verdict::NotServed, reason.clone())
        }
        (Axis::Open(reason), ..) => say(Verdict::CannotSay, reason.clone()),
        _ if [&deep, &produced, &stayed]
            .iter()
            .all(|axis| **axis == Axis::Passes) =>
        {
            if survives {
                say(Verdict::Served, format!("{summary}: all above their lines"))
            } else {
                let corrected = "but not after the correction for the number of languages";
                say(
                    Verdict::CannotSay,
                    format!("{summary}: above their lines, {corrected}"),
                )
            }
        }
        _ => {
            let mut failed = Vec::new();
            let mut open = Vec::new();
            for axis in [&deep, &produced, &stayed] {
                match axis {
                    Axis::Fails(reason) => failed.push(reason.as_str()),
                    Axis::Open(reason) => open.push(reason.as_str()),
                    Axis::Passes => {}
                }
            }
            let understands = choice_numbers("comprehension", &comprehension.result);
            if failed.is_empty() {
                say(
                    Verdict::CannotSay,
                    format!("{}; {understands}", open.join("; ")),
                )
            } else {
                say(
                    Verdict::Partly,
                    format!("{}; {understands}", failed.join("; ")),
                )
            }
        }
    }
}

/// Whether fidelity alone makes the language not served.
fn leaves_language(evidence: &Evidence, policy: &Policy) -> bool {
    evidence.fidelity.is_some_and(|(result, _)| {
        result.deciding && result.value < policy.thresholds.fidelity_not_served
    })
}

/// Whether all but fidelity passes, so that fidelity is what decides.
pub(crate) fn only_fidelity_is_open(
    comprehension: &ChoiceEvidence,
    production: &ChoiceEvidence,
    settings: &Settings,
    policy: &Policy,
) -> bool {
    let n_looks = settings.n_items.n_looks();
    choice_axis("comprehension", comprehension, n_looks, policy) == Axis::Passes
        && gain_axis(comprehension, policy) == Axis::Passes
        && choice_axis("production", production, n_looks, policy) == Axis::Passes
}

/// A verdict is provisional where one register speaks, or where words contradict the text.
fn is_provisional(evidence: &Evidence, policy: &Policy) -> bool {
    let words_contradict = match (&evidence.comprehension, &evidence.lexicon) {
        (Some(text), Some(words)) => {
            let line = policy.thresholds.kappa;
            (text.result.low >= line && words.high <= line)
                || (text.result.high <= line && words.low >= line)
        }
        _ => false,
    };
    evidence.n_registers < 2 || words_contradict
}

#[cfg(test)]
mod tests;
