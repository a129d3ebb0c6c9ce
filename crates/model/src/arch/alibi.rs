//! ALiBi: attention scores sink with the distance between query and key, at a slope per head.
//!
//! Source: Press, Smith & Lewis 2021, arXiv:2108.12409, and its published code for head counts
//! that are no power of two.

/// The slope of each head: with n = 2^k heads 2^(−8/n), 2^(−16/n) …; else those of the next smaller
/// power of two, then every other one of the next larger.
pub(crate) fn slopes(n_heads: usize) -> Vec<f32> {
    let power = 1_usize << n_heads.ilog2();
    let geometric = |n: usize| {
        let base = 2.0_f64.powf(-8.0 / n as f64);
        move |i: usize| base.powi(i as i32) as f32
    };
    let (first, then) = (geometric(power), geometric(2 * power));
    (1..=power)
        .map(first)
        .chain((0..n_heads - power).map(|i| then(2 * i + 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_halve_for_eight_heads_and_are_interleaved_for_twelve() {
        assert_eq!(
            slopes(8),
            [
                0.5,
                0.25,
                0.125,
                0.0625,
                0.031_25,
                0.015_625,
                0.007_812_5,
                0.003_906_25
            ]
        );
        let twelve = slopes(12);
        // Of sixteen heads: 2^(−1/2), 2^(−3/2), 2^(−5/2), 2^(−7/2).
        assert_eq!(twelve[..8], slopes(8));
        for (slope, power) in twelve[8..].iter().zip([0.5, 1.5, 2.5, 3.5_f32]) {
            assert!((slope - 2.0_f32.powf(-power)).abs() < 1e-6);
        }
        assert_eq!(slopes(1), [0.003_906_25]);
    }
}
