//! Where a choice stands: at chance, at its copy floor, on one side of the line, or open.
//!
//! The stopping rule asks this after each look, the verdict at the end.

use isogloss_record::survey::ChoiceResult;
use isogloss_stats::binomial::{at_least, at_most};
use isogloss_stats::kappa::accuracy_of;

use super::{ChoiceEvidence, Policy};
use crate::items::GROUP;

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
pub(super) fn threshold_p_values(result: &ChoiceResult, policy: &Policy) -> (f64, f64) {
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
