//! Four-way choice with its graded side: what comprehension and production share.
//!
//! A group holds four texts and their four translations. With `c[i][j] = ln p(option j given
//! context i)` and `p[j] = ln p(option j)`, both in nats:
//!
//! - item i is right where `c[i][j] − p[j]` is greatest at j = i (pointwise mutual information, so
//!   an option that is probable anyway gains nothing); equals go to the first option, so a model
//!   that ignores the context is right once in a group: exactly at chance;
//! - its gain is `1 − bits(i given i) / mean over k ≠ i of bits(i given k)`: the share of the
//!   text's bits that its own translation explains, against the wrong ones. Against an empty
//!   context any context would "explain" something.
//!
//! κ = (share right − ¼) / ¾, G = mean gain. Deviation: none from `SURVEY.md`.

use isogloss_record::survey::{ChoiceResult, GainResult};
use isogloss_record::{Estimate, Seed};
use isogloss_stats::paired::{mcnemar_greater, share_difference};
use isogloss_stats::{kappa, mean};

use crate::items::GROUP;

/// Log-probabilities of a group's options, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScores {
    /// `[context][option]`: ln p(option given context); document i's context belongs to option i.
    pub conditional: [[f64; GROUP]; GROUP],
    /// `[option]`: ln p(option given nothing).
    pub prior: [f64; GROUP],
}

/// What one item gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemOutcome {
    /// Whether the right option was chosen.
    pub right: bool,
    /// Share of the text's bits that the right context explains, below 1; `None` where wrong
    /// contexts leave no bits to explain.
    pub gain: Option<f64>,
}

/// The four items of a group, in the order of its documents.
pub fn item_outcomes(scores: &GroupScores) -> [ItemOutcome; GROUP] {
    std::array::from_fn(|i| {
        let evidence = |j: usize| scores.conditional[i][j] - scores.prior[j];
        let chosen = (1..GROUP).fold(0, |best, j| {
            if evidence(j) > evidence(best) {
                j
            } else {
                best
            }
        });
        let wrong: f64 = (0..GROUP)
            .filter(|&k| k != i)
            .map(|k| -scores.conditional[k][i])
            .sum::<f64>()
            / (GROUP - 1) as f64;
        ItemOutcome {
            right: chosen == i,
            gain: (wrong > 0.0).then(|| 1.0 + scores.conditional[i][i] / wrong),
        }
    })
}

/// κ and G of the items, beside their copy floor (the same items, in the same order, with nonsense
/// contexts) and the length baseline (expected right answers by length alone, over all items).
///
/// `relative` is left empty: it needs other languages. `None` for no items.
///
/// # Panics
/// If the floor has another number of items.
pub fn choice(
    outcomes: &[ItemOutcome],
    floor: Option<&[ItemOutcome]>,
    n_right_by_length: Option<f64>,
    seed: Seed,
) -> Option<ChoiceResult> {
    let n = outcomes.len();
    let Estimate {
        value, low, high, ..
    } = kappa(n_right(outcomes), n, GROUP)?;
    let floor_kappa =
        floor.and_then(|floor| Some(kappa(n_right(floor), floor.len(), GROUP)?.value));
    Some(ChoiceResult {
        value,
        low,
        high,
        n,
        floor: floor_kappa,
        length_baseline: n_right_by_length
            .map(|n_right| isogloss_stats::kappa::chance_corrected(n_right / n as f64, GROUP)),
        relative: None,
        gain: gain(outcomes, floor, seed),
    })
}

fn gain(outcomes: &[ItemOutcome], floor: Option<&[ItemOutcome]>, seed: Seed) -> Option<GainResult> {
    let gains: Vec<f64> = outcomes.iter().filter_map(|item| item.gain).collect();
    let Estimate {
        value,
        low,
        high,
        n,
    } = mean(&gains, seed)?;
    let floor_gains: Option<Vec<f64>> =
        floor.map(|floor| floor.iter().filter_map(|item| item.gain).collect());
    let above_floor = floor.and_then(|floor| {
        assert_eq!(floor.len(), outcomes.len(), "one floor item per item");
        let differences: Vec<f64> = outcomes
            .iter()
            .zip(floor)
            .filter_map(|(item, floor)| Some(item.gain? - floor.gain?))
            .collect();
        mean(&differences, seed)
    });
    Some(GainResult {
        value,
        low,
        high,
        n,
        floor: floor_gains.and_then(|gains| Some(mean(&gains, seed)?.value)),
        above_floor,
        relative: None,
    })
}

fn n_right(outcomes: &[ItemOutcome]) -> usize {
    outcomes.iter().filter(|item| item.right).count()
}

/// How items stand against their copy floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AboveFloor {
    /// Share right minus the floor's share right, paired.
    pub accuracy: Estimate,
    /// Exact one-sided McNemar p-value that the texts are answered better than their nonsense.
    pub p_value: f64,
}

/// The paired comparison of right answers with the copy floor's; `None` for no items.
///
/// # Panics
/// If the two have different lengths.
pub fn above_floor(outcomes: &[ItemOutcome], floor: &[ItemOutcome]) -> Option<AboveFloor> {
    assert_eq!(floor.len(), outcomes.len(), "one floor item per item");
    let pairs = || outcomes.iter().zip(floor);
    let n_only_text = pairs()
        .filter(|(item, floor)| item.right && !floor.right)
        .count();
    let n_only_floor = pairs()
        .filter(|(item, floor)| !item.right && floor.right)
        .count();
    Some(AboveFloor {
        accuracy: share_difference(n_only_text, n_only_floor, outcomes.len())?,
        p_value: mcnemar_greater(n_only_text, n_only_floor),
    })
}

