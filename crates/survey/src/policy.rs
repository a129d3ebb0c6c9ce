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

use std::collections::BTreeMap;

use isogloss_record::Explain;
use isogloss_record::survey::{ChoiceResult, FidelityResult, LexiconResult, PolicyStamp, Verdict};
use isogloss_stats::binomial::{at_least, at_most};
use isogloss_stats::kappa::accuracy_of;
use isogloss_stats::multiple::benjamini_hochberg;
use serde::Deserialize;

use crate::items::GROUP;
use crate::measures::choice::AboveFloor;
use crate::measures::fidelity::Reliability;
use crate::plan::Settings;

/// The policy that Isogloss ships.
const DEFAULT: &str = include_str!("../../../packs/policies/default.toml");

/// Thresholds with a name and a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Name.
    pub id: String,
    /// Version.
    pub version: u32,
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Whether it differs from the one that Isogloss ships.
    pub edited: bool,
}

/// The numbers of a policy; see the file for their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "documented in the policy's own file")]
pub struct Thresholds {
    pub kappa: f64,
    pub gain_above_floor: f64,
    pub fidelity: f64,
    pub fidelity_not_served: f64,
    pub memory_verbatim: f64,
    pub relative_kappa: f64,
    pub relative_gain: f64,
    pub alpha: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    id: String,
    version: u32,
    thresholds: Thresholds,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML of the expected shape.
    #[error("the policy `{name}` cannot be read")]
    Shape {
        /// File or name.
        name: String,
        /// What did not fit.
        #[source]
        source: toml::de::Error,
    },
    /// A threshold outside its range.
    #[error(
        "the policy `{name}` has `{threshold} = {found}`, expected a number from {low} to {high}"
    )]
    Range {
        /// File or name.
        name: String,
        /// Which one.
        threshold: &'static str,
        /// Its value.
        found: f64,
        /// Least allowed.
        low: f64,
        /// Greatest allowed.
        high: f64,
    },
}

impl Explain for PolicyError {
    fn hint(&self) -> Option<String> {
        Some("start from a copy of packs/policies/default.toml".to_owned())
    }
}

impl Policy {
    /// The one that Isogloss ships.
    pub fn shipped() -> Self {
        Self::parse("default", DEFAULT).expect("the shipped policy is read by a test")
    }

    /// Reads a policy; `name` is for error messages.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|source| PolicyError::Shape {
            name: name.to_owned(),
            source,
        })?;
        for (threshold, found) in named(&file.thresholds) {
            let (low, high) = if threshold == "alpha" {
                (1e-6, 0.5)
            } else {
                (0.0, 1.0)
            };
            if !(low..=high).contains(&found) {
                return Err(PolicyError::Range {
                    name: name.to_owned(),
                    threshold,
                    found,
                    low,
                    high,
                });
            }
        }
        let shipped: PolicyFile = toml::from_str(DEFAULT).expect("the shipped policy is TOML");
        Ok(Self {
            // Compared by contents, so that a changed comment is no change.
            edited: shipped.id != file.id
                || shipped.version != file.version
                || shipped.thresholds != file.thresholds,
            id: file.id,
            version: file.version,
            thresholds: file.thresholds,
        })
    }

    /// What results say about it.
    pub fn stamp(&self) -> PolicyStamp {
        PolicyStamp {
            id: self.id.clone(),
            version: self.version,
            edited: self.edited,
            thresholds: named(&self.thresholds)
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
        }
    }
}

fn named(thresholds: &Thresholds) -> impl Iterator<Item = (&'static str, f64)> + use<> {
    [
        ("kappa", thresholds.kappa),
        ("gain_above_floor", thresholds.gain_above_floor),
        ("fidelity", thresholds.fidelity),
        ("fidelity_not_served", thresholds.fidelity_not_served),
        ("memory_verbatim", thresholds.memory_verbatim),
        ("relative_kappa", thresholds.relative_kappa),
        ("relative_gain", thresholds.relative_gain),
        ("alpha", thresholds.alpha),
    ]
    .into_iter()
}

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

/// How an axis stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Axis {
    /// It reaches the line.
    Passes,
    /// It is below the line.
    Fails(String),
    /// The interval straddles the line, or nothing was measured.
    Open(String),
}

/// Where comprehension stands while the survey runs: whether to ask more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// At chance or at its copy floor: not pursued.
    AtFloor,
    /// Below or above the line for sure: no more items.
    Clear,
    /// Straddles the line: more items.
    Straddles,
}

