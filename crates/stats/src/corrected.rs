//! A share corrected for the errors of the classifier that observed it.
//!
//! Where a classifier with sensitivity `se` and specificity `sp` calls a share `p` of texts "in the
//! language", the true share is (p + sp − 1) / (se + sp − 1). Source: Rogan & Gladen 1978,
//! American Journal of Epidemiology 107:71.
//!
//! The interval carries the sampling error of all three shares: each end is the estimate moved by
//! the root of the summed squares of how far each share alone, at its own end, would move it (MOVER;
//! Zou & Donner 2008, Statistics in Medicine 27:1693). The observed share has Blaker's exact interval
//! below a hundred texts and mid-P's from there on, the classifier's two rates have mid-P's (sources:
//! [`mod@crate::share`]). With rates known exactly it is the observed share's interval, transformed.
//!
//! Coverage in percent, exact sums over all outcomes, least – greatest over true shares .1, .3, .5,
//! .7, .9 and .95, sensitivity .8, .9, .97 of 200 and of 500, specificity .98 and .999 of 3,000, .98
//! of 200 and .99 of 500; beside it what other intervals reach:
//!
//! | n | ours | Blaker's in all | mid-P in all | Wilson's in all | Lang–Reiczigel |
//! |---|---|---|---|---|---|
//! | 4 | 95.6–100 | 95.6–100 | 95.7–100 | 88.2–99.0 | 91.9–100 |
//! | 8 | 95.8–98.9 | 95.8–98.9 | 93.0–99.2 | 92.9–98.1 | 94.0–98.5 |
//! | 12 | 95.3–98.8 | 95.3–98.8 | 93.7–98.8 | 92.8–97.7 | 94.0–98.1 |
//! | 30 | 95.3–97.7 | 95.3–97.7 | 93.1–98.4 | 93.6–97.7 | 94.3–97.7 |
//! | 50 | 95.2–97.3 | 95.2–97.3 | 94.1–96.7 | 94.2–96.1 | 94.4–97.3 |
//! | 100 | 94.6–96.1 | 95.3–96.4 | 94.6–96.1 | 94.8–95.8 | 94.9–96.5 |
//! | 200 | 94.9–95.6 | 95.2–96.1 | 94.9–95.6 | 94.7–95.6 | 94.8–96.1 |
//!
//! (Lang & Reiczigel 2014, Preventive Veterinary Medicine 113:13, eq. 16 and 17.) A true share of 0 or
//! 1 is covered from one side only, so more often: 96.8 to 99.8 %.

use isogloss_record::Estimate;

use crate::Interval;
use crate::share::{N_MID_P_MIN, blaker, invert_tails, mid_p};

/// `n_yes` of `n`: a share that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Successes.
    pub n_yes: usize,
    /// Trials.
    pub n: usize,
}

impl Counted {
    fn interval(self) -> Option<Interval> {
        let Self { n_yes, n } = self;
        if n < N_MID_P_MIN {
            blaker(n_yes, n)
        } else {
            mid_p(n_yes, n)
        }
    }
}

/// A rate of a classifier that was measured beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The rate, in `[0, 1]`; need be no whole number of texts, as where languages are averaged.
    pub value: f64,
    /// Texts that it was measured on.
    pub n: usize,
}

impl Rate {
    fn interval(self) -> Option<Interval> {
        let n = self.n as f64;
        invert_tails(self.value * n, n, 0.5)
    }
}

/// The true share behind an observed one, in `[0, 1]`; `n` is the observed share's.
///
/// `sensitivity` over texts in the language, of which the classifier called so many so; `specificity`
/// over texts in other languages, of which it called so many not so. `None` where there are no texts,
/// or where the classifier is no better than chance (sensitivity + specificity ≤ 1); where one of its
/// intervals reaches chance, the result is `[0, 1]`.
///
/// # Panics
/// If the observed share has more successes than trials.
pub fn corrected(observed: Counted, sensitivity: Rate, specificity: Rate) -> Option<Estimate> {
    combined(
        observed,
        [sensitivity.value, specificity.value],
        [
            observed.interval()?,
            sensitivity.interval()?,
            specificity.interval()?,
        ],
    )
}

