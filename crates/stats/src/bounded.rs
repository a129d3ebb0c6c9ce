//! Paired differences of one document each that lie between −1 and 1, such as the mean of two
//! right-or-wrong answers by two models: interval, exact test, and what would have been seen.

use isogloss_record::Estimate;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::quantile::Z;

/// Mean of paired differences, one per document; `None` for no document.
///
/// The interval is that of [`crate::paired::share_difference`], for differences that are no whole
/// numbers too: two documents are added, one with +1 and one with −1, so that documents without any
/// difference are no certainty. With d̃ = Σd/(n + 2) it is d̃ ± z √(((Σd² + 2)/(n + 2) − d̃²)/(n + 2)),
/// clamped to `[−1, 1]`.
/// Deviation from Bonett & Price 2012: they have differences of −1, 0 and 1 alone.
///
/// # Panics
/// If a difference is outside `[−1, 1]`.
pub fn bounded_difference(differences: &[f64]) -> Option<Estimate> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let Spread { center, error } = spread(differences);
    let value = differences.iter().sum::<f64>() / n as f64;
    let half = Z * error;
    Some(Estimate {
        value,
        low: (center - half).clamp(-1.0, value),
        high: (center + half).clamp(value, 1.0),
        n,
    })
}

/// The mean difference that four of five such comparisons would have seen: (1.96 + .84) standard
/// errors. `None` for no document.
///
/// # Panics
/// As [`bounded_difference`].
pub fn visible_difference(differences: &[f64]) -> Option<f64> {
    const Z_POWER: f64 = 0.841_621_233_572_914;
    (!differences.is_empty()).then(|| (Z + Z_POWER) * spread(differences).error)
}

struct Spread {
    center: f64,
    error: f64,
}

fn spread(differences: &[f64]) -> Spread {
    assert!(
        differences.iter().all(|d| (-1.0..=1.0).contains(d)),
        "differences lie in [−1, 1]"
    );
    let n = (differences.len() + 2) as f64;
    let center = differences.iter().sum::<f64>() / n;
    let squares = differences.iter().map(|d| d * d).sum::<f64>() + 2.0;
    Spread {
        center,
        error: ((squares / n - center * center) / n).max(0.0).sqrt(),
    }
}

/// Exact sign-flip test of differences in whole steps, two-sided: how often would signs drawn at
/// random give a sum as far from zero? 1 where all differences are zero.
///
/// With steps of −1, 0 and 1 it is [`crate::paired::mcnemar`]; unlike [`crate::paired::sign_flip`] it
/// is exact for any number of documents. Source: Fisher 1935, The Design of Experiments, §21.
pub fn sign_flips_of_steps(steps: &[i32]) -> f64 {
    let sizes = || steps.iter().map(|d| d.unsigned_abs() as usize);
    let most: usize = sizes().sum();
    // ways[s]: share of sign patterns whose sum is s − most.
    let mut ways = vec![0.0; 2 * most + 1];
    ways[most] = 1.0;
    for size in sizes().filter(|size| *size > 0) {
        let mut next = vec![0.0; ways.len()];
        for (sum, way) in ways.iter().enumerate().filter(|(_, way)| **way > 0.0) {
            next[sum + size] += way / 2.0;
            next[sum - size] += way / 2.0;
        }
        ways = next;
    }
    let observed = steps.iter().sum::<i32>().unsigned_abs() as usize;
    let p: f64 = (ways.iter().enumerate())
        .filter(|(sum, _)| sum.abs_diff(most) >= observed)
        .map(|(_, way)| way)
        .sum();
    p.min(1.0)
}

