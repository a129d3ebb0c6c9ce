//! Blocks taken apart: the integers of a row, their scales and minima.
//!
//! For kernels that multiply the integers themselves. `scale · (q − zero)`, or `scale · q + minimum`
//! where the format has minima, evaluated in f32, is what [`super::quant`] gives, bit for bit.

use super::quant::{
    IQ4, fifth_bits, half_at, iq4_xs_scales, k_scales, pair_at, q3_k_scales, u32_at,
};
use super::tensor::Dtype;

/// How a block format stores integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// 4 or 8: bits that an integer needs (five and six bits take eight).
    pub(crate) bits: usize,
    /// Neighboring values that share a scale.
    pub(crate) group: usize,
    /// The integer that stands for 0.
    pub(crate) zero: u8,
    pub(crate) has_minimum: bool,
}

/// The layout of a format; `None` for plain floats.
pub(crate) fn layout(dtype: Dtype) -> Option<Layout> {
    let (bits, group, zero, has_minimum) = match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::BF16 => return None,
        Dtype::Q4_0 => (4, 32, 8, false),
        Dtype::Q4_1 | Dtype::Q4_K => (4, 32, 0, true),
        Dtype::Q2_K => (4, 16, 0, true),
        Dtype::Q3_K => (4, 16, 4, false),
        Dtype::Q8_0 | Dtype::IQ4_NL | Dtype::IQ4_XS => (8, 32, 128, false),
        Dtype::Q5_0 => (8, 32, 16, false),
        Dtype::Q5_1 | Dtype::Q5_K => (8, 32, 0, true),
        Dtype::Q6_K => (8, 16, 32, false),
    };
    Some(Layout {
        bits,
        group,
        zero,
        has_minimum,
    })
}

/// Takes a row apart: `q` has a value each, `scales` and `minima` one for each group. `minima` is
/// left as it is where the format has none.
///
/// # Panics
/// If the format has no integers or `bytes` does not hold exactly `q.len()` values.
pub(crate) fn split_row(
    dtype: Dtype,
    bytes: &[u8],
    q: &mut [u8],
    scales: &mut [f32],
    minima: &mut [f32],
) {
    assert_eq!(
        dtype.n_bytes(q.len()),
        Some(bytes.len()),
        "bytes of {} values of {dtype}",
        q.len()
    );
    let per_block = dtype.block_len() / layout(dtype).map_or(1, |layout| layout.group);
    let blocks = bytes
        .chunks_exact(dtype.block_bytes())
        .zip(q.chunks_exact_mut(dtype.block_len()))
        .zip(scales.chunks_exact_mut(per_block))
        .zip(minima.chunks_exact_mut(per_block));
    for (((block, q), scales), minima) in blocks {
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => unreachable!("floats have no integers"),
            Dtype::Q8_0 => {
                scales[0] = half_at(block, 0);
                for (q, stored) in q.iter_mut().zip(&block[2..]) {
                    // −128 … 127 -> 0 … 255
                    *q = stored ^ 0x80;
                }
            }
            Dtype::Q4_0 => {
                scales[0] = half_at(block, 0);
                nibbles(&block[2..], q);
            }
            Dtype::Q4_1 => {
                (scales[0], minima[0]) = (half_at(block, 0), half_at(block, 2));
                nibbles(&block[4..], q);
            }
            Dtype::Q5_0 => {
                scales[0] = half_at(block, 0);
                nibbles(&block[6..], q);
                add_fifths(u32_at(block, 2), q);
            }
            Dtype::Q5_1 => {
                (scales[0], minima[0]) = (half_at(block, 0), half_at(block, 2));
                nibbles(&block[8..], q);
                add_fifths(u32_at(block, 4), q);
            }
            Dtype::Q2_K => {
                let (d, dmin) = (half_at(block, 80), half_at(block, 82));
                for (i, both) in block[..16].iter().enumerate() {
                    scales[i] = d * f32::from(both & 15);
                    // Taken away there, added here.
                    minima[i] = -(dmin * f32::from(both >> 4));
                }
                two_bits(&block[16..80], q);
            }
            Dtype::Q3_K => {
                let d = half_at(block, 108);
                for (scale, stored) in scales.iter_mut().zip(q3_k_scales(&block[96..108])) {
                    *scale = d * f32::from(stored);
                }
                two_bits(&block[32..96], q);
                for (i, q) in q.chunks_exact_mut(32).enumerate() {
                    for (q, third) in q.iter_mut().zip(&block[..32]) {
                        *q |= (third >> i & 1) << 2;
                    }
                }
            }
            Dtype::IQ4_NL => {
                scales[0] = half_at(block, 0);
                values(&block[2..], q);
            }
            Dtype::IQ4_XS => {
                let d = half_at(block, 0);
                for (scale, stored) in scales.iter_mut().zip(iq4_xs_scales(block)) {
                    *scale = d * f32::from(stored);
                }
                for (q, stored) in q.chunks_exact_mut(32).zip(block[8..].chunks_exact(16)) {
                    values(stored, q);
                }
            }
            Dtype::Q4_K => {
                k_numbers(block, scales, minima);
                for (q, stored) in q.chunks_exact_mut(64).zip(block[16..].chunks_exact(32)) {
                    nibbles(stored, q);
                }
            }
            Dtype::Q5_K => {
                k_numbers(block, scales, minima);
                let fifths = &block[16..48];
                let pairs = q.chunks_exact_mut(64).zip(block[48..].chunks_exact(32));
                for (pair, (q, stored)) in pairs.enumerate() {
                    nibbles(stored, q);
                    let (low, high) = q.split_at_mut(32);
                    for ((low, high), fifth) in low.iter_mut().zip(high).zip(fifths) {
                        *low |= ((fifth >> (2 * pair)) & 1) << 4;
                        *high |= ((fifth >> (2 * pair + 1)) & 1) << 4;
                    }
                }
            }
            Dtype::Q6_K => {
                let d = half_at(block, 208);
                for (scale, stored) in scales.iter_mut().zip(&block[192..208]) {
                    *scale = d * f32::from(*stored as i8);
                }
                six_bits(block, q);
            }
        }
    }
}