/// MOVER: `of_share`, `of_se` and `of_sp` are the three intervals.
fn combined(
    observed: Counted,
    [se, sp]: [f64; 2],
    [of_share, of_se, of_sp]: [Interval; 3],
) -> Option<Estimate> {
    let n = observed.n;
    let p = observed.n_yes as f64 / n as f64;
    let value = true_share(p, se, sp)?;
    let moved = [
        [
            true_share(of_share.low, se, sp),
            true_share(of_share.high, se, sp),
        ],
        [true_share(p, of_se.low, sp), true_share(p, of_se.high, sp)],
        [true_share(p, se, of_sp.low), true_share(p, se, of_sp.high)],
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
        n,
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

    fn of(
        n_yes: usize,
        n: usize,
        sensitivity: (usize, usize),
        specificity: (usize, usize),
    ) -> Estimate {
        corrected(Counted { n_yes, n }, rate(sensitivity), rate(specificity)).unwrap()
    }

    fn rate((n_yes, n): (usize, usize)) -> Rate {
        Rate {
            value: n_yes as f64 / n as f64,
            n,
        }
    }

    #[test]
    fn a_corrected_share_by_hand() {
        // observed 40 of 50 = .8, sensitivity 180 of 200 = .9, specificity 196 of 200 = .98:
        // (.8 + .98 − 1) / (.9 + .98 − 1) = .78 / .88 = .8863636
        let got = of(40, 50, (180, 200), (196, 200));
        assert!((got.value - 0.78 / 0.88).abs() < 1e-12);
        // Ends: Blaker's of 40 in 50 (.66312, .89700), mid-P's of 180 in 200 (.852396, .936087) and of
        // 196 in 200 (.952470, .993614). Each alone puts the estimate at
        //   share:       (.66312 − .02)/.88 = .730818      (.89700 − .02)/.88 = .996591
        //   sensitivity: .78/(.936087 − .02) = .851448     .78/(.852396 − .02) = .937054
        //   specificity: .752470/.852470 = .882694         .793614/.893614 = .888095
        // low: .886364 − √(.155545² + .034916² + .003670²) = .886364 − .159458 = .726905
        // high: .886364 + √(.110227² + .050691² + .001731²) = .886364 + .121337 > 1
        assert!((got.low - 0.726_905).abs() < 1e-5, "{got:?}");
        assert_eq!(got.high, 1.0);
        // Nothing seen in the language, one false alarm in fifty expected: (0 − .02)/.88 < 0 → 0
        let none = of(0, 12, (180, 200), (196, 200));
        assert_eq!((none.value, none.low), (0.0, 0.0));
        // 12 of 12 with sensitivity .9: (1 − .02)/.88 > 1 → 1
        let all = of(12, 12, (180, 200), (196, 200));
        assert_eq!((all.value, all.high), (1.0, 1.0));
        assert!(all.low > 0.7, "{all:?}");
    }

    #[test]
    fn a_classifier_that_cannot_tell_corrects_nothing() {
        let counted = |n_yes, n| Counted { n_yes, n };
        // .5 + .5 = 1: no better than chance
        assert_eq!(
            corrected(counted(6, 12), rate((5, 10)), rate((5, 10))),
            None
        );
        let unmeasured = Rate { value: 0.9, n: 0 };
        let some = rate((9, 10));
        assert_eq!(corrected(counted(0, 0), some, some), None);
        assert_eq!(corrected(counted(9, 10), some, unmeasured), None);
        assert_eq!(corrected(counted(9, 10), unmeasured, some), None);
        // .6 + .6 of ten each: the intervals reach chance, so nothing is known
        let got = of(6, 12, (6, 10), (6, 10));
        assert_eq!((got.low, got.high), (0.0, 1.0));
    }

    fn draw(n: usize, p: f64, rng: &mut ChaCha8Rng) -> usize {
        (0..n)
            .filter(|_| f64::from(rng.next_u32()) / 2.0_f64.powi(32) < p)
            .count()
    }

    /// A classifier: its rates, and the texts that each was counted on.
    #[derive(Clone, Copy)]
    struct Classifier {
        se: (f64, usize),
        sp: (f64, usize),
    }

    /// Share of 1,000 seeds whose interval holds the planted share. `carry` off is the planted
    /// fault: the counted rates are taken for exact.
    fn coverage(truth: f64, n: usize, classifier: Classifier, carry: bool) -> f64 {
        let Classifier { se, sp } = classifier;
        let observed = truth * se.0 + (1.0 - truth) * (1.0 - sp.0);
        let (mut of_counts, mut of_rates) = (BTreeMap::new(), BTreeMap::new());
        let n_covered = (0..1_000)
            .filter(|&seed| {
                let rng = &mut Seed(seed).rng("test/corrected", n as u64);
                let seen = Counted {
                    n_yes: draw(n, observed, rng),
                    n,
                };
                let of_seen = *of_counts
                    .entry(seen.n_yes)
                    .or_insert_with(|| seen.interval().unwrap());
                let mut drawn = |(p, n): (f64, usize)| {
                    let rate = rate((draw(n, p, rng), n));
                    let exact = Interval {
                        low: rate.value,
                        high: rate.value,
                    };
                    let interval = *of_rates
                        .entry((rate.value.to_bits(), n))
                        .or_insert_with(|| rate.interval().unwrap());
                    (rate.value, if carry { interval } else { exact })
                };
                let ((se, of_se), (sp, of_sp)) = (drawn(se), drawn(sp));
                let got = combined(seen, [se, sp], [of_seen, of_se, of_sp]);
                got.is_none_or(|got| got.low <= truth && truth <= got.high)
            })
            .count();
        n_covered as f64 / 1_000.0
    }

    /// What 1,000 seeds may differ from the true coverage by, at 95 %: three standard errors,
    /// 3 · √(.95 · .05 / 1,000) = .021. True coverage is in the table above, its least 94.6 and its
    /// greatest 96.1 at n = 100: so the bounds asserted are 93 and 97, with no allowance added.
    #[test]
    fn its_interval_covers_the_planted_share_and_is_not_too_wide() {
        let good = Classifier {
            se: (0.97, 500),
            sp: (0.999, 3_000),
        };
        let middling = Classifier {
            se: (0.9, 200),
            sp: (0.98, 200),
        };
        let poor = Classifier {
            se: (0.7, 60),
            sp: (0.95, 60),
        };
        for truth in [0.1, 0.3, 0.5, 0.7, 0.9, 0.95] {
            for (n, most) in [(4, 1.0), (12, 1.0), (30, 1.0), (100, 0.97)] {
                for classifier in [good, middling, poor] {
                    let got = coverage(truth, n, classifier, true);
                    let se = classifier.se.0;
                    assert!((0.93..=most).contains(&got), "{truth} {n} {se}: {got}");
                }
            }
        }
    }

    #[test]
    fn without_the_identifier_s_own_error_it_would_not() {
        let poor = Classifier {
            se: (0.7, 60),
            sp: (0.95, 60),
        };
        let got = coverage(0.9, 400, poor, false);
        assert!(got < 0.8, "{got}");
        assert!(coverage(0.9, 400, poor, true) >= 0.93);
    }

    proptest! {
        #[test]
        fn a_perfect_classifier_changes_nothing(n in 1_usize..60, share in 0.0..=1.0_f64) {
            let n_yes = (share * n as f64) as usize;
            let perfect = Rate { value: 1.0, n: 1_000_000 };
            let plain = blaker(n_yes, n).unwrap();
            let got = corrected(Counted { n_yes, n }, perfect, perfect).unwrap();
            prop_assert!((got.low - plain.low).abs() < 1e-4 && (got.high - plain.high).abs() < 1e-4);
        }
    }
}
