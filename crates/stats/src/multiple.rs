//! Many tests at once: control of the share of false findings.

/// Benjamini–Hochberg adjusted p-values (q-values), in the order given.
///
/// qᵢ = min over ranks j ≥ rank(i) of p₍ⱼ₎ · m / j, at most 1. Findings with q ≤ .05 are false in
/// 5 % of cases at most on average, for independent or positively dependent tests.
/// Source: Benjamini & Hochberg 1995, JRSS B 57:289.
///
/// # Panics
/// If a p-value is not in `[0, 1]`.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    assert!(
        p_values.iter().all(|p| (0.0..=1.0).contains(p)),
        "p-values lie in [0, 1]"
    );
    let m = p_values.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&i, &j| p_values[i].total_cmp(&p_values[j]));
    let mut adjusted = vec![0.0; m];
    let mut least = 1.0_f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        least = least.min(p_values[i] * m as f64 / (rank + 1) as f64);
        // m · p / m may round to a last digit below p.
        adjusted[i] = least.max(p_values[i]);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_tests_by_hand() {
        // sorted .01 .02 .03 .5, m = 4: .04, .04, .04, .5 → from the top: .5, .04, .04, .04
        let got = benjamini_hochberg(&[0.02, 0.5, 0.01, 0.03]);
        for (got, want) in got.iter().zip([0.04, 0.5, 0.04, 0.04]) {
            assert!((got - want).abs() < 1e-12, "{got}");
        }
        assert!(benjamini_hochberg(&[]).is_empty());
        assert_eq!(benjamini_hochberg(&[0.3]), [0.3]);
    }

    proptest! {
        #[test]
        fn adjusting_never_helps_and_keeps_the_order(p in prop::collection::vec(0.0..=1.0_f64, 1..40)) {
            let q = benjamini_hochberg(&p);
            for i in 0..p.len() {
                prop_assert!(q[i] >= p[i] && q[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || q[i] <= q[j]);
                }
            }
        }
    }
}
