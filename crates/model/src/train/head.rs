//! The loss head: final norm, output layer, log-softmax and choice of the token, in chunks of rows.
//!
//! ```text
//! x at the rows before scored tokens -> norm -> logits of a chunk -> log p(token)
//! d loss / d log p(token)            -> logits again -> dx, gradients of output layer and norm
//! ```
//! (not again where the derivatives are known beforehand: [`Head::both`]).
//! Logits exist for one chunk at a time, about 64 MiB. A token whose derivative is 0 costs nothing
//! backward. With p = softmax(logits) the derivative of log p(token) by logit j is
//! `[j = token] − p_j`.

use std::cell::RefCell;

use rayon::prelude::*;

use super::gradients::Gradients;
use super::pass::Pass;
use super::rows::zero;
use crate::arch::forward::each_row;
use crate::checkpoint::Config;
use crate::kernel::gradient::{log_softmax_backward, multiply_by, soft_cap_slope};
use crate::kernel::vector::{max, multiply, sum_exp};
use crate::kernel::{Isa, Rows, product};

/// Floats of a chunk of logits.
const CHUNK: usize = 1 << 24;
/// Columns whose exponentials are summed in f32.
const CELL: usize = 1024;

thread_local! {
    static SLOPES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Buffers of the head, and what forward leaves for backward.
pub(super) struct Head {
    /// Residual stream of each scored token's row, before and after the norm.
    picked: Rows,
    normed: Rows,
    /// ln Σ e^logit of each.
    log_sums: Vec<f64>,
    chunk: Rows,
    d_chunk: Rows,
    logits: Rows,
    d_normed: Rows,
    n_chunk: usize,
}

impl Head {
    pub(super) fn new(c: &Config) -> Self {
        let d = || Rows::new(c.d_model);
        Self {
            picked: d(),
            normed: d(),
            log_sums: Vec::new(),
            chunk: d(),
            d_chunk: d(),
            logits: Rows::new(c.vocab_size),
            d_normed: d(),
            n_chunk: (CHUNK / c.vocab_size.max(1)).clamp(16, 512),
        }
    }

    /// Log-probability of each scored token, in the order of the batch, in nats.
    pub(super) fn forward(&mut self, pass: &Pass<'_>, x: &Rows) -> Vec<f64> {
        self.pick(pass, x);
        let all: Vec<usize> = (0..pass.batch.targets.len()).collect();
        (all.chunks(self.n_chunk))
            .flat_map(|rows| {
                self.logits(pass, rows);
                self.logprobs(pass, rows)
            })
            .collect()
    }

    /// Gradient of the residual stream from `d`, the derivative of the loss by each log-probability.
    pub(super) fn backward(
        &mut self,
        pass: &Pass<'_>,
        d: &[f64],
        gradients: &mut Gradients,
        dx: &mut Rows,
    ) {
        zero(&mut self.d_normed, pass.batch.targets.len());
        let active: Vec<usize> = (0..d.len()).filter(|i| d[*i] != 0.0).collect();
        for rows in active.chunks(self.n_chunk) {
            self.logits(pass, rows);
            self.chunk_backward(pass, rows, d, gradients);
        }
        self.norm_backward(pass, gradients, dx);
    }

    /// Both at once: the logits of a chunk are computed once. `None`: a log-probability is not
    /// finite, and some chunks have been added to the gradients.
    pub(super) fn both(
        &mut self,
        pass: &Pass<'_>,
        x: &Rows,
        d: &[f64],
        gradients: &mut Gradients,
        dx: &mut Rows,
    ) -> Option<Vec<f64>> {
        self.pick(pass, x);
        zero(&mut self.d_normed, pass.batch.targets.len());
        let all: Vec<usize> = (0..d.len()).collect();
        let mut logprobs = Vec::with_capacity(d.len());
        for rows in all.chunks(self.n_chunk) {
            self.logits(pass, rows);
            logprobs.extend(self.logprobs(pass, rows));
            if !logprobs.iter().all(|logprob| logprob.is_finite()) {
                return None;
            }
            self.chunk_backward(pass, rows, d, gradients);
        }
        self.norm_backward(pass, gradients, dx);
        Some(logprobs)
    }

    /// The rows before scored tokens, and their norm.
    fn pick(&mut self, pass: &Pass<'_>, x: &Rows) {
        let targets = &pass.batch.targets;
        self.picked.set_rows(targets.len());
        each_row(&mut self.picked, |i, row| {
            row.copy_from_slice(x.row(targets[i].0));
        });
        pass.norm(pass.layout.final_norm)
            .forward(&self.picked, &mut self.normed);
        self.log_sums.clear();
    }

    /// Log-probabilities of some scored tokens, from their logits; keeps the sums.
    fn logprobs(&mut self, pass: &Pass<'_>, rows: &[usize]) -> Vec<f64> {
        let targets = &pass.batch.targets;
        let found: Vec<(f64, f64)> = rows
            .par_iter()
            .enumerate()
            .map(|(i, target)| {
                let logits = self.logits.row(i);
                let log_sum = log_sum_exp(pass.isa, logits);
                let logit = logits[targets[*target].1 as usize];
                (log_sum, f64::from(logit) - log_sum)
            })
            .collect();
        let (log_sums, logprobs): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        self.log_sums.extend(log_sums);
        logprobs
    }

    /// From the logits of some scored tokens to the gradients of the normed rows and of the output
    /// layer.
    fn chunk_backward(
        &mut self,
        pass: &Pass<'_>,
        rows: &[usize],
        d: &[f64],
        gradients: &mut Gradients,
    ) {
        let (isa, c, targets) = (pass.isa, pass.config, &pass.batch.targets);
        let log_sums = &self.log_sums;
        each_row(&mut self.logits, |i, row| {
            let target = rows[i];
            SLOPES.with_borrow_mut(|slopes| {
                if let Some(cap) = c.logit_softcap {
                    slopes.resize(row.len(), 0.0);
                    soft_cap_slope(isa, row, cap, slopes);
                }
                // What the rounding of a large sum takes away is a factor.
                let log_sum = log_sums[target] as f32;
                let rest = (f64::from(log_sum) - log_sums[target]).exp();
                log_softmax_backward(isa, row, log_sum, (d[target] * rest) as f32);
                row[targets[target].1 as usize] += d[target] as f32;
                if c.logit_softcap.is_some() {
                    multiply_by(isa, row, slopes);
                }
            });
            if c.logit_scale != 1.0 {
                multiply(isa, row, c.logit_scale);
            }
        });
        let output = pass.layout.output;
        gradients.add_outer(isa, pass.numbers, output, &self.logits, &self.chunk);
        let w = &pass.values[output];
        product::times_in_parts(isa, pass.numbers, &self.logits, w, &mut self.d_chunk);
        for (i, target) in rows.iter().enumerate() {
            let to = self.d_normed.row_mut(*target);
            to.copy_from_slice(self.d_chunk.row(i));
        }
    }

    /// From the gradients of the normed rows to that of the residual stream.
    fn norm_backward(&mut self, pass: &Pass<'_>, gradients: &mut Gradients, dx: &mut Rows) {
        // Where all derivatives are 0 the gradient is 0, not missing.
        gradients.start(pass.layout.output, pass.config.vocab_size);
        pass.norm(pass.layout.final_norm)
            .backward(&self.picked, &mut self.d_normed, gradients);
        zero(dx, pass.batch.tokens.len());
        for (i, (row, _)) in pass.batch.targets.iter().enumerate() {
            dx.row_mut(*row).copy_from_slice(self.d_normed.row(i));
        }
    }

    /// Finished logits of some scored tokens' rows.
    fn logits(&mut self, pass: &Pass<'_>, rows: &[usize]) {
        self.chunk.set_rows(rows.len());
        for (i, row) in rows.iter().enumerate() {
            self.chunk.row_mut(i).copy_from_slice(self.normed.row(*row));
        }
        let w = &pass.values[pass.layout.output];
        product::times_transpose(pass.isa, pass.numbers, &self.chunk, w, &mut self.logits);
        each_row(&mut self.logits, |_, row| pass.finish_logits(row));
    }
}

/// `ln Σ eˣ`: cells in f32, their sum in f64.
fn log_sum_exp(isa: Isa, x: &[f32]) -> f64 {
    let max = max(isa, x);
    let cells = x
        .chunks(CELL)
        .map(|cell| f64::from(sum_exp(isa, cell, max)));
    f64::from(max) + cells.sum::<f64>().ln()
}
