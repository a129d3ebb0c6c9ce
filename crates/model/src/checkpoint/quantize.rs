//! From f32 to stored blocks, with llama.cpp's reference quantizers: the inverse of
//! [`super::quant`].
//!
//! Bytes are those of `llama-quantize` without an importance matrix: the same sums in the same
//! order, in f32, rounded after each operation (never contracted), and its `nearest_int`.
//!
//! Source: `ggml-quants.c` of llama.cpp at 0c1e570 (`quantize_row_*_ref`, `make_qx_quants`,
//! `make_q3_quants`, `make_qkx2_quants`), read for the order of operations.

use half::{bf16, f16};

use super::tensor::Dtype;

/// Formats that can be written.
pub const WRITABLE: [Dtype; 13] = [
    Dtype::F32,
    Dtype::F16,
    Dtype::BF16,
    Dtype::Q8_0,
    Dtype::Q4_0,
    Dtype::Q4_1,
    Dtype::Q5_0,
    Dtype::Q5_1,
    Dtype::Q2_K,
    Dtype::Q3_K,
    Dtype::Q4_K,
    Dtype::Q5_K,
    Dtype::Q6_K,
];

/// Values in a storage format: one of [`WRITABLE`].
///
/// # Panics
/// For another format, or if `values` is no whole number of blocks.
pub fn quantize(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    let n_bytes = dtype.n_bytes(values.len());
    let mut out = Vec::with_capacity(n_bytes.unwrap_or_else(|| {
        panic!(
            "{} values are no whole number of {dtype} blocks",
            values.len()
        )
    }));
    match dtype {
        Dtype::F32 => out.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        Dtype::F16 => out.extend(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
        Dtype::BF16 => out.extend(values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes())),
        Dtype::Q8_0 => blocks(values, &mut out, q8_0),
        Dtype::Q4_0 => blocks(values, &mut out, q4_0),
        Dtype::Q4_1 => blocks(values, &mut out, q4_1),
        Dtype::Q5_0 => blocks(values, &mut out, q5_0),
        Dtype::Q5_1 => blocks(values, &mut out, q5_1),
        Dtype::Q2_K => blocks(values, &mut out, q2_k),
        Dtype::Q3_K => blocks(values, &mut out, q3_k),
        Dtype::Q4_K => blocks(values, &mut out, q4_k),
        Dtype::Q5_K => blocks(values, &mut out, q5_k),
        Dtype::Q6_K => blocks(values, &mut out, q6_k),
        Dtype::IQ4_NL | Dtype::IQ4_XS => panic!("writing {dtype} is not implemented"),
    }
    out
}

fn blocks<const N: usize>(values: &[f32], out: &mut Vec<u8>, block: fn(&[f32; N], &mut Vec<u8>)) {
    for values in values.as_chunks::<N>().0 {
        block(values, out);
    }
}

fn put_half(out: &mut Vec<u8>, x: f32) {
    out.extend(f16::from_f32(x).to_le_bytes());
}

