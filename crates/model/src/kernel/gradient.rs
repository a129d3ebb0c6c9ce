//! Passes over rows of the backward direction: norms, non-linearities, softmax, soft caps.
//!
//! Written as [`super::vector`] is: once in plain Rust, the same bytes on every instruction set.
//! `dy` is always the gradient of the loss by the pass's output.

use super::Isa;
use super::vector::{by_isa, exp, lane_sum, lane_sum_of, normal_cdf};

by_isa! {
    /// Mean and 1 / √(mean x² + ε) of an RMS norm; its mean is taken as 0.
    pub(crate) fn rms_statistics(x: &[f32], eps: f32) -> (f32, f32) {
        let sum = lane_sum(x, |x, sum| x.mul_add(x, sum));
        (0.0, 1.0 / (sum / x.len() as f32 + eps).sqrt())
    }
}

by_isa! {
    /// Mean and 1 / √(variance + ε) of a layer norm.
    pub(crate) fn layer_statistics(x: &[f32], eps: f32) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = lane_sum(x, |x, sum| x + sum) / n;
        let sum = lane_sum(x, |x, sum| (x - mean).mul_add(x - mean, sum));
        (mean, 1.0 / (sum / n + eps).sqrt())
    }
}

by_isa! {
    /// Backward of an RMS norm with x̂ = x · scale and g = dy · gain:
    /// `dx = scale · (g − x̂ · mean(g · x̂))`, in place of `dy`.
    pub(crate) fn rms_norm_backward(x: &[f32], gain: &[f32], scale: f32, dy: &mut [f32]) {
        for (dy, w) in dy.iter_mut().zip(gain) {
            *dy *= w;
        }
        let dot = lane_sum_of(x, dy, |x, g, sum| (x * scale).mul_add(g, sum)) / x.len() as f32;
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = scale * (x * scale).mul_add(-dot, *dy);
        }
    }
}

by_isa! {
    /// Backward of a layer norm with x̂ = (x − mean) · scale and g = dy · gain:
    /// `dx = scale · (g − mean(g) − x̂ · mean(g · x̂))`, in place of `dy`.
    pub(crate) fn layer_norm_backward(x: &[f32], gain: &[f32], mean: f32, scale: f32, dy: &mut [f32]) {
        let n = x.len() as f32;
        for (dy, w) in dy.iter_mut().zip(gain) {
            *dy *= w;
        }
        let sum = lane_sum(dy, |g, sum| g + sum) / n;
        let dot = lane_sum_of(x, dy, |x, g, sum| ((x - mean) * scale).mul_add(g, sum)) / n;
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = scale * ((x - mean) * scale).mul_add(-dot, *dy - sum);
        }
    }
}

by_isa! {
    /// `value = x · σ(x)` and its derivative `σ · (1 + x · (1 − σ))`.
    pub(crate) fn silu_slope(x: &[f32], value: &mut [f32], slope: &mut [f32]) {
        for ((x, value), slope) in x.iter().zip(value).zip(slope) {
            let sigma = 1.0 / (1.0 + exp(-x));
            *value = x * sigma;
            *slope = sigma * x.mul_add(1.0 - sigma, 1.0);
        }
    }
}

by_isa! {
    /// `value = x · σ(u)` with u = 2 √(2/π) (x + 0.044715 x³), and its derivative
    /// `σ + x · σ · (1 − σ) · u'`.
    pub(crate) fn gelu_tanh_slope(x: &[f32], value: &mut [f32], slope: &mut [f32]) {
        for ((x, value), slope) in x.iter().zip(value).zip(slope) {
            let inner = 1.595_769 * x * (0.044_715 * x).mul_add(*x, 1.0);
            let inner_slope = 1.595_769 * (0.134_145 * x).mul_add(*x, 1.0);
            let sigma = 1.0 / (1.0 + exp(-inner));
            *value = x * sigma;
            *slope = sigma * (x * inner_slope).mul_add(1.0 - sigma, 1.0);
        }
    }
}

by_isa! {
    /// `value = x · Φ(x)` and its derivative `Φ(x) + x · φ(x)`.
    pub(crate) fn gelu_slope(x: &[f32], value: &mut [f32], slope: &mut [f32]) {
        for ((x, value), slope) in x.iter().zip(value).zip(slope) {
            let cdf = normal_cdf(*x);
            *value = x * cdf;
            // 1 / √(2π)
            *slope = (x * 0.398_942_3).mul_add(exp(-0.5 * x * x), cdf);
        }
    }
}

