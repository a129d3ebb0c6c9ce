//! Pearson, Spearman and Kendall correlation, with intervals on Fisher's z scale.
//!
//! z = artanh r; the interval is tanh(z ± 1.96 · s) with s = 1/√(n − 3) for Pearson's r (Fisher
//! 1921), √((1 + r²/2)/(n − 3)) for Spearman's (Bonett & Wright 2000, Psychometrika 65:23, eq. 5)
//! and √(.437/(n − 4)) for Kendall's τ (Fieller, Hartley & Pearson 1957, Biometrika 44:470).
//! `None` where a series is constant, not finite, or too short for an interval (n < 4; n < 5 for τ).

use isogloss_record::Estimate;

use crate::quantile::Z;

/// Pearson's product-moment correlation, −1 to 1.
///
/// # Panics
/// If the two have different lengths.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<Estimate> {
    let r = product_moment(x, y)?;
    with_interval(r, x.len(), 3, |n_free| (1.0 / n_free).sqrt())
}

/// Spearman's rank correlation: Pearson's of the ranks, ties at their mean rank.
///
/// # Panics
/// If the two have different lengths.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<Estimate> {
    let r = product_moment(&ranks(x), &ranks(y))?;
    if !x.iter().chain(y).all(|v| v.is_finite()) {
        return None;
    }
    with_interval(r, x.len(), 3, |n_free| {
        ((1.0 + r * r / 2.0) / n_free).sqrt()
    })
}

/// Kendall's τ-b: (concordant − discordant) / √((pairs − ties in x)(pairs − ties in y)).
///
/// # Panics
/// If the two have different lengths.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<Estimate> {
    assert_eq!(x.len(), y.len(), "one pair per item");
    if !x.iter().chain(y).all(|v| v.is_finite()) {
        return None;
    }
    let (mut balance, mut n_differ_x, mut n_differ_y) = (0_i64, 0_u64, 0_u64);
    for i in 0..x.len() {
        for j in 0..i {
            let (dx, dy) = (order(x[i], x[j]), order(y[i], y[j]));
            balance += dx * dy;
            n_differ_x += u64::from(dx != 0);
            n_differ_y += u64::from(dy != 0);
        }
    }
    if n_differ_x == 0 || n_differ_y == 0 {
        return None;
    }
    let tau = balance as f64 / ((n_differ_x as f64) * (n_differ_y as f64)).sqrt();
    with_interval(tau, x.len(), 4, |n_free| (0.437 / n_free).sqrt())
}

fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

fn with_interval(
    r: f64,
    n: usize,
    n_lost: usize,
    standard_error: impl Fn(f64) -> f64,
) -> Option<Estimate> {
    if n <= n_lost {
        return None;
    }
    let r = r.clamp(-1.0, 1.0);
    if r.abs() == 1.0 {
        return Some(Estimate {
            value: r,
            low: r,
            high: r,
            n,
        });
    }
    let half = Z * standard_error((n - n_lost) as f64);
    Some(Estimate {
        value: r,
        low: (r.atanh() - half).tanh(),
        high: (r.atanh() + half).tanh(),
        n,
    })
}

fn product_moment(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one pair per item");
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let r = xy / (xx.sqrt() * yy.sqrt());
    r.is_finite().then_some(r)
}

/// Ranks from 1, ties at their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..]
            .iter()
            .take_while(|&&i| values[i] == values[order[start]])
            .count()
            .max(1);
        for &i in &order[start..start + tied] {
            // Ranks start + 1 … start + tied, on average:
            ranks[i] = start as f64 + f64::midpoint(tied as f64, 1.0);
        }
        start += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(got: Option<Estimate>, value: f64, low: f64, high: f64) {
        let got = got.unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(
            near(got.value, value) && near(got.low, low) && near(got.high, high),
            "{got:?}"
        );
    }

    #[test]
    fn five_points_by_hand() {
        let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]);
        // dx = −2 … 2, dy = −1 −2 1 0 2: xy = 2 + 2 + 0 + 0 + 4 = 8, xx = yy = 10 → r = .8
        // artanh .8 = 1.0986123; s = 1/√2, half = 1.3859038 → tanh(−.2872915), tanh(2.4845161)
        check(pearson(&x, &y), 0.8, -0.279_640_0, 0.986_196_2);
        // already ranks: ρ = .8; s = √(1.32/2) = .8124038, half = 1.5922823 → tanh(−.49367), tanh(2.6908946)
        check(spearman(&x, &y), 0.8, -0.457_124_4, 0.990_842_9);
        // 10 pairs, 2 discordant: τ = (8 − 2)/10 = .6; artanh .6 = .6931472;
        // s = √(.437/1) = .6610598, half = 1.2956534 → tanh(−.6025062), tanh(1.9888006)
        check(kendall(&x, &y), 0.6, -0.538_830_5, 0.963_227_7);
        // ties: x = 1 1 2 3 4, y = 1 2 3 4 5: 9 of 10 pairs differ in x → 9/√(9 · 10) = .9486833
        let got = kendall(&[1.0, 1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((got.value - 0.948_683_3).abs() < 1e-6);
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
    }

    #[test]
    fn no_correlation_without_two_series() {
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[1.0; 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), None);
        assert_eq!(kendall(&[1.0; 6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), None);
        assert_eq!(
            spearman(&[1.0, f64::NAN, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]),
            None
        );
        assert_eq!(pearson(&[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0]), None);
        let line = pearson(&[1.0, 2.0, 3.0, 4.0], &[2.0, 4.0, 6.0, 8.0]).unwrap();
        assert!(line.low > 0.999_999 && line.high <= 1.0, "{line:?}");
    }

    proptest! {
        #[test]
        fn rank_correlations_see_only_the_order(values in prop::collection::vec((-5.0..5.0_f64, -5.0..5.0_f64), 6..30)) {
            let (x, y): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
            let warped: Vec<f64> = x.iter().map(|x| x.exp()).collect();
            for measure in [spearman, kendall] {
                let (a, b) = (measure(&x, &y).unwrap(), measure(&warped, &y).unwrap());
                prop_assert!((a.value - b.value).abs() < 1e-9);
                prop_assert!(-1.0 <= a.low && a.low <= a.value && a.value <= a.high && a.high <= 1.0);
                let negative: Vec<f64> = y.iter().map(|y| -y).collect();
                prop_assert!((measure(&x, &negative).unwrap().value + a.value).abs() < 1e-9);
            }
        }
    }
}