/// What a 16-bit scale is read back as.
fn as_half(x: f32) -> f32 {
    f16::from_f32(x).to_f32()
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// d = largest magnitude / 127; integers are rounded half away from zero.
fn q8_0(values: &[f32; 32], out: &mut Vec<u8>) {
    let largest = values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let d = largest / 127.0;
    let id = inverse(d);
    put_half(out, d);
    out.extend(values.iter().map(|x| (x * id).round() as i8 as u8));
}

/// The value of largest magnitude, the first of equals.
fn extreme(values: &[f32]) -> f32 {
    (values.iter()).fold(0.0_f32, |max, x| if x.abs() > max.abs() { *x } else { max })
}

fn bounds(values: &[f32]) -> (f32, f32) {
    (values.iter()).fold((f32::MAX, -f32::MAX), |(min, max), &x| {
        (if x < min { x } else { min }, if x > max { x } else { max })
    })
}

/// d = the value of largest magnitude / −8, so that this value becomes nibble 0.
fn q4_0(values: &[f32; 32], out: &mut Vec<u8>) {
    let d = extreme(values) / -8.0;
    let id = inverse(d);
    put_half(out, d);
    put_nibbles(values, out, |x| ((x * id + 8.5) as i8).clamp(0, 15) as u8);
}

/// d = (largest − smallest) / 15 from the smallest on.
fn q4_1(values: &[f32; 32], out: &mut Vec<u8>) {
    let (min, max) = bounds(values);
    let d = (max - min) / 15.0;
    let id = inverse(d);
    put_half(out, d);
    put_half(out, min);
    put_nibbles(values, out, |x| {
        (((x - min) * id + 0.5) as i8).clamp(0, 15) as u8
    });
}

/// Values 0–15 are the low nibbles, 16–31 the high ones.
fn put_nibbles(values: &[f32; 32], out: &mut Vec<u8>, nibble: impl Fn(f32) -> u8) {
    let (low, high) = values.split_at(16);
    out.extend((low.iter().zip(high)).map(|(low, high)| nibble(*low) | nibble(*high) << 4));
}

/// d = the value of largest magnitude / −16.
fn q5_0(values: &[f32; 32], out: &mut Vec<u8>) {
    let d = extreme(values) / -16.0;
    let id = inverse(d);
    put_half(out, d);
    put_fives(values, out, |x| ((x * id + 16.5) as i8).clamp(0, 31) as u8);
}

/// d = (largest − smallest) / 31 from the smallest on.
fn q5_1(values: &[f32; 32], out: &mut Vec<u8>) {
    let (min, max) = bounds(values);
    let d = (max - min) / 31.0;
    let id = inverse(d);
    put_half(out, d);
    put_half(out, min);
    put_fives(values, out, |x| ((x - min) * id + 0.5) as u8);
}

/// Fifth bits (value i at bit i), then the nibbles.
fn put_fives(values: &[f32; 32], out: &mut Vec<u8>, five: impl Fn(f32) -> u8) {
    let fives = values.map(five);
    let bits = (fives.iter().enumerate()).fold(0_u32, |bits, (i, five)| {
        bits | u32::from(five >> 4 & 1) << i
    });
    out.extend(bits.to_le_bytes());
    let (low, high) = fives.split_at(16);
    out.extend((low.iter().zip(high)).map(|(low, high)| low & 15 | (high & 15) << 4));
}

/// Rounds half to even by adding 1.5 · 2²³; exact below 2²², and the reference's bits beyond.
fn nearest_int(x: f32) -> i32 {
    let bits = (x + 12_582_912.0).to_bits() as i32;
    (bits & 0x007f_ffff) - 0x0040_0000
}

/// Below this magnitude a group is zero.
const ZERO_BELOW: f32 = 1e-15;

/// A scale for signed integers in `−n_max .. n_max` that minimizes the squared error weighted by
/// x², and the integers plus `n_max`.
fn signed_group<const N: usize>(n_max: i32, values: &[f32; N]) -> (f32, [u8; N]) {
    let max = extreme(values);
    if max.abs() < ZERO_BELOW {
        return (0.0, [0; N]);
    }
    let integers = |inverse: f32| values.map(|x| nearest_int(inverse * x).clamp(-n_max, n_max - 1));
    let shifted = |integers: &[i32; N]| integers.map(|l| (l + n_max) as u8);
    let sums = |integers: &[i32; N]| {
        let (mut sum_lx, mut sum_l2) = (0.0_f32, 0.0_f32);
        for (x, l) in values.iter().zip(integers) {
            let (w, l) = (x * x, *l as f32);
            sum_lx += w * x * l;
            sum_l2 += w * l * l;
        }
        (sum_lx, sum_l2)
    };
    let first = integers(-(n_max as f32) / max);
    let mut chosen = shifted(&first);
    let (sum_lx, sum_l2) = sums(&first);
    let mut scale = if sum_l2 == 0.0 { 0.0 } else { sum_lx / sum_l2 };
    let mut best = scale * sum_lx;
    for step in (-9..=9).filter(|step| *step != 0) {
        let tried = integers(-(n_max as f32 + 0.1 * step as f32) / max);
        let (sum_lx, sum_l2) = sums(&tried);
        if sum_l2 > 0.0 && sum_lx * sum_lx > best * sum_l2 {
            chosen = shifted(&tried);
            scale = sum_lx / sum_l2;
            best = scale * sum_lx;
        }
    }
    (scale, chosen)
}

/// A scale for integers −4 … 3, each moved while the error weighted by x² falls, and the integers
/// plus 4 (0 in a group of zeros, as in the reference).
fn three_bit_group(values: &[f32; 16]) -> (f32, [u8; 16]) {
    let max = extreme(values);
    if max.abs() < ZERO_BELOW {
        return (0.0, [0; 16]);
    }
    let inverse = -4.0 / max;
    let mut integers = values.map(|x| nearest_int(inverse * x).clamp(-4, 3));
    let (mut sum_lx, mut sum_l2) = (0.0_f32, 0.0_f32);
    for (x, l) in values.iter().zip(&integers) {
        let (w, l) = (x * x, *l as f32);
        sum_lx += w * x * l;
        sum_l2 += w * l * l;
    }
    for _ in 0..5 {
        let mut has_changed = false;
        for (x, integer) in values.iter().zip(&mut integers) {
            let (w, l) = (x * x, *integer as f32);
            let mut other_lx = sum_lx - w * x * l;
            if other_lx <= 0.0 {
                continue;
            }
            let mut other_l2 = sum_l2 - w * l * l;
            let moved = nearest_int(x * other_l2 / other_lx).clamp(-4, 3);
            if moved == *integer {
                continue;
            }
            other_lx += w * x * moved as f32;
            other_l2 += w * moved as f32 * moved as f32;
            if other_l2 > 0.0 && other_lx * other_lx * sum_l2 > sum_lx * sum_lx * other_l2 {
                *integer = moved;
                (sum_lx, sum_l2) = (other_lx, other_l2);
                has_changed = true;
            }
        }
        if !has_changed {
            break;
        }
    }
    let scale = if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 };
    (scale, integers.map(|l| (l + 4) as u8))
}

