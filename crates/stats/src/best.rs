//! Which of several candidates is the best, and how probable is that, from items that they answered?
//!
//! A candidate's *worth* is a weighted mean over cells (a language read, a language written) of its
//! share of right answers above what chance or copying gives, `(a − c)/(1 − c)` with c the greater of
//! the guess rate and the copy floor: 0 is worthless, 1 is perfect.
//!
//! The probability that it is best is that its worth is the greatest, under this posterior:
//!
//! 1. *Bayesian bootstrap over documents* (Rubin 1981): a draw gives every document a weight from
//!    Exp(1). One document has one weight for all candidates and cells, so what two candidates share
//!    (an easy text) cancels, and ten languages of one text are not ten times the evidence.
//! 2. *Three invented documents* a cell, answered by each candidate at random, right with the
//!    probability ⅝ (halfway between guessing among four and knowing): with few items "all right"
//!    is not certainty.
//! 3. *Candidates may be close*: a draw counts by a prior on how far candidates' worths lie apart,
//!    normal about their mean with a spread of which nothing is known but the order of magnitude
//!    (.01 to .5, all orders alike). Without it a lead in twelve items is taken for more than it is:
//!    over simulated decisions of small and large effects a stated .97 was right in .90 to .94.
//!
//! Calibrated where the truth is known: see `isogloss_survey::decide::calibration`.
//! Source of (1): Rubin 1981, The Annals of Statistics 9:130. (2) and (3) are ours.

use isogloss_record::{Estimate, Seed};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Draws of a decision.
pub const N_DRAWS: usize = 4_000;

/// Invented documents per cell, and the probability that a candidate answers one right.
const N_INVENTED: usize = 3;
const P_INVENTED: f64 = 0.625;

/// Spreads of the prior on worths, from the first to the last in equal steps of their logarithm.
const SPREADS: [f64; 2] = [0.01, 0.5];
const N_SPREADS: usize = 8;

/// One use of one language: what every candidate answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Share of the worth, all cells together 1.
    pub weight: f64,
    /// Right answers of a guess.
    pub guess: f64,
    /// Per candidate.
    pub answers: Vec<Answers>,
}

/// What one candidate answered in a cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// Whether each document was answered right; `None` where it was not asked. No entry at all: the
    /// candidate is known to be worthless here.
    pub right: Vec<Option<bool>>,
    /// The same of the copy floor; no entry where it was not measured.
    pub floor: Vec<Option<bool>>,
}

/// How sure the posterior is. Only [`Surety::Stated`] is for use; the others are planted faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surety {
    /// As the module says.
    Stated,
    /// Every document counts four times, nothing is invented, and no candidates are close: an
    /// overconfident posterior, which a test of calibration must find.
    Overconfident,
}

/// Draws of the worth of every candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// `[draw][candidate]`.
    worths: Vec<Vec<f64>>,
    /// How much each draw counts, above 0.
    weights: Vec<f64>,
    n_documents: usize,
}

/// The posterior of candidates' worths, over documents `0..n_documents` (index in each list).
///
/// # Panics
/// If cells have different numbers of candidates, or a list is longer than `n_documents`.
pub fn posterior(
    cells: &[Cell],
    n_documents: usize,
    n_draws: usize,
    surety: Surety,
    seed: Seed,
) -> Posterior {
    let n_candidates = cells.first().map_or(0, |cell| cell.answers.len());
    let mut rng = seed.rng("stats/best", 0);
    let mut worths = Vec::with_capacity(n_draws);
    for _ in 0..n_draws {
        let document_weights: Vec<f64> = (0..n_documents)
            .map(|_| match surety {
                Surety::Stated => exponential(&mut rng),
                Surety::Overconfident => (0..4).map(|_| exponential(&mut rng)).sum(),
            })
            .collect();
        let mut worth = vec![0.0; n_candidates];
        for cell in cells {
            assert_eq!(cell.answers.len(), n_candidates, "one entry per candidate");
            let invented: [f64; N_INVENTED] = match surety {
                Surety::Stated => std::array::from_fn(|_| exponential(&mut rng)),
                Surety::Overconfident => [0.0; N_INVENTED],
            };
            for (worth, answers) in worth.iter_mut().zip(&cell.answers) {
                if answers.right.is_empty() {
                    continue;
                }
                let weights = (document_weights.as_slice(), &invented);
                let right = share(&answers.right, weights, P_INVENTED, &mut rng);
                let floor = if answers.floor.is_empty() {
                    cell.guess
                } else {
                    share(&answers.floor, weights, cell.guess, &mut rng)
                };
                *worth += cell.weight * above(right, floor.max(cell.guess));
            }
        }
        worths.push(worth);
    }
    let weights = worths
        .iter()
        .map(|worth| match surety {
            Surety::Stated => closeness(worth),
            Surety::Overconfident => 1.0,
        })
        .collect();
    Posterior {
        worths,
        weights,
        n_documents,
    }
}

