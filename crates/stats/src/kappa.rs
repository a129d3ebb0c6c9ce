//! Chance-corrected accuracy of an m-way choice.
//!
//! κ = (accuracy − 1/m) / (1 − 1/m): 0 at chance, 1 when always right, −1/(m−1) when always wrong.
//! The transform is linear and increasing, so the share's interval stays exact.

use isogloss_record::Estimate;

use crate::share::share;

/// κ of `n_right` of `n` choices among `n_options`; `None` for `n = 0`.
///
/// # Panics
/// If `n_options < 2` or `n_right > n`.
pub fn kappa(n_right: usize, n: usize, n_options: usize) -> Option<Estimate> {
    Some(kappa_of(share(n_right, n)?, n_options))
}

/// κ of an accuracy with its interval.
///
/// # Panics
/// If `n_options < 2`.
pub fn kappa_of(accuracy: Estimate, n_options: usize) -> Estimate {
    Estimate {
        value: chance_corrected(accuracy.value, n_options),
        low: chance_corrected(accuracy.low, n_options),
        high: chance_corrected(accuracy.high, n_options),
        n: accuracy.n,
    }
}

/// κ of an accuracy in `[0, 1]`.
///
/// # Panics
/// If `n_options < 2`.
pub fn chance_corrected(accuracy: f64, n_options: usize) -> f64 {
    assert!(n_options >= 2, "a choice among {n_options}");
    let chance = 1.0 / n_options as f64;
    (accuracy - chance) / (1.0 - chance)
}

/// The accuracy that has this κ: κ + (1 − κ)/m.
///
/// # Panics
/// If `n_options < 2`.
pub fn accuracy_of(kappa: f64, n_options: usize) -> f64 {
    assert!(n_options >= 2, "a choice among {n_options}");
    kappa + (1.0 - kappa) / n_options as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_matches_the_hand_computation() {
        // 9 of 12 in a four-way choice: (.75 − .25) / .75 = .666667
        let got = kappa(9, 12, 4).unwrap();
        assert!((got.value - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(got.n, 12);
        // 2 of 2: the share's low end is √.05, so (.2236068 − .25) / .75 = −.0351909
        let all = kappa(2, 2, 4).unwrap();
        assert!((all.low + 0.035_190_9).abs() < 1e-6, "{all:?}");
        assert_eq!((all.value, all.high), (1.0, 1.0));
        // 3 of 12 is chance, 0 of 12 is −1/3
        assert_eq!(kappa(3, 12, 4).unwrap().value, 0.0);
        assert!((kappa(0, 12, 4).unwrap().value + 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(kappa(0, 0, 4), None);
        for k in [-0.2, 0.0, 0.5, 1.0] {
            assert!((chance_corrected(accuracy_of(k, 4), 4) - k).abs() < 1e-12);
        }
    }
}
