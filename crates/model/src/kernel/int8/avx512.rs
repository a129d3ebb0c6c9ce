//! The kernels of [`super`] with the dot product of bytes (VNNI), 512 bits at a time.

#![expect(
    clippy::cast_ptr_alignment,
    reason = "panels begin on a cache line; bytes are read unaligned"
)]

use std::arch::x86_64::{
    __m512i, _CMP_LT_OQ, _mm256_storeu_si256, _mm512_abs_ps, _mm512_and_si512,
    _mm512_castsi512_si256, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_cvtps_epi32,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps,
    _mm512_mul_ps, _mm512_packs_epi16, _mm512_packs_epi32, _mm512_permutexvar_epi32,
    _mm512_reduce_add_epi32, _mm512_reduce_max_ps, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setr_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16,
    _mm512_storeu_ps,
};

use super::{GROUP, Grid, NR, PART, Part};

/// As [`super::round_row`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn round_row(x: &[f32], to: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    super::each_group(x, to, scales, sums, |x, to, scale, sums| {
        round_group(x, to, scale, sums);
    });
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
#[expect(unsafe_code, reason = "vector loads and stores")]
fn round_group(
    x: &[f32; GROUP],
    to: &mut [i8; GROUP],
    scale: &mut f32,
    sums: &mut [i32; GROUP / PART],
) {
    // SAFETY: both halves lie in `x`.
    let (a, b) = unsafe {
        (
            _mm512_loadu_ps(x.as_ptr()),
            _mm512_loadu_ps(x.as_ptr().add(16)),
        )
    };
    let (abs_a, abs_b) = (_mm512_abs_ps(a), _mm512_abs_ps(b));
    let infinite = _mm512_set1_ps(f32::INFINITY);
    let finite = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(abs_a, infinite)
        & _mm512_cmp_ps_mask::<_CMP_LT_OQ>(abs_b, infinite);
    if finite != 0xFFFF {
        (*scale, *to, *sums) = (f32::NAN, [0; GROUP], [0; GROUP / PART]);
        return;
    }
    let largest = _mm512_reduce_max_ps(_mm512_max_ps(abs_a, abs_b));
    *scale = largest / 127.0;
    let inverse = _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    // Rounds to nearest even, as adding 1.5 · 2²³ does.
    let a = _mm512_cvtps_epi32(_mm512_mul_ps(a, inverse));
    let b = _mm512_cvtps_epi32(_mm512_mul_ps(b, inverse));
    *sums = [_mm512_reduce_add_epi32(a), _mm512_reduce_add_epi32(b)];
    // Narrowed by packing: the conversion that stores bytes takes a hundred cycles on some
    // processors. Each quarter holds four of `a`, then four of `b`.
    let words = _mm512_packs_epi32(a, b);
    let bytes = _mm512_packs_epi16(words, words);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 4, 8, 12, 1, 5, 9, 13);
    let bytes = _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, bytes));
    // SAFETY: the group has 32 bytes.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), bytes) };
}

