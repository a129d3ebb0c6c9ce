//! From stored blocks to f32, exactly as llama.cpp computes it.
//!
//! Each format is a run of blocks; a block holds one or two 16-bit scales and packed integers.
//! Values are `scale · integer (+ minimum)`, evaluated in f32 in the order of the reference, so
//! that results are equal bit for bit. No branches inside a block.
//!
//! Source: `ggml-quants.c` of llama.cpp (`dequantize_row_*`) and `gguf/quants.py`.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::tensor::Dtype;

/// Writes `out.len()` values from their blocks.
///
/// # Panics
/// If `bytes` does not hold exactly `out.len()` values: tensors are checked when they are opened.
pub fn dequantize_row(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(
        dtype.n_bytes(out.len()),
        Some(bytes.len()),
        "bytes of {} values of {dtype}",
        out.len()
    );
    match dtype {
        Dtype::F32 => f32_values(bytes, out),
        Dtype::F16 => f16_values(bytes, out),
        Dtype::BF16 => bf16_values(bytes, out),
        Dtype::Q8_0 => blocks(bytes, out, q8_0),
        Dtype::Q4_0 => blocks(bytes, out, q4_0),
        Dtype::Q4_1 => blocks(bytes, out, q4_1),
        Dtype::Q5_0 => blocks(bytes, out, q5_0),
        Dtype::Q5_1 => blocks(bytes, out, q5_1),
        Dtype::Q2_K => blocks(bytes, out, q2_k),
        Dtype::Q3_K => blocks(bytes, out, q3_k),
        Dtype::Q4_K => blocks(bytes, out, q4_k),
        Dtype::Q5_K => blocks(bytes, out, q5_k),
        Dtype::Q6_K => blocks(bytes, out, q6_k),
        Dtype::IQ4_NL => blocks(bytes, out, iq4_nl),
        Dtype::IQ4_XS => blocks(bytes, out, iq4_xs),
    }
}

/// Runs `block` over all blocks; fixed sizes let the compiler unroll and vectorize.
#[inline]
fn blocks<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    let (inputs, _) = bytes.as_chunks::<BYTES>();
    let (outputs, _) = out.as_chunks_mut::<LEN>();
    for (input, output) in inputs.iter().zip(outputs) {
        block(input, output);
    }
}

fn f32_values(bytes: &[u8], out: &mut [f32]) {
    let (words, _) = bytes.as_chunks::<4>();
    for (word, value) in words.iter().zip(out) {
        *value = f32::from_le_bytes(*word);
    }
}

fn f16_values(bytes: &[u8], out: &mut [f32]) {
    // Bytes in a file need not be aligned: convert by pieces through an aligned buffer.
    let mut buffer = [f16::ZERO; 64];
    for (values, bytes) in out.chunks_mut(64).zip(bytes.chunks(128)) {
        let (words, _) = bytes.as_chunks::<2>();
        for (word, half) in words.iter().zip(&mut buffer) {
            *half = f16::from_le_bytes(*word);
        }
        buffer[..values.len()].convert_to_f32_slice(values);
    }
}

fn bf16_values(bytes: &[u8], out: &mut [f32]) {
    let (words, _) = bytes.as_chunks::<2>();
    for (word, value) in words.iter().zip(out) {
        *value = bf16::from_le_bytes(*word).to_f32();
    }
}

/// The 16-bit float at `at`.
#[inline]
pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `[d: f16][q: i8 × 32]`: d · q.
#[inline]
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (value, q) in out.iter_mut().zip(&block[2..]) {
        *value = d * f32::from(*q as i8);
    }
}

/// `[d: f16][q: 16 bytes]`: d · (nibble − 8); low nibbles are values 0–15, high ones 16–31.
#[inline]
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = d * f32::from((q & 15) as i8 - 8);
        *high = d * f32::from((q >> 4) as i8 - 8);
    }
}

/// `[d: f16][m: f16][q: 16 bytes]`: d · nibble + m.
#[inline]
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = d * f32::from(q & 15) + m;
        *high = d * f32::from(q >> 4) + m;
    }
}

/// The fifth bits of values `i` and `i + 16`, at bit 4.
#[inline]
pub(super) fn fifth_bits(bits: u32, i: usize) -> (u8, u8) {
    (
        (((bits >> i) << 4) & 16) as u8,
        ((bits >> (i + 12)) & 16) as u8,
    )
}