/// A language is at its floor only where even a one-sided test at this level does not tell it from
/// the floor: stopping is the error to avoid here, more items are cheap, and later looks ask κ
/// against the line at the corrected level.
const FLOOR_P_MAX: f64 = 0.1;

/// Whether a choice is shown to be at chance: κ below the line, neither κ's one-sided test nor the
/// interval of the gain tells it from chance, and the gain's upper end is below what would count.
/// With few items κ can reach the line and still not be told from chance: that is doubt, not the
/// floor.
pub fn is_at_chance(result: &ChoiceResult, policy: &Policy) -> bool {
    let (n_right, n) = counts(result);
    let gain = result.gain.map(|gain| (gain.low, gain.high));
    result.value < policy.thresholds.kappa
        && at_least(n_right, n, 1.0 / GROUP as f64) > FLOOR_P_MAX
        && gain.is_none_or(|(low, _)| low <= 0.0)
        && is_ruled_out(result, gain, policy)
}

/// How a choice stands to its copy floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloorStanding {
    /// Told from it, by right answers or by gain; or the floor was not measured.
    Above,
    /// Not told from it, and a difference worth having is ruled out.
    At,
    /// Not told from it, and a difference worth having is not ruled out.
    Open,
}

/// How a choice stands to its copy floor.
pub fn floor_standing(evidence: &ChoiceEvidence, policy: &Policy) -> FloorStanding {
    let above = evidence
        .result
        .gain
        .and_then(|gain| gain.above_floor)
        .map(|above| (above.low, above.high));
    let is_told = evidence.above_floor.is_none_or(|floor| {
        floor.p_value <= FLOOR_P_MAX || above.is_some_and(|(low, _)| low > 0.0)
    });
    if is_told {
        FloorStanding::Above
    } else if is_ruled_out(&evidence.result, above, policy) {
        FloorStanding::At
    } else {
        FloorStanding::Open
    }
}

/// Whether the interval of a gain stays below the margin that the policy asks of one; where there is
/// no gain, whether that of κ stays at or below the line.
fn is_ruled_out(result: &ChoiceResult, gain: Option<(f64, f64)>, policy: &Policy) -> bool {
    result.high <= policy.thresholds.kappa
        || gain.is_some_and(|(_, high)| high < policy.thresholds.gain_above_floor)
}

/// Where a choice stands after a look, at the level of one of `n_looks`.
pub fn standing(evidence: &ChoiceEvidence, policy: &Policy, n_looks: usize) -> Standing {
    let alpha = policy.thresholds.alpha / n_looks.max(1) as f64;
    if is_at_chance(&evidence.result, policy) {
        return Standing::AtFloor;
    }
    match floor_standing(evidence, policy) {
        FloorStanding::At => return Standing::AtFloor,
        FloorStanding::Open => return Standing::Straddles,
        FloorStanding::Above => {}
    }
    let (above, below) = threshold_p_values(&evidence.result, policy);
    if above <= alpha / 2.0 || below <= alpha / 2.0 {
        Standing::Clear
    } else {
        Standing::Straddles
    }
}

/// One-sided exact p-values that κ is above, and that it is below, the policy's threshold.
fn threshold_p_values(result: &ChoiceResult, policy: &Policy) -> (f64, f64) {
    let (n_right, n) = counts(result);
    let accuracy = accuracy_of(policy.thresholds.kappa, GROUP);
    (
        at_least(n_right, n, accuracy),
        at_most(n_right, n, accuracy),
    )
}

