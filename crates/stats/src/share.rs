//! Intervals of a share: `k` successes in `n` independent trials.
//!
//! What is reported is [`share`], with Blaker's interval. Coverage over the true share .02 to .98
//! (exact sums, no simulation), and over .10 to .90 in brackets, least – greatest:
//!
//! | n | Clopper–Pearson | Blaker | mid-P | Wilson |
//! |---|---|---|---|---|
//! | 4 | .976–1 (.976–1) | .951–1 (.951–1) | .951–1 (.951–1) | .832–.991 (.875–.991) |
//! | 12 | .955–.997 (.955–.996) | .951–.993 (.951–.990) | .919–.995 (.919–.991) | .901–.983 (.914–.983) |
//! | 30 | .954–.994 (.954–.992) | .950–.988 (.950–.980) | .925–.990 (.925–.972) | .924–.980 (.924–.974) |
//! | 100 | .954–.989 (.954–.973) | .950–.985 (.950–.965) | .921–.987 (.942–.960) | .927–.976 (.933–.964) |
//! | 200 | .952–.981 (.952–.967) | .950–.969 (.950–.961) | .931–.965 (.941–.959) | .933–.969 (.940–.962) |
//!
//! Blaker's is the choice because it alone never covers less than 95 %, lies inside
//! Clopper–Pearson's (its width at 6 of 12 is .53 against .58) and stays below 97 % from n = 100
//! (beside shares so near 0 or 1 that every discrete interval over-covers).

use isogloss_record::Estimate;

use crate::binomial::{at_least, at_least_of, at_most};
use crate::quantile::Z;
use crate::{ALPHA, Interval};

/// From so many trials on mid-P takes the place of an exact interval in what is built from several
/// intervals ([`mod@crate::corrected`], [`crate::clustered`]): exact ones cover up to 98 % there, while with
/// fewer trials mid-P falls below 93 %.
pub(crate) const N_MID_P_MIN: usize = 100;

/// The share `k / n` with [`blaker`]'s interval; `None` for `n = 0`.
///
/// # Panics
/// If `k > n`.
pub fn share(k: usize, n: usize) -> Option<Estimate> {
    let Interval { low, high } = blaker(k, n)?;
    Some(Estimate {
        value: k as f64 / n as f64,
        low,
        high,
        n,
    })
}

/// Clopper–Pearson: each tail test at 2.5 %. Exact, the widest; `None` for `n = 0`.
///
/// Source: Clopper & Pearson 1934, Biometrika 26:404.
///
/// # Panics
/// If `k > n`.
pub fn clopper_pearson(k: usize, n: usize) -> Option<Interval> {
    assert!(k <= n, "{k} successes in {n} trials");
    invert_tails(k as f64, n as f64, 1.0)
}

/// Mid-P: as Clopper–Pearson, with half of the observed outcome's probability in each tail.
/// Near 95 % on average, below it for some shares; `None` for `n = 0`.
///
/// Source: Berry & Armitage 1995, The Statistician 44:417.
///
/// # Panics
/// If `k > n`.
pub fn mid_p(k: usize, n: usize) -> Option<Interval> {
    assert!(k <= n, "{k} successes in {n} trials");
    invert_tails(k as f64, n as f64, 0.5)
}

/// Wilson's score interval: closed form, near 95 % on average; `None` for `n = 0`.
///
/// (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). Source: Wilson 1927, JASA 22:209.
///
/// # Panics
/// If `k > n`.
pub fn wilson(k: usize, n: usize) -> Option<Interval> {
    assert!(k <= n, "{k} successes in {n} trials");
    if n == 0 {
        return None;
    }
    let (p, n) = (k as f64 / n as f64, n as f64);
    let z2 = Z * Z;
    let center = p + z2 / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Some(Interval {
        low: ((center - half) / scale).clamp(0.0, p),
        high: ((center + half) / scale).clamp(p, 1.0),
    })
}