/// The share `a` above a baseline: `(a − c)/(1 − c)`; 0 where the baseline leaves no room.
pub fn above(share: f64, baseline: f64) -> f64 {
    if baseline < 1.0 {
        (share - baseline) / (1.0 - baseline)
    } else {
        0.0
    }
}

/// Weighted share of right answers with the invented documents.
fn share(
    answers: &[Option<bool>],
    (weights, invented): (&[f64], &[f64; N_INVENTED]),
    p_invented: f64,
    rng: &mut ChaCha8Rng,
) -> f64 {
    assert!(
        answers.len() <= weights.len(),
        "more answers than documents"
    );
    let (mut right, mut all) = (0.0, 0.0);
    for (answer, weight) in answers.iter().zip(weights) {
        if let Some(is_right) = answer {
            all += weight;
            right += if *is_right { *weight } else { 0.0 };
        }
    }
    for weight in invented {
        all += weight;
        right += if uniform(rng) < p_invented {
            *weight
        } else {
            0.0
        };
    }
    if all > 0.0 { right / all } else { 0.0 }
}

/// The prior's density at worths that lie so far apart, up to a constant.
fn closeness(worth: &[f64]) -> f64 {
    let n_free = worth.len().saturating_sub(1) as i32;
    let mean = worth.iter().sum::<f64>() / worth.len().max(1) as f64;
    let squares: f64 = worth.iter().map(|w| (w - mean) * (w - mean)).sum();
    let ratio = (SPREADS[1] / SPREADS[0]).ln() / (N_SPREADS - 1) as f64;
    (0..N_SPREADS)
        .map(|i| {
            let spread = SPREADS[0] * (ratio * i as f64).exp();
            // The narrowest spread is the unit, so that no power overflows.
            (SPREADS[0] / spread).powi(n_free) * (-squares / (2.0 * spread * spread)).exp()
        })
        .sum()
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.next_u32()) + 0.5) / 2.0_f64.powi(32)
}

fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -uniform(rng).ln()
}

impl Posterior {
    /// Probability of each candidate to be the best; equals share it. All 0 where there is none.
    pub fn best(&self) -> Vec<f64> {
        let n_candidates = self.worths.first().map_or(0, Vec::len);
        let mut best = vec![0.0; n_candidates];
        for (worth, weight) in self.worths.iter().zip(&self.weights) {
            let most = worth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let n_equal = worth.iter().filter(|w| **w >= most).count();
            for (best, worth) in best.iter_mut().zip(worth) {
                if *worth >= most {
                    *best += weight / n_equal as f64;
                }
            }
        }
        let total: f64 = self.weights.iter().sum();
        if total > 0.0 {
            for p in &mut best {
                *p = (*p / total).min(1.0);
            }
        }
        best
    }

    /// A candidate's worth: mean and middle 95 % of the draws. `n` counts documents.
    pub fn worth(&self, candidate: usize) -> Option<Estimate> {
        self.of(|worth| worth[candidate])
    }

    /// How much more one candidate is worth than another, likewise.
    pub fn difference(&self, candidate: usize, other: usize) -> Option<Estimate> {
        self.of(|worth| worth[candidate] - worth[other])
    }