/// How a group with a minimum is searched.
struct Search {
    /// Largest integer.
    n_max: i32,
    /// First offset of the inverse scale, and how many steps of .1 follow.
    from: f32,
    n_steps: i32,
    /// Error of a difference.
    error: fn(f32) -> f32,
}

/// Scale, minus minimum, and integers 0 … `n_max` of a group: the pair of scale and minimum with the
/// least weighted error among those tried.
fn group_with_minimum<const N: usize>(
    search: &Search,
    values: &[f32; N],
    weights: &[f32; N],
) -> (f32, f32, [u8; N]) {
    let (mut min, mut max) = (values[0], values[0]);
    let mut sum_w = weights[0];
    let mut sum_x = sum_w * values[0];
    for (&x, w) in values.iter().zip(weights).skip(1) {
        if x < min {
            min = x;
        }
        if x > max {
            max = x;
        }
        sum_w += w;
        sum_x += w * x;
    }
    if min > 0.0 {
        min = 0.0;
    }
    if max == min {
        return (0.0, -min, [0; N]);
    }
    let n_max = search.n_max;
    let integers = |inverse: f32, minimum: f32| {
        values.map(|x| nearest_int(inverse * (x - minimum)).clamp(0, n_max) as u8)
    };
    let error = |scale: f32, minimum: f32, integers: &[u8; N]| {
        let mut error = 0.0_f32;
        for ((x, w), l) in values.iter().zip(weights).zip(integers) {
            error += w * (search.error)(scale * f32::from(*l) + minimum - x);
        }
        error
    };
    let inverse = n_max as f32 / (max - min);
    let mut chosen = integers(inverse, min);
    let (mut scale, mut minimum) = (1.0 / inverse, min);
    let mut best = error(scale, minimum, &chosen);
    for step in 0..=search.n_steps {
        // From the minimum found so far, not from the group's own.
        let n_steps = search.from + 0.1 * step as f32 + n_max as f32;
        let tried = integers(n_steps / (max - minimum), minimum);
        let (mut sum_l, mut sum_l2, mut sum_xl) = (0.0_f32, 0.0_f32, 0.0_f32);
        for ((x, w), l) in values.iter().zip(weights).zip(&tried) {
            let l = f32::from(*l);
            sum_l += w * l;
            sum_l2 += w * l * l;
            sum_xl += w * l * x;
        }
        let determinant = sum_w * sum_l2 - sum_l * sum_l;
        if determinant > 0.0 {
            let mut this_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
            let mut this_minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
            if this_minimum > 0.0 {
                this_minimum = 0.0;
                this_scale = sum_xl / sum_l2;
            }
            let this_error = error(this_scale, this_minimum, &tried);
            if this_error < best {
                (best, chosen) = (this_error, tried);
                (scale, minimum) = (this_scale, this_minimum);
            }
        }
    }
    (scale, -minimum, chosen)
}

fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0_f32, |max, &x| if x > max { x } else { max })
}

/// Two-bit values, four of one byte 32 apart.
fn put_pairs(integers: &[u8; 256], out: &mut Vec<u8>) {
    for half in integers.as_chunks::<128>().0 {
        out.extend((0..32).map(|i| {
            half[i] & 3
                | (half[i + 32] & 3) << 2
                | (half[i + 64] & 3) << 4
                | (half[i + 96] & 3) << 6
        }));
    }
}

fn q2_k(values: &[f32; 256], out: &mut Vec<u8>) {
    const SEARCH: Search = Search {
        n_max: 3,
        from: -0.5,
        n_steps: 15,
        error: f32::abs,
    };
    let (mut scales, mut minima, mut integers) = ([0.0; 16], [0.0; 16], [0; 256]);
    for (i, group) in values.as_chunks::<16>().0.iter().enumerate() {
        let found = group_with_minimum(&SEARCH, group, &group.map(f32::abs));
        (scales[i], minima[i]) = (found.0, found.1);
        integers[16 * i..16 * i + 16].copy_from_slice(&found.2);
    }
    let four_bits = |values: &[f32; 16]| -> (f32, [u8; 16]) {
        let max = largest(values);
        if max > 0.0 {
            let inverse = 15.0 / max;
            (max / 15.0, values.map(|x| nearest_int(inverse * x) as u8))
        } else {
            (0.0, [0; 16])
        }
    };
    let (d, scale_bits) = four_bits(&scales);
    let (dmin, minimum_bits) = four_bits(&minima);
    let packed: [u8; 16] = std::array::from_fn(|i| scale_bits[i] | minimum_bits[i] << 4);
    for (i, (group, integers)) in pairs_of::<16>(values, &mut integers).enumerate() {
        let scale = as_half(d) * f32::from(packed[i] & 15);
        if scale != 0.0 {
            let minimum = as_half(dmin) * f32::from(packed[i] >> 4);
            *integers = group.map(|x| nearest_int((x + minimum) / scale).clamp(0, 3) as u8);
        }
    }
    out.extend(packed);
    put_pairs(&integers, out);
    put_half(out, d);
    put_half(out, dmin);
}

/// Groups of values with their integers.
fn pairs_of<'a, const N: usize>(
    values: &'a [f32; 256],
    integers: &'a mut [u8; 256],
) -> impl Iterator<Item = (&'a [f32; N], &'a mut [u8; N])> {
    (values.as_chunks::<N>().0.iter()).zip(integers.as_chunks_mut::<N>().0)
}

fn q3_k(values: &[f32; 256], out: &mut Vec<u8>) {
    let (mut scales, mut integers) = ([0.0_f32; 16], [0_u8; 256]);
    for (i, group) in values.as_chunks::<16>().0.iter().enumerate() {
        let found = three_bit_group(group);
        scales[i] = found.0;
        integers[16 * i..16 * i + 16].copy_from_slice(&found.1);
    }
    let max = extreme(&scales);
    let mut packed = [0_u8; 12];
    let mut d = 0.0;
    if max != 0.0 {
        let inverse = -32.0 / max;
        for (i, scale) in scales.iter().enumerate() {
            // As the reference: an 8-bit integer before it is bounded.
            let six = (nearest_int(inverse * scale) as i8).clamp(-32, 31) + 32;
            packed[i % 8] |= (six as u8 & 15) << (4 * (i / 8));
            packed[8 + i % 4] |= (six as u8 >> 4) << (2 * (i / 4));
        }
        d = 1.0 / inverse;
    }
    let six_bits = super::quant::q3_k_scales(&packed);
    for (i, (group, integers)) in pairs_of::<16>(values, &mut integers).enumerate() {
        let scale = as_half(d) * f32::from(six_bits[i]);
        if scale != 0.0 {
            *integers = group.map(|x| (nearest_int(x / scale).clamp(-4, 3) + 4) as u8);
        }
    }
    let mut thirds = [0_u8; 32];
    for (i, integer) in integers.iter().enumerate() {
        thirds[i % 32] |= (integer >> 2 & 1) << (i / 32);
    }
    out.extend(thirds);
    put_pairs(&integers, out);
    out.extend(packed);
    put_half(out, d);
}

