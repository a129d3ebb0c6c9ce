//! Products with matrices that change from step to step: nothing is packed ahead.
//!
//! ```text
//! y  = x · Wᵀ   [`times_transpose`]   panels of W are transposed as they are needed
//! dx = dy · W   [`times`]             panels of W are copied
//! dW = dyᵀ · x  [`outer`]             strips of dy are transposed, x is read where it lies
//! ```
//! Every element is one chain of fused multiply-adds over the summed index in order, as in
//! [`super::gemm()`] (but for [`times_in_parts`]): `y` has the same bits as there, and no result
//! depends on the threads. With `resume` the chain goes on from what the output holds, which is how
//! sums of products and accumulated gradients are made.

use std::cell::RefCell;
use std::ops::Range;

use super::gemm::row_blocks;
use super::product_bf16;
use super::transpose::transpose;
use super::{Disjoint, Isa, MAX_ROWS, NR, Rows, Tile, parallel, tile};

/// Most of the summed index that is packed at once: a panel of 32 columns takes 80 KiB.
pub(super) const DEPTH: usize = 640;
/// Rows of a weight's gradient that a thread computes together: their strip takes 250 KiB.
pub(super) const STRIP: usize = 96;
/// Stride of a strip's rows: off the power of two, so that they do not share a cache set.
pub(super) const STRIP_STRIDE: usize = DEPTH + 16;
/// Length of the chains of a sum in parts.
pub(super) const PART: usize = 512;

