//! What a forward or backward pass reads, and the projections that both are made of.

use std::cell::RefCell;

use super::batch::Packed;
use super::gradients::Gradients;
use super::norm::Norm;
use super::parameters::{Layout, LinearIds, LowRankIds, NormIds};
use crate::arch::Rope;
use crate::arch::forward::each_row;
use crate::checkpoint::Config;
use crate::kernel::gradient::add_to_sums;
use crate::kernel::product::{self, Numbers};
use crate::kernel::vector::{add, multiply, soft_cap};
use crate::kernel::{Isa, Rows};

thread_local! {
    /// An adapter's inner rows and their gradient; the thread that runs the pass has them.
    static NARROW: RefCell<[Rows; 2]> = RefCell::default();
}

/// Everything that stays as it is during a pass.
pub(super) struct Pass<'a> {
    pub(super) config: &'a Config,
    pub(super) isa: Isa,
    /// Of products with weights; all else, adapters too, is `f32`.
    pub(super) numbers: Numbers,
    pub(super) layout: &'a Layout,
    /// Weights by id.
    pub(super) values: &'a [Rows],
    pub(super) global_rope: &'a Rope,
    pub(super) local_rope: &'a Rope,
    /// ALiBi's slope of each head; empty for other positions.
    pub(super) slopes: &'a [f32],
    pub(super) batch: &'a Packed,
}

impl<'a> Pass<'a> {
    /// A norm over the whole residual stream.
    pub(super) fn norm(&self, ids: NormIds) -> Norm<'a> {
        self.norm_of(ids, self.config.d_model)
    }

    /// A norm over each `segment` columns.
    pub(super) fn norm_of(&self, ids: NormIds, segment: usize) -> Norm<'a> {
        Norm::new(self.isa, self.config, self.values, ids, segment)
    }

    /// `y = x · Wᵀ + b`, and `+ s · (x · Aᵀ) · Bᵀ` where there is an adapter.
    pub(super) fn project(&self, ids: LinearIds, x: &Rows, y: &mut Rows) {
        let w = &self.values[ids.weight];
        product::times_transpose(self.isa, self.numbers, x, w, y);
        if let Some(bias) = ids.bias {
            let bias = self.values[bias].row(0);
            each_row(y, |_, y| add(self.isa, y, bias));
        }
        if let Some(low_rank) = ids.low_rank {
            self.with_low_rank(low_rank, x, |narrow, _| {
                product::add_times_transpose(self.isa, narrow, &self.values[low_rank.b], y);
            });
        }
    }

    /// Gradients of a projection's weight and bias, and `dx (+)= dy · W`.
    pub(super) fn project_backward(
        &self,
        ids: LinearIds,
        x: &Rows,
        dy: &Rows,
        dx: &mut Rows,
        resume: bool,
        gradients: &mut Gradients,
    ) {
        gradients.add_outer(self.isa, self.numbers, ids.weight, dy, x);
        if let Some(bias) = ids.bias {
            gradients.add_columns(bias, dy.n_rows(), dy.width(), |r, columns, sums| {
                add_to_sums(self.isa, sums, &dy.row(r)[columns]);
            });
        }
        let w = &self.values[ids.weight];
        product::times(self.isa, self.numbers, dy, w, dx, resume);
        if let Some(low_rank) = ids.low_rank {
            let (a, b) = (&self.values[low_rank.a], &self.values[low_rank.b]);
            self.with_low_rank(low_rank, x, |narrow, d_narrow| {
                gradients.add_outer(self.isa, Numbers::F32, low_rank.b, dy, narrow);
                product::times(self.isa, Numbers::F32, dy, b, d_narrow, false);
                each_row(d_narrow, |_, d| multiply(self.isa, d, low_rank.scale));
                gradients.add_outer(self.isa, Numbers::F32, low_rank.a, d_narrow, x);
                product::times(self.isa, Numbers::F32, d_narrow, a, dx, true);
            });
        }
    }

    /// Calls `f` with `s · x · Aᵀ`, `[rows of x, rank]`, and with room for its gradient.
    fn with_low_rank(&self, ids: LowRankIds, x: &Rows, f: impl FnOnce(&Rows, &mut Rows)) {
        NARROW.with_borrow_mut(|buffers| {
            let a = &self.values[ids.a];
            for rows in buffers.iter_mut().filter(|rows| rows.width() != a.n_rows()) {
                *rows = Rows::new(a.n_rows());
            }
            let [narrow, d_narrow] = buffers;
            product::times_transpose(self.isa, Numbers::F32, x, a, narrow);
            each_row(narrow, |_, row| multiply(self.isa, row, ids.scale));
            f(narrow, d_narrow);
        });
    }

    /// What the family does to logits after the output layer.
    pub(super) fn finish_logits(&self, logits: &mut [f32]) {
        if self.config.logit_scale != 1.0 {
            multiply(self.isa, logits, self.config.logit_scale);
        }
        if let Some(cap) = self.config.logit_softcap {
            soft_cap(self.isa, logits, cap);
        }
    }
}
