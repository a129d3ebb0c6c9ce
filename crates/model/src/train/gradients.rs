//! Gradients by tensor: only trainable ones have a buffer, and only for them is anything computed.

use std::ops::Range;

use rayon::prelude::*;

use super::parameters::{Id, Parameters, size};
use super::rows::zero;
use crate::arch::forward::each_row;
use crate::kernel::product::{self, Numbers};
use crate::kernel::vector::multiply;
use crate::kernel::{Isa, Rows};

/// Columns that a thread sums together.
const COLUMNS: usize = 64;

/// One tensor's gradient.
struct Gradient {
    rows: Rows,
    /// Whether it holds a sum already; else the first term overwrites what is there.
    is_set: bool,
}

/// The gradients of all tensors; `None` for frozen ones.
pub(super) struct Gradients(Vec<Option<Gradient>>);

impl Gradients {
    pub(super) fn new(parameters: &Parameters, is_trainable: impl Fn(&str) -> bool) -> Self {
        let gradient = |(name, shape): (&String, &Vec<usize>)| {
            is_trainable(name).then(|| Gradient {
                rows: Rows::new(size(name, shape).1),
                is_set: false,
            })
        };
        let named = parameters.names.iter().zip(&parameters.shapes);
        Self(named.map(gradient).collect())
    }

    /// Whether the tensor is trainable.
    pub(super) fn wants(&self, id: Id) -> bool {
        self.0[id].is_some()
    }

    /// Starts a new sum everywhere.
    pub(super) fn clear(&mut self) {
        for gradient in self.0.iter_mut().flatten() {
            gradient.is_set = false;
        }
    }

    /// The sum so far; `None` for a frozen tensor and for one that no backward pass has reached.
    pub(super) fn of(&self, id: Id) -> Option<&Rows> {
        self.0[id].as_ref().filter(|g| g.is_set).map(|g| &g.rows)
    }

    /// Makes sure that there is a sum of `n` rows, if only of zeros.
    pub(super) fn start(&mut self, id: Id, n: usize) {
        if let Some(gradient) = self.0[id].as_mut().filter(|g| !g.is_set) {
            zero(&mut gradient.rows, n);
            gradient.is_set = true;
        }
    }

    /// Adds `dyᵀ · x`: a weight `[n_out, n_in]`.
    pub(super) fn add_outer(&mut self, isa: Isa, numbers: Numbers, id: Id, dy: &Rows, x: &Rows) {
        if let Some(gradient) = &mut self.0[id] {
            product::outer(isa, numbers, dy, x, &mut gradient.rows, gradient.is_set);
            gradient.is_set = true;
        }
    }

    /// Adds a sum over rows and over columns that are equal modulo the length of the vector: biases,
    /// gains of norms (of one head for all heads). `add(row, columns, sums)` adds a row's part.
    pub(super) fn add_columns(
        &mut self,
        id: Id,
        n_rows: usize,
        width: usize,
        add: impl Fn(usize, Range<usize>, &mut [f64]) + Sync,
    ) {
        let Some(gradient) = &mut self.0[id] else {
            return;
        };
        gradient.rows.set_rows(1);
        let is_set = std::mem::replace(&mut gradient.is_set, true);
        let row = gradient.rows.row_mut(0);
        let period = row.len();
        row.par_chunks_mut(COLUMNS).enumerate().for_each(|(c, to)| {
            let first = c * COLUMNS;
            let mut sums = [0.0_f64; COLUMNS];
            for r in 0..n_rows {
                for start in (first..width).step_by(period) {
                    add(r, start..start + to.len(), &mut sums[..to.len()]);
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = if is_set { *to + sum as f32 } else { sum as f32 };
            }
        });
    }

    /// Adds `scale · dx` row by row to the rows `at(i)` of a table `[n, width]` (embeddings).
    pub(super) fn add_to_rows(
        &mut self,
        id: Id,
        n: usize,
        dx: &Rows,
        scale: f32,
        at: impl Fn(usize) -> usize,
    ) {
        self.start(id, n);
        let Some(gradient) = &mut self.0[id] else {
            return;
        };
        for i in 0..dx.n_rows() {
            for (to, dx) in gradient.rows.row_mut(at(i)).iter_mut().zip(dx.row(i)) {
                *to = dx.mul_add(scale, *to);
            }
        }
    }

    /// Multiplies every sum by a factor.
    pub(super) fn scale(&mut self, isa: Isa, factor: f32) {
        for gradient in self.0.iter_mut().flatten().filter(|g| g.is_set) {
            each_row(&mut gradient.rows, |_, row| multiply(isa, row, factor));
        }
    }

    /// Bytes of all buffers.
    pub(super) fn bytes(&self) -> usize {
        let floats = |g: &Gradient| g.rows.n_rows() * g.rows.stride();
        self.0.iter().flatten().map(floats).sum::<usize>() * size_of::<f32>()
    }

    /// √Σg² over all trainable tensors, summed in f64, in order.
    pub(super) fn norm(&self) -> f64 {
        let squares = |g: &Gradient| -> f64 {
            let rows: Vec<f64> = (0..g.rows.n_rows())
                .into_par_iter()
                .map(|i| g.rows.row(i).iter().map(|x| f64::from(*x).powi(2)).sum())
                .collect();
            rows.iter().sum()
        };
        let set = self.0.iter().flatten().filter(|g| g.is_set);
        set.map(squares).sum::<f64>().sqrt()
    }
}
