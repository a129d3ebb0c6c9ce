//! The axes of a verdict, each with its reason: one clause with the numbers and their intervals.

use isogloss_record::number::decimal;
use isogloss_record::survey::{ChoiceResult, FidelityResult};

use super::floor::{FloorStanding, floor_standing, is_at_chance, threshold_p_values};
use super::{ChoiceEvidence, Policy};
use crate::measures::fidelity::Reliability;

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

/// G of comprehension against its copy floor.
pub(super) fn gain_axis(evidence: &ChoiceEvidence, policy: &Policy) -> Axis {
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

pub(super) fn production_axis(
    evidence: Option<&ChoiceEvidence>,
    n_looks: usize,
    policy: &Policy,
) -> Axis {
    match evidence {
        Some(evidence) => choice_axis("production", evidence, n_looks, policy),
        None => Axis::Open("production was not measured".to_owned()),
    }
}

/// κ against chance, the copy floor, the length baseline and the threshold.
pub(super) fn choice_axis(
    name: &str,
    evidence: &ChoiceEvidence,
    n_looks: usize,
    policy: &Policy,
) -> Axis {
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
        let floor_kappa = decimal(result.floor.unwrap_or_default(), 2);
        return if floor == FloorStanding::At {
            Axis::Fails(format!(
                "{numbers}: no difference from what names alone give (copy floor κ \
                 {floor_kappa}{gain})"
            ))
        } else {
            Axis::Open(format!(
                "{numbers}: not told from what names alone give, nor is a difference ruled out \
                 (copy floor κ {floor_kappa}{gain})"
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
            "{numbers}: above the line of {line:.2}, but not surely above its copy floor ({}) and \
             length baseline ({})",
            decimal(result.floor.unwrap_or_default(), 2),
            decimal(result.length_baseline.unwrap_or_default(), 2)
        ));
    }
    Axis::Open(format!("{numbers}: straddles the line of {line:.2}"))
}

pub(super) fn fidelity_axis(
    evidence: Option<&(FidelityResult, Reliability)>,
    policy: &Policy,
) -> Axis {
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

pub(super) fn choice_numbers(name: &str, result: &ChoiceResult) -> String {
    format!(
        "{name} κ {}",
        numbers(result.value, result.low, result.high, result.n)
    )
}

pub(super) fn numbers(value: f64, low: f64, high: f64, n: usize) -> String {
    format!("{} (n {n})", interval(value, low, high))
}

fn interval(value: f64, low: f64, high: f64) -> String {
    let [value, low, high] = [value, low, high].map(|x| decimal(x, 2));
    format!("{value} [{low}, {high}]")
}