    fn of(&self, value: impl Fn(&[f64]) -> f64) -> Option<Estimate> {
        let mut draws: Vec<(f64, f64)> = self
            .worths
            .iter()
            .zip(&self.weights)
            .map(|(worth, weight)| (value(worth), *weight))
            .collect();
        let total: f64 = self.weights.iter().sum();
        if draws.is_empty() || total <= 0.0 {
            return None;
        }
        draws.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mean = draws.iter().map(|(x, w)| x * w).sum::<f64>() / total;
        let quantile = |share: f64| {
            let mut left = share * total;
            draws
                .iter()
                .find(|(_, weight)| {
                    left -= weight;
                    left <= 0.0
                })
                .map_or(mean, |(x, _)| *x)
        };
        Some(Estimate {
            value: mean,
            low: quantile(0.025).min(mean),
            high: quantile(0.975).max(mean),
            n: self.n_documents,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(right: &[usize], n: usize) -> Cell {
        Cell {
            weight: 1.0,
            guess: 0.25,
            answers: right
                .iter()
                .map(|&n_right| Answers {
                    right: (0..n).map(|i| Some(i < n_right)).collect(),
                    floor: Vec::new(),
                })
                .collect(),
        }
    }

    fn best(cell: &Cell, n: usize) -> Vec<f64> {
        posterior(
            std::slice::from_ref(cell),
            n,
            2_000,
            Surety::Stated,
            Seed(1),
        )
        .best()
    }

    #[test]
    fn more_items_and_greater_leads_make_it_surer() {
        let few = best(&cell(&[10, 7], 12), 12)[0];
        let many = best(&cell(&[40, 28], 48), 48)[0];
        let clear = best(&cell(&[48, 14], 48), 48)[0];
        assert!(
            few > 0.6 && few < many && many <= clear,
            "{few} {many} {clear}"
        );
        assert!(clear > 0.99, "{clear}");
        // Nothing tells equals apart, however many there are.
        let equal = best(&cell(&[9, 9, 9], 12), 12);
        assert!(
            equal.iter().all(|p| (p - 1.0 / 3.0).abs() < 0.05),
            "{equal:?}"
        );
        // All right is no certainty.
        let all = best(&cell(&[12, 11], 12), 12)[0];
        assert!(all < 0.85, "{all}");
        assert!((best(&cell(&[5], 12), 12)[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_shared_cancels() {
        // Both know the same eight of twelve, and the first two more: no item speaks for the second.
        // With the second's eight elsewhere, the same shares say less.
        let paired = best(&cell(&[10, 8], 12), 12)[0];
        let mut apart = cell(&[10, 8], 12);
        apart.answers[1].right.reverse();
        let apart = best(&apart, 12)[0];
        assert!(paired > apart + 0.02, "{paired} {apart}");
    }

    #[test]
    fn a_copy_floor_takes_its_part_and_the_worthless_are_worth_nothing() {
        // Both answer 10 of 12; names alone give the first one 9.
        let mut copies = cell(&[10, 10], 12);
        copies.answers[0].floor = (0..12).map(|i| Some(i < 9)).collect();
        let got = posterior(&[copies.clone()], 12, 2_000, Surety::Stated, Seed(1));
        assert!(got.best()[1] > 0.7, "{:?}", got.best());
        copies.answers[0] = Answers::default();
        let got = posterior(&[copies], 12, 2_000, Surety::Stated, Seed(1));
        assert_eq!(got.worth(0).unwrap().value, 0.0);
        let difference = got.difference(1, 0).unwrap();
        assert!(
            difference.low > 0.1 && difference.value < 0.9,
            "{difference:?}"
        );
        // a = 10/12, c = 1/4: (.8333 − .25)/.75 = .7778; the invented pull it down.
        assert!((above(10.0 / 12.0, 0.25) - 7.0 / 9.0).abs() < 1e-12);
        assert_eq!(above(0.9, 1.0), 0.0);
    }

    #[test]
    fn without_candidates_or_draws_there_is_nothing() {
        let none = posterior(&[], 0, 10, Surety::Stated, Seed(1));
        assert!(none.best().is_empty());
        let no_draws = posterior(&[cell(&[1, 2], 4)], 4, 0, Surety::Stated, Seed(1));
        assert!(no_draws.best().is_empty());
        assert_eq!(no_draws.worth(0), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_draws() {
        let cells = [cell(&[7, 5], 12)];
        let draw = |seed| posterior(&cells, 12, 50, Surety::Stated, Seed(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