by_isa! {
    /// Backward of `y = value · up`, where `gate` holds the gate's slope and `up_gradient` its
    /// value: they become the gradients of gate and up.
    pub(crate) fn gate_backward(dy: &[f32], up: &[f32], gate: &mut [f32], up_gradient: &mut [f32]) {
        for (((dy, up), gate), value) in dy.iter().zip(up).zip(gate).zip(up_gradient) {
            *gate *= dy * up;
            *value *= dy;
        }
    }
}

by_isa! {
    /// `x = x · y`.
    pub(crate) fn multiply_by(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x *= y;
        }
    }
}

by_isa! {
    /// `sums += x`, in f64.
    pub(crate) fn add_to_sums(sums: &mut [f64], x: &[f32]) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += f64::from(*x);
        }
    }
}

by_isa! {
    /// `sums += dy · (x − mean) · scale`, in f64: a norm's gain.
    pub(crate) fn add_normed_to_sums(sums: &mut [f64], dy: &[f32], x: &[f32], mean: f32, scale: f32) {
        for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
            *sum += f64::from(dy * (x - mean) * scale);
        }
    }
}

by_isa! {
    /// Derivative of `y = cap · tanh(x / cap)` from its result: `1 − (y / cap)²`.
    pub(crate) fn soft_cap_slope(y: &[f32], cap: f32, slope: &mut [f32]) {
        for (y, slope) in y.iter().zip(slope) {
            let tanh = y / cap;
            *slope = (-tanh).mul_add(tanh, 1.0);
        }
    }
}

by_isa! {
    /// Backward of a softmax with shares `p`: `dx = p · (dy − Σ p · dy)`, in place of `dy`.
    pub(crate) fn softmax_backward(p: &[f32], dy: &mut [f32]) {
        let dot = lane_sum_of(p, dy, f32::mul_add);
        for (dy, p) in dy.iter_mut().zip(p) {
            *dy = p * (*dy - dot);
        }
    }
}

