//! Two answers to the same items: exact tests, and the interval of a difference of shares.

use isogloss_record::Estimate;

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
    use isogloss_record::Seed;
    use rand_chacha::rand_core::Rng;

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
