//! Planted truth: how often does the interval of each measure hold what was planted?
//!
//! Outcomes are drawn from known chances and go through the survey's own measures; no model is asked,
//! so that thousand seeds take seconds. (`tests/it/planted.rs` plants the same in scripted models.)

use isogloss_record::{Estimate, Seed};
use isogloss_stats::Rate;
use isogloss_stats::kappa::accuracy_of;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::items::GROUP;
use crate::measures::choice::{ItemOutcome, choice};
use crate::measures::cost::{DocumentSize, cost};
use crate::measures::fidelity::{Continuation, Reliability, fidelity};
use crate::measures::information::{DocumentBits, information};
use crate::measures::lexicon::{WordOutcome, lexicon};

/// One line of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The measure whose interval it is.
    pub measure: String,
    /// Items, words, continuations or documents.
    pub n: usize,
    /// What was planted.
    pub planted: f64,
    /// Share of the seeds whose interval holds it, with its own interval; `None` for no seeds.
    pub covered: Option<Estimate>,
    /// Seeds that gave no value (an empty set has none); they are not counted.
    pub n_without: usize,
}

impl Coverage {
    /// At least 93 %, and from a hundred items on at most 97 %.
    pub fn holds(&self) -> bool {
        let most = if self.n >= 100 { 0.97 } else { 1.0 };
        (self.covered).is_some_and(|covered| (0.93..=most).contains(&covered.value))
    }
}

/// Sizes of the study.
pub const SIZES: [usize; 3] = [12, 24, 100];

/// A planted measure: draws `n` outcomes and gives the interval of the measure.
type Draw = fn(&mut ChaCha8Rng, usize, f64, Seed) -> Option<Estimate>;

/// Every measure with an interval, and the values that are planted.
const MEASURES: [(&str, &[f64], Draw); 7] = [
    (
        "comprehension and production: κ",
        &[0.0, 0.3, 0.6, 0.9],
        draw_kappa,
    ),
    (
        "comprehension and production: G",
        &[0.02, 0.15, 0.4],
        draw_gain,
    ),
    (
        "G above its copy floor",
        &[0.0, 0.15, 0.3],
        draw_above_floor,
    ),
    ("lexicon: κ", &[0.1, 0.5, 0.8], draw_lexicon),
    (
        "fidelity behind an identifier",
        &[0.1, 0.5, 0.9],
        draw_fidelity,
    ),
    ("information parity", &[0.4, 0.8], draw_information),
    ("token premium", &[1.5, 4.0], draw_cost),
];

/// The study over `n_seeds` seeds.
pub fn coverage(n_seeds: u64, seed: Seed) -> Vec<Coverage> {
    let mut lines = Vec::new();
    for (measure, values, draw) in MEASURES {
        for n in SIZES {
            for &planted in values {
                lines.push(line(measure, (n, planted), draw, n_seeds, seed));
            }
        }
    }
    lines
}

fn line(
    measure: &str,
    (n, planted): (usize, f64),
    draw: Draw,
    n_seeds: u64,
    seed: Seed,
) -> Coverage {
    let (mut n_covered, mut n_without) = (0, 0);
    for index in 0..n_seeds {
        let purpose = format!("planted {measure} {n} {planted}");
        let mut rng = seed.rng(&purpose, index);
        match draw(&mut rng, n, planted, Seed(index)) {
            Some(got) => n_covered += usize::from(got.low <= planted && planted <= got.high),
            None => n_without += 1,
        }
    }
    let n_counted = n_seeds as usize - n_without;
    Coverage {
        measure: measure.to_owned(),
        n,
        planted,
        covered: isogloss_stats::share(n_covered, n_counted),
        n_without,
    }
}

fn estimate(value: f64, low: f64, high: f64, n: usize) -> Estimate {
    Estimate {
        value,
        low,
        high,
        n,
    }
}

/// About normal, mean 0, standard deviation 1: the sum of twelve even draws less six.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

fn draw_kappa(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
    let chance = accuracy_of(planted, GROUP);
    let outcomes: Vec<ItemOutcome> = (0..n)
        .map(|_| ItemOutcome {
            right: rng.random::<f64>() < chance,
            gain: None,
        })
        .collect();
    let result = choice(&outcomes, None, None, seed)?;
    Some(estimate(result.value, result.low, result.high, result.n))
}

/// Gains of real models are skewed: many items explain a little, some much. Exponential around the
/// planted mean, with noise of both signs.
fn gain(rng: &mut ChaCha8Rng, mean: f64) -> f64 {
    let exponential = -(1.0 - rng.random::<f64>()).ln();
    0.5 * mean + 0.5 * mean * exponential + 0.08 * normal(rng)
}

fn draw_gain(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
    let outcomes: Vec<ItemOutcome> = (0..n)
        .map(|_| ItemOutcome {
            right: true,
            gain: Some(gain(rng, planted)),
        })
        .collect();
    let gain = choice(&outcomes, None, None, seed)?.gain?;
    Some(estimate(gain.value, gain.low, gain.high, gain.n))
}