thread_local! {
    static PACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What the factors of a product are rounded to; sums are `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Nothing.
    F32,
    /// bfloat16: [`super::product_bf16`].
    Bf16,
}

/// What an output element starts from, and how a long sum is made.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sum {
    /// One chain from 0.
    Chain,
    /// One chain from what the output holds.
    Resume,
    /// Chains of [`PART`], each from 0, added in order.
    Parts,
}

/// `out[i][j] = Σ_k x[i][k] · w[j][k]`.
pub(crate) fn times_transpose(isa: Isa, numbers: Numbers, x: &Rows, w: &Rows, out: &mut Rows) {
    times_transpose_by(isa, numbers, x, w, out, Sum::Chain);
}

/// `out[i][j] += Σ_k x[i][k] · w[j][k]`: the chain goes on.
pub(crate) fn add_times_transpose(isa: Isa, x: &Rows, w: &Rows, out: &mut Rows) {
    times_transpose_by(isa, Numbers::F32, x, w, out, Sum::Resume);
}

fn times_transpose_by(isa: Isa, numbers: Numbers, x: &Rows, w: &Rows, out: &mut Rows, sum: Sum) {
    assert_eq!(x.width(), w.width(), "inputs fit the weight");
    let (n_out, stride) = (w.n_rows(), w.stride());
    by_panels(isa, numbers, x, n_out, out, sum, |panel, depth, packed| {
        let n = NR.min(n_out - panel * NR);
        if n < NR {
            packed.fill(0.0);
        }
        let from = &w.padded()[panel * NR * stride + depth.start..];
        transpose(isa, from, stride, n, depth.len(), packed, NR);
    });
}

/// `out[i][j] (+)= Σ_k x[i][k] · w[k][j]`.
pub(crate) fn times(isa: Isa, numbers: Numbers, x: &Rows, w: &Rows, out: &mut Rows, resume: bool) {
    let sum = if resume { Sum::Resume } else { Sum::Chain };
    times_by(isa, numbers, x, w, out, sum);
}

/// As [`times`], for a very long sum: chains of 512 that are added in order. In one chain over a
/// vocabulary of 50,000 the last blocks' smaller gradients lose two digits more.
pub(crate) fn times_in_parts(isa: Isa, numbers: Numbers, x: &Rows, w: &Rows, out: &mut Rows) {
    times_by(isa, numbers, x, w, out, Sum::Parts);
}

fn times_by(isa: Isa, numbers: Numbers, x: &Rows, w: &Rows, out: &mut Rows, sum: Sum) {
    assert_eq!(x.width(), w.n_rows(), "gradients fit the weight");
    let (padded, stride) = (w.padded(), w.stride());
    by_panels(
        isa,
        numbers,
        x,
        w.width(),
        out,
        sum,
        |panel, depth, packed| {
            for (k, to) in depth.zip(packed.chunks_exact_mut(NR)) {
                to.copy_from_slice(&padded[k * stride + panel * NR..][..NR]);
            }
        },
    );
}

/// Cuts `0..n` into pieces of at most `max`, as even as can be.
pub(super) fn pieces(n: usize, max: usize) -> impl Iterator<Item = Range<usize>> {
    let n_pieces = n.div_ceil(max);
    (0..n_pieces).map(move |i| i * n / n_pieces..(i + 1) * n / n_pieces)
}

/// `out[i][j] (+)= Σ_r dy[r][i] · x[r][j]`: the gradient of a weight `[n_out, n_in]`.
#[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
pub(crate) fn outer(isa: Isa, numbers: Numbers, dy: &Rows, x: &Rows, out: &mut Rows, resume: bool) {
    assert_eq!(dy.n_rows(), x.n_rows(), "as many gradients as inputs");
    let (n_out, n_panels, n_rows) = (dy.width(), x.width().div_ceil(NR), x.n_rows());
    if !resume {
        out.set_rows(n_out);
    }
    assert_eq!(
        (out.n_rows(), out.width()),
        (n_out, x.width()),
        "the gradient has the weight's shape"
    );
    if numbers == Numbers::Bf16 {
        return product_bf16::outer(isa, dy, x, out, resume);
    }
    let (stride, x_stride) = (out.stride(), x.stride());
    let out = Disjoint::new(out.padded_mut());
    parallel(n_out.div_ceil(STRIP), 1, |strips| {
        PACKED.with_borrow_mut(|packed| {
            packed.resize(packed.len().max(STRIP * STRIP_STRIDE), 0.0);
            for first in strips.map(|strip| strip * STRIP) {
                let n = STRIP.min(n_out - first);
                for piece in pieces(n_rows, DEPTH) {
                    let (r, k) = (piece.start, piece.len());
                    strip(isa, dy, piece, first..first + n, packed);
                    for panel in 0..n_panels {
                        let b = &x.padded()[r * x_stride + panel * NR..][..(k - 1) * x_stride + NR];
                        for (row, rows) in row_blocks(n) {
                            let a = &packed[row * STRIP_STRIDE..][..(rows - 1) * STRIP_STRIDE + k];
                            let t = Tile {
                                rows,
                                k,
                                a: a.as_ptr(),
                                a_stride: STRIP_STRIDE,
                                b: b.as_ptr(),
                                b_stride: x_stride,
                                c: out.pointer(
                                    (first + row) * stride + panel * NR,
                                    (rows - 1) * stride + NR,
                                ),
                                c_stride: stride,
                                resume: resume || r > 0,
                            };
                            // SAFETY: `a` and `b` were sliced to the tile's size, `pointer`
                            // checked the output; strips of one call are distinct, so no two
                            // threads write the same rows.
                            unsafe { tile(isa, &t) }
                        }
                    }
                }
            }
        });
    });
}

/// Some columns of some rows as rows of a strip.
pub(super) fn strip(
    isa: Isa,
    dy: &Rows,
    rows: Range<usize>,
    columns: Range<usize>,
    packed: &mut [f32],
) {
    let stride = dy.stride();
    let from = &dy.padded()[rows.start * stride + columns.start..];
    let (n_rows, n_columns) = (rows.len(), columns.len());
    transpose(isa, from, stride, n_rows, n_columns, packed, STRIP_STRIDE);
}

/// Columns of `out` in panels of 32; `pack(panel, depth, packed)` fills `[depth][32]`.
#[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
fn by_panels(
    isa: Isa,
    numbers: Numbers,
    x: &Rows,
    n_columns: usize,
    out: &mut Rows,
    sum: Sum,
    pack: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
) {
    if numbers == Numbers::Bf16 {
        return product_bf16::by_panels(isa, x, n_columns, out, sum, pack);
    }
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
    let (stride, x_stride) = (out.stride(), x.stride());
    let out = Disjoint::new(out.padded_mut());
    parallel(n_columns.div_ceil(NR), 1, |panels| {
        PACKED.with_borrow_mut(|packed| {
            packed.resize(packed.len().max(DEPTH * NR), 0.0);
            for panel in panels {
                for piece in pieces(depth, max_depth) {
                    let (first, k) = (piece.start, piece.len());
                    let b = &mut packed[..k * NR];
                    pack(panel, piece, b);
                    for (row, rows) in row_blocks(n_rows) {
                        let a = &x.padded()[row * x_stride + first..][..(rows - 1) * x_stride + k];
                        let c = out.pointer(row * stride + panel * NR, (rows - 1) * stride + NR);
                        let mut part = [0.0_f32; MAX_ROWS * NR];
                        let is_part = sum == Sum::Parts && first > 0;
                        let t = Tile {
                            rows,
                            k,
                            a: a.as_ptr(),
                            a_stride: x_stride,
                            b: b.as_ptr(),
                            b_stride: NR,
                            c: if is_part { part.as_mut_ptr() } else { c },
                            c_stride: if is_part { NR } else { stride },
                            resume: sum == Sum::Resume || sum == Sum::Chain && first > 0,
                        };
                        // SAFETY: `a` and `b` were sliced to the tile's size, `part` has room for
                        // the largest, `pointer` checked the output; panels of one call are
                        // distinct, so no two threads write the same columns.
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
}

/// `c[i][j] += part[i][j]` for rows of 32.
///
/// # Safety
/// `c` must be writable for as many rows of 32 at its stride as `part` has, by this thread alone.
#[expect(unsafe_code, reason = "the output is shared by its columns")]
pub(super) unsafe fn add_part(part: &[f32], c: *mut f32, stride: usize) {
    for (i, part) in part.chunks_exact(NR).enumerate() {
        // SAFETY: the caller's promise.
        let c = unsafe { std::slice::from_raw_parts_mut(c.add(i * stride), NR) };
        for (c, x) in c.iter_mut().zip(part) {
            *c += x;
        }
    }
}

/// A small product on one thread, on plain buffers:
/// `c[i][j] (+)= Σ_k a[i][k] · b[k][j]` for `n_rows × n_columns`; `b` and `c` must have room for
/// whole groups of 32 columns.
pub(crate) struct Small<'a> {
    pub(crate) n_rows: usize,
    pub(crate) depth: usize,
    pub(crate) n_columns: usize,
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    pub(crate) b: &'a [f32],
    pub(crate) b_stride: usize,
    pub(crate) c: &'a mut [f32],
    pub(crate) c_stride: usize,
    pub(crate) resume: bool,
}

impl Small<'_> {
    /// Computes it.
    #[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
    pub(crate) fn run(self, isa: Isa) {
        if self.depth == 0 {
            return;
        }
        for column in (0..self.n_columns).step_by(NR) {
            let b = &self.b[column..][..(self.depth - 1) * self.b_stride + NR];
            for (row, rows) in row_blocks(self.n_rows) {
                let a = &self.a[row * self.a_stride..][..(rows - 1) * self.a_stride + self.depth];
                let c =
                    &mut self.c[row * self.c_stride + column..][..(rows - 1) * self.c_stride + NR];
                let t = Tile {
                    rows,
                    k: self.depth,
                    a: a.as_ptr(),
                    a_stride: self.a_stride,
                    b: b.as_ptr(),
                    b_stride: self.b_stride,
                    c: c.as_mut_ptr(),
                    c_stride: self.c_stride,
                    resume: self.resume,
                };
                // SAFETY: all three were sliced to the tile's size, and `c` is borrowed alone.
                unsafe { tile(isa, &t) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(seed: u32, n_rows: usize, width: usize) -> Rows {
        let mut rows = Rows::new(width);
        rows.set_rows(n_rows);
        for i in 0..n_rows {
            for (j, x) in rows.row_mut(i).iter_mut().enumerate() {
                let mixed = (seed
                    ^ (i as u32).wrapping_mul(0x9E37_79B9)
                    ^ (j as u32).wrapping_mul(0x85EB_CA6B))
                .wrapping_mul(0xC2B2_AE35);
                *x = (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0;
            }
        }
        rows
    }

    fn same(found: &Rows, want: impl Fn(usize, usize) -> f32) -> Result<(), TestCaseError> {
        for i in 0..found.n_rows() {
            for (j, x) in found.row(i).iter().enumerate() {
                prop_assert_eq!(x.to_bits(), want(i, j).to_bits(), "row {}, column {}", i, j);
            }
        }
        Ok(())
    }

    fn check(m: usize, n: usize, k: usize, seed: u32) -> Result<(), TestCaseError> {
        let chain = |k: usize, from: f32, a: &dyn Fn(usize) -> f32, b: &dyn Fn(usize) -> f32| {
            (0..k).fold(from, |sum, l| a(l).mul_add(b(l), sum))
        };
        let (x, w, dy) = (
            rows(seed, m, k),
            rows(!seed, n, k),
            rows(seed ^ 0x55AA, m, n),
        );
        for isa in Isa::available() {
            let mut y = Rows::new(n);
            times_transpose(isa, Numbers::F32, &x, &w, &mut y);
            same(&y, |i, j| chain(k, 0.0, &|l| x.row(i)[l], &|l| w.row(j)[l]))?;
            add_times_transpose(isa, &x, &w, &mut y);
            same(&y, |i, j| {
                let once = |from| chain(k, from, &|l| x.row(i)[l], &|l| w.row(j)[l]);
                once(once(0.0))
            })?;

            let mut dx = Rows::new(k);
            times(isa, Numbers::F32, &dy, &w, &mut dx, false);
            times(isa, Numbers::F32, &dy, &w, &mut dx, true);
            same(&dx, |i, j| {
                let once = |from| chain(n, from, &|l| dy.row(i)[l], &|l| w.row(l)[j]);
                once(once(0.0))
            })?;

            let mut parts = Rows::new(k);
            times_in_parts(isa, Numbers::F32, &dy, &w, &mut parts);
            same(&parts, |i, j| {
                let part = |r: Range<usize>| {
                    chain(r.len(), 0.0, &|l| dy.row(i)[r.start + l], &|l| {
                        w.row(r.start + l)[j]
                    })
                };
                pieces(n, PART)
                    .map(part)
                    .reduce(|sum, part| sum + part)
                    .unwrap()
            })?;

            let mut dw = Rows::new(k);
            outer(isa, Numbers::F32, &dy, &x, &mut dw, false);
            outer(isa, Numbers::F32, &dy, &x, &mut dw, true);
            same(&dw, |i, j| {
                let once = |from| chain(m, from, &|l| dy.row(l)[i], &|l| x.row(l)[j]);
                once(once(0.0))
            })?;
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Any shape, every instruction set: each element is the chain over the summed index, bit
        /// for bit, and goes on from what is there when asked to.
        #[test]
        fn products_are_one_chain_for_each_element(m in 1..40_usize, n in 1..110_usize, k in 1..70_usize, seed: u32) {
            check(m, n, k, seed)?;
        }
    }

    /// Longer than what is packed at once, in each of the three sizes.
    #[test]
    fn long_sums_are_one_chain_too() {
        for (m, n, k) in [(1_300, 5, 3), (5, 1_300, 3), (5, 3, 1_300)] {
            check(m, n, k, 7).unwrap();
        }
    }
}
