//! Transposing a part of a matrix, sixteen by sixteen in registers where the processor can.

use super::Isa;

/// Columns and rows that are turned together.
const SIDE: usize = 16;

/// `to[j][i] = from[i][j]` for `n_rows × n_columns` of `from`.
pub(crate) fn transpose(
    isa: Isa,
    from: &[f32],
    from_stride: usize,
    n_rows: usize,
    n_columns: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    if n_rows == 0 || n_columns == 0 {
        return;
    }
    assert!(
        (n_rows - 1) * from_stride + n_columns <= from.len()
            && (n_columns - 1) * to_stride + n_rows <= to.len(),
        "both parts lie in their buffers"
    );
    for first in (0..n_rows).step_by(SIDE) {
        let end = (first + SIDE).min(n_rows);
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, reason = "nothing is done in blocks")
        )]
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && end - first == SIDE {
            while done + SIDE <= n_columns {
                let from = from[first * from_stride + done..].as_ptr();
                let to = to[done * to_stride + first..].as_mut_ptr();
                #[expect(unsafe_code, reason = "a block of vectors, its bounds checked above")]
                // SAFETY: sixteen rows and columns from here on lie within the checked parts, the
                // buffers are two, and an `Isa` is only made where the processor has it.
                unsafe {
                    block_avx512(from, from_stride, to, to_stride);
                }
                done += SIDE;
            }
        }
        for j in done..n_columns {
            let column = from[first * from_stride + j..].iter().step_by(from_stride);
            for (x, to) in column.zip(&mut to[j * to_stride + first..j * to_stride + end]) {
                *to = *x;
            }
        }
    }
}

/// Sixteen rows of sixteen floats.
///
/// # Safety
/// `from` must be readable and `to` writable for sixteen rows of sixteen floats at their strides,
/// they must not overlap, and the processor must have AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "vectors are loaded and stored by pointer")]
unsafe fn block_avx512(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps, _mm512_setzero_ps,
        _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
        _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    // `fours[c][g]` holds, in its lane l, column 4 l + c of rows 4 g to 4 g + 3.
    let mut fours = [[_mm512_setzero_ps(); 4]; 4];
    for g in 0..4 {
        // SAFETY: the caller promises sixteen readable rows.
        let row = |i: usize| unsafe { _mm512_loadu_ps(from.add((4 * g + i) * from_stride)) };
        let pair = |a: __m512, b: __m512| {
            let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            (_mm512_castps_pd(low), _mm512_castps_pd(high))
        };
        let (low, high) = pair(row(0), row(1));
        let (low2, high2) = pair(row(2), row(3));
        let four = [
            _mm512_castpd_ps(_mm512_unpacklo_pd(low, low2)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(low, low2)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(high, high2)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(high, high2)),
        ];
        for (column, four) in fours.iter_mut().zip(four) {
            column[g] = four;
        }
    }
    for (c, groups) in fours.iter().enumerate() {
        let even = |g: usize| _mm512_shuffle_f32x4::<0x88>(groups[g], groups[g + 1]);
        let odd = |g: usize| _mm512_shuffle_f32x4::<0xdd>(groups[g], groups[g + 1]);
        let (even, even2, odd, odd2) = (even(0), even(2), odd(0), odd(2));
        let columns = [
            _mm512_shuffle_f32x4::<0x88>(even, even2),
            _mm512_shuffle_f32x4::<0x88>(odd, odd2),
            _mm512_shuffle_f32x4::<0xdd>(even, even2),
            _mm512_shuffle_f32x4::<0xdd>(odd, odd2),
        ];
        for (lane, column) in columns.into_iter().enumerate() {
            // SAFETY: the caller promises sixteen writable rows.
            unsafe { _mm512_storeu_ps(to.add((4 * lane + c) * to_stride), column) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_block_is_the_block() {
        // [[1, 2, 3], [4, 5, 6]] in rows of 4 -> [[1, 4], [2, 5], [3, 6]] in rows of 2
        let mut to = [0.0; 6];
        let from = [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0];
        transpose(Isa::Portable, &from, 4, 2, 3, &mut to, 2);
        assert_eq!(to, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    /// Below, at and above the size of a block, with room between rows that stays as it was.
    #[test]
    fn every_size_is_turned_whole_and_alone() {
        for isa in Isa::available() {
            for (n_rows, n_columns) in [(1, 1), (15, 17), (16, 16), (17, 40), (48, 31), (33, 64)] {
                let (from_stride, to_stride) = (n_columns + 3, n_rows + 2);
                let from: Vec<f32> = (0..n_rows * from_stride).map(|i| i as f32).collect();
                let mut to = vec![-1.0; n_columns * to_stride];
                transpose(
                    isa,
                    &from,
                    from_stride,
                    n_rows,
                    n_columns,
                    &mut to,
                    to_stride,
                );
                for (at, x) in to.iter().enumerate() {
                    let (j, i) = (at / to_stride, at % to_stride);
                    let want = if i < n_rows {
                        (i * from_stride + j) as f32
                    } else {
                        -1.0
                    };
                    assert_eq!(
                        *x, want,
                        "{isa:?}, {n_rows} × {n_columns}: row {j}, column {i}"
                    );
                }
            }
        }
    }
}
