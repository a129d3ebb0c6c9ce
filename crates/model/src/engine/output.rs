//! The output layer, reduced as it is computed: logits of the whole batch never exist at once.
//!
//! The vocabulary is cut into a fixed grid of 1,024 columns. A thread computes one grid cell for
//! all rows of a chunk and keeps only maximum, its token and Σ e^(x − maximum); the cells are
//! combined in order, so the result depends on the row alone.

use std::cell::RefCell;

use rayon::prelude::*;

use super::tree::Head;
use crate::arch::forward::Decoder;
use crate::kernel::gemm::{Operand, dot, gemm_panels};
use crate::kernel::vector::{max, sum_exp};
use crate::kernel::{NR, Rows};

/// Panels of a grid cell: 32 · 32 = 1,024 columns.
const CELL_PANELS: usize = 32;
/// Rows that go through the output layer together: its buffer is at most 1 MiB per thread.
const CHUNK_ROWS: usize = 256;

/// One grid cell of one row.
#[derive(Debug, Clone, Copy)]
struct Cell {
    max: f32,
    argmax: u32,
    sum: f32,
}

thread_local! {
    static LOGITS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Output layer over `n` hidden states (before the final norm); `hidden(i)` gives the i-th.
///
/// `None` for a row whose logits are not finite.
pub(super) fn heads<'a>(
    decoder: &Decoder,
    n: usize,
    hidden: impl Fn(usize) -> &'a [f32] + Send,
) -> Vec<Option<Head>> {
    let mut out = Vec::with_capacity(n);
    let (mut x, mut normed) = (
        Rows::new(decoder.config.d_model),
        Rows::new(decoder.config.d_model),
    );
    for first in (0..n).step_by(CHUNK_ROWS) {
        let n_rows = CHUNK_ROWS.min(n - first);
        x.set_rows(n_rows);
        for i in 0..n_rows {
            x.row_mut(i).copy_from_slice(hidden(first + i));
        }
        // A row that is not finite shows in its logits.
        let _ = decoder.norm(&x, &decoder.weights.final_norm, &mut normed);
        out.extend(chunk(decoder, &normed));
    }
    out
}

fn chunk(decoder: &Decoder, normed: &Rows) -> Vec<Option<Head>> {
    let w = &decoder.weights.output;
    let operand = Operand::new(decoder.isa, normed, w);
    let n_cells = w.n_panels().div_ceil(CELL_PANELS);
    let cells: Vec<Vec<Cell>> = (0..n_cells)
        .into_par_iter()
        .with_max_len(if normed.n_rows() < 8 {
            n_cells.div_ceil(8)
        } else {
            1
        })
        .map(|c| cell(decoder, &operand, normed.n_rows(), c))
        .collect();
    (0..normed.n_rows())
        .map(|row| combine(cells.iter().map(|cell| cell[row])))
        .collect()
}

fn cell(decoder: &Decoder, rows: &Operand<'_>, n_rows: usize, c: usize) -> Vec<Cell> {
    let (isa, w) = (decoder.isa, &decoder.weights.output);
    let panels = c * CELL_PANELS..((c + 1) * CELL_PANELS).min(w.n_panels());
    let first = panels.start * NR;
    let (stride, width) = (panels.len() * NR, (panels.end * NR).min(w.n_out()) - first);
    LOGITS.with_borrow_mut(|logits| {
        gemm_panels(isa, rows, w, panels, logits);
        logits
            .chunks_exact_mut(stride)
            .take(n_rows)
            .map(|row| {
                let row = &mut row[..width];
                decoder.finish_logits(row);
                let max = max(isa, row);
                let argmax = row.iter().position(|x| *x == max).unwrap_or(0);
                Cell {
                    max,
                    argmax: (first + argmax) as u32,
                    sum: sum_exp(isa, row, max),
                }
            })
            .collect()
    })
}

fn combine(cells: impl Iterator<Item = Cell> + Clone) -> Option<Head> {
    let (mut max, mut argmax) = (f32::NEG_INFINITY, 0);
    for cell in cells.clone() {
        if cell.max > max {
            (max, argmax) = (cell.max, cell.argmax);
        }
    }
    let sum: f64 = cells
        .map(|c| f64::from(c.sum) * (f64::from(c.max) - f64::from(max)).exp())
        .sum();
    let log_sum = f64::from(max) + sum.ln();
    log_sum.is_finite().then_some(Head {
        max,
        argmax,
        log_sum,
    })
}

/// Log-probability of a token given a hidden state (one row) and its [`Head`]; the same chain as
/// the output layer's.
pub(super) fn logprob(decoder: &Decoder, normed: &Rows, head: &Head, token: u32) -> f32 {
    let logit = if token == head.argmax {
        head.max
    } else {
        let mut logit = [dot(
            decoder.isa,
            normed,
            &decoder.weights.output,
            token as usize,
        )];
        decoder.finish_logits(&mut logit);
        logit[0]
    };
    (f64::from(logit) - head.log_sum) as f32
}

/// All logits of one hidden state: for sampling.
pub(super) fn logits(decoder: &Decoder, hidden: &[f32]) -> Vec<f32> {
    let mut x = Rows::new(decoder.config.d_model);
    let mut normed = Rows::new(decoder.config.d_model);
    let mut out = Rows::new(decoder.config.vocab_size);
    x.set_rows(1);
    x.row_mut(0).copy_from_slice(hidden);
    let _ = decoder.norm(&x, &decoder.weights.final_norm, &mut normed);
    crate::kernel::gemm(decoder.isa, &normed, &decoder.weights.output, &mut out);
    decoder.finish_logits(out.row_mut(0));
    out.row(0).to_vec()
}
