//! Two answers to the same items: exact tests, and the interval of a difference of shares.

use isogloss_record::{Estimate, Seed};
use rand_chacha::rand_core::Rng;

use crate::binomial;
use crate::quantile::Z;

/// Exact McNemar test, two-sided: `n_only_first` items only the first got right, `n_only_second`
/// only the second; items on which both agree say nothing. 1 where there is no such item.
///
/// Source: McNemar 1947, Psychometrika 12:153, in its exact binomial form.
pub fn mcnemar(n_only_first: usize, n_only_second: usize) -> f64 {
    binomial::two_sided(n_only_first, n_only_first + n_only_second, 0.5)
}

/// Exact one-sided McNemar test that the first is better: P(X ≥ n_only_first).
pub fn mcnemar_greater(n_only_first: usize, n_only_second: usize) -> f64 {
    binomial::at_least(n_only_first, n_only_first + n_only_second, 0.5)
}

/// Sign test of paired differences, two-sided; ties (differences of zero) are left out.
pub fn sign_test(differences: &[f64]) -> f64 {
    let n_above = differences.iter().filter(|&&d| d > 0.0).count();
    let n_below = differences.iter().filter(|&&d| d < 0.0).count();
    mcnemar(n_above, n_below)
}

/// Differences of which every choice of signs is tried; of more, [`N_FLIPS`] are drawn.
const N_ENUMERATED_MAX: usize = 14;

/// Drawn choices of signs.
const N_FLIPS: usize = 9_999;

/// Sign-flip (permutation) test that paired differences have mean zero, two-sided: the share of
/// choices of signs whose sum is as far from zero as the one seen. Exact up to 14 differences, drawn
/// from 15 on (then (1 + hits) / (1 + draws)). 1 for none; zeros change nothing.
///
/// Assumes that a difference is as likely to have the other sign, independently of the others.
/// Source: Fisher 1935, The Design of Experiments, §21.
pub fn sign_flip(differences: &[f64], seed: Seed) -> f64 {
    let seen = differences.iter().sum::<f64>().abs();
    // Sums in another order may differ in the last digits.
    let limit = seen - 1e-9 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let sum = |minus: u64| -> f64 {
        (differences.iter().enumerate())
            .map(|(i, d)| if minus >> (i % 64) & 1 == 1 { -d } else { *d })
            .sum()
    };
    let n = differences.len();
    if n <= N_ENUMERATED_MAX {
        let n_all = 1_u64 << n;
        let n_far = (0..n_all)
            .filter(|&minus| sum(minus).abs() >= limit)
            .count();
        return n_far as f64 / n_all as f64;
    }
    let mut rng = seed.rng("sign flips", n as u64);
    let n_far = (0..N_FLIPS)
        .filter(|_| {
            let flipped: f64 = (differences.iter())
                .map(|d| if rng.next_u32() & 1 == 1 { -d } else { *d })
                .sum();
            flipped.abs() >= limit
        })
        .count();
    (1 + n_far) as f64 / (1 + N_FLIPS) as f64
}

