//! The output layer over states of the decoder, reduced row by row.

use rayon::prelude::*;

use super::forward::Model;
use crate::kernel::vector::{max, sum_exp};
use crate::kernel::{Rows, gemm};

/// Rows whose logits over the vocabulary exist at once.
pub(crate) const LOGIT_ROWS: usize = 16;
/// Columns whose exponentials are summed in f32 before they go to f64.
const CELL: usize = 1024;

/// Logits of some rows, and what makes probabilities of them.
pub(crate) struct Logits {
    rows: Rows,
    heads: Vec<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    /// The smallest id among the most probable.
    argmax: u32,
    /// ln Σ e^logit.
    log_sum: f64,
}

impl Logits {
    /// Of rows `first..first + n` of scaled, normed states; `None` where one is not finite.
    pub(crate) fn of(model: &Model, states: &Rows, first: usize, n: usize) -> Option<Self> {
        let decoder = model.weights.decoder.as_ref();
        let output = &decoder
            .expect("asked only of a model with a decoder")
            .output;
        let mut x = Rows::new(model.config.d_model);
        x.set_rows(n);
        for i in 0..n {
            x.row_mut(i).copy_from_slice(states.row(first + i));
        }
        let mut rows = Rows::new(model.config.vocab_size);
        gemm(model.isa, &x, output, &mut rows);
        let head = |i: usize| {
            let row = rows.row(i);
            let top = max(model.isa, row);
            let cells = row.chunks(CELL);
            let sum: f64 = cells
                .map(|cell| f64::from(sum_exp(model.isa, cell, top)))
                .sum();
            let log_sum = f64::from(top) + sum.ln();
            let argmax = row.iter().position(|x| *x == top).unwrap_or(0) as u32;
            log_sum.is_finite().then_some(Head { argmax, log_sum })
        };
        let heads = (0..n).into_par_iter().map(head).collect::<Option<_>>()?;
        Some(Self { rows, heads })
    }

    /// The logits of the `i`-th row.
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        self.rows.row(i)
    }

    /// The most probable token of the `i`-th row: the smallest id among equals.
    pub(crate) fn argmax(&self, i: usize) -> u32 {
        self.heads[i].argmax
    }

    /// Log-probability of a token in the `i`-th row, in nats.
    pub(crate) fn logprob(&self, i: usize, token: u32) -> f32 {
        let logit = self.rows.row(i)[token as usize];
        (f64::from(logit) - self.heads[i].log_sum) as f32
    }
}