fn draw_above_floor(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
    const FLOOR: f64 = 0.1;
    let of = |gain: f64| ItemOutcome {
        right: true,
        gain: Some(gain),
    };
    let (mut outcomes, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..n {
        // What names give, they give with the text and without it.
        let names = gain(rng, FLOOR);
        floor.push(of(names + 0.02 * normal(rng)));
        outcomes.push(of(names + gain(rng, planted)));
    }
    choice(&outcomes, Some(&floor), None, seed)?
        .gain?
        .above_floor
}

fn draw_lexicon(rng: &mut ChaCha8Rng, n: usize, planted: f64, _: Seed) -> Option<Estimate> {
    /// How often a word's two answers come from one draw.
    const TOGETHER: f64 = 0.5;
    let chance = accuracy_of(planted, GROUP);
    let words: Vec<WordOutcome> = (0..n)
        .map(|_| {
            let there = rng.random::<f64>();
            let back = if rng.random::<f64>() < TOGETHER {
                there
            } else {
                rng.random()
            };
            WordOutcome {
                to_reference: there < chance,
                from_reference: back < chance,
                cognate: false,
            }
        })
        .collect();
    let result = lexicon(&words)?;
    Some(estimate(result.value, result.low, result.high, result.n))
}

fn draw_fidelity(rng: &mut ChaCha8Rng, n: usize, planted: f64, _: Seed) -> Option<Estimate> {
    const SENSITIVITY: f64 = 0.93;
    const SPECIFICITY: f64 = 0.99;
    /// Texts that the identifier's errors were counted on.
    const N_COUNTED: usize = 200;
    let mut counted = |chance: f64| {
        let n_yes = (0..N_COUNTED)
            .filter(|_| rng.random::<f64>() < chance)
            .count();
        Rate {
            value: n_yes as f64 / N_COUNTED as f64,
            n: N_COUNTED,
        }
    };
    let (sensitivity, specificity) = (counted(SENSITIVITY), counted(SPECIFICITY));
    let said: Vec<Continuation> = (0..n)
        .map(|_| {
            let is_in_language = rng.random::<f64>() < planted;
            let heard = rng.random::<f64>();
            Continuation {
                in_language: Some(if is_in_language {
                    heard < SENSITIVITY
                } else {
                    heard >= SPECIFICITY
                }),
                script_share: None,
                loops: false,
                verbatim: None,
            }
        })
        .collect();
    let reliability = Reliability::Measured {
        sensitivity,
        specificity,
    };
    let result = fidelity(&said, reliability, &[])?;
    Some(estimate(result.value, result.low, result.high, result.n))
}

/// Sizes of documents: log-normal, as sentences are.
fn size(rng: &mut ChaCha8Rng, mean: f64, spread: f64) -> f64 {
    mean * (spread * normal(rng) - spread * spread / 2.0).exp()
}

fn draw_information(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
    let documents: Vec<DocumentBits> = (0..n)
        .map(|_| {
            let reference = size(rng, 200.0, 0.4);
            DocumentBits {
                bits: size(rng, reference / planted, 0.2),
                bits_reference: reference,
                n_bytes: 100,
                n_chars: 100,
            }
        })
        .collect();
    let result = information(&documents, seed)?;
    Some(estimate(result.value, result.low, result.high, result.n))
}

fn draw_cost(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
    let documents: Vec<DocumentSize> = (0..n)
        .map(|_| {
            // Large, so that rounding to whole tokens moves nothing.
            let reference = size(rng, 30_000.0, 0.4);
            DocumentSize {
                n_tokens: size(rng, reference * planted, 0.2).round() as usize,
                n_tokens_reference: reference.round() as usize,
                n_bytes: 1,
                n_bytes_reference: 1,
            }
        })
        .collect();
    let result = cost(&documents, 4_096, seed)?;
    Some(estimate(result.value, result.low, result.high, result.n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
        draw_kappa(rng, n, (planted + 0.3).min(1.0), seed)
    }

    fn wide(rng: &mut ChaCha8Rng, n: usize, planted: f64, seed: Seed) -> Option<Estimate> {
        let got = draw_kappa(rng, n, planted, seed)?;
        Some(estimate(got.value, got.low - 0.2, got.high + 0.2, n))
    }

    fn none(_: &mut ChaCha8Rng, _: usize, _: f64, _: Seed) -> Option<Estimate> {
        None
    }

    #[test]
    fn a_measure_s_interval_holds_what_is_planted_and_a_shifted_one_does_not() {
        for (measure, values, draw) in MEASURES {
            let got = line(measure, (24, values[0]), draw, 200, Seed(5));
            assert!(got.covered.unwrap().value > 0.9, "{got:?}");
            assert_eq!(got.n_without, 0, "{measure}");
        }
        // The planted fault: what is drawn is not what is said to be planted.
        let got = line("κ", (100, 0.3), off, 200, Seed(5));
        assert!(!got.holds() && got.covered.unwrap().value < 0.2, "{got:?}");
        // An interval that is far too wide is no good one either.
        assert!(!line("κ", (100, 0.3), wide, 200, Seed(5)).holds());
        // Nothing was drawn: nothing is covered.
        let nothing = line("κ", (12, 0.3), none, 10, Seed(5));
        assert_eq!((nothing.n_without, nothing.holds()), (10, false));
        assert_eq!(nothing.covered, None);
    }
}
