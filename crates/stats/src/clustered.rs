//! A share whose trials come in clusters: words asked both ways, answers to the same text.
//!
//! Trials of one cluster succeed together, so `n` clusters of `m` trials are worth less than `n·m`
//! independent trials and no less than `n`. How many they are worth (the effective sample size)
//! follows from how much clusters differ: n · p(1 − p) / s², s² the variance of a cluster's share.
//! With that size the interval is Clopper–Pearson's below a hundred clusters (Korn & Graubard 1998,
//! Survey Methodology 24:193; the size as in Rao & Scott 1992, Biometrics 48:577), mid-P's from
//! there on.
//!
//! Coverage in percent, exact sums over all outcomes of words asked both ways, least – greatest over
//! shares .25 to .95 (in the two directions equal, or .1 above and below), correlation 0 to .9; and
//! beside it what `n` trials of the mean share would give:
//!
//! | n | ours | n trials |
//! |---|---|---|
//! | 8 | 94.9–99.5 | 98.1–100 |
//! | 12 | 96.0–99.4 | 97.6–100 |
//! | 24 | 95.7–99.2 | 97.6–100 |
//! | 48 | 96.0–98.9 | 96.7–100 |
//! | 100 | 94.4–95.7 | 96.8–99.9 |
//! | 200 | 94.8–95.9 | 96.4–99.8 |

use isogloss_record::Estimate;

use crate::share::{N_MID_P_MIN, invert_tails};

