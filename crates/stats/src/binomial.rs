//! Binomial probabilities and the exact tests that rest on them.
//!
//! `X` is the number of successes in `n` independent trials of probability `p`; `0 ≤ p ≤ 1`.

use statrs::function::beta::beta_reg;
use statrs::function::factorial::ln_binomial;

/// P(X = k); 0 for `k > n`.
pub fn probability(k: usize, n: usize, p: f64) -> f64 {
    if k > n {
        return 0.0;
    }
    // 0 · ln 0 is 0 here: an impossible event that is not asked for.
    let power = |exponent: usize, ln: f64| {
        if exponent == 0 {
            0.0
        } else {
            exponent as f64 * ln
        }
    };
    (ln_binomial(n as u64, k as u64) + power(k, p.ln()) + power(n - k, (-p).ln_1p())).exp()
}

/// P(X ≥ k): the one-sided p-value of `k` successes where chance gives `p` each.
///
/// Four-way choice, 7 of 12 right: P(X ≥ 7) = 0.0143 at p = ¼.
pub fn at_least(k: usize, n: usize, p: f64) -> f64 {
    at_least_of(k as f64, n as f64, p)
}

/// [`at_least`] for counts between whole numbers too.
pub(crate) fn at_least_of(k: f64, n: f64, p: f64) -> f64 {
    if k <= 0.0 {
        1.0
    } else if k >= n + 1.0 || p <= 0.0 {
        0.0
    } else if p >= 1.0 {
        1.0
    } else {
        beta_reg(k, n - k + 1.0, p).clamp(0.0, 1.0)
    }
}

/// P(X ≤ k).
pub fn at_most(k: usize, n: usize, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        1.0
    } else if p >= 1.0 {
        0.0
    } else {
        // Mirrored instead of `1 − at_least`, so that small tails keep their digits.
        at_least(n - k, n, 1.0 - p)
    }
}

/// Two-sided exact p-value of `k` of `n` against `p`: the probability of all outcomes that are at
/// most as probable as the observed one. 1 for `n = 0`.
pub fn two_sided(k: usize, n: usize, p: f64) -> f64 {
    // Equal probabilities computed in two orders differ in the last digits.
    let limit = probability(k, n, p) * (1.0 + 1e-7);
    (0..=n)
        .map(|j| probability(j, n, p))
        .filter(|&q| q <= limit)
        .sum::<f64>()
        .min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-9, "want {want}, got {got}");
    }

    #[test]
    fn tails_match_the_hand_computation() {
        // n = 4, p = 1/4: P(X = 3) = 4 · (1/64) · (3/4) = 12/256; P(X = 4) = 1/256
        check(probability(3, 4, 0.25), 12.0 / 256.0);
        check(at_least(3, 4, 0.25), 13.0 / 256.0);
        check(at_most(2, 4, 0.25), 243.0 / 256.0);
        // n = 10, p = 1/2, k = 1: (1 + 10) of 1024 on this side, as many on the other
        check(two_sided(1, 10, 0.5), 22.0 / 1024.0);
        // n = 4, p = 1/4, k = 3: the other side's P(X = 0) = 81/256 is likelier, so one side only
        check(two_sided(3, 4, 0.25), 13.0 / 256.0);
        check(two_sided(0, 0, 0.5), 1.0);
        check(probability(0, 3, 0.0), 1.0);
        check(probability(3, 3, 1.0), 1.0);
        check(probability(4, 3, 0.5), 0.0);
    }

    proptest! {
        #[test]
        fn tails_complement_each_other(n in 1_usize..200, share in 0.0..1.0_f64, p in 0.0..=1.0_f64) {
            let k = (share * n as f64) as usize;
            prop_assert!((at_least(k + 1, n, p) + at_most(k, n, p) - 1.0).abs() < 1e-9);
            let sum: f64 = (k..=n).map(|j| probability(j, n, p)).sum();
            prop_assert!((sum - at_least(k, n, p)).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&two_sided(k, n, p)));
        }
    }
}
