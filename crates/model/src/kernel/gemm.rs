//! `y = x · Wᵀ` with weights packed once into column panels.
//!
//! A tile of the micro-kernel reads a panel from front to back. Each thread takes whole panels and
//! runs all rows over each, so a weight comes from memory once per call, however many rows there
//! are. Compact panels are unpacked to floats on the way: in registers for few rows, else through
//! a buffer that stays in the second cache.

use std::cell::{Cell, RefCell};

use super::bf16::{self, Bf16Rows, has_pairs, round_floats};
use super::form::Form;
use super::int8::{self, INT8_ROWS, Int8Rows};
use super::thin::{THIN_ROWS, Thin};
use super::unpack::unpack;
use super::{Compute, Disjoint, Isa, MAX_ROWS, NR, Packed, Rows, Tile, parallel, tile};

/// Inputs of a compact panel that are unpacked at once: 64 KiB.
const DEPTH: usize = 512;

/// Rows as a product takes them: floats, and what they are rounded to where it computes in less.
pub(crate) struct Operand<'a> {
    x: &'a Rows,
    cast: Box<Cast>,
}

/// Rounded rows; the memory is kept from product to product.
#[derive(Default)]
struct Cast {
    bf16: Bf16Rows,
    /// Rounded to bfloat16, as floats, where pairs have no instruction.
    rounded: Rows,
    int8: Int8Rows,
}

thread_local! {
    /// Taken while in use: a thread that waits for others may begin another product.
    static CAST: Cell<Option<Box<Cast>>> = const { Cell::new(None) };
    static UNPACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl<'a> Operand<'a> {
    /// Rows for products with `w`, or with other weights of the same width and way of computing.
    pub(crate) fn new(isa: Isa, x: &'a Rows, w: &Packed) -> Self {
        assert!(
            x.width() == w.n_in(),
            "rows have {} columns, the weight {}",
            x.width(),
            w.n_in()
        );
        let mut cast = CAST.take().unwrap_or_default();
        match w.compute() {
            Compute::Bf16 if has_pairs(isa) && w.n_in().is_multiple_of(2) => cast.bf16.set(isa, x),
            Compute::Bf16 => {
                if cast.rounded.width() != x.width() {
                    cast.rounded = Rows::new(x.width());
                }
                cast.rounded.set_rows(x.n_rows());
                for i in 0..x.n_rows() {
                    round_floats(isa, x.row(i), cast.rounded.row_mut(i));
                }
            }
            Compute::Int8 if w.has_grid() => cast.int8.set(isa, x),
            // Products of floats take them as they are.
            Compute::F32 | Compute::Int8 => {}
        }
        Self { x, cast }
    }
}

impl Drop for Operand<'_> {
    fn drop(&mut self) {
        CAST.set(Some(std::mem::take(&mut self.cast)));
    }
}

/// `out[i][j] = Σ_k x[i][k] · w[j][k]`, k in order; `out` gets as many rows as `x`.
pub(crate) fn gemm(isa: Isa, x: &Rows, w: &Packed, out: &mut Rows) {
    let operand = Operand::new(isa, x, w);
    out.set_rows(x.n_rows());
    let stride = out.stride();
    assert!(
        out.width() == w.n_out(),
        "the product has {} columns, the buffer {}",
        w.n_out(),
        out.width()
    );
    let n_rows = x.n_rows();
    let out = Disjoint::new(out.padded_mut());
    // Few rows are bound by memory: one long run for each thread.
    let min_panels = if n_rows < MAX_ROWS { 4 } else { 1 };
    parallel(w.n_panels(), min_panels, |panels| {
        for panel in panels {
            product(
                isa,
                &operand,
                w,
                panel,
                &|row, rows| out.pointer(row * stride + panel * NR, (rows - 1) * stride + NR),
                stride,
            );
        }
    });
}

/// All rows times some panels, written to `buffer` as `n_rows × 32 × n_panels`.
///
/// For results that are reduced at once (the output layer): panels `first..first + n`.
pub(crate) fn gemm_panels(
    isa: Isa,
    operand: &Operand<'_>,
    w: &Packed,
    panels: std::ops::Range<usize>,
    buffer: &mut Vec<f32>,
) {
    let stride = panels.len() * NR;
    let n_rows = operand.x.n_rows();
    if buffer.len() < n_rows * stride {
        buffer.resize(n_rows * stride, 0.0);
    }
    let first = panels.start;
    let out = Disjoint::new(buffer);
    for panel in panels {
        product(
            isa,
            operand,
            w,
            panel,
            &|row, rows| {
                out.pointer(
                    row * stride + (panel - first) * NR,
                    (rows - 1) * stride + NR,
                )
            },
            stride,
        );
    }
}

/// One output of one row: the same bits as [`gemm`] computes.
pub(crate) fn dot(isa: Isa, x: &Rows, w: &Packed, out: usize) -> f32 {
    assert!(x.n_rows() == 1, "one row");
    let operand = Operand::new(isa, x, w);
    let mut outputs = [0.0; NR];
    let place = Disjoint::new(&mut outputs);
    product(isa, &operand, w, out / NR, &|_, _| place.pointer(0, NR), NR);
    outputs[out % NR]
}

