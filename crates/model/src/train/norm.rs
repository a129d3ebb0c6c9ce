//! Norms of activation rows, whole or by heads, forward and backward.

use std::borrow::Cow;

use rayon::prelude::*;

use super::gradients::Gradients;
use super::parameters::{NormIds, gain};
use crate::arch::forward::each_row;
use crate::checkpoint::{Config, NormKind};
use crate::kernel::gradient::{
    layer_norm_backward, layer_statistics, rms_norm_backward, rms_statistics,
};
use crate::kernel::vector::{layer_norm, rms_norm};
use crate::kernel::{Isa, Rows};

/// A norm over each segment of a row: a residual stream is one segment, queries are one a head.
pub(super) struct Norm<'a> {
    isa: Isa,
    kind: NormKind,
    eps: f32,
    ids: NormIds,
    /// One gain for every segment, or one for each, one after the other.
    gain: Cow<'a, [f32]>,
    bias: &'a [f32],
    segment: usize,
}

impl<'a> Norm<'a> {
    /// `segment`: columns that are normed together.
    pub(super) fn new(
        isa: Isa,
        config: &Config,
        values: &'a [Rows],
        ids: NormIds,
        segment: usize,
    ) -> Self {
        Self {
            isa,
            kind: config.norm,
            eps: config.norm_eps,
            ids,
            gain: gain(config, &values[ids.weight]),
            bias: ids.bias.map_or(&[], |id| values[id].row(0)),
            segment,
        }
    }

    fn gain(&self, segment: usize) -> &[f32] {
        if self.gain.len() == self.segment {
            &self.gain
        } else {
            &self.gain[segment * self.segment..(segment + 1) * self.segment]
        }
    }

    /// Norms every row of `x` into `out`.
    pub(super) fn forward(&self, x: &Rows, out: &mut Rows) {
        out.set_rows(x.n_rows());
        each_row(out, |i, out| {
            let segments = x.row(i).chunks_exact(self.segment);
            for (s, (x, out)) in segments.zip(out.chunks_exact_mut(self.segment)).enumerate() {
                let gain = self.gain(s);
                match self.kind {
                    NormKind::Rms => rms_norm(self.isa, x, gain, self.eps, out),
                    NormKind::Layer => layer_norm(self.isa, x, gain, self.bias, self.eps, out),
                };
            }
        });
    }

    /// `d`, the gradient by the output, becomes the gradient by the input `x`.
    pub(super) fn backward(&self, x: &Rows, d: &mut Rows, gradients: &mut Gradients) {
        let n_segments = x.width() / self.segment;
        let statistics: Vec<(f32, f32)> = (0..x.n_rows() * n_segments)
            .into_par_iter()
            .with_min_len(64)
            .map(|i| {
                let x = &x.row(i / n_segments)[i % n_segments * self.segment..][..self.segment];
                match self.kind {
                    NormKind::Rms => rms_statistics(self.isa, x, self.eps),
                    NormKind::Layer => layer_statistics(self.isa, x, self.eps),
                }
            })
            .collect();
        gradients.add_columns(self.ids.weight, x.n_rows(), x.width(), |r, j| {
            let (mean, scale) = statistics[r * n_segments + j / self.segment];
            d.row(r)[j] * (x.row(r)[j] - mean) * scale
        });
        if let Some(bias) = self.ids.bias {
            gradients.add_columns(bias, x.n_rows(), x.width(), |r, j| d.row(r)[j]);
        }
        each_row(d, |i, d| {
            let segments = x.row(i).chunks_exact(self.segment);
            for (s, (x, d)) in segments.zip(d.chunks_exact_mut(self.segment)).enumerate() {
                let (mean, scale) = statistics[i * n_segments + s];
                match self.kind {
                    NormKind::Rms => rms_norm_backward(self.isa, x, self.gain(s), scale, d),
                    NormKind::Layer => {
                        layer_norm_backward(self.isa, x, self.gain(s), mean, scale, d);
                    }
                }
            }
        });
    }
}