/// Scales, minima and integers of the eight groups of a block of four or five bits: `[d][dmin]`,
/// twelve bytes of six-bit scales and minima, and the integers.
fn eight_groups(search: &Search, values: &[f32; 256], out: &mut Vec<u8>) -> [u8; 256] {
    let (mut scales, mut minima, mut integers) = ([0.0; 8], [0.0; 8], [0; 256]);
    for (i, group) in values.as_chunks::<32>().0.iter().enumerate() {
        let sum: f32 = group.iter().fold(0.0, |sum, x| sum + x * x);
        let average = (sum / 32.0).sqrt();
        let found = group_with_minimum(search, group, &group.map(|x| average + x.abs()));
        (scales[i], minima[i]) = (found.0, found.1);
        integers[32 * i..32 * i + 32].copy_from_slice(&found.2);
    }
    let (max_scale, max_minimum) = (largest(&scales), largest(&minima));
    let six_bits = |values: &[f32; 8], max: f32| {
        let inverse = if max > 0.0 { 63.0 / max } else { 0.0 };
        values.map(|x| (nearest_int(inverse * x) as u8).min(63))
    };
    let (scale_bits, minimum_bits) = (six_bits(&scales, max_scale), six_bits(&minima, max_minimum));
    let (d, dmin) = (max_scale / 63.0, max_minimum / 63.0);
    put_half(out, d);
    put_half(out, dmin);
    let mut packed = [0_u8; 12];
    for i in 0..4 {
        packed[i] = scale_bits[i] | (scale_bits[i + 4] >> 4) << 6;
        packed[i + 4] = minimum_bits[i] | (minimum_bits[i + 4] >> 4) << 6;
        packed[i + 8] = scale_bits[i + 4] & 15 | (minimum_bits[i + 4] & 15) << 4;
    }
    out.extend(packed);
    for (i, (group, integers)) in pairs_of::<32>(values, &mut integers).enumerate() {
        let scale = as_half(d) * f32::from(scale_bits[i]);
        if scale != 0.0 {
            let minimum = as_half(dmin) * f32::from(minimum_bits[i]);
            let bounded = |x: f32| nearest_int((x + minimum) / scale).clamp(0, search.n_max);
            *integers = group.map(|x| bounded(x) as u8);
        }
    }
    integers
}

fn q4_k(values: &[f32; 256], out: &mut Vec<u8>) {
    const SEARCH: Search = Search {
        n_max: 15,
        from: -1.0,
        n_steps: 20,
        error: |x| x * x,
    };
    let integers = eight_groups(&SEARCH, values, out);
    put_low_nibbles(&integers, out);
}

fn q5_k(values: &[f32; 256], out: &mut Vec<u8>) {
    const SEARCH: Search = Search {
        n_max: 31,
        from: -0.5,
        n_steps: 15,
        error: |x| x * x,
    };
    let integers = eight_groups(&SEARCH, values, out);
    let mut fifths = [0_u8; 32];
    for (i, integer) in integers.iter().enumerate() {
        fifths[i % 32] |= (integer >> 4 & 1) << (i / 32);
    }
    out.extend(fifths);
    put_low_nibbles(&integers, out);
}

/// Nibbles of neighboring groups of 32 in one byte.
fn put_low_nibbles(integers: &[u8; 256], out: &mut Vec<u8>) {
    for pair in integers.as_chunks::<64>().0 {
        let (low, high) = pair.split_at(32);
        out.extend((low.iter().zip(high)).map(|(low, high)| low & 15 | (high & 15) << 4));
    }
}

