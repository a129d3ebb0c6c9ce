//! Passes over rows: exponential, norms, gates, softmax, log-sum-exp.
//!
//! Written once in plain Rust and compiled for each instruction set; `mul_add` is one rounding
//! everywhere, so all versions give the same bytes. Sums run in sixteen lanes.

use super::Isa;

/// Lanes of every sum: element i is added to lane i mod 16.
pub(crate) const LANES: usize = 16;

/// Compiles a function for each instruction set and chooses at run time.
macro_rules! by_isa {
    ($(#[$doc:meta])* pub(crate) fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name(isa: Isa, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "compiled into each version below")]
            fn body($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            fn avx512($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
            match isa {
                #[cfg(target_arch = "x86_64")]
                #[expect(unsafe_code, reason = "needs the instruction set")]
                // SAFETY: an `Isa` is only made where the processor has it.
                Isa::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                #[expect(unsafe_code, reason = "needs the instruction set")]
                // SAFETY: an `Isa` is only made where the processor has it.
                Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => body($($arg),*),
            }
        }
    };
}
pub(crate) use by_isa;

/// `eˣ`, relative error below 2e-7; 0 below −87.3, never infinite.
///
/// Source: Cephes `expf` (range reduction by ln 2 in two parts, polynomial of degree 6).
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "must be compiled into each version of its callers"
)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
    let clamped = x.clamp(-87.3, 88.3);
    let rounded = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_6e-1);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r + 1.0);
    // n + 127 into the exponent's place; the low bits of `rounded` hold n.
    let scale = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { p * scale }
}

/// Folds sixteen lanes in a fixed tree.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled into each version of its callers"
)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum of `f(x)` over a row, in lanes.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled into each version of its callers"
)]
pub(crate) fn lane_sum(row: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    for (lane, x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = f(*x, *lane);
    }
    // The remainder is added first: each lane's order is still fixed by the row's length alone.
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*x, *lane);
        }
    }
    fold(lanes, |a, b| a + b)
}

/// Sum of `f(x, y)` over two rows of one length, in lanes as [`lane_sum`].
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled into each version of its callers"
)]
pub(crate) fn lane_sum_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rests = x.remainder().iter().zip(y.remainder());
    for (lane, (x, y)) in lanes.iter_mut().zip(rests) {
        *lane = f(*x, *y, *lane);
    }
    for (x, y) in x.zip(y) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane = f(*x, *y, *lane);
        }
    }
    fold(lanes, |a, b| a + b)
}

by_isa! {
    /// RMS norm of `x` into `out`: `x / √(mean x² + ε) · weight`. Returns Σx², which is finite
    /// exactly when the row is (and its squares do not overflow).
    pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) -> f32 {
        let sum = lane_sum(x, |x, sum| x.mul_add(x, sum));
        let scale = 1.0 / (sum / x.len() as f32 + eps).sqrt();
        for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * w;
        }
        sum
    }
}

by_isa! {
    /// RMS norm in place.
    pub(crate) fn rms_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
        let sum = lane_sum(x, |x, sum| x.mul_add(x, sum));
        let scale = 1.0 / (sum / x.len() as f32 + eps).sqrt();
        for (x, w) in x.iter_mut().zip(weight) {
            *x = *x * scale * w;
        }
    }
}

by_isa! {
    /// Layer norm of `x` into `out`: `(x − mean) / √(variance + ε) · weight (+ bias)`; an empty
    /// bias is none. Returns Σ(x − mean)², which is finite exactly when the row is (and its squares
    /// do not overflow).
    pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) -> f32 {
        let n = x.len() as f32;
        let mean = lane_sum(x, |x, sum| x + sum) / n;
        let sum = lane_sum(x, |x, sum| (x - mean).mul_add(x - mean, sum));
        let scale = 1.0 / (sum / n + eps).sqrt();
        for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
            *out = (x - mean) * scale * w;
        }
        for (out, b) in out.iter_mut().zip(bias) {
            *out += b;
        }
        sum
    }
}

by_isa! {
    /// Layer norm without bias in place.
    pub(crate) fn layer_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) {
        let n = x.len() as f32;
        let mean = lane_sum(x, |x, sum| x + sum) / n;
        let sum = lane_sum(x, |x, sum| (x - mean).mul_add(x - mean, sum));
        let scale = 1.0 / (sum / n + eps).sqrt();
        for (x, w) in x.iter_mut().zip(weight) {
            *x = (*x - mean) * scale * w;
        }
    }
}

by_isa! {
    /// `x += y`.
    pub(crate) fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

by_isa! {
    /// `out = g · σ(g) · u`.
    pub(crate) fn silu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
            *out = g / (1.0 + exp(-g)) * u;
        }
    }
}

by_isa! {
    /// `out = gelu(g) · u`, gelu in its tanh form: `g · σ(2 √(2/π) (g + 0.044715 g³))`.
    pub(crate) fn gelu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
            let inner = 1.595_769 * g * (0.044_715 * g).mul_add(*g, 1.0);
            *out = g / (1.0 + exp(-inner)) * u;
        }
    }
}

/// `tanh x`, absolute error below 4e-7.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "must be compiled into each version of its callers"
)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// `Φ(x)`, the normal distribution's function, absolute error below 2e-7.
///
/// Source: Abramowitz & Stegun 1964, 7.1.26, for erf: Φ(x) = (1 + erf(x / √2)) / 2.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "must be compiled into each version of its callers"
)]
pub(crate) fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / 0.327_591_1_f32.mul_add(z, 1.0);
    let p = 1.061_405_4_f32.mul_add(t, -1.453_152);
    let p = p.mul_add(t, 1.421_413_7);
    let p = p.mul_add(t, -0.284_496_73);
    let p = p.mul_add(t, 0.254_829_6);
    let tail = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

