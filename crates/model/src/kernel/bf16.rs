//! Products of bfloat16 values with `f32` sums.
//!
//! Rows are rounded to bfloat16 (8 significant bits), weights were when they were packed. Where the
//! processor multiplies pairs of them, each element is the chain `c += a[k] · w[k] + a[k+1] · w[k+1]`
//! over pairs, whose inside is rounded as the processor does it; elsewhere the rounded numbers go
//! through the product of floats. The same processor gives the same bytes for any batch and
//! threads; two kinds of processor differ by the rounding of single sums.

use rayon::prelude::*;

use super::form::Form;
use super::vector::by_isa;
use super::{Isa, MAX_ROWS, Rows};

/// `x` rounded to the nearest bfloat16, ties to even; what is not a number stays so.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into each version of its callers"
)]
pub(crate) fn rounded(x: f32) -> u16 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if bits & 0x7FFF_FFFF > 0x7F80_0000 {
        quiet
    } else {
        nearest
    }) as u16
}

/// Values below which rounding rows is not worth a thread.
const ROW_WORK: usize = 1 << 14;

/// Whether there is an instruction for it.
pub(crate) fn has_pairs(isa: Isa) -> bool {
    #[cfg(target_arch = "x86_64")]
    return isa == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return {
        let _ = isa;
        false
    };
}

by_isa! {
    /// A row rounded to bfloat16, as floats.
    pub(crate) fn round_floats(x: &[f32], to: &mut [f32]) {
        for (x, to) in x.iter().zip(to) {
            *to = f32::from_bits(u32::from(rounded(*x)) << 16);
        }
    }
}

/// Rows in bfloat16.
#[derive(Debug, Default)]
pub(crate) struct Bf16Rows {
    data: Vec<u16>,
    n_in: usize,
}

impl Bf16Rows {
    /// Rounds all rows; the width is even.
    pub(crate) fn set(&mut self, isa: Isa, x: &Rows) {
        self.n_in = x.width();
        let n = x.n_rows() * x.width();
        if self.data.len() < n {
            self.data.resize(n, 0);
        }
        let width = x.width().max(1);
        (self.data[..n].par_chunks_mut(width))
            .enumerate()
            .with_min_len((ROW_WORK / width).max(1))
            .for_each(|(i, to)| round_row(isa, x.row(i), to));
    }
}

/// A row in bfloat16.
pub(super) fn round_row(isa: Isa, x: &[f32], to: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        #[expect(unsafe_code, reason = "needs the instruction set")]
        // SAFETY: an `Isa` is only made where the processor has it.
        unsafe {
            round_row_avx512(x, to);
        };
        return;
    }
    let _ = isa;
    for (x, to) in x.iter().zip(to) {
        *to = rounded(*x);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
#[expect(unsafe_code, reason = "vector loads and stores")]
fn round_row_avx512(x: &[f32], to: &mut [u16]) {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_cmpgt_epi32_mask, _mm512_loadu_si512,
        _mm512_mask_mov_epi32, _mm512_or_si512, _mm512_packus_epi32, _mm512_permutexvar_epi64,
        _mm512_set1_epi32, _mm512_setr_epi64, _mm512_srli_epi32, _mm512_storeu_si512,
    };
    let set = |bits: u32| _mm512_set1_epi32(bits as i32);
    // As `rounded`.
    let round = |bits: __m512i| {
        let high = _mm512_srli_epi32::<16>(bits);
        let odd = _mm512_and_si512(high, set(1));
        let nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, set(0x7FFF)));
        let nearest = _mm512_srli_epi32::<16>(nearest);
        let size = _mm512_and_si512(bits, set(0x7FFF_FFFF));
        let no_number = _mm512_cmpgt_epi32_mask(size, set(0x7F80_0000));
        _mm512_mask_mov_epi32(nearest, no_number, _mm512_or_si512(high, set(0x40)))
    };
    // Packing leaves four of the first sixteen, then four of the second, in each quarter.
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    let (chunks, rest) = x.as_chunks::<32>();
    let (outputs, rest_to) = to.as_chunks_mut::<32>();
    for (x, to) in chunks.iter().zip(outputs) {
        // SAFETY: 32 floats are read, 32 halves written.
        unsafe {
            let a = round(_mm512_loadu_si512(x.as_ptr().cast()));
            let b = round(_mm512_loadu_si512(x.as_ptr().add(16).cast()));
            let halves = _mm512_permutexvar_epi64(order, _mm512_packus_epi32(a, b));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), halves);
        }
    }
    for (x, to) in rest.iter().zip(rest_to) {
        *to = rounded(*x);
    }
}

/// Rows `first..first + rows` (at most 12) times a panel of [`Form::Bf16`], where [`has_pairs`].
///
/// # Safety
/// `c` is writable for `rows` rows of 32 and nobody else uses it meanwhile.
#[expect(unsafe_code, reason = "raw output; all inputs are checked here")]
pub(crate) unsafe fn product(
    isa: Isa,
    x: &Bf16Rows,
    (first, rows): (usize, usize),
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    let a = &x.data[first * x.n_in..(first + rows) * x.n_in];
    assert!(
        panel.len() == Form::Bf16.panel_bytes(x.n_in) && rows <= MAX_ROWS && has_pairs(isa),
        "the panel has the rows' width, the processor the instruction"
    );
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: sizes and instructions were checked above, the output is promised.
                    $($n => unsafe { tile::<$n>(a, x.n_in, panel, c, c_stride) },)*
                    _ => {}
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile<const ROWS: usize>(
    a: &[u16],
    n_in: usize,
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a change of type, no instruction")]
    fn pairs(bits: __m512i) -> __m512bh {
        // SAFETY: both are 64 bytes that may hold anything.
        unsafe { std::mem::transmute(bits) }
    }
    let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: the caller checked that `a` holds ROWS rows of `n_in`, the panel `n_in / 2` steps, and
    // promises the output.
    unsafe {
        let mut b = panel.as_ptr();
        for k in (0..n_in).step_by(2) {
            let b0 = pairs(_mm512_loadu_si512(b.cast()));
            let b1 = pairs(_mm512_loadu_si512(b.add(64).cast()));
            for (i, acc) in acc.iter_mut().enumerate() {
                let two = a.as_ptr().add(i * n_in + k).cast::<i32>().read_unaligned();
                let two = pairs(_mm512_set1_epi32(two));
                acc[0] = _mm512_dpbf16_ps(acc[0], two, b0);
                acc[1] = _mm512_dpbf16_ps(acc[1], two, b1);
            }
            b = b.add(128);
        }
        for (i, acc) in acc.iter().enumerate() {
            _mm512_storeu_ps(c.add(i * c_stride), acc[0]);
            _mm512_storeu_ps(c.add(i * c_stride + 16), acc[1]);
        }
    }
}