fn q6_k(values: &[f32; 256], out: &mut Vec<u8>) {
    let (mut scales, mut integers) = ([0.0_f32; 16], [0_u8; 256]);
    for (i, group) in values.as_chunks::<16>().0.iter().enumerate() {
        let found = signed_group(32, group);
        scales[i] = found.0;
        integers[16 * i..16 * i + 16].copy_from_slice(&found.1);
    }
    let max = extreme(&scales);
    if max.abs() < ZERO_BELOW {
        out.resize(out.len() + Dtype::Q6_K.block_bytes(), 0);
        return;
    }
    let inverse = -128.0 / max;
    let d = 1.0 / inverse;
    let eight_bits = scales.map(|scale| nearest_int(inverse * scale).min(127) as i8);
    for (i, (group, integers)) in pairs_of::<16>(values, &mut integers).enumerate() {
        let scale = as_half(d) * f32::from(eight_bits[i]);
        if scale != 0.0 {
            *integers = group.map(|x| (nearest_int(x / scale).clamp(-32, 31) + 32) as u8);
        }
    }
    for half in integers.as_chunks::<128>().0 {
        out.extend((0..64).map(|i| half[i] & 15 | (half[i + 64] & 15) << 4));
    }
    for half in integers.as_chunks::<128>().0 {
        out.extend((0..32).map(|i| {
            half[i] >> 4 | half[i + 32] >> 4 << 2 | half[i + 64] >> 4 << 4 | half[i + 96] >> 4 << 6
        }));
    }
    out.extend(eight_bits.map(|scale| scale as u8));
    put_half(out, d);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::quant::{dequantize_row, half_at};
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_rounded_half_to_even() {
        for (x, want) in [
            (0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (7.4999, 7),
        ] {
            assert_eq!(nearest_int(x), want, "{x}");
        }
    }

    #[test]
    fn a_block_by_hand() {
        // Q8_0 of 0 … 31: d = 31/127 = .24409 as a half; 31 becomes 127, 1 becomes 4.0968 → 4.
        let values: [f32; 32] = std::array::from_fn(|i| i as f32);
        let bytes = quantize(Dtype::Q8_0, &values);
        assert!((half_at(&bytes, 0) - 31.0 / 127.0).abs() < 1e-4);
        assert_eq!((bytes[2], bytes[3], bytes[33]), (0, 4, 127));
        // Q4_1: d = 31/15, minimum 0: 31 becomes 15, 16 becomes 7.74 → 8.
        let bytes = quantize(Dtype::Q4_1, &values);
        assert_eq!((bytes[4] & 15, bytes[4] >> 4, bytes[19] >> 4), (0, 8, 15));
        // Zeros stay zeros in every format.
        for dtype in WRITABLE {
            let mut back = [1.0; 256];
            dequantize_row(dtype, &quantize(dtype, &[0.0; 256]), &mut back);
            assert_eq!(back, [0.0; 256], "{dtype}");
        }
    }

    proptest! {
        /// Read back, a value is off by a few steps of its block at most.
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(-2.0..2.0_f32, 256)) {
            for (dtype, most) in [
                (Dtype::F32, 0.0), (Dtype::F16, 1e-3), (Dtype::BF16, 1e-2), (Dtype::Q8_0, 0.02),
                (Dtype::Q4_0, 0.3), (Dtype::Q4_1, 0.2), (Dtype::Q5_0, 0.15), (Dtype::Q5_1, 0.1),
                (Dtype::Q2_K, 1.5), (Dtype::Q3_K, 0.9), (Dtype::Q4_K, 0.3), (Dtype::Q5_K, 0.15),
                (Dtype::Q6_K, 0.1),
            ] {
                let bytes = quantize(dtype, &values);
                prop_assert_eq!(Some(bytes.len()), dtype.n_bytes(256));
                let mut back = vec![0.0; 256];
                dequantize_row(dtype, &bytes, &mut back);
                for (x, y) in values.iter().zip(&back) {
                    prop_assert!((x - y).abs() <= most, "{} {} {}", dtype, x, y);
                }
            }
        }
    }
}