/// The share of successes in clusters of `size` trials, of which cluster i has `n_yes[i]`; the
/// estimate's `n` counts clusters. `None` without clusters.
///
/// # Panics
/// If `size` is 0 or a cluster has more successes than trials.
pub fn clustered_share(n_yes: &[usize], size: usize) -> Option<Estimate> {
    let n = n_yes.len();
    let shares = || {
        n_yes.iter().map(|&k| {
            assert!(k <= size, "{k} successes in {size} trials");
            k as f64 / size as f64
        })
    };
    if n == 0 {
        return None;
    }
    let value = n_yes.iter().sum::<usize>() as f64 / (n * size) as f64;
    let squares: f64 = shares().map(|share| (share - value).powi(2)).sum();
    let binomial = value * (1.0 - value);
    // Where all is right or all is wrong nothing shows how trials hang together: a cluster is one.
    let n_effective = if binomial > 0.0 {
        let most = (n * size) as f64;
        // Clusters that do not differ at all are worth all of their trials.
        (n as f64 * (n - 1) as f64 * binomial / squares.max(f64::MIN_POSITIVE))
            .clamp(n as f64, most)
    } else {
        n as f64
    };
    let own_weight = if n < N_MID_P_MIN { 1.0 } else { 0.5 };
    let interval = invert_tails(value * n_effective, n_effective, own_weight)?;
    Some(Estimate {
        value,
        low: interval.low.min(value),
        high: interval.high.max(value),
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binomial::probability;
    use crate::share::{clopper_pearson, mid_p};
    use proptest::prelude::*;

    #[test]
    fn what_a_cluster_is_worth_by_hand() {
        // Eight pairs that agree, four of them right: p = ½, s² = 8 · ¼ / 7 = 2/7, so
        // 8 · ¼ / (2/7) = 7, and no less than the eight pairs: 4 of 8.
        let got = clustered_share(&[2, 2, 2, 2, 0, 0, 0, 0], 2).unwrap();
        let eight = clopper_pearson(4, 8).unwrap();
        assert_eq!((got.value, got.n), (0.5, 8));
        assert!((got.low - eight.low).abs() < 1e-9 && (got.high - eight.high).abs() < 1e-9);
        // Eight pairs with one right each do not differ: worth all sixteen trials.
        let got = clustered_share(&[1; 8], 2).unwrap();
        let sixteen = clopper_pearson(8, 16).unwrap();
        assert!((got.low - sixteen.low).abs() < 1e-9 && (got.high - sixteen.high).abs() < 1e-9);
        // 2, 2, 1, 1, 1, 0: p = 7/12, squares (25 + 25 + 1 + 1 + 1 + 49)/144 = 102/144, so
        // 6 · 5 · (35/144) / (102/144) = 30 · 35/102 = 10.294
        let got = clustered_share(&[2, 2, 1, 1, 1, 0], 2).unwrap();
        let n = 30.0 * 35.0 / 102.0;
        let want = invert_tails(7.0 / 12.0 * n, n, 1.0).unwrap();
        assert!((got.low - want.low).abs() < 1e-9 && (got.high - want.high).abs() < 1e-9);
        // All right: as many as there are pairs.
        let got = clustered_share(&[2; 12], 2).unwrap();
        assert!((got.low - clopper_pearson(12, 12).unwrap().low).abs() < 1e-9);
        assert_eq!((got.value, got.high), (1.0, 1.0));
        assert_eq!(clustered_share(&[], 2), None);
        assert!(clustered_share(&[1], 2).is_some());
    }

    /// An interval for each outcome of `n` pairs: so many both right, so many one right.
    type Intervals = Vec<((usize, usize), Estimate)>;

    fn intervals(n: usize, interval: impl Fn(&[usize]) -> Estimate) -> Intervals {
        let outcomes = (0..=n).flat_map(|both| (0..=n - both).map(move |one| (both, one)));
        outcomes
            .map(|(both, one)| {
                let mut pairs = vec![2; both];
                pairs.resize(both + one, 1);
                pairs.resize(n, 0);
                ((both, one), interval(&pairs))
            })
            .collect()
    }

    /// Exact coverage where a pair is both right with probability `both`, one of them with `one`.
    fn coverage(n: usize, (both, one): (f64, f64), intervals: &Intervals) -> f64 {
        let truth = both + one / 2.0;
        intervals
            .iter()
            .filter(|(_, got)| got.low <= truth && truth <= got.high)
            .map(|&((n_both, n_one), _)| {
                probability(n_both, n, both)
                    * probability(n_one, n - n_both, (one / (1.0 - both)).min(1.0))
            })
            .sum()
    }

    /// (share, correlation) as (both right, one right).
    fn planted(share: f64, correlation: f64) -> (f64, f64) {
        let both = share * share + correlation * share * (1.0 - share);
        (both, 2.0 * (share - both))
    }

    #[test]
    fn its_interval_covers_and_is_not_too_wide() {
        for (n, most) in [(12, 1.0), (48, 1.0), (100, 0.97)] {
            let ours = intervals(n, |pairs| clustered_share(pairs, 2).unwrap());
            for share in [0.25, 0.55, 0.8, 0.95] {
                for correlation in [0.0, 0.3, 0.9] {
                    let got = coverage(n, planted(share, correlation), &ours);
                    assert!(
                        (0.93..=most).contains(&got),
                        "{share} {correlation} {n}: {got}"
                    );
                }
            }
        }
    }

    #[test]
    fn as_single_trials_they_would_be_too_wide_and_as_two_too_narrow() {
        let of = |k: usize, n: usize, pairs: &[usize]| {
            let got = mid_p(k, n).unwrap();
            Estimate {
                value: k as f64 / n as f64,
                low: got.low,
                high: got.high,
                n: pairs.len(),
            }
        };
        let right = |pairs: &[usize]| pairs.iter().sum::<usize>();
        let single = intervals(100, |pairs| of(right(pairs) / 2, pairs.len(), pairs));
        assert!(coverage(100, planted(0.55, 0.0), &single) > 0.98);
        let double = intervals(100, |pairs| of(right(pairs), 2 * pairs.len(), pairs));
        assert!(coverage(100, planted(0.55, 0.9), &double) < 0.9);
    }

    proptest! {
        #[test]
        fn it_lies_between_one_and_all_trials(n_yes in prop::collection::vec(0_usize..=2, 1..90)) {
            let got = clustered_share(&n_yes, 2).unwrap();
            prop_assert!(0.0 <= got.low && got.low <= got.value);
            prop_assert!(got.value <= got.high && got.high <= 1.0);
            let (n, sum) = (n_yes.len() as f64, n_yes.iter().sum::<usize>() as f64);
            let wide = invert_tails(sum / 2.0, n, 1.0).unwrap();
            let narrow = invert_tails(sum, 2.0 * n, 1.0).unwrap();
            prop_assert!(wide.low <= got.low + 1e-9 && got.high <= wide.high + 1e-9);
            if sum > 0.0 && sum < 2.0 * n {
                prop_assert!(got.low <= narrow.low + 1e-9 && narrow.high <= got.high + 1e-9);
            }
        }
    }
}
