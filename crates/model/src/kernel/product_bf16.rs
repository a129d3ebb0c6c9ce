//! The products of [`super::product`] with both sides rounded to bfloat16 and sums in `f32`.
//!
//! Both sides are rounded as they are packed; nothing else of a training step is. Each element is the
//! chain `c += a[k] · b[k] + a[k+1] · b[k+1]` over pairs in order, rounded as the processor's
//! instruction for a pair does it; where there is none, each product is added with one rounding. The
//! same processor gives the same bytes for any threads; two kinds differ by the rounding of single
//! sums.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use rayon::prelude::*;

use super::bf16::{round_row, rounded};
use super::gemm::row_blocks;
use super::product::{DEPTH, PART, STRIP, STRIP_STRIDE, Sum, add_part, pieces, strip};
use super::vector::by_isa;
use super::{Disjoint, Isa, MAX_ROWS, NR, Rows, parallel};

thread_local! {
    /// A panel or strip in floats, then in pairs.
    static PACKED: RefCell<(Vec<f32>, Vec<u32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
    /// The side that all threads read; taken while in use.
    static SHARED: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

/// Columns of `out` in panels of 32; `pack(panel, depth, packed)` fills `[depth][32]`.
#[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
pub(super) fn by_panels(
    isa: Isa,
    x: &Rows,
    n_columns: usize,
    out: &mut Rows,
    sum: Sum,
    pack: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
) {
    let (depth, n_rows) = (x.width(), x.n_rows());
    if sum != Sum::Resume {
        out.set_rows(n_rows);
    }
    assert_eq!(
        (out.n_rows(), out.width()),
        (n_rows, n_columns),
        "the product fits its buffer"
    );
    let max_depth = if sum == Sum::Parts { PART } else { DEPTH };
    let mut shared = SHARED.take();
    let x_stride = round_rows(isa, x, &mut shared);
    let (x, stride, out) = (&shared, out.stride(), Disjoint::new(out.padded_mut()));
    parallel(n_columns.div_ceil(NR), 1, |panels| {
        PACKED.with_borrow_mut(|(packed, pairs)| {
            packed.resize(packed.len().max(DEPTH * NR), 0.0);
            pairs.resize(pairs.len().max(DEPTH / 2 * NR), 0);
            for panel in panels {
                for piece in even_pieces(depth, max_depth) {
                    let (first, k) = (piece.start, piece.len());
                    let n_pairs = k.div_ceil(2);
                    pack(panel, piece, &mut packed[..k * NR]);
                    packed[k * NR..n_pairs * 2 * NR].fill(0.0);
                    pair_rows(isa, &packed[..n_pairs * 2 * NR], &mut pairs[..n_pairs * NR]);
                    for (row, rows) in row_blocks(n_rows) {
                        let a = &x[row * x_stride + first / 2..][..(rows - 1) * x_stride + n_pairs];
                        let c = out.pointer(row * stride + panel * NR, (rows - 1) * stride + NR);
                        let mut part = [0.0_f32; MAX_ROWS * NR];
                        let is_part = sum == Sum::Parts && first > 0;
                        let t = Tile {
                            rows,
                            n_pairs,
                            a: a.as_ptr(),
                            a_stride: x_stride,
                            b: pairs.as_ptr(),
                            c: if is_part { part.as_mut_ptr() } else { c },
                            c_stride: if is_part { NR } else { stride },
                            resume: sum == Sum::Resume || sum == Sum::Chain && first > 0,
                        };
                        // SAFETY: `a` was sliced to the tile's size, `pairs` has `n_pairs` rows,
                        // `part` room for the largest tile, `pointer` checked the output; panels of
                        // one call are distinct, so no two threads write the same columns.
                        unsafe {
                            tile(isa, &t);
                            if is_part {
                                add_part(&part[..rows * NR], c, stride);
                            }
                        }
                    }
                }
            }
        });
    });
    SHARED.set(shared);
}

/// See [`super::product::outer`].
#[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
pub(super) fn outer(isa: Isa, dy: &Rows, x: &Rows, out: &mut Rows, resume: bool) {
    let (n_out, n_panels, n_rows) = (dy.width(), x.width().div_ceil(NR), x.n_rows());
    let mut shared = SHARED.take();
    let all_pairs = n_rows.div_ceil(2);
    shared.resize(shared.len().max(n_panels * all_pairs * NR), 0);
    pair_columns(isa, x, &mut shared[..n_panels * all_pairs * NR]);
    let x = &shared;
    let (stride, out) = (out.stride(), Disjoint::new(out.padded_mut()));
    parallel(n_out.div_ceil(STRIP), 1, |strips| {
        PACKED.with_borrow_mut(|(packed, pairs)| {
            packed.resize(packed.len().max(STRIP * STRIP_STRIDE), 0.0);
            pairs.resize(pairs.len().max(STRIP * STRIP_STRIDE / 2), 0);
            let a_stride = STRIP_STRIDE / 2;
            for first in strips.map(|strip| strip * STRIP) {
                let n = STRIP.min(n_out - first);
                for piece in even_pieces(n_rows, DEPTH) {
                    let (r, k) = (piece.start, piece.len());
                    let n_pairs = k.div_ceil(2);
                    strip(isa, dy, piece, first..first + n, packed);
                    for (row, to) in (packed.chunks_exact(STRIP_STRIDE))
                        .zip(pairs.chunks_exact_mut(a_stride))
                        .take(n)
                    {
                        round_pairs(isa, &row[..k], &mut to[..n_pairs]);
                    }
                    for panel in 0..n_panels {
                        let b = &x[(panel * all_pairs + r / 2) * NR..][..n_pairs * NR];
                        for (row, rows) in row_blocks(n) {
                            let a = &pairs[row * a_stride..][..(rows - 1) * a_stride + n_pairs];
                            let t = Tile {
                                rows,
                                n_pairs,
                                a: a.as_ptr(),
                                a_stride,
                                b: b.as_ptr(),
                                c: out.pointer(
                                    (first + row) * stride + panel * NR,
                                    (rows - 1) * stride + NR,
                                ),
                                c_stride: stride,
                                resume: resume || r > 0,
                            };
                            // SAFETY: `a` and `b` were sliced to the tile's size, `pointer` checked
                            // the output; strips of one call are distinct, so no two threads write
                            // the same rows.
                            unsafe { tile(isa, &t) }
                        }
                    }
                }
            }
        });
    });
    SHARED.set(shared);
}

/// Pieces that begin at an even place.
fn even_pieces(n: usize, max: usize) -> impl Iterator<Item = Range<usize>> {
    pieces(n.div_ceil(2), max / 2).map(move |pairs| 2 * pairs.start..(2 * pairs.end).min(n))
}

/// Rows rounded, `[row][pair]`; answers the pairs from one row to the next.
fn round_rows(isa: Isa, x: &Rows, to: &mut Vec<u32>) -> usize {
    let stride = x.width().div_ceil(2) + 8;
    let n = x.n_rows() * stride;
    to.resize(to.len().max(n), 0);
    (to[..n].par_chunks_exact_mut(stride))
        .enumerate()
        .with_min_len(16)
        .for_each(|(i, to)| round_pairs(isa, x.row(i), &mut to[..x.width().div_ceil(2)]));
    stride
}

/// A row rounded; its last pair is filled up with 0.
fn round_pairs(isa: Isa, x: &[f32], to: &mut [u32]) {
    let mut halves = [0_u16; 64];
    for (x, to) in x.chunks(halves.len()).zip(to.chunks_mut(halves.len() / 2)) {
        round_row(isa, x, &mut halves[..x.len()]);
        halves[x.len()..x.len().next_multiple_of(2)].fill(0);
        for (two, to) in halves.as_chunks::<2>().0.iter().zip(to) {
            *to = u32::from(two[0]) | u32::from(two[1]) << 16;
        }
    }
}

/// All columns in panels: `[panel][pair of rows][32]`.
fn pair_columns(isa: Isa, x: &Rows, to: &mut [u32]) {
    let (n_rows, stride) = (x.n_rows(), x.stride());
    let n_pairs = n_rows.div_ceil(2);
    to.par_chunks_exact_mut(n_pairs * NR)
        .enumerate()
        .for_each(|(panel, to)| {
            let mut two = [0.0_f32; 2 * NR];
            for (pair, to) in to.chunks_exact_mut(NR).enumerate() {
                let from = |row: usize| &x.padded()[row * stride + panel * NR..][..NR];
                two[..NR].copy_from_slice(from(2 * pair));
                if 2 * pair + 1 < n_rows {
                    two[NR..].copy_from_slice(from(2 * pair + 1));
                } else {
                    two[NR..].fill(0.0);
                }
                pair_rows(isa, &two, to);
            }
        });
}

by_isa! {
    /// Neighboring rows of 32 as pairs: `[2 n][32]` to `[n][32]`.
    pub(crate) fn pair_rows(x: &[f32], to: &mut [u32]) {
        for (two, to) in x.as_chunks::<{ 2 * NR }>().0.iter().zip(to.as_chunks_mut::<NR>().0) {
            for (j, to) in to.iter_mut().enumerate() {
                *to = u32::from(rounded(two[j])) | u32::from(rounded(two[NR + j])) << 16;
            }
        }
    }
}

/// One tile: `c[i][j] (+)= Σ a[i][k] · b[k][j]` for i < rows, j < 32, two k at a time.
struct Tile {
    /// 1 to 12.
    rows: usize,
    n_pairs: usize,
    a: *const u32,
    /// Pairs between rows of `a`.
    a_stride: usize,
    /// `[pair][32]`.
    b: *const u32,
    c: *mut f32,
    /// Floats between rows of `c`.
    c_stride: usize,
    /// Whether the chain goes on from what `c` holds.
    resume: bool,
}

/// # Safety
/// `a` must be readable for `rows` rows of `n_pairs`, `b` for `n_pairs` rows of 32, `c` writable for
/// `rows` rows of 32 and used by nobody else, and the processor must have `isa`.
#[expect(unsafe_code, reason = "raw tiles: bounds are checked by the callers")]
unsafe fn tile(isa: Isa, t: &Tile) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 && is_x86_feature_detected!("avx512bf16") {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match t.rows {
                    // SAFETY: passed on from the caller.
                    $($n => unsafe { tile_avx512::<$n>(t) },)*
                    _ => {}
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
        return;
    }
    let _ = isa;
    for i in 0..t.rows {
        // SAFETY: row `i` of `a`, all of `b`, row `i` of `c`: as the caller promises.
        unsafe {
            let a = std::slice::from_raw_parts(t.a.add(i * t.a_stride), t.n_pairs);
            let b = std::slice::from_raw_parts(t.b, t.n_pairs * NR);
            let c = std::slice::from_raw_parts_mut(t.c.add(i * t.c_stride), NR);
            chain(isa, a, b, c, t.resume);
        }
    }
}

by_isa! {
    /// One row of a tile, each product added with one rounding.
    pub(crate) fn chain(a: &[u32], b: &[u32], c: &mut [f32], resume: bool) {
        if !resume {
            c.fill(0.0);
        }
        for (a, b) in a.iter().zip(b.chunks_exact(NR)) {
            let (even, odd) = (f32::from_bits(a << 16), f32::from_bits(a & 0xFFFF_0000));
            for (c, b) in c.iter_mut().zip(b) {
                let sum = odd.mul_add(f32::from_bits(b & 0xFFFF_0000), *c);
                *c = even.mul_add(f32::from_bits(b << 16), sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile_avx512<const ROWS: usize>(t: &Tile) {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a change of type, no instruction")]
    fn pairs(bits: __m512i) -> __m512bh {
        // SAFETY: both are 64 bytes that may hold anything.
        unsafe { std::mem::transmute(bits) }
    }
    let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: all pointers stay within the ranges that the caller of `tile` promises.
    unsafe {
        if t.resume {
            for (i, acc) in acc.iter_mut().enumerate() {
                acc[0] = _mm512_loadu_ps(t.c.add(i * t.c_stride));
                acc[1] = _mm512_loadu_ps(t.c.add(i * t.c_stride + 16));
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.n_pairs {
            let b0 = pairs(_mm512_loadu_si512(b.cast()));
            let b1 = pairs(_mm512_loadu_si512(b.add(16).cast()));
            for (i, acc) in acc.iter_mut().enumerate() {
                let a = pairs(_mm512_set1_epi32(*a.add(i * t.a_stride) as i32));
                acc[0] = _mm512_dpbf16_ps(acc[0], a, b0);
                acc[1] = _mm512_dpbf16_ps(acc[1], a, b1);
            }
            a = a.add(1);
            b = b.add(NR);
        }
        for (i, acc) in acc.iter().enumerate() {
            _mm512_storeu_ps(t.c.add(i * t.c_stride), acc[0]);
            _mm512_storeu_ps(t.c.add(i * t.c_stride + 16), acc[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::product::{self, Numbers};
    use super::*;

    /// Small whole numbers: products and sums are exact, so both ways give the same.
    fn rows(seed: u32, n_rows: usize, width: usize, of: impl Fn(u32) -> f32) -> Rows {
        let mut rows = Rows::new(width);
        rows.set_rows(n_rows);
        for i in 0..n_rows {
            for (j, x) in rows.row_mut(i).iter_mut().enumerate() {
                let mixed = (seed ^ (i as u32).wrapping_mul(0x9E37_79B9))
                    .wrapping_add((j as u32).wrapping_mul(0x85EB_CA6B))
                    .wrapping_mul(0xC2B2_AE35);
                *x = of(mixed >> 8);
            }
        }
        rows
    }

    /// All products with and without resuming, in both kinds of numbers.
    fn both(m: usize, n: usize, k: usize, of: impl Fn(u32) -> f32 + Copy) -> Vec<[Vec<f32>; 2]> {
        let (x, w, dy) = (rows(1, m, k, of), rows(2, n, k, of), rows(3, m, n, of));
        let flat = |rows: &Rows| {
            (0..rows.n_rows())
                .flat_map(|i| rows.row(i))
                .copied()
                .collect()
        };
        let mut all = Vec::new();
        for isa in Isa::available() {
            let found = [Numbers::F32, Numbers::Bf16].map(|numbers| {
                let mut found = Vec::new();
                let (mut y, mut dx, mut dw) = (Rows::new(n), Rows::new(k), Rows::new(k));
                product::times_transpose(isa, numbers, &x, &w, &mut y);
                found.extend::<Vec<f32>>(flat(&y));
                for resume in [false, true] {
                    product::times(isa, numbers, &dy, &w, &mut dx, resume);
                    product::outer(isa, numbers, &dy, &x, &mut dw, resume);
                }
                found.extend::<Vec<f32>>(flat(&dx));
                found.extend::<Vec<f32>>(flat(&dw));
                product::times_in_parts(isa, numbers, &dy, &w, &mut dx);
                found.extend::<Vec<f32>>(flat(&dx));
                found
            });
            all.push(found);
        }
        all
    }

    #[test]
    fn whole_numbers_are_exact() {
        for (m, n, k) in [(1, 1, 1), (3, 33, 5), (40, 7, 64), (13, 100, 31)] {
            for [want, found] in both(m, n, k, |bits| (bits % 9) as f32 - 4.0) {
                assert_eq!(want, found, "{m} × {n} × {k}");
            }
        }
        // Longer than what is packed at once, in each of the three sizes.
        for (m, n, k) in [(1_301, 5, 3), (5, 1_301, 3), (5, 3, 1_301)] {
            for [want, found] in both(m, n, k, |bits| (bits % 5) as f32 - 2.0) {
                assert_eq!(want, found, "{m} × {n} × {k}");
            }
        }
    }

    /// Values between 1 and 2: both factors are off by up to 2⁻⁹, so a sum of positive products by
    /// up to 2⁻⁸ of itself; and it is off by something, or nothing was rounded.
    #[test]
    fn both_sides_are_rounded() {
        for [want, found] in both(20, 40, 50, |bits| 1.0 + (bits % 4_096) as f32 / 4_096.0) {
            let off = want.iter().zip(&found).map(|(a, b)| (b / a - 1.0).abs());
            let worst = off.fold(0.0_f32, f32::max);
            assert!(worst < 1.0 / 256.0 && worst > 1e-5, "{worst}");
        }
    }
}