/// All rows times one panel; `place(row, rows)` checks and gives the output of a tile.
#[expect(unsafe_code, reason = "calls the raw tiles after checking all bounds")]
fn product(
    isa: Isa,
    operand: &Operand<'_>,
    w: &Packed,
    panel: usize,
    place: &impl Fn(usize, usize) -> *mut f32,
    stride: usize,
) {
    let (form, panel) = w.panel(panel);
    let has_pairs = has_pairs(isa) && form == Form::Bf16;
    let x = if w.compute() == Compute::Bf16 && !has_pairs {
        &operand.cast.rounded
    } else {
        operand.x
    };
    match (w.compute(), form) {
        (Compute::Int8, Form::Grid(grid)) => {
            for block in blocks_of(x.n_rows(), INT8_ROWS) {
                // SAFETY: `place` checked the output; panels of one call are distinct, so no two
                // threads write the same columns.
                unsafe {
                    let c = place(block.0, block.1);
                    int8::product(isa, &operand.cast.int8, block, grid, panel, c, stride);
                }
            }
        }
        (Compute::Bf16, Form::Bf16) if has_pairs => {
            for block in row_blocks(x.n_rows()) {
                // SAFETY: as above.
                unsafe {
                    let c = place(block.0, block.1);
                    bf16::product(isa, &operand.cast.bf16, block, panel, c, stride);
                }
            }
        }
        (_, Form::F32) => chains(isa, x, 0, Packed::floats(panel), false, place, stride),
        (_, form) => {
            if (1..=THIN_ROWS).contains(&x.n_rows()) {
                let thin = Thin {
                    form,
                    panel,
                    n_in: w.n_in(),
                    a: x.padded(),
                    a_stride: x.stride(),
                    rows: x.n_rows(),
                    c: place(0, x.n_rows()),
                    c_stride: stride,
                };
                // SAFETY: as above.
                if unsafe { thin.run(isa) } {
                    return;
                }
            }
            UNPACKED.with_borrow_mut(|floats| {
                floats.resize(floats.len().max(DEPTH * NR), 0.0);
                for first in (0..w.n_in()).step_by(DEPTH) {
                    let floats = &mut floats[..DEPTH.min(w.n_in() - first) * NR];
                    unpack(isa, form, panel, first, floats);
                    chains(isa, x, first, floats, first > 0, place, stride);
                }
            });
        }
    }
}

/// All rows times a piece of a panel, `[k][32]`, that begins at input `first`.
#[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
fn chains(
    isa: Isa,
    x: &Rows,
    first: usize,
    b: &[f32],
    resume: bool,
    place: &impl Fn(usize, usize) -> *mut f32,
    stride: usize,
) {
    let k = b.len() / NR;
    for (row, rows) in row_blocks(x.n_rows()) {
        let t = Tile {
            rows,
            k,
            a: x.padded()[row * x.stride() + first..][..(rows - 1) * x.stride() + k].as_ptr(),
            a_stride: x.stride(),
            b: b.as_ptr(),
            b_stride: NR,
            c: place(row, rows),
            c_stride: stride,
            resume,
        };
        // SAFETY: `a` and `b` were sliced to the tile's size, `place` checked the output, panels
        // of one call are distinct, so no two threads write the same columns; `isa` was detected.
        unsafe { tile(isa, &t) }
    }
}

/// Splits rows into blocks of at most 12, as even as can be: (first, count).
pub(crate) fn row_blocks(n_rows: usize) -> impl Iterator<Item = (usize, usize)> {
    blocks_of(n_rows, MAX_ROWS)
}

/// Splits rows into blocks of at most `most`, as even as can be: (first, count).
fn blocks_of(n_rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let n_blocks = n_rows.div_ceil(most);
    (0..n_blocks).map(move |i| {
        let (first, end) = (i * n_rows / n_blocks, (i + 1) * n_rows / n_blocks);
        (first, end - first)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(seed: u32, i: usize, j: usize) -> f32 {
        let mixed =
            (seed ^ (i as u32).wrapping_mul(0x9E37_79B9) ^ (j as u32).wrapping_mul(0x85EB_CA6B))
                .wrapping_mul(0xC2B2_AE35);
        (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn one(x: &Rows, i: usize) -> Rows {
        let mut row = Rows::new(x.width());
        row.set_rows(1);
        row.row_mut(0).copy_from_slice(x.row(i));
        row
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any shape: each element is the chain over k, bit for bit, on every instruction set, and
        /// the same alone as among other rows.
        #[test]
        fn a_product_is_one_chain_for_each_element(m in 1..40_usize, n in 1..100_usize, k in 1..70_usize, seed: u32) {
            let w = Packed::new(n, k, |i, row| {
                for (j, x) in row.iter_mut().enumerate() {
                    *x = value(seed, i, j);
                }
            }).unwrap();
            let mut x = Rows::new(k);
            x.set_rows(m);
            for i in 0..m {
                for (j, x) in x.row_mut(i).iter_mut().enumerate() {
                    *x = value(!seed, i, j);
                }
            }
            for isa in Isa::available() {
                let mut y = Rows::new(n);
                gemm(isa, &x, &w, &mut y);
                for i in 0..m {
                    for j in 0..n {
                        let chain = (0..k).fold(0.0_f32, |sum, l| value(!seed, i, l).mul_add(value(seed, j, l), sum));
                        prop_assert_eq!(y.row(i)[j].to_bits(), chain.to_bits());
                        prop_assert_eq!(dot(isa, &one(&x, i), &w, j).to_bits(), chain.to_bits());
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_split_evenly_and_completely() {
        for n in 0..60 {
            let blocks: Vec<_> = row_blocks(n).collect();
            assert_eq!(blocks.iter().map(|(_, rows)| rows).sum::<usize>(), n);
            assert!(blocks.iter().all(|(_, rows)| (1..=MAX_ROWS).contains(rows)));
        }
    }

    #[test]
    fn a_weight_that_is_not_finite_is_found() {
        let bad = Packed::new(40, 3, |i, row| {
            row.fill(if i == 35 { f32::NEG_INFINITY } else { 1.0 });
        });
        assert_eq!(bad.unwrap_err(), 35);
    }
}