#[inline]
pub(super) fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// `[d: f16][fifth bits: u32][q: 16 bytes]`: d · (five bits − 16).
#[inline]
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, bits) = (half_at(block, 0), u32_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), q)) in low.iter_mut().zip(high).zip(&block[6..]).enumerate() {
        let (fifth_low, fifth_high) = fifth_bits(bits, i);
        *low = d * f32::from(((q & 15) | fifth_low) as i8 - 16);
        *high = d * f32::from(((q >> 4) | fifth_high) as i8 - 16);
    }
}

/// `[d: f16][m: f16][fifth bits: u32][q: 16 bytes]`: d · five bits + m.
#[inline]
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m, bits) = (half_at(block, 0), half_at(block, 2), u32_at(block, 4));
    let (low, high) = out.split_at_mut(16);
    for (i, ((low, high), q)) in low.iter_mut().zip(high).zip(&block[8..]).enumerate() {
        let (fifth_low, fifth_high) = fifth_bits(bits, i);
        *low = d * f32::from((q & 15) | fifth_low) + m;
        *high = d * f32::from((q >> 4) | fifth_high) + m;
    }
}

/// Six-bit scales and minima of the eight sub-blocks of a K block, from their twelve bytes.
#[inline]
pub(super) fn k_scales(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for i in 0..4 {
        scales[i] = packed[i] & 63;
        minima[i] = packed[i + 4] & 63;
        scales[i + 4] = (packed[i + 8] & 15) | ((packed[i] >> 6) << 4);
        minima[i + 4] = (packed[i + 8] >> 4) | ((packed[i + 4] >> 6) << 4);
    }
    (scales, minima)
}

/// `[d: f16][dmin: f16][scales: 12 bytes][q: 128 bytes]`: (d · scale) · nibble − dmin · minimum.
#[inline]
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, minima) = k_scales(&block[4..16]);
    let (outputs, _) = out.as_chunks_mut::<64>();
    let (quants, _) = block[16..].as_chunks::<32>();
    for (pair, (out, quants)) in outputs.iter_mut().zip(quants).enumerate() {
        let (d1, m1) = (
            d * f32::from(scales[2 * pair]),
            dmin * f32::from(minima[2 * pair]),
        );
        let (d2, m2) = (
            d * f32::from(scales[2 * pair + 1]),
            dmin * f32::from(minima[2 * pair + 1]),
        );
        let (low, high) = out.split_at_mut(32);
        for ((low, high), q) in low.iter_mut().zip(high).zip(quants) {
            *low = d1 * f32::from(q & 15) - m1;
            *high = d2 * f32::from(q >> 4) - m2;
        }
    }
}

/// `[d: f16][dmin: f16][scales: 12 bytes][fifth bits: 32 bytes][q: 128 bytes]`.
#[inline]
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, minima) = k_scales(&block[4..16]);
    let fifths = &block[16..48];
    let (outputs, _) = out.as_chunks_mut::<64>();
    let (quants, _) = block[48..].as_chunks::<32>();
    for (pair, (out, quants)) in outputs.iter_mut().zip(quants).enumerate() {
        let (d1, m1) = (
            d * f32::from(scales[2 * pair]),
            dmin * f32::from(minima[2 * pair]),
        );
        let (d2, m2) = (
            d * f32::from(scales[2 * pair + 1]),
            dmin * f32::from(minima[2 * pair + 1]),
        );
        let (low, high) = out.split_at_mut(32);
        for (((low, high), q), fifth) in low.iter_mut().zip(high).zip(quants).zip(fifths) {
            let fifth_low = ((fifth >> (2 * pair)) & 1) << 4;
            let fifth_high = ((fifth >> (2 * pair + 1)) & 1) << 4;
            *low = d1 * f32::from((q & 15) | fifth_low) - m1;
            *high = d2 * f32::from((q >> 4) | fifth_high) - m2;
        }
    }
}