/// Share of the first minus share of the second over the same `n` items; `None` for `n = 0`.
///
/// Interval: (b − c)/(n + 2) ± z √((b̃ + c̃ − (b̃ − c̃)²)/(n + 2)) with b̃ = (b + 1)/(n + 2), clamped
/// to `[−1, 1]`. Source: Bonett & Price 2012, J. Educational and Behavioral Statistics 37:479.
///
/// # Panics
/// If `n_only_first + n_only_second > n`.
pub fn share_difference(n_only_first: usize, n_only_second: usize, n: usize) -> Option<Estimate> {
    assert!(
        n_only_first + n_only_second <= n,
        "{n_only_first} + {n_only_second} of {n} items"
    );
    if n == 0 {
        return None;
    }
    let adjusted = |count: usize| (count + 1) as f64 / (n + 2) as f64;
    let (b, c) = (adjusted(n_only_first), adjusted(n_only_second));
    let center = b - c;
    let half = Z * ((b + c - center * center) / (n + 2) as f64).sqrt();
    let value = (n_only_first as f64 - n_only_second as f64) / n as f64;
    Some(Estimate {
        value,
        low: (center - half).clamp(-1.0, value),
        high: (center + half).clamp(value, 1.0),
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paired_tests_by_hand() {
        // 6 against 0: 2 / 2⁶ = .03125 two-sided, 1/64 one-sided
        assert!((mcnemar(6, 0) - 0.031_25).abs() < 1e-12);
        assert!((mcnemar_greater(6, 0) - 1.0 / 64.0).abs() < 1e-12);
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(3, 3), 1.0);
        // + + + + − and a tie: 2 · (1 + 5)/32 = .375
        assert!((sign_test(&[1.0, 2.0, 0.5, 3.0, -1.0, 0.0]) - 0.375).abs() < 1e-12);
        assert_eq!(sign_test(&[]), 1.0);
    }

    #[test]
    fn signs_flipped_by_hand() {
        let p = |differences: &[f64]| sign_flip(differences, Seed(1));
        // 1 2 3: |sum| ≥ 6 for +++ and −−− of eight: 2/8
        assert_eq!(p(&[1.0, 2.0, 3.0]), 0.25);
        // 1 2 −3: every choice is at least as far as 0
        assert_eq!(p(&[1.0, 2.0, -3.0]), 1.0);
        // 1 1 1 −1: |sum| ≥ 2 for all but the 6 choices with two of each sign: 10/16
        assert_eq!(p(&[1.0, 1.0, 1.0, -1.0]), 0.625);
        assert_eq!(p(&[]), 1.0);
        // Drawn: twenty equal signs are as rare as 2/2²⁰; none of 9,999 draws is.
        assert!((p(&[1.0; 20]) - 1e-4).abs() < 1e-12);
        assert!(p(&[1.0, -1.0].repeat(10)) > 0.9);
    }

    #[test]
    fn a_true_null_is_rejected_as_often_as_the_level_says() {
        for n in [8, 12, 20] {
            let n_rejected = (0..600)
                .filter(|&seed| {
                    let mut rng = Seed(seed).rng("test", n);
                    let differences: Vec<f64> = (0..n)
                        .map(|_| f64::from(rng.next_u32()) / 2.0_f64.powi(31) - 1.0)
                        .collect();
                    sign_flip(&differences[..], Seed(seed)) <= 0.05
                })
                .count();
            assert!((12..=48).contains(&n_rejected), "{n}: {n_rejected} of 600");
        }
    }

    #[test]
    fn a_difference_of_shares_by_hand() {
        // b = 5, c = 1, n = 18: b̃ = 6/20 = .3, c̃ = 2/20 = .1; center .2;
        // half = 1.959964 √((.4 − .04)/20) = 1.959964 · .1341641 = .2629568
        let got = share_difference(5, 1, 18).unwrap();
        assert!((got.value - 4.0 / 18.0).abs() < 1e-12);
        assert!((got.low + 0.062_956_8).abs() < 1e-6, "{got:?}");
        assert!((got.high - 0.462_956_8).abs() < 1e-6, "{got:?}");
        assert_eq!(share_difference(0, 0, 0), None);
    }

    #[test]
    fn its_interval_covers() {
        // (P(only first), P(only second)): the true difference is theirs
        for (only_first, only_second) in [(0.2, 0.2), (0.4, 0.1), (0.6, 0.05)] {
            for (n, most) in [(12, 1.0), (30, 1.0), (100, 0.975)] {
                let n_covered = (0..1_000)
                    .filter(|&seed| {
                        let mut rng = Seed(seed).rng("test", n as u64);
                        let (mut b, mut c) = (0, 0);
                        for _ in 0..n {
                            let u = f64::from(rng.next_u32()) / 2.0_f64.powi(32);
                            b += usize::from(u < only_first);
                            c += usize::from(u >= 1.0 - only_second);
                        }
                        let got = share_difference(b, c, n).unwrap();
                        let truth = only_first - only_second;
                        got.low <= truth && truth <= got.high
                    })
                    .count();
                let coverage = n_covered as f64 / 1_000.0;
                assert!(
                    (0.93..=most).contains(&coverage),
                    "{only_first} {n}: {coverage}"
                );
            }
        }
    }
}