/// Blaker's exact interval: all `p` under which an outcome as extreme as `k` (its smaller tail, and
/// the part of the other tail that is no greater) has a probability above 5 %.
///
/// Never covers less than 95 %, lies inside [`clopper_pearson`]'s; `None` for `n = 0`.
/// Source: Blaker 2000, Canadian Journal of Statistics 28:783, eq. 3. The ends are the outermost
/// such `p`, to a thousandth of Clopper–Pearson's width in where they are looked for.
///
/// # Panics
/// If `k > n`.
pub fn blaker(k: usize, n: usize) -> Option<Interval> {
    let outer = clopper_pearson(k, n)?;
    let observed = k as f64 / n as f64;
    let step = (outer.high - outer.low) / 1_000.0;
    let end = |from: f64, step: f64| -> f64 {
        if from == observed {
            return from;
        }
        let mut rejected = from;
        loop {
            let next = rejected + step;
            let passed = (next - observed) * step.signum() >= 0.0;
            let next = if passed { observed } else { next };
            if passed || acceptability(k, n, next) > ALPHA {
                return bisect(rejected, next, |p| acceptability(k, n, p) > ALPHA);
            }
            rejected = next;
        }
    };
    Some(Interval {
        low: if k == 0 { 0.0 } else { end(outer.low, step) },
        high: if k == n { 1.0 } else { end(outer.high, -step) },
    })
}

/// P(the smaller tail at X ≤ the smaller tail at k) under `p`.
fn acceptability(k: usize, n: usize, p: f64) -> f64 {
    let (lower, upper) = (at_most(k, n, p), at_least(k, n, p));
    let tail = lower.min(upper);
    let limit = tail * (1.0 + 1e-9);
    // The opposite tail: as many of its farthest outcomes as sum to no more than `tail`. Both sums
    // are monotone in the number of outcomes, so that number is found by halving.
    let far = |n_outcomes: usize| match (n_outcomes, upper <= lower) {
        (0, _) => 0.0,
        (count, true) => at_most(count - 1, n, p),
        (count, false) => at_least(n + 1 - count, n, p),
    };
    let n_possible = if upper <= lower { k } else { n - k };
    let (mut fits, mut too_many) = (0, n_possible + 1);
    while too_many - fits > 1 {
        let middle = usize::midpoint(fits, too_many);
        if far(middle) <= limit {
            fits = middle;
        } else {
            too_many = middle;
        }
    }
    tail + far(fits)
}

/// Both tails at 2.5 %, of which the observed outcome counts `own_weight`; `None` for `n ≤ 0`.
///
/// Counts may lie between whole numbers (P(X ≥ k) is the incomplete beta function I(k, n − k + 1)
/// of `p`, which knows of no whole numbers): those of an effective sample size.
pub(crate) fn invert_tails(k: f64, n: f64, own_weight: f64) -> Option<Interval> {
    if n <= 0.0 {
        return None;
    }
    let upper_tail = |p: f64| {
        own_weight * at_least_of(k, n, p) + (1.0 - own_weight) * at_least_of(k + 1.0, n, p)
    };
    // P(X ≤ k), mirrored.
    let lower_tail = |p: f64| {
        let (k, p) = (n - k, 1.0 - p);
        own_weight * at_least_of(k, n, p) + (1.0 - own_weight) * at_least_of(k + 1.0, n, p)
    };
    Some(Interval {
        low: if k <= 0.0 {
            0.0
        } else {
            bisect(0.0, 1.0, |p| upper_tail(p) > ALPHA / 2.0)
        },
        high: if k >= n {
            1.0
        } else {
            bisect(1.0, 0.0, |p| lower_tail(p) > ALPHA / 2.0)
        },
    })
}