/// Paired t test of differences, two-sided. 1 for fewer than two documents or no difference at all;
/// where all documents differ by the same amount, the 2/2ⁿ of a sign-flip test.
pub fn t_test(differences: &[f64]) -> f64 {
    let n = differences.len();
    let Some(found) = crate::mean::mean_of(differences.iter().copied()) else {
        return 1.0;
    };
    if found.value == 0.0 || !found.value.is_finite() || !found.standard_error.is_finite() {
        return 1.0;
    }
    if found.standard_error <= f64::EPSILON * found.value.abs() {
        return 2.0_f64.powi(1 - n as i32);
    }
    let t = StudentsT::new(0.0, 1.0, (n - 1) as f64).expect("at least one degree of freedom");
    (2.0 * t.sf((found.value / found.standard_error).abs())).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired::{mcnemar, share_difference};
    use isogloss_record::Seed;
    use rand_chacha::rand_core::Rng;

    #[test]
    fn sums_of_signs_by_hand() {
        // 6 against 0 and two ties is McNemar's 2/2⁶.
        let p = sign_flips_of_steps;
        assert!((p(&[1, 1, 1, 1, 1, 1, 0, 0]) - mcnemar(6, 0)).abs() < 1e-12);
        assert!((p(&[1, 1, 1, -1, 1, 0]) - mcnemar(4, 1)).abs() < 1e-12);
        // 2, 1, 1: of 8 patterns ±4 once each; 2/8.
        assert!((p(&[2, 1, 1]) - 0.25).abs() < 1e-12);
        // 2, 1, −1 has the sum 2: ±4 once each, ±2 twice each: 6/8.
        assert!((p(&[2, 1, -1]) - 0.75).abs() < 1e-12);
        assert_eq!(p(&[]), 1.0);
        assert_eq!(p(&[0, 0]), 1.0);
    }

    #[test]
    fn a_paired_t_test_by_hand() {
        // 1, 2, 3, 6: mean 3, standard error 1.0801: t = 2.7775 on 3 degrees of freedom; the table
        // has p = .05 at 3.182 and p = .10 at 2.353.
        let p = t_test(&[1.0, 2.0, 3.0, 6.0]);
        assert!((0.05..0.1).contains(&p), "{p}");
        assert!((t_test(&[-1.0, -2.0, -3.0, -6.0]) - p).abs() < 1e-12);
        assert_eq!(t_test(&[0.0; 5]), 1.0);
        assert_eq!(t_test(&[0.5]), 1.0);
        // The same everywhere: 2/2³.
        assert_eq!(t_test(&[0.5; 3]), 0.25);
    }

    #[test]
    fn differences_by_hand_and_as_shares() {
        // 5 only the first, 1 only the second, 12 alike: as a difference of shares.
        let steps: Vec<f64> = [vec![1.0; 5], vec![-1.0; 1], vec![0.0; 12]].concat();
        let got = bounded_difference(&steps).unwrap();
        let want = share_difference(5, 1, 18).unwrap();
        assert!((got.low - want.low).abs() < 1e-12 && (got.high - want.high).abs() < 1e-12);
        // Two halves: d̃ = 1/4, Σd² + 2 = 2.5; √((.625 − .0625)/4) = .375; half = 1.96 · .375.
        let got = bounded_difference(&[0.5, 0.5]).unwrap();
        assert!((got.low + 0.484_986_5).abs() < 1e-6, "{got:?}");
        assert!((got.high - 0.984_986_5).abs() < 1e-6, "{got:?}");
        let visible = visible_difference(&[0.5, 0.5]).unwrap();
        assert!((visible - 2.801_585 * 0.375).abs() < 1e-5, "{visible}");
        assert_eq!(bounded_difference(&[]), None);
        // No difference in twelve is no certainty.
        assert!(bounded_difference(&[0.0; 12]).unwrap().high > 0.15);
    }

    #[test]
    fn the_interval_of_halves_covers() {
        // Each document asks twice: the first knows with p, the second with q, independently. The
        // two added documents have the spread of single answers, so it covers more than 95 % here.
        for (p, q) in [(0.5, 0.5), (0.9, 0.6), (0.95, 0.9)] {
            for n in [12, 30, 100] {
                let n_covered = (0..1_000)
                    .filter(|&seed| {
                        let mut rng = Seed(seed).rng("test/halves", n as u64);
                        let mut knows = |p: f64| {
                            f64::from(u8::from(f64::from(rng.next_u32()) < p * 2.0_f64.powi(32)))
                        };
                        let differences: Vec<f64> = (0..n)
                            .map(|_| f64::midpoint(knows(p) - knows(q), knows(p) - knows(q)))
                            .collect();
                        let got = bounded_difference(&differences).unwrap();
                        got.low <= p - q && p - q <= got.high
                    })
                    .count();
                assert!(n_covered >= 930, "{p} {q} {n}: {n_covered}");
            }
        }
    }
}
