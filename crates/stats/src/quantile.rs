//! Quantiles of the two distributions that closed-form intervals need.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// 97.5 % point of the standard normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// 97.5 % point of Student's t with `n_free` ≥ 1 degrees of freedom.
pub(crate) fn t(n_free: usize) -> f64 {
    StudentsT::new(0.0, 1.0, n_free as f64)
        .expect("at least one degree of freedom")
        .inverse_cdf(0.975)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Normal: the t of very many degrees of freedom
        assert!((t(100_000) - Z).abs() < 1e-4);
        // Printed tables: t(.975; 1) = 12.706, t(.975; 11) = 2.201, t(.975; 99) = 1.984
        for (n_free, want) in [(1, 12.706), (11, 2.201), (99, 1.984)] {
            assert!((t(n_free) - want).abs() < 5e-4, "{n_free}: {}", t(n_free));
        }
    }
}
