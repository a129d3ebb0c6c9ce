//! A share corrected for the errors of the classifier that observed it.
//!
//! Where a classifier with sensitivity `se` and specificity `sp` calls a share `p` of texts "in the
//! language", the true share is (p + sp − 1) / (se + sp − 1). Source: Rogan & Gladen 1978,
//! American Journal of Epidemiology 107:71.
//!
//! The interval carries the sampling error of all three shares: each end is the estimate moved by
//! the root of the summed squares of how far each share alone, at its exact end, would move it
//! (MOVER; Zou & Donner 2008, Statistics in Medicine 27:1693). With `se` and `sp` known exactly it
//! is the transformed exact interval of the share.
//! Coverage (1,000 seeds; sensitivity .9 of 200, specificity .98 of 200): see the test.

use isogloss_record::Estimate;

use crate::share::share;

/// `n_yes` of `n`: a share that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Successes.
    pub n_yes: usize,
    /// Trials.
    pub n: usize,
}

/// [`corrected`] of three counted shares; `None` also where one of them has no trials.
///
/// # Panics
/// If a count has more successes than trials.
pub fn corrected_share(
    observed: Counted,
    sensitivity: Counted,
    specificity: Counted,
) -> Option<Estimate> {
    let estimate = |counted: Counted| share(counted.n_yes, counted.n);
    corrected(
        estimate(observed)?,
        estimate(sensitivity)?,
        estimate(specificity)?,
    )
}

/// The true share behind an observed one, in `[0, 1]`; `n` is the observed share's.
///
/// All three with their own exact intervals ([`crate::share::share`]): `sensitivity` over texts in
/// the language, of which the classifier called so many so; `specificity` over texts in other
/// languages, of which it called so many not so. `None` where the classifier is no better than
/// chance (sensitivity + specificity ≤ 1); where an interval reaches chance, the result is `[0, 1]`.
pub fn corrected(
    observed: Estimate,
    sensitivity: Estimate,
    specificity: Estimate,
) -> Option<Estimate> {
    let (p, se, sp) = (observed.value, sensitivity.value, specificity.value);
    let value = true_share(p, se, sp)?;
    let moved = [
        [
            true_share(observed.low, se, sp),
            true_share(observed.high, se, sp),
        ],
        [
            true_share(p, sensitivity.low, sp),
            true_share(p, sensitivity.high, sp),
        ],
        [
            true_share(p, se, specificity.low),
            true_share(p, se, specificity.high),
        ],
    ];
    let (mut below, mut above) = (0.0, 0.0);
    for ends in moved {
        let [Some(at_low), Some(at_high)] = ends else {
            (below, above) = (f64::INFINITY, f64::INFINITY);
            break;
        };
        // A share moves the estimate one way at its low end and, mostly, the other way at its high.
        below += (value - at_low.min(at_high)).max(0.0).powi(2);
        above += (at_low.max(at_high) - value).max(0.0).powi(2);
    }
    let clamped = value.clamp(0.0, 1.0);
    Some(Estimate {
        value: clamped,
        low: (value - below.sqrt()).clamp(0.0, clamped),
        high: (value + above.sqrt()).clamp(clamped, 1.0),
        n: observed.n,
    })
}

