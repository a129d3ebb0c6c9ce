//! Low-rank adapters beside frozen weights: `y += scale · B · (A · x)`, for each row its own.
//!
//! Rows of one batch may belong to different adapters, or to none. Each row is computed alone, every
//! sum in a fixed order, so an answer does not depend on what else is in the batch.
//!
//! Source: Hu et al. 2021, "LoRA", arXiv:2106.09685, §4.1.

use super::forward::{Batch, Decoder, each_row};
use crate::kernel::Rows;

/// Which product an adapter changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// Queries, keys, values.
    Qkv,
    /// Output of the attention.
    Out,
    /// Gates and ups.
    Up,
    /// Output of the feed-forward layer.
    Down,
}

/// One pair of matrices; the scale is in B.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) rank: usize,
    /// First output of the product that it changes.
    pub(crate) first: usize,
    pub(crate) n_out: usize,
    /// A by columns, `[n_in][rank]`.
    pub(crate) down: Vec<f32>,
    /// scale · B by columns, `[rank][n_out]`.
    pub(crate) up: Vec<f32>,
}

/// An adapter: pairs by layer and site.
#[derive(Debug, Default)]
pub(crate) struct LowRank {
    /// `[n_layers]`, each a list.
    pub(crate) layers: Vec<Vec<(Site, Pair)>>,
}

impl Pair {
    /// `y += up · (down · x)`.
    fn add_to(&self, x: &[f32], y: &mut [f32]) {
        let mut inner = vec![0.0_f32; self.rank];
        for (x, column) in x.iter().zip(self.down.chunks_exact(self.rank)) {
            for (sum, a) in inner.iter_mut().zip(column) {
                *sum += x * a;
            }
        }
        let mut change = vec![0.0_f32; self.n_out];
        for (u, column) in inner.iter().zip(self.up.chunks_exact(self.n_out)) {
            for (sum, b) in change.iter_mut().zip(column) {
                *sum += u * b;
            }
        }
        for (y, change) in y[self.first..].iter_mut().zip(&change) {
            *y += change;
        }
    }
}

impl Decoder {
    /// Adds to the product `y` of the inputs `x` what the rows' adapters change.
    pub(super) fn adapt(&self, batch: &Batch, layer: usize, site: Site, x: &Rows, y: &mut Rows) {
        if batch.runs.iter().all(|run| run.adapter == 0) {
            return;
        }
        each_row(y, |row, y| {
            let run = batch.runs.partition_point(|run| run.first_row <= row) - 1;
            let Some(adapter) = batch.runs[run].adapter.checked_sub(1) else {
                return;
            };
            let pairs = self.adapters[adapter].layers.get(layer);
            for (_, pair) in pairs.into_iter().flatten().filter(|(at, _)| *at == site) {
                pair.add_to(x.row(row), y);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_adds_its_product() {
        // A = [1 2; 0 1] by rows, B = [[1, 0], [3, 1]]: A·(5, 7) = (19, 7); B·(19, 7) = (19, 64).
        let pair = Pair {
            rank: 2,
            first: 1,
            n_out: 2,
            down: vec![1.0, 0.0, 2.0, 1.0],
            up: vec![1.0, 3.0, 0.0, 1.0],
        };
        let mut y = [100.0, 0.5, 0.0, 1.0];
        pair.add_to(&[5.0, 7.0], &mut y);
        assert_eq!(y, [100.0, 19.5, 64.0, 1.0]);
    }
}
