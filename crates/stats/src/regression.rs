//! Simple linear regression, for taking a nuisance (length) out of a value.

/// The line y = intercept + slope · x of least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// y at x = 0.
    pub intercept: f64,
    /// Change of y per unit of x; 0 where x does not vary.
    pub slope: f64,
}

impl Line {
    /// y that the line gives for x.
    pub fn at(self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// Least-squares line; `None` for no points or values that are not finite.
///
/// # Panics
/// If the two have different lengths.
pub fn least_squares(x: &[f64], y: &[f64]) -> Option<Line> {
    assert_eq!(x.len(), y.len(), "one pair per item");
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let xx: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let xy: f64 = x
        .iter()
        .zip(y)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    let line = Line {
        intercept: mean_y - slope * mean_x,
        slope,
    };
    (line.intercept.is_finite() && line.slope.is_finite()).then_some(line)
}

/// What of `y` is left when its dependence on `x` is taken out: y − line(x) + mean(y), so that the
/// mean stays. `None` as for [`least_squares`].
///
/// # Panics
/// If the two have different lengths.
pub fn regressed_out(x: &[f64], y: &[f64]) -> Option<Vec<f64>> {
    let line = least_squares(x, y)?;
    let mean_y = y.iter().sum::<f64>() / y.len() as f64;
    Some(
        x.iter()
            .zip(y)
            .map(|(&x, &y)| y - line.at(x) + mean_y)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_points_by_hand() {
        // x = 0 1 2, y = 1 2 6: means 1 and 3; xy = (−1)(−2) + 0 + (1)(3) = 5, xx = 2 → slope 2.5
        let line = least_squares(&[0.0, 1.0, 2.0], &[1.0, 2.0, 6.0]).unwrap();
        assert_eq!((line.intercept, line.slope), (0.5, 2.5));
        // residuals .5 −1 .5, plus the mean 3
        let left = regressed_out(&[0.0, 1.0, 2.0], &[1.0, 2.0, 6.0]).unwrap();
        assert_eq!(left, [3.5, 2.0, 3.5]);
        assert_eq!(least_squares(&[], &[]), None);
        assert_eq!(
            regressed_out(&[2.0, 2.0], &[1.0, 3.0]),
            Some(vec![1.0, 3.0])
        );
        assert_eq!(least_squares(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    }

    proptest! {
        #[test]
        fn nothing_of_x_is_left(points in prop::collection::vec((-5.0..5.0_f64, -5.0..5.0_f64), 3..30)) {
            let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
            let left = regressed_out(&x, &y).unwrap();
            prop_assert!(least_squares(&x, &left).unwrap().slope.abs() < 1e-9);
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            prop_assert!((mean(&left) - mean(&y)).abs() < 1e-9);
        }
    }
}