by_isa! {
    /// `x = x · σ(x)`.
    pub(crate) fn silu(x: &mut [f32]) {
        for x in x {
            *x /= 1.0 + exp(-*x);
        }
    }
}

by_isa! {
    /// `x = gelu(x)` in its tanh form.
    pub(crate) fn gelu_tanh(x: &mut [f32]) {
        for x in x {
            let inner = 1.595_769 * *x * (0.044_715 * *x).mul_add(*x, 1.0);
            *x /= 1.0 + exp(-inner);
        }
    }
}

by_isa! {
    /// `x = x · Φ(x)`.
    pub(crate) fn gelu(x: &mut [f32]) {
        for x in x {
            *x *= normal_cdf(*x);
        }
    }
}

by_isa! {
    /// `out = g · Φ(g) · u`.
    pub(crate) fn exact_gelu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
            *out = g * normal_cdf(*g) * u;
        }
    }
}

by_isa! {
    /// `x = cap · tanh(x / cap)`.
    pub(crate) fn soft_cap(x: &mut [f32], cap: f32) {
        for x in x {
            *x = cap * tanh(*x / cap);
        }
    }
}

by_isa! {
    /// `x[i] += slope · (first + i)`: what ALiBi adds to the scores of neighboring positions.
    pub(crate) fn add_slope(x: &mut [f32], slope: f32, first: f32) {
        for (i, x) in x.iter_mut().enumerate() {
            *x = slope.mul_add(first + i as f32, *x);
        }
    }
}

by_isa! {
    /// `x = x · factor`.
    pub(crate) fn multiply(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }
}

by_isa! {
    /// `e^(x − max x)` in place over `from..to`, 0 elsewhere; returns the sum.
    ///
    /// Lanes count from the start of the slice, so the sum does not depend on how much masked
    /// room (whole multiples of 16) lies before.
    pub(crate) fn softmax_weights(x: &mut [f32], from: usize, to: usize) -> f32 {
        x[..from].fill(0.0);
        x[to..].fill(0.0);
        let mut maxima = [f32::NEG_INFINITY; LANES];
        let chunks = x[from..to].chunks_exact(LANES);
        for (max, x) in maxima.iter_mut().zip(chunks.remainder()) {
            *max = max.max(*x);
        }
        for chunk in chunks {
            for (max, x) in maxima.iter_mut().zip(chunk) {
                *max = max.max(*x);
            }
        }
        let max = fold(maxima, f32::max);
        for x in &mut x[from..to] {
            *x = exp(*x - max);
        }
        let mut lanes = [0.0; LANES];
        let chunks = x[..to].chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane += x;
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += x;
        }
        fold(lanes, |a, b| a + b)
    }
}

by_isa! {
    /// `out = x · factor + 0`: the sum with +0 turns −0 into +0.
    pub(crate) fn scale(x: &[f32], factor: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * factor + 0.0;
        }
    }
}

by_isa! {
    /// Largest value (−∞ of an empty row).
    pub(crate) fn max(x: &[f32]) -> f32 {
        let mut maxima = [f32::NEG_INFINITY; LANES];
        let chunks = x.chunks_exact(LANES);
        for (max, x) in maxima.iter_mut().zip(chunks.remainder()) {
            *max = max.max(*x);
        }
        for chunk in chunks {
            for (max, x) in maxima.iter_mut().zip(chunk) {
                *max = max.max(*x);
            }
        }
        fold(maxima, f32::max)
    }
}

by_isa! {
    /// `Σ e^(x − shift)` over a row.
    pub(crate) fn sum_exp(x: &[f32], shift: f32) -> f32 {
        lane_sum(x, |x, sum| sum + exp(x - shift))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_exponential_is_exact_to_a_rounding() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1_000.0;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) / want - 1.0).abs() < 2.5e-7, "e^{x}");
        }
        assert_eq!(
            [exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)],
            [1.0, 0.0, 0.0]
        );
        assert!(exp(1e9).is_finite() && exp(f32::NAN).is_nan());
    }

    proptest! {
        /// Every instruction set gives the same bytes, and values near those of f64.
        #[test]
        fn passes_agree(x in proptest::collection::vec(-6.0..6.0_f32, 1..120), from in 0..60_usize) {
            let from = from.min(x.len() - 1);
            let total: f64 = x[from..].iter().map(|x| f64::from(*x).exp()).sum();
            let weights = vec![0.5; x.len()];
            let all: Vec<_> = Isa::available().into_iter().map(|isa| {
                let (mut soft, mut normed) = (x.clone(), vec![0.0; x.len()]);
                let (mut silu, mut gelu) = (normed.clone(), normed.clone());
                let sum = softmax_weights(isa, &mut soft, from, x.len());
                rms_norm(isa, &x, &weights, 1e-6, &mut normed);
                silu_gate(isa, &x, &x, &mut silu);
                gelu_gate(isa, &x, &x, &mut gelu);
                let top = max(isa, &x);
                (soft, sum, normed, silu, gelu, top, sum_exp(isa, &x, top))
            }).collect();
            for other in &all[1..] {
                prop_assert_eq!(&all[0], other);
            }
            let (soft, sum, normed, ..) = &all[0];
            let square: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
            for (i, value) in x.iter().enumerate() {
                let share = if i < from { 0.0 } else { f64::from(*value).exp() / total };
                prop_assert!((f64::from(soft[i] / sum) - share).abs() < 1e-6);
                let want = f64::from(*value) / (square + 1e-6).sqrt() * 0.5;
                prop_assert!((f64::from(normed[i]) - want).abs() < 1e-5);
            }
        }
    }
}
