//! Panels of any form as floats: what many rows are multiplied with.

use super::form::{Form, Grid};
use super::vector::by_isa;
use super::{Isa, NR};

/// Inputs `first..first + out.len() / 32` of a panel, as `[inputs][32]`; both ends are whole steps.
pub(crate) fn unpack(isa: Isa, form: Form, panel: &[u8], first: usize, out: &mut [f32]) {
    let step = form.step();
    let n = out.len() / NR;
    assert!(
        first.is_multiple_of(step) && n.is_multiple_of(step),
        "a part of a panel is a number of whole steps"
    );
    let bytes = &panel[first / step * form.step_bytes()..][..n / step * form.step_bytes()];
    match form {
        Form::F32 => {
            let (words, _) = bytes.as_chunks::<4>();
            for (word, x) in words.iter().zip(out) {
                *x = f32::from_ne_bytes(*word);
            }
        }
        Form::F16 => f16(isa, bytes, out),
        Form::Bf16 => bf16(isa, bytes, out),
        Form::Grid(grid) if grid.bits == 4 => grid4(isa, grid, bytes, out),
        Form::Grid(grid) => grid8(isa, grid, bytes, out),
    }
}

fn f16(isa: Isa, bytes: &[u8], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        #[expect(unsafe_code, reason = "needs the instruction set")]
        // SAFETY: an `Isa` is only made where the processor has it.
        return unsafe { f16_avx512(bytes, out) };
    }
    let _ = isa;
    let (words, _) = bytes.as_chunks::<2>();
    for (word, x) in words.iter().zip(out) {
        *x = half::f16::from_ne_bytes(*word).to_f32();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "vector loads and stores")]
unsafe fn f16_avx512(bytes: &[u8], out: &mut [f32]) {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm512_cvtph_ps, _mm512_storeu_ps};
    let (inputs, _) = bytes.as_chunks::<32>();
    let (outputs, _) = out.as_chunks_mut::<16>();
    for (input, output) in inputs.iter().zip(outputs) {
        // SAFETY: 32 bytes are read, 16 floats written, both inside their chunks.
        unsafe {
            let halves = _mm256_loadu_si256(input.as_ptr().cast());
            _mm512_storeu_ps(output.as_mut_ptr(), _mm512_cvtph_ps(halves));
        }
    }
}

by_isa! {
    pub(crate) fn bf16(bytes: &[u8], out: &mut [f32]) {
        let (pairs, _) = bytes.as_chunks::<{ 4 * NR }>();
        let (outputs, _) = out.as_chunks_mut::<{ 2 * NR }>();
        for (pair, output) in pairs.iter().zip(outputs) {
            let (words, _) = pair.as_chunks::<4>();
            let (even, odd) = output.split_at_mut(NR);
            for ((word, even), odd) in words.iter().zip(even).zip(odd) {
                let bits = u32::from_ne_bytes(*word);
                *even = f32::from_bits(bits << 16);
                *odd = f32::from_bits(bits & 0xFFFF_0000);
            }
        }
    }
}

/// The scales and minima before the integers of a group.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into each version of its callers"
)]
fn numbers(bytes: &[u8]) -> [f32; NR] {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|j| f32::from_ne_bytes(words[j]))
}

/// One weight, in the order of operations of the checkpoint's reader.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into each version of its callers"
)]
fn weight(grid: Grid, q: u32, scale: f32, minimum: f32) -> f32 {
    if grid.has_minimum {
        scale * q as f32 + minimum
    } else {
        scale * (q as f32 - f32::from(grid.zero))
    }
}

by_isa! {
    pub(crate) fn grid8(grid: Grid, bytes: &[u8], out: &mut [f32]) {
        let groups = bytes.chunks_exact(grid.group_bytes());
        for (bytes, out) in groups.zip(out.chunks_exact_mut(grid.group * NR)) {
            let scales = numbers(bytes);
            let minima = if grid.has_minimum { numbers(&bytes[4 * NR..]) } else { [0.0; NR] };
            let (fours, _) = bytes[4 * grid.n_floats()..].as_chunks::<{ 4 * NR }>();
            for (words, out) in fours.iter().zip(out.chunks_exact_mut(4 * NR)) {
                let (words, _) = words.as_chunks::<4>();
                for (i, out) in out.chunks_exact_mut(NR).enumerate() {
                    for (j, out) in out.iter_mut().enumerate() {
                        let q = u32::from_ne_bytes(words[j]) >> (8 * i) & 255;
                        *out = weight(grid, q, scales[j], minima[j]);
                    }
                }
            }
        }
    }
}

by_isa! {
    pub(crate) fn grid4(grid: Grid, bytes: &[u8], out: &mut [f32]) {
        let groups = bytes.chunks_exact(grid.group_bytes());
        for (bytes, out) in groups.zip(out.chunks_exact_mut(grid.group * NR)) {
            let scales = numbers(bytes);
            let minima = if grid.has_minimum { numbers(&bytes[4 * NR..]) } else { [0.0; NR] };
            let (eights, _) = bytes[4 * grid.n_floats()..].as_chunks::<{ 4 * NR }>();
            for (words, out) in eights.iter().zip(out.chunks_exact_mut(8 * NR)) {
                let (words, _) = words.as_chunks::<4>();
                for (i, out) in out.chunks_exact_mut(NR).enumerate() {
                    let shift = 8 * (i % 4) + i / 4 * 4;
                    for (j, out) in out.iter_mut().enumerate() {
                        let q = u32::from_ne_bytes(words[j]) >> shift & 15;
                        *out = weight(grid, q, scales[j], minima[j]);
                    }
                }
            }
        }
    }
}
