//! `y = x · Wᵀ` with weights packed once into column panels.
//!
//! A panel holds 32 outputs as `[k][32]`: one tile of the micro-kernel reads it from front to back.
//! Each thread takes whole panels and runs all rows over each, so a weight comes from memory once
//! per call, however many rows there are.

use rayon::prelude::*;

use super::{Disjoint, Isa, MAX_ROWS, NR, Rows, Tile, parallel, tile};

/// Floats of a cache line.
const LINE: usize = 16;

/// A weight matrix `[n_out, n_in]` in panels of 32 outputs; missing outputs of the last are 0.
#[derive(Debug)]
pub(crate) struct Packed {
    n_out: usize,
    n_in: usize,
    data: Vec<f32>,
    /// Where the first panel begins in `data`: on a 64-byte line, so that no vector straddles two.
    first: usize,
}

impl Packed {
    /// Packs `n_out` rows of `n_in`; `read_row(i, row)` fills row `i` and is called once for each,
    /// from several threads.
    ///
    /// `Err(i)`: row `i` holds a value that is not finite.
    pub(crate) fn new(
        n_out: usize,
        n_in: usize,
        read_row: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Self, usize> {
        let n = n_out.div_ceil(NR) * NR * n_in;
        let mut data = vec![0.0_f32; n + LINE];
        let first = data
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        data[first..first + n]
            .par_chunks_mut((NR * n_in).max(1))
            .enumerate()
            .try_for_each_init(
                || vec![0.0; NR * n_in],
                |rows, (p, panel)| {
                    let n = NR.min(n_out - p * NR);
                    for (j, row) in rows.chunks_exact_mut(n_in).take(n).enumerate() {
                        read_row(p * NR + j, row);
                        // A sum of zeros times values is 0 unless one is infinite or not a number.
                        if !row.iter().map(|x| x * 0.0).sum::<f32>().is_finite() {
                            return Err(p * NR + j);
                        }
                    }
                    for (k, column) in panel.chunks_exact_mut(NR).enumerate() {
                        for (j, x) in column.iter_mut().take(n).enumerate() {
                            *x = rows[j * n_in + k];
                        }
                    }
                    Ok(())
                },
            )?;
        Ok(Self {
            n_out,
            n_in,
            data,
            first,
        })
    }

    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// One panel, `[n_in][32]`.
    fn panel(&self, panel: usize) -> &[f32] {
        &self.data[self.first + panel * NR * self.n_in..][..NR * self.n_in]
    }

    /// Panels, the last one perhaps padded.
    pub(crate) fn n_panels(&self) -> usize {
        self.n_out.div_ceil(NR)
    }

    /// One output of one row: the same chain, thus the same bits, as [`gemm`] computes.
    pub(crate) fn dot(&self, x: &[f32], out: usize) -> f32 {
        let panel = self.panel(out / NR);
        x.iter()
            .zip(panel.chunks_exact(NR))
            .fold(0.0, |sum, (x, w)| x.mul_add(w[out % NR], sum))
    }
}

/// `out[i][j] = Σ_k x[i][k] · w[j][k]`, k in order; `out` gets as many rows as `x`.
pub(crate) fn gemm(isa: Isa, x: &Rows, w: &Packed, out: &mut Rows) {
    out.set_rows(x.n_rows());
    let stride = out.stride();
    assert!(
        out.width() == w.n_out,
        "the product has {} columns, the buffer {}",
        w.n_out,
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
                x,
                w,
                panel,
                &|row, rows| out.pointer(row * stride + panel * NR, (rows - 1) * stride + NR),
                stride,
            );
        }
    });
}

/// All rows of `x` times one panel, written to `buffer` as `n_rows × 32 × n_panels`.
///
/// For results that are reduced at once (the output layer): panels `first..first + n`.
pub(crate) fn gemm_panels(
    isa: Isa,
    x: &Rows,
    w: &Packed,
    panels: std::ops::Range<usize>,
    buffer: &mut Vec<f32>,
) {
    let stride = panels.len() * NR;
    if buffer.len() < x.n_rows() * stride {
        buffer.resize(x.n_rows() * stride, 0.0);
    }
    let first = panels.start;
    let out = Disjoint::new(buffer);
    for panel in panels {
        product(
            isa,
            x,
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

/// All rows of `x` times one panel; `place(row, rows)` checks and gives the output of a tile.
#[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
fn product(
    isa: Isa,
    x: &Rows,
    w: &Packed,
    panel: usize,
    place: &impl Fn(usize, usize) -> *mut f32,
    stride: usize,
) {
    assert!(
        x.width() == w.n_in,
        "rows have {} columns, the weight {}",
        x.width(),
        w.n_in
    );
    let b = w.panel(panel);
    let a = x.padded();
    for (row, rows) in row_blocks(x.n_rows()) {
        let t = Tile {
            rows,
            k: w.n_in,
            a: a[row * x.stride()..(row + rows) * x.stride()].as_ptr(),
            a_stride: x.stride(),
            b: b.as_ptr(),
            b_stride: NR,
            c: place(row, rows),
            c_stride: stride,
            resume: false,
        };
        // SAFETY: `a` and `b` were sliced to the tile's size, `place` checked the output, panels
        // of one call are distinct, so no two threads write the same columns; `isa` was detected.
        unsafe { tile(isa, &t) }
    }
}

/// Splits rows into blocks of at most 12, as even as can be: (first, count).
pub(crate) fn row_blocks(n_rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let n_blocks = n_rows.div_ceil(MAX_ROWS);
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
                        prop_assert_eq!(w.dot(x.row(i), j).to_bits(), chain.to_bits());
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