by_isa! {
    /// Backward of `log p(token)` but for the token itself: logits x become
    /// `−d · e^(x − log_sum)`.
    pub(crate) fn log_softmax_backward(x: &mut [f32], log_sum: f32, d: f32) {
        for x in x {
            *x = -d * exp(*x - log_sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Derivative of `f` by each of its inputs, by central differences in f64.
    fn differences(x: &[f32], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let step = 1e-5;
        let moved = |i: usize, by: f64| {
            let mut x = x.clone();
            x[i] += by;
            f(&x)
        };
        (0..x.len())
            .map(|i| (moved(i, step) - moved(i, -step)) / (2.0 * step))
            .collect()
    }

    fn close(found: &[f32], want: &[f64]) -> Result<(), TestCaseError> {
        prop_assert_eq!(found.len(), want.len());
        for (i, (found, want)) in found.iter().zip(want).enumerate() {
            let difference = (f64::from(*found) - want).abs();
            prop_assert!(
                difference < 2e-5 * (1.0 + want.abs()),
                "{}: {} is not {}",
                i,
                found,
                want
            );
        }
        Ok(())
    }

    fn dot(a: &[f64], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum()
    }

    fn mean(x: impl ExactSizeIterator<Item = f64>) -> f64 {
        let n = x.len() as f64;
        x.sum::<f64>() / n
    }

    /// erf by its series: exact to a rounding for the small arguments here.
    fn cdf(x: f64) -> f64 {
        let z = x / 2.0_f64.sqrt();
        let (mut term, mut sum) = (z, z);
        for n in 1..80 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 + sum / std::f64::consts::PI.sqrt()
    }

    fn activation(which: usize, x: f64) -> f64 {
        match which {
            0 => x / (1.0 + (-x).exp()),
            1 => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + u.tanh())
            }
            _ => x * cdf(x),
        }
    }

    fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<f32>)> {
        (2..40_usize).prop_flat_map(|n| {
            let vector = || proptest::collection::vec(-2.0..2.0_f32, n);
            (vector(), vector(), vector())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn norms_agree_with_differences((x, gain, dy) in vectors()) {
            let eps = 0.1_f32;
            let scaled = |x: &[f64], mean: f64| {
                let scale = 1.0 / (self::mean(x.iter().map(|x| (x - mean).powi(2))) + f64::from(eps)).sqrt();
                x.iter().zip(&gain).map(|(x, w)| (x - mean) * scale * f64::from(*w)).collect::<Vec<_>>()
            };
            let rms = differences(&x, |x| dot(&scaled(x, 0.0), &dy));
            let layer = differences(&x, |x| dot(&scaled(x, mean(x.iter().copied())), &dy));
            for isa in Isa::available() {
                let mut dx = dy.clone();
                let (_, scale) = rms_statistics(isa, &x, eps);
                rms_norm_backward(isa, &x, &gain, scale, &mut dx);
                close(&dx, &rms)?;
                let mut dx = dy.clone();
                let (mean, scale) = layer_statistics(isa, &x, eps);
                layer_norm_backward(isa, &x, &gain, mean, scale, &mut dx);
                close(&dx, &layer)?;
            }
        }

        #[test]
        fn non_linearities_agree_with_differences((gate, up, dy) in vectors()) {
            for (which, slope) in [silu_slope, gelu_tanh_slope, gelu_slope].into_iter().enumerate() {
                let all = [gate.clone(), up.clone()].concat();
                let n = gate.len();
                let want = differences(&all, |x| {
                    (0..n).map(|i| activation(which, x[i]) * x[n + i] * f64::from(dy[i])).sum()
                });
                for isa in Isa::available() {
                    let (mut d_gate, mut d_up) = (vec![0.0; n], vec![0.0; n]);
                    slope(isa, &gate, &mut d_up, &mut d_gate);
                    let values: Vec<f64> = gate.iter().map(|x| activation(which, f64::from(*x))).collect();
                    close(&d_up, &values)?;
                    gate_backward(isa, &dy, &up, &mut d_gate, &mut d_up);
                    close(&d_gate, &want[..n])?;
                    close(&d_up, &want[n..])?;
                }
            }
        }

        #[test]
        fn softmax_and_soft_cap_agree_with_differences((x, _, dy) in vectors(), cap in 0.5..4.0_f32) {
            let shares = |x: &[f64]| {
                let total: f64 = x.iter().map(|x| x.exp()).sum();
                x.iter().map(|x| x.exp() / total).collect::<Vec<_>>()
            };
            let capped = |x: &[f64]| x.iter().map(|x| f64::from(cap) * (x / f64::from(cap)).tanh()).collect::<Vec<_>>();
            let f64s: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let p: Vec<f32> = shares(&f64s).into_iter().map(|p| p as f32).collect();
            let y: Vec<f32> = capped(&f64s).into_iter().map(|y| y as f32).collect();
            for isa in Isa::available() {
                let mut dx = dy.clone();
                softmax_backward(isa, &p, &mut dx);
                close(&dx, &differences(&x, |x| dot(&shares(x), &dy)))?;

                let mut dx = vec![0.0; y.len()];
                soft_cap_slope(isa, &y, cap, &mut dx);
                multiply_by(isa, &mut dx, &dy);
                close(&dx, &differences(&x, |x| dot(&capped(x), &dy)))?;

                let mut dx = x.clone();
                let log_sum = f64s.iter().map(|x| x.exp()).sum::<f64>().ln();
                log_softmax_backward(isa, &mut dx, log_sum as f32, 0.7);
                dx[0] += 0.7;
                close(&dx, &differences(&x, |x| 0.7 * shares(x)[0].ln()))?;
            }
        }
    }

    /// x = (3, 4), gain 1, ε 0: mean x² = 12.5; with dy = (1, 0):
    /// dx = s (1, 0) − s³ · mean(dy · x) · x, s = 1 / √12.5, mean(dy · x) = 1.5.
    #[test]
    fn a_worked_norm() {
        let mut dx = [1.0, 0.0];
        let (_, scale) = rms_statistics(Isa::Portable, &[3.0, 4.0], 0.0);
        rms_norm_backward(Isa::Portable, &[3.0, 4.0], &[1.0, 1.0], scale, &mut dx);
        let s = 1.0 / 12.5_f32.sqrt();
        assert!((dx[0] - (s - s.powi(3) * 1.5 * 3.0)).abs() < 1e-6, "{dx:?}");
        assert!((dx[1] + s.powi(3) * 1.5 * 4.0).abs() < 1e-6, "{dx:?}");
    }
}