/// Half of the values from the low nibbles, the other half from the high ones.
fn nibbles(stored: &[u8], q: &mut [u8]) {
    let (low, high) = q.split_at_mut(stored.len());
    for ((low, high), stored) in low.iter_mut().zip(high).zip(stored) {
        (*low, *high) = (stored & 15, stored >> 4);
    }
}

/// As [`nibbles`], each replaced by its value (128 stands for 0).
fn values(stored: &[u8], q: &mut [u8]) {
    nibbles(stored, q);
    for q in q {
        *q = IQ4[usize::from(*q)] as u8 ^ 0x80;
    }
}

/// The two-bit integers of 256 values.
fn two_bits(stored: &[u8], q: &mut [u8]) {
    for (i, q) in q.chunks_exact_mut(32).enumerate() {
        let (first, shift) = pair_at(i / 4, i % 4);
        for (q, stored) in q.iter_mut().zip(&stored[first..]) {
            *q = (stored >> shift) & 3;
        }
    }
}

fn add_fifths(bits: u32, q: &mut [u8]) {
    let (low, high) = q.split_at_mut(16);
    for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let (fifth_low, fifth_high) = fifth_bits(bits, i);
        *low |= fifth_low;
        *high |= fifth_high;
    }
}

fn k_numbers(block: &[u8], to_scales: &mut [f32], to_minima: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, minima) = k_scales(&block[4..16]);
    for i in 0..8 {
        to_scales[i] = d * f32::from(scales[i]);
        // Taken away there, added here.
        to_minima[i] = -(dmin * f32::from(minima[i]));
    }
}

fn six_bits(block: &[u8], q: &mut [u8]) {
    for (half, q) in q.chunks_exact_mut(128).enumerate() {
        let low = &block[64 * half..64 * half + 64];
        let high = &block[128 + 32 * half..128 + 32 * half + 32];
        for (quarter, q) in q.chunks_exact_mut(32).enumerate() {
            // Quarters 0 and 2 are the low and high nibbles of bytes 0–31, 1 and 3 of bytes 32–63.
            let nibbles = &low[32 * (quarter % 2)..32 * (quarter % 2) + 32];
            let (nibble_shift, pair_shift) = (4 * (quarter / 2), 2 * quarter);
            for ((q, nibble), pair) in q.iter_mut().zip(nibbles).zip(high) {
                *q = ((nibble >> nibble_shift) & 15) | (((pair >> pair_shift) & 3) << 4);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::quant::dequantize_row;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any bytes, every format: integers, scales and minima give the value of the reference.
        #[test]
        fn integers_on_their_grid_are_the_values(seed: u64, n_blocks in 1..4_usize) {
            for dtype in Dtype::ALL {
                let Some(layout) = layout(dtype) else { continue };
                let n = n_blocks * dtype.block_len();
                let mut state = seed | 1;
                let bytes: Vec<u8> = (0..dtype.n_bytes(n).unwrap())
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 56) as u8
                    })
                    .collect();
                let mut want = vec![0.0; n];
                dequantize_row(dtype, &bytes, &mut want);
                let (mut q, mut scales, mut minima) =
                    (vec![0; n], vec![0.0; n / layout.group], vec![0.0; n / layout.group]);
                split_row(dtype, &bytes, &mut q, &mut scales, &mut minima);
                for (i, (q, want)) in q.iter().zip(want).enumerate() {
                    prop_assert!(layout.bits == 8 || *q < 16);
                    let (scale, minimum) = (scales[i / layout.group], minima[i / layout.group]);
                    let found = if layout.has_minimum {
                        scale * f32::from(*q) + minimum
                    } else {
                        scale * (f32::from(*q) - f32::from(layout.zero))
                    };
                    if want.is_finite() {
                        prop_assert_eq!(found.to_bits(), want.to_bits(), "{} value {}", dtype, i);
                    }
                }
            }
        }
    }
}
