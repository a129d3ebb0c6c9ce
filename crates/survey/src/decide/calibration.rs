//! Is a stated probability right that often? Decisions whose best model is known.
//!
//! Truths are planted, answers drawn, and the decision is the product's own
//! ([`isogloss_stats::best`]): two to five models; one, three or eight languages, read or written;
//! 12 to 100 documents; easy and hard documents or all alike; with and without copy floors. How far
//! the models lie apart is drawn too: from a tenth of a logit (hardly to be seen) to two (plain).
//! No backend is asked, so 500 decisions take seconds.

use isogloss_record::Seed;
use isogloss_record::decision::{Calibration, CalibrationBin};
use isogloss_stats::best::{Answers, Cell, above, posterior};
use isogloss_stats::share;
use rand::RngExt;

pub use isogloss_stats::best::Surety;

/// Draws per decision: enough for a probability to a percent or two.
const N_DRAWS: usize = 600;

/// Bins of stated probabilities.
const N_BINS: usize = 10;

const GUESS: f64 = 0.25;

/// `n` planted decisions; `surety` other than [`Surety::Stated`] is a planted fault.
pub fn calibration(n: usize, surety: Surety, seed: Seed) -> Option<Calibration> {
    let decisions: Vec<(f64, bool)> = (0..n as u64).map(|i| planted(i, surety, seed)).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>, n: usize| values.sum::<f64>() / n as f64;
    let stated =
        |decisions: &[(f64, bool)]| mean(&mut decisions.iter().map(|(p, _)| *p), decisions.len());
    let right = |decisions: &[(f64, bool)]| {
        share(
            decisions.iter().filter(|(_, right)| *right).count(),
            decisions.len(),
        )
    };
    let mut bins = Vec::new();
    for bin in 0..N_BINS {
        let from = bin as f64 / N_BINS as f64;
        let to = (bin + 1) as f64 / N_BINS as f64;
        let inside: Vec<(f64, bool)> = (decisions.iter().copied())
            .filter(|(p, _)| (*p * N_BINS as f64).floor().min(N_BINS as f64 - 1.0) as usize == bin)
            .collect();
        if let Some(right) = right(&inside) {
            bins.push(CalibrationBin {
                from,
                to,
                stated: stated(&inside),
                right,
            });
        }
    }
    let error = bins
        .iter()
        .map(|bin| bin.right.n as f64 * (bin.stated - bin.right.value).abs())
        .sum::<f64>();
    Some(Calibration {
        n,
        seed,
        stated: stated(&decisions),
        right: right(&decisions)?,
        error: error / n as f64,
        bins,
    })
}

/// What one decision stated, and whether it took the best model.
fn planted(index: u64, surety: Surety, seed: Seed) -> (f64, bool) {
    let mut rng = seed.rng("planted decision", index);
    let n_models = rng.random_range(2..=5);
    let n_cells = [1, 3, 8][rng.random_range(0..3)] * [1, 2][rng.random_range(0..2)];
    let n_documents = [12, 24, 48, 100][rng.random_range(0..4)];
    let effect = [0.1, 0.3, 1.0, 2.0][rng.random_range(0..4)];
    let spread = [0.0, 1.0][rng.random_range(0..2)];
    let has_floors = rng.random::<bool>();
    // Easy and hard documents, half of each: the truth is the mean of the two.
    let ease: Vec<f64> = (0..n_documents)
        .map(|_| if rng.random() { spread } else { -spread })
        .collect();
    let common: Vec<f64> = (0..n_models).map(|_| effect * normal(&mut rng)).collect();
    let mut truth = vec![0.0; n_models];
    let mut cells = Vec::with_capacity(n_cells);
    for _ in 0..n_cells {
        let level = 1.0 + normal(&mut rng);
        let floor = if has_floors {
            0.25 + 0.2 * rng.random::<f64>()
        } else {
            GUESS
        };
        let answers = (0..n_models)
            .map(|model| {
                let skill = level + common[model] + 0.5 * effect * normal(&mut rng);
                let knows = |ease: f64| floor + (1.0 - floor) / (1.0 + (-(skill + ease)).exp());
                let share = f64::midpoint(knows(spread), knows(-spread));
                truth[model] += above(share, floor) / n_cells as f64;
                let mut asked = |p: &dyn Fn(f64) -> f64| -> Vec<Option<bool>> {
                    ease.iter()
                        .map(|ease| Some(rng.random::<f64>() < p(*ease)))
                        .collect()
                };
                Answers {
                    right: asked(&knows),
                    floor: if has_floors {
                        asked(&|_| floor)
                    } else {
                        Vec::new()
                    },
                }
            })
            .collect();
        cells.push(Cell {
            weight: 1.0 / n_cells as f64,
            guess: GUESS,
            answers,
        });
    }
    let draws = Seed(rng.random());
    let best = posterior(&cells, n_documents, N_DRAWS, surety, draws).best();
    let greatest = |values: &[f64]| {
        let mut places = 0..values.len();
        let first = places.next().unwrap_or(0);
        places.fold(
            first,
            |best, i| if values[i] > values[best] { i } else { best },
        )
    };
    let chosen = greatest(&best);
    (best[chosen], chosen == greatest(&truth))
}

/// Box–Muller.
fn normal(rng: &mut impl RngExt) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Bins whose exact interval does not hold what they stated.
pub fn n_bins_off(calibration: &Calibration) -> usize {
    let is_off = |bin: &&CalibrationBin| {
        bin.stated < bin.right.low - 1e-9 || bin.stated > bin.right.high + 1e-9
    };
    calibration.bins.iter().filter(is_off).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Greatest calibration error of 500 decisions: perfect ones would have about .04 by chance.
    const ERROR_MAX: f64 = 0.075;

    #[test]
    fn a_stated_probability_is_right_that_often_and_an_overconfident_one_is_found() {
        let stated = calibration(500, Surety::Stated, Seed(1)).unwrap();
        assert!(stated.error < ERROR_MAX, "{stated:#?}");
        assert!(n_bins_off(&stated) <= 1, "{stated:#?}");
        assert!(
            (stated.stated - stated.right.value).abs() < 0.06,
            "{stated:#?}"
        );
        let fault = calibration(500, Surety::Overconfident, Seed(1)).unwrap();
        assert!(
            fault.error > ERROR_MAX && n_bins_off(&fault) > 1,
            "{fault:#?}"
        );
        assert!(calibration(0, Surety::Stated, Seed(1)).is_none());
    }
}