#[expect(unsafe_code, reason = "raw tiles")]
pub(super) unsafe fn product(
    x: &Part<'_>,
    rows: usize,
    grid: Grid,
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    macro_rules! by_rows {
        ($bits:literal, $minimum:literal) => {
            // SAFETY: passed on from the caller.
            unsafe {
                match rows {
                    1 => tile::<1, $bits, $minimum>(x, grid, panel, c, c_stride),
                    2 => tile::<2, $bits, $minimum>(x, grid, panel, c, c_stride),
                    3 => tile::<3, $bits, $minimum>(x, grid, panel, c, c_stride),
                    4 => tile::<4, $bits, $minimum>(x, grid, panel, c, c_stride),
                    5 => tile::<5, $bits, $minimum>(x, grid, panel, c, c_stride),
                    _ => tile::<6, $bits, $minimum>(x, grid, panel, c, c_stride),
                }
            }
        };
    }
    match (grid.bits, grid.has_minimum) {
        (4, false) => by_rows!(4, false),
        (4, true) => by_rows!(4, true),
        (_, false) => by_rows!(8, false),
        (_, true) => by_rows!(8, true),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile<const ROWS: usize, const BITS: usize, const MINIMUM: bool>(
    x: &Part<'_>,
    grid: Grid,
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    let n_in = x.n_in;
    let low = _mm512_set1_epi8(15);
    let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: the caller checked that `x` holds ROWS rows and the panel its groups, and
    // promises the output.
    unsafe {
        let mut at = panel.as_ptr();
        for g in 0..n_in / grid.group {
            let numbers = at.cast::<f32>();
            let integers = at.add(grid.n_floats() * size_of::<f32>());
            at = at.add(grid.group_bytes());
            let a = x.data.as_ptr().add(g * grid.group);
            let mut dots: [[__m512i; 2]; ROWS] = [[_mm512_setzero_si512(); 2]; ROWS];
            let mut of_rows = [(0.0_f32, 0_i32); ROWS];
            for (i, dots) in dots.iter_mut().enumerate() {
                of_rows[i] = x.of_group(i, g, grid);
                if !MINIMUM {
                    *dots = [_mm512_set1_epi32(-i32::from(grid.zero) * of_rows[i].1); 2];
                }
            }
            let together = 32 / BITS;
            for t in 0..grid.group / together {
                let words = integers.add(t * 4 * NR);
                let w0 = _mm512_loadu_si512(words.cast());
                let w1 = _mm512_loadu_si512(words.add(64).cast());
                let a = a.add(t * together);
                if BITS == 4 {
                    let (l0, l1) = (_mm512_and_si512(w0, low), _mm512_and_si512(w1, low));
                    let h0 = _mm512_and_si512(_mm512_srli_epi16::<4>(w0), low);
                    let h1 = _mm512_and_si512(_mm512_srli_epi16::<4>(w1), low);
                    for (i, dots) in dots.iter_mut().enumerate() {
                        let a = a.add(i * n_in).cast::<i32>();
                        let four = _mm512_set1_epi32(a.read_unaligned());
                        dots[0] = _mm512_dpbusd_epi32(dots[0], l0, four);
                        dots[1] = _mm512_dpbusd_epi32(dots[1], l1, four);
                        let four = _mm512_set1_epi32(a.add(1).read_unaligned());
                        dots[0] = _mm512_dpbusd_epi32(dots[0], h0, four);
                        dots[1] = _mm512_dpbusd_epi32(dots[1], h1, four);
                    }
                } else {
                    for (i, dots) in dots.iter_mut().enumerate() {
                        let a = a.add(i * n_in).cast::<i32>();
                        let four = _mm512_set1_epi32(a.read_unaligned());
                        dots[0] = _mm512_dpbusd_epi32(dots[0], w0, four);
                        dots[1] = _mm512_dpbusd_epi32(dots[1], w1, four);
                    }
                }
            }
            for half in 0..2 {
                let scale = _mm512_loadu_ps(numbers.add(16 * half));
                for (i, acc) in acc.iter_mut().enumerate() {
                    let (d, sum) = of_rows[i];
                    let dot = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[i][half]), scale);
                    acc[half] = _mm512_fmadd_ps(dot, _mm512_set1_ps(d), acc[half]);
                    if MINIMUM {
                        let minimum = _mm512_loadu_ps(numbers.add(NR + 16 * half));
                        let sum = _mm512_set1_ps(d * sum as f32);
                        acc[half] = _mm512_fmadd_ps(minimum, sum, acc[half]);
                    }
                }
            }
        }
        for (i, acc) in acc.iter().enumerate() {
            _mm512_storeu_ps(c.add(i * c_stride), acc[0]);
            _mm512_storeu_ps(c.add(i * c_stride + 16), acc[1]);
        }
    }
}