/// (p + sp − 1) / (se + sp − 1), not clamped; `None` where the classifier is no better than chance.
pub fn true_share(observed: f64, sensitivity: f64, specificity: f64) -> Option<f64> {
    let scale = sensitivity + specificity - 1.0;
    (scale > 0.0).then(|| (observed + specificity - 1.0) / scale)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use isogloss_record::Seed;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::Rng;

    fn counted(n_yes: usize, n: usize) -> Estimate {
        share(n_yes, n).unwrap()
    }

    #[test]
    fn a_corrected_share_by_hand() {
        // observed 40 of 50 = .8, sensitivity 180 of 200 = .9, specificity 196 of 200 = .98:
        // (.8 + .98 − 1) / (.9 + .98 − 1) = .78 / .88 = .8863636
        let got = corrected(counted(40, 50), counted(180, 200), counted(196, 200)).unwrap();
        assert!((got.value - 0.78 / 0.88).abs() < 1e-12);
        assert!(got.low < 0.78 && got.high > 0.97, "{got:?}");
        // Nothing seen in the language, one false alarm in fifty expected: (0 − .02)/.88 < 0 → 0
        let none = corrected(counted(0, 12), counted(180, 200), counted(196, 200)).unwrap();
        assert_eq!((none.value, none.low), (0.0, 0.0));
        // 12 of 12 with sensitivity .9: (1 − .02)/.88 > 1 → 1
        let all = corrected(counted(12, 12), counted(180, 200), counted(196, 200)).unwrap();
        assert_eq!((all.value, all.high), (1.0, 1.0));
        assert!(all.low > 0.7, "{all:?}");
    }

    #[test]
    fn a_classifier_that_cannot_tell_corrects_nothing() {
        // .5 + .5 = 1: no better than chance
        assert_eq!(
            corrected(counted(6, 12), counted(5, 10), counted(5, 10)),
            None
        );
        let none = Counted { n_yes: 0, n: 0 };
        let some = Counted { n_yes: 9, n: 10 };
        assert_eq!(corrected_share(none, some, some), None);
        assert_eq!(corrected_share(some, some, none), None);
        assert_eq!(
            corrected_share(some, some, some),
            corrected(counted(9, 10), counted(9, 10), counted(9, 10))
        );
        // .6 + .6 of ten each: the intervals reach chance, so nothing is known
        let got = corrected(counted(6, 12), counted(6, 10), counted(6, 10)).unwrap();
        assert_eq!((got.low, got.high), (0.0, 1.0));
    }

    fn draw(n: usize, p: f64, rng: &mut ChaCha8Rng) -> usize {
        (0..n)
            .filter(|_| f64::from(rng.next_u32()) / 2.0_f64.powi(32) < p)
            .count()
    }

    /// Share of 1,000 seeds whose interval holds the planted share. `carry` off is the planted
    /// fault: the counted rates are taken for exact.
    fn coverage(truth: f64, n: usize, se: f64, sp: f64, n_known: usize, carry: bool) -> f64 {
        let observed = truth * se + (1.0 - truth) * (1.0 - sp);
        let mut shares = BTreeMap::new();
        let mut counted = |k, n| *shares.entry((k, n)).or_insert_with(|| share(k, n).unwrap());
        let n_covered = (0..1_000)
            .filter(|&seed| {
                let rng = &mut Seed(seed).rng("test/corrected", n as u64);
                let seen = counted(draw(n, observed, rng), n);
                let mut rate = |p| {
                    let counted = counted(draw(n_known, p, rng), n_known);
                    let value = counted.value;
                    if carry {
                        counted
                    } else {
                        Estimate {
                            low: value,
                            high: value,
                            ..counted
                        }
                    }
                };
                let (of_se, of_sp) = (rate(se), rate(sp));
                corrected(seen, of_se, of_sp)
                    .is_none_or(|got| got.low <= truth && truth <= got.high)
            })
            .count();
        n_covered as f64 / 1_000.0
    }

    #[test]
    fn its_interval_covers_the_planted_share() {
        for truth in [0.3, 0.6, 0.9] {
            for (n, most) in [(12, 1.0), (30, 1.0), (100, 0.98)] {
                for (se, sp, n_known) in [(0.9, 0.98, 200), (0.7, 0.95, 60)] {
                    let got = coverage(truth, n, se, sp, n_known, true);
                    assert!(
                        (0.93..=most).contains(&got),
                        "{truth} {n} {se} {sp} {n_known}: {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn without_the_identifier_s_own_error_it_would_not() {
        let got = coverage(0.9, 400, 0.7, 0.95, 60, false);
        assert!(got < 0.8, "{got}");
        assert!(coverage(0.9, 400, 0.7, 0.95, 60, true) >= 0.93);
    }

    proptest! {
        #[test]
        fn a_perfect_classifier_changes_nothing(n in 1_usize..60, share in 0.0..=1.0_f64) {
            let k = (share * n as f64) as usize;
            let perfect = Estimate { value: 1.0, low: 1.0, high: 1.0, n: 1 };
            let plain = counted(k, n);
            let got = corrected(plain, perfect, perfect).unwrap();
            prop_assert!((got.low - plain.low).abs() < 1e-12 && (got.high - plain.high).abs() < 1e-12);
        }
    }
}