/// `[low nibbles: 128 bytes][high pairs: 64 bytes][scales: i8 × 16][d: f16]`:
/// (d · scale) · (six bits − 32).
#[inline]
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    let scales = &block[192..208];
    for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        let low = &block[64 * half..64 * half + 64];
        let high = &block[128 + 32 * half..128 + 32 * half + 32];
        for (quarter, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            // Quarters 0 and 2 are the low and high nibbles of bytes 0–31, 1 and 3 of bytes 32–63.
            let nibbles = &low[32 * (quarter % 2)..32 * (quarter % 2) + 32];
            let (nibble_shift, pair_shift) = (4 * (quarter / 2), 2 * quarter);
            for (part, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let scale = d * f32::from(scales[8 * half + 2 * quarter + part] as i8);
                let nibbles = &nibbles[16 * part..16 * part + 16];
                let pairs = &high[16 * part..16 * part + 16];
                for ((value, nibble), pair) in out.iter_mut().zip(nibbles).zip(pairs) {
                    let six = ((nibble >> nibble_shift) & 15) | (((pair >> pair_shift) & 3) << 4);
                    *value = scale * f32::from(six as i8 - 32);
                }
            }
        }
    }
}

/// Where the low bits of quarter `quarter` (32 values) of half `half` (128 values) of a block of
/// two- and three-bit integers lie: byte and shift of its first value.
pub(super) fn pair_at(half: usize, quarter: usize) -> (usize, usize) {
    (32 * half, 2 * quarter)
}

/// `[scales and minima: 16 bytes][q: 64 bytes][d: f16][dmin: f16]`:
/// (d · scale) · two bits − dmin · minimum, a scale for 16 values.
#[inline]
fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (scale, minimum) = (
            d * f32::from(block[i] & 15),
            dmin * f32::from(block[i] >> 4),
        );
        let (first, shift) = pair_at(i / 8, i / 2 % 4);
        let stored = &block[16 + first + 16 * (i % 2)..][..16];
        for (value, q) in out.iter_mut().zip(stored) {
            *value = scale * f32::from((q >> shift) & 3) - minimum;
        }
    }
}

/// The sixteen scales of a [`Dtype::Q3_K`] block, −32 … 31, from their twelve bytes: low nibbles of
/// the first eight bytes, then the high ones; two more bits each in the last four.
pub(super) fn q3_k_scales(packed: &[u8]) -> [i8; 16] {
    std::array::from_fn(|i| {
        let low = packed[i % 8] >> (4 * (i / 8)) & 15;
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// `[third bits: 32 bytes][q: 64 bytes][scales: 12 bytes][d: f16]`: (d · scale) · (three bits − 4).
#[inline]
fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half_at(block, 108);
    let scales = q3_k_scales(&block[96..108]);
    for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[i]);
        let (first, shift) = pair_at(i / 8, i / 2 % 4);
        let stored = &block[32 + first + 16 * (i % 2)..][..16];
        let thirds = &block[16 * (i % 2)..][..16];
        for ((value, q), third) in out.iter_mut().zip(stored).zip(thirds) {
            let three = ((q >> shift) & 3) | (third >> (i / 2) & 1) << 2;
            *value = scale * f32::from(three as i8 - 4);
        }
    }
}

/// The sixteen values of a non-linear 4-bit integer.
pub(super) const IQ4: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// `[d: f16][q: 16 bytes]`: d · value of the nibble.
#[inline]
fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    iq4(half_at(block, 0), &block[2..], out);
}

#[inline]
fn iq4(scale: f32, stored: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(stored) {
        *low = scale * f32::from(IQ4[usize::from(q & 15)]);
        *high = scale * f32::from(IQ4[usize::from(q >> 4)]);
    }
}

/// The eight scales of an [`Dtype::IQ4_XS`] block, −32 … 31.
pub(super) fn iq4_xs_scales(block: &[u8]) -> [i8; 8] {
    let high = u16::from_le_bytes([block[2], block[3]]);
    std::array::from_fn(|i| {
        let low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
        (low | ((high >> (2 * i) & 3) as u8) << 4) as i8 - 32
    })
}

/// `[d: f16][high bits of the scales: u16][their low nibbles: 4 bytes][q: 128 bytes]`:
/// (d · scale) · value of the nibble, a scale for 32 values.
#[inline]
fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half_at(block, 0);
    let scales = iq4_xs_scales(block);
    for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        iq4(d * f32::from(scales[i]), &block[8 + 16 * i..], out);
    }
}