/// `value` relative to the mean of other languages' values, of which only those of at least `limit`
/// count; `None` where none does.
pub fn relative(value: f64, others: &[f64], limit: f64) -> Option<f64> {
    let counted: Vec<f64> = others
        .iter()
        .copied()
        .filter(|&other| other >= limit)
        .collect();
    let n = counted.len();
    (n > 0).then(|| value / (counted.iter().sum::<f64>() / n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: Seed = Seed(3);

    /// Each context explains its own option by `own` nats of `bits` nats, wrong ones nothing.
    fn scores(bits: f64, own: [f64; 4]) -> GroupScores {
        GroupScores {
            conditional: std::array::from_fn(|i| {
                std::array::from_fn(|j| -bits + if i == j { own[i] } else { 0.0 })
            }),
            prior: [-bits; 4],
        }
    }

    #[test]
    fn outcomes_match_the_hand_computation() {
        // Items explain 20, 10, 0 and −10 of 80 nats: gains ¼, ⅛, 0, −⅛.
        // Item 2: all options equal, the first (0) is taken: wrong. Item 3: its own is worst: wrong.
        let outcomes = item_outcomes(&scores(80.0, [20.0, 10.0, 0.0, -10.0]));
        let gains: Vec<f64> = outcomes.iter().map(|item| item.gain.unwrap()).collect();
        assert_eq!(gains, [0.25, 0.125, 0.0, -0.125]);
        assert_eq!(outcomes.map(|item| item.right), [true, true, false, false]);
        // κ = (2/4 − 1/4) / (3/4) = 1/3; G = (0.25 + 0.125 + 0 − 0.125) / 4 = 0.0625.
        let result = choice(&outcomes, None, Some(1.0), SEED).unwrap();
        assert!((result.value - 1.0 / 3.0).abs() < 1e-12);
        assert!((result.gain.unwrap().value - 0.0625).abs() < 1e-12);
        // One of four by length: κ = 0.
        assert_eq!(result.length_baseline, Some(0.0));
        assert!(choice(&[], None, None, SEED).is_none());
    }

    #[test]
    fn the_prior_decides_between_options_that_are_probable_anyway() {
        let mut scores = scores(80.0, [20.0; 4]);
        // Option 0 is probable in every context, and as probable without one.
        for context in &mut scores.conditional {
            context[0] += 60.0;
        }
        let by_likelihood = item_outcomes(&scores);
        assert_eq!(by_likelihood.iter().filter(|item| item.right).count(), 1);
        scores.prior[0] += 60.0;
        assert!(item_outcomes(&scores).iter().all(|item| item.right));
    }

    #[test]
    fn a_model_that_ignores_its_context_is_at_chance_with_no_gain() {
        let ignoring = GroupScores {
            conditional: [[-50.0, -40.0, -60.0, -45.0]; 4],
            prior: [-50.0, -40.0, -60.0, -45.0],
        };
        let outcomes: Vec<ItemOutcome> = (0..3).flat_map(|_| item_outcomes(&ignoring)).collect();
        let result = choice(&outcomes, None, None, SEED).unwrap();
        assert_eq!(result.value, 0.0);
        assert_eq!(result.gain.unwrap().value, 0.0);
    }

    #[test]
    fn what_names_alone_give_is_the_floor_and_does_not_count() {
        let good: Vec<_> = (0..3)
            .flat_map(|_| item_outcomes(&scores(80.0, [20.0; 4])))
            .collect();
        let names: Vec<_> = (0..3)
            .flat_map(|_| item_outcomes(&scores(80.0, [8.0, 0.0, 8.0, 0.0])))
            .collect();
        // A copier answers the nonsense as well as the text: nothing above the floor.
        let copier = above_floor(&names, &names).unwrap();
        assert_eq!((copier.accuracy.value, copier.p_value), (0.0, 1.0));
        // A reader: 12 of 12 against 6 of 12 (two of four in each group are right by names, and a
        // tie is right at option 0 only, which names already give): p = ½⁶ = 1/64.
        let reader = above_floor(&good, &names).unwrap();
        assert_eq!(names.iter().filter(|item| item.right).count(), 6);
        assert!((reader.accuracy.value - 0.5).abs() < 1e-12);
        assert!((reader.p_value - 1.0 / 64.0).abs() < 1e-12);
        let result = choice(&good, Some(&names), None, SEED).unwrap();
        // G: .25 against (.1 + 0)/2 = .05.
        let gain = result.gain.unwrap();
        assert!((gain.floor.unwrap() - 0.05).abs() < 1e-12);
        assert!((gain.above_floor.unwrap().value - 0.2).abs() < 1e-12);
        assert_eq!(result.floor, Some(1.0 / 3.0));
    }

    #[test]
    fn the_ratio_leaves_weak_comparisons_out() {
        // (.8 + .6)/2 = .7; .2 is below the limit.
        assert!((relative(0.35, &[0.8, 0.6, 0.2], 0.3).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(relative(0.35, &[0.2], 0.3), None);
    }

    proptest! {
        #[test]
        fn ranges_hold(nats in proptest::array::uniform4(proptest::array::uniform4(-300.0..-0.1_f64)),
                       prior in proptest::array::uniform4(-300.0..-0.1_f64)) {
            let outcomes = item_outcomes(&GroupScores { conditional: nats, prior });
            for item in &outcomes {
                prop_assert!(item.gain.unwrap() < 1.0);
            }
            let result = choice(&outcomes, None, None, SEED).unwrap();
            prop_assert!(result.low <= result.value && result.value <= result.high);
            prop_assert!((-1.0 / 3.0 - 1e-12..=1.0 + 1e-12).contains(&result.value));
        }
    }
}