/// Right answers and items of a result.
fn counts(result: &ChoiceResult) -> (usize, usize) {
    let n_right = (accuracy_of(result.value, GROUP) * result.n as f64).round() as usize;
    (n_right.min(result.n), result.n)
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
        .filter(|&i| languages[i].comprehension.is_some() && languages[i].production.is_some())
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

/// G of comprehension against its copy floor.
fn gain_axis(evidence: &ChoiceEvidence, policy: &Policy) -> Axis {
    let Some(above) = evidence.result.gain.and_then(|gain| gain.above_floor) else {
        return Axis::Open("the copy floor of comprehension was not measured".to_owned());
    };
    let line = policy.thresholds.gain_above_floor;
    let numbers = numbers(above.value, above.low, above.high, above.n);
    if above.value >= line && above.low > 0.0 {
        Axis::Passes
    } else if above.high < line {
        Axis::Fails(format!(
            "comprehension is shallow: G above its copy floor {numbers}, the line is {line:.2}"
        ))
    } else {
        Axis::Open(format!(
            "G of comprehension above its copy floor straddles its line of {line:.2}: {numbers}"
        ))
    }
}

fn production_axis(evidence: Option<&ChoiceEvidence>, n_looks: usize, policy: &Policy) -> Axis {
    match evidence {
        Some(evidence) => choice_axis("production", evidence, n_looks, policy),
        None => Axis::Open("production was not measured".to_owned()),
    }
}

/// κ against chance, the copy floor, the length baseline and the threshold.
fn choice_axis(name: &str, evidence: &ChoiceEvidence, n_looks: usize, policy: &Policy) -> Axis {
    let result = &evidence.result;
    let alpha = policy.thresholds.alpha / n_looks.max(1) as f64;
    let numbers = choice_numbers(name, result);
    let line = policy.thresholds.kappa;
    let margin = policy.thresholds.gain_above_floor;
    if is_at_chance(result, policy) {
        let gain = result.gain.map_or_else(String::new, |gain| {
            format!(
                " (G {}, {margin:.2} would count)",
                interval(gain.value, gain.low, gain.high)
            )
        });
        return Axis::Fails(format!("{numbers}: not told from chance{gain}"));
    }
    let floor = floor_standing(evidence, policy);
    if floor != FloorStanding::Above {
        let gain =
            result
                .gain
                .and_then(|gain| gain.above_floor)
                .map_or_else(String::new, |above| {
                    format!(
                        ", G above it {}, {margin:.2} would count",
                        interval(above.value, above.low, above.high)
                    )
                });
        let floor_kappa = result.floor.unwrap_or_default();
        return if floor == FloorStanding::At {
            Axis::Fails(format!(
                "{numbers}: no difference from what names alone give (copy floor κ \
                 {floor_kappa:.2}{gain})"
            ))
        } else {
            Axis::Open(format!(
                "{numbers}: not told from what names alone give, nor is a difference ruled out \
                 (copy floor κ {floor_kappa:.2}{gain})"
            ))
        };
    }
    let (above, below) = threshold_p_values(result, policy);
    if below <= alpha / 2.0 {
        return Axis::Fails(format!("{numbers}: below the line of {line:.2}"));
    }
    let beats = |baseline: Option<f64>| baseline.is_none_or(|baseline| result.low > baseline);
    if above <= alpha / 2.0 && beats(result.floor) && beats(result.length_baseline) {
        return Axis::Passes;
    }
    if above <= alpha / 2.0 {
        return Axis::Open(format!(
            "{numbers}: above the line of {line:.2}, but not surely above its copy floor ({:.2}) and \
             length baseline ({:.2})",
            result.floor.unwrap_or_default(),
            result.length_baseline.unwrap_or_default()
        ));
    }
    Axis::Open(format!("{numbers}: straddles the line of {line:.2}"))
}

fn fidelity_axis(evidence: Option<&(FidelityResult, Reliability)>, policy: &Policy) -> Axis {
    let Some((result, reliability)) = evidence else {
        return Axis::Open("fidelity was not measured".to_owned());
    };
    let numbers = numbers(result.value, result.low, result.high, result.n);
    if !result.deciding {
        return Axis::Open(match reliability {
            Reliability::Sisters => {
                "the identifier cannot tell this language from a sister language".to_owned()
            }
            Reliability::Missed => "the identifier misses most texts in this language".to_owned(),
            _ => "the identifier's errors in this language are not known from a second register"
                .to_owned(),
        });
    }
    if result.value >= policy.thresholds.fidelity {
        Axis::Passes
    } else {
        Axis::Fails(format!(
            "the model leaves the language: fidelity {numbers}, the line is {:.2}",
            policy.thresholds.fidelity
        ))
    }
}

/// Whether fidelity alone makes the language not served.
fn leaves_language(evidence: &Evidence, policy: &Policy) -> bool {
    evidence.fidelity.is_some_and(|(result, _)| {
        result.deciding && result.value < policy.thresholds.fidelity_not_served
    })
}

fn choice_numbers(name: &str, result: &ChoiceResult) -> String {
    format!(
        "{name} κ {}",
        numbers(result.value, result.low, result.high, result.n)
    )
}

fn numbers(value: f64, low: f64, high: f64, n: usize) -> String {
    format!("{} (n {n})", interval(value, low, high))
}

fn interval(value: f64, low: f64, high: f64) -> String {
    format!("{value:.2} [{low:.2}, {high:.2}]")
}

#[cfg(test)]
mod tests;
