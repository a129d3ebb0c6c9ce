//! The kernels of [`super`] with 256-bit vectors.
//!
//! Products of 4-bit integers and bytes are summed in pairs to 16 bits; eight of those sums stay
//! below 2¹⁵ (8 · 2 · 15 · 127 = 30,480). 8-bit integers are widened first.

#![expect(
    clippy::cast_ptr_alignment,
    reason = "panels begin on a cache line; bytes are read unaligned"
)]

use std::arch::x86_64::{
    __m256, __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_cvtepi32_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_slli_epi16, _mm256_srai_epi16,
    _mm256_srli_epi16, _mm256_storeu_ps,
};

use super::{Grid, NR, Part};

/// Most rows of a tile: with two vectors of outputs their sums stay in the registers.
const ROWS: usize = 3;
/// Outputs of a vector.
const WIDTH: usize = 8;

/// As [`super::product`].
#[expect(unsafe_code, reason = "raw tiles")]
pub(super) unsafe fn product(
    x: &Part<'_>,
    rows: usize,
    grid: Grid,
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    let mut first = 0;
    while first < rows {
        let n = ROWS.min(rows - first);
        let to = c.wrapping_add(first * c_stride);
        macro_rules! by_rows {
            ($minimum:literal) => {
                // SAFETY: passed on from the caller.
                unsafe {
                    match n {
                        1 => tile::<1, $minimum>(x, first, grid, panel, to, c_stride),
                        2 => tile::<2, $minimum>(x, first, grid, panel, to, c_stride),
                        _ => tile::<3, $minimum>(x, first, grid, panel, to, c_stride),
                    }
                }
            };
        }
        if grid.has_minimum {
            by_rows!(true);
        } else {
            by_rows!(false);
        }
        first += n;
    }
}

#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile<const ROWS: usize, const MINIMUM: bool>(
    x: &Part<'_>,
    first: usize,
    grid: Grid,
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    // Sixteen outputs at a time.
    for half in 0..2 {
        let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
        for g in 0..x.n_in / grid.group {
            // SAFETY: the caller checked that `x` holds the rows and the panel its groups.
            unsafe {
                let at = panel.as_ptr().add(g * grid.group_bytes());
                let integers = at.add(grid.n_floats() * size_of::<f32>() + 64 * half);
                let a = x.data.as_ptr().add(first * x.n_in + g * grid.group);
                let dots = if grid.bits == 4 {
                    dots4::<ROWS>(integers, grid.group, a, x.n_in)
                } else {
                    dots8::<ROWS>(integers, grid.group, a, x.n_in)
                };
                let numbers = at.cast::<f32>().add(2 * WIDTH * half);
                for (i, acc) in acc.iter_mut().enumerate() {
                    let (scale, sum) = x.of_group(first + i, g, grid);
                    for (part, acc) in acc.iter_mut().enumerate() {
                        let numbers = numbers.add(WIDTH * part);
                        let minimum = if MINIMUM {
                            Some(_mm256_loadu_ps(numbers.add(NR)))
                        } else {
                            None
                        };
                        let zero = i32::from(grid.zero) * sum;
                        let dot = _mm256_add_epi32(dots[i][part], _mm256_set1_epi32(-zero));
                        let dot = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_loadu_ps(numbers));
                        *acc = _mm256_fmadd_ps(dot, _mm256_set1_ps(scale), *acc);
                        if let Some(minimum) = minimum {
                            let sum = _mm256_set1_ps(scale * sum as f32);
                            *acc = _mm256_fmadd_ps(minimum, sum, *acc);
                        }
                    }
                }
            }
        }
        // SAFETY: the caller promises the output.
        unsafe { store(&acc, c.add(2 * WIDTH * half), c_stride) };
    }
}

#[target_feature(enable = "avx2")]
#[inline]
#[expect(unsafe_code, reason = "raw stores")]
unsafe fn store<const ROWS: usize>(acc: &[[__m256; 2]; ROWS], c: *mut f32, c_stride: usize) {
    for (i, acc) in acc.iter().enumerate() {
        for (part, acc) in acc.iter().enumerate() {
            // SAFETY: promised by the caller of `tile`.
            unsafe { _mm256_storeu_ps(c.add(i * c_stride + WIDTH * part), *acc) };
        }
    }
}

/// Sums over a group of 4-bit integers, sixteen outputs.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(unsafe_code, reason = "raw loads")]
unsafe fn dots4<const ROWS: usize>(
    integers: *const u8,
    group: usize,
    a: *const i8,
    a_stride: usize,
) -> [[__m256i; 2]; ROWS] {
    let low = _mm256_set1_epi8(15);
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for t in 0..group / 8 {
        for part in 0..2 {
            // SAFETY: the caller checked the sizes of the panel and the rows.
            unsafe {
                let words = integers.add(t * 4 * NR + 32 * part).cast();
                let words = _mm256_loadu_si256(words);
                let fours = [
                    _mm256_and_si256(words, low),
                    _mm256_and_si256(_mm256_srli_epi16::<4>(words), low),
                ];
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (k, q) in fours.iter().enumerate() {
                        let four = a.add(i * a_stride + 8 * t + 4 * k).cast::<i32>();
                        let four = _mm256_set1_epi32(four.read_unaligned());
                        let pairs = _mm256_maddubs_epi16(*q, four);
                        sums[part] = _mm256_add_epi16(sums[part], pairs);
                    }
                }
            }
        }
    }
    let one = _mm256_set1_epi16(1);
    sums.map(|sums| sums.map(|sum| _mm256_madd_epi16(sum, one)))
}

/// Sums over a group of 8-bit integers, sixteen outputs.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(unsafe_code, reason = "raw loads")]
unsafe fn dots8<const ROWS: usize>(
    integers: *const u8,
    group: usize,
    a: *const i8,
    a_stride: usize,
) -> [[__m256i; 2]; ROWS] {
    let low = _mm256_set1_epi16(255);
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for t in 0..group / 4 {
        // Inputs 0 and 2, then 1 and 3, of four.
        let mut weights = [[_mm256_setzero_si256(); 2]; 2];
        for (part, weights) in weights.iter_mut().enumerate() {
            // SAFETY: the caller checked the size of the panel.
            let words = unsafe { _mm256_loadu_si256(integers.add(t * 4 * NR + 32 * part).cast()) };
            *weights = [_mm256_and_si256(words, low), _mm256_srli_epi16::<8>(words)];
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller checked the size of the rows.
            let four = unsafe { a.add(i * a_stride + 4 * t).cast::<i32>().read_unaligned() };
            let four = _mm256_set1_epi32(four);
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(four));
            let odd = _mm256_srai_epi16::<8>(four);
            for (sum, [even_weights, odd_weights]) in sums.iter_mut().zip(weights) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(even_weights, even));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(odd_weights, odd));
            }
        }
    }
    sums
}