/// The point between `rejected` and `accepted` (in either order) where `is_accepted` turns true.
fn bisect(mut rejected: f64, mut accepted: f64, is_accepted: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(rejected, accepted);
        if is_accepted(middle) {
            accepted = middle;
        } else {
            rejected = middle;
        }
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binomial::probability;
    use proptest::prelude::*;

    #[track_caller]
    fn check(got: Option<Interval>, low: f64, high: f64) {
        let got = got.unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(got.low, low) && near(got.high, high), "{got:?}");
    }

    #[test]
    fn the_ends_solve_their_equations_by_hand() {
        // 12 of 12: p¹² = .025 → low = .025^(1/12) = e^(−3.688879/12) = .735352
        check(clopper_pearson(12, 12), 0.735_351_5, 1.0);
        // 0 of 12, mid-P: ½(1 − p)¹² = .025 → high = 1 − .05^(1/12) = .220922
        check(mid_p(0, 12), 0.0, 1.0 - 0.05_f64.powf(1.0 / 12.0));
        // Blaker, 2 of 2: for p < ½ the other tail's (1 − p)² is greater than p², so p² = .05
        check(blaker(2, 2), 0.05_f64.sqrt(), 1.0);
        // Blaker, 1 of 2: below p = 1 − √½ the other tail is too great; 2p − p² = .05 → 1 − √.95
        check(blaker(1, 2), 1.0 - 0.95_f64.sqrt(), 0.95_f64.sqrt());
        // Wilson, 1 of 2: p̂ = .5, z² = 3.841459: half = 1.959964 √(.125 + .240091) = 1.184267;
        // center = .5 + .960365 = 1.460365; scale 2.920729 → .0945312, .9054688
        check(wilson(1, 2), 0.094_531_2, 0.905_468_8);
        assert_eq!(share(0, 0), None);
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn clopper_pearson_is_what_other_programs_print() {
        let got = clopper_pearson(3, 12).unwrap();
        assert!((got.low - 0.054_86).abs() < 1e-5 && (got.high - 0.571_86).abs() < 1e-5);
    }

    /// Exact coverage over true shares .10 to .90, no simulation: the summed probabilities of the
    /// outcomes whose interval covers.
    fn least_and_greatest(n: usize, interval: fn(usize, usize) -> Option<Interval>) -> (f64, f64) {
        let intervals: Vec<Interval> = (0..=n).map(|k| interval(k, n).unwrap()).collect();
        (10..=90)
            .map(|i| {
                let p = f64::from(i) / 100.0;
                (0..=n)
                    .filter(|&k| intervals[k].low <= p && p <= intervals[k].high)
                    .map(|k| probability(k, n, p))
                    .sum::<f64>()
            })
            .fold((1.0, 0.0), |(least, most), c| (c.min(least), c.max(most)))
    }

    #[test]
    fn blaker_covers_at_least_95_percent_and_at_most_97_from_100_on() {
        for n in [4, 12, 24, 30] {
            let (least, _) = least_and_greatest(n, blaker);
            assert!(least >= 0.95, "{n}: {least}");
        }
        let (least, most) = least_and_greatest(100, blaker);
        assert!(least >= 0.95 && most <= 0.97, "{least} {most}");
    }

    #[test]
    fn the_others_are_not_chosen_for_a_reason() {
        assert!(least_and_greatest(100, clopper_pearson).1 > 0.97);
        assert!(least_and_greatest(12, mid_p).0 < 0.93);
        assert!(least_and_greatest(12, wilson).0 < 0.93);
    }

    proptest! {
        #[test]
        fn blaker_lies_inside_clopper_pearson_and_mirrors(n in 1_usize..150, share in 0.0..=1.0_f64) {
            let k = (share * n as f64) as usize;
            let (inner, outer) = (blaker(k, n).unwrap(), clopper_pearson(k, n).unwrap());
            prop_assert!(outer.low <= inner.low && inner.high <= outer.high);
            let p = k as f64 / n as f64;
            prop_assert!(inner.low <= p && p <= inner.high);
            let mirror = blaker(n - k, n).unwrap();
            prop_assert!((mirror.low - (1.0 - inner.high)).abs() < 1e-6);
        }
    }
}
