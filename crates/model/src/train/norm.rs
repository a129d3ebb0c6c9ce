//! Norms of activation rows, whole or by heads, forward and backward.

use std::borrow::Cow;

use rayon::prelude::*;

use super::gradients::Gradients;
use super::parameters::{NormIds, gain};
use crate::arch::forward::each_row;
use crate::checkpoint::{Config, NormKind};
use crate::kernel::gradient::{
    add_normed_to_sums, add_to_sums, layer_norm_backward, layer_statistics, rms_norm_backward,
    rms_statistics,
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
        let (n_rows, width) = (x.n_rows(), x.width());
        gradients.add_columns(self.ids.weight, n_rows, width, |r, columns, sums| {
            let mut at = columns.start;
            while at < columns.end {
                let segment = at / self.segment;
                let part = at..((segment + 1) * self.segment).min(columns.end);
                let (mean, scale) = statistics[r * n_segments + segment];
                let sums = &mut sums[at - columns.start..part.end - columns.start];
                let (d, x) = (&d.row(r)[part.clone()], &x.row(r)[part.clone()]);
                add_normed_to_sums(self.isa, sums, d, x, mean, scale);
                at = part.end;
            }
        });
        if let Some(bias) = self.ids.bias {
            gradients.add_columns(bias, n_rows, width, |r, columns, sums| {
                add_to_sums(self.isa, sums, &d.row(r)[columns]);
            });
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::super::parameters::Parameters;
    use super::*;
    use crate::checkpoint::config_of_json;

    const WIDTH: usize = 12;
    const N_ROWS: usize = 5;

    /// Values from a formula, of order 1.
    fn rows(n_rows: usize, width: usize, seed: usize) -> Rows {
        let mut rows = Rows::new(width);
        rows.set_rows(n_rows);
        for i in 0..n_rows {
            for (j, x) in rows.row_mut(i).iter_mut().enumerate() {
                *x = ((i * 37 + j * 53 + seed * 29) % 41) as f32 / 20.0 - 1.0;
            }
        }
        rows
    }

    fn flat(rows: &Rows) -> Vec<f64> {
        let all = (0..rows.n_rows()).flat_map(|i| rows.row(i));
        all.map(|x| f64::from(*x)).collect()
    }

    /// Norm of every segment, written plainly; `[x, gain, bias]`.
    fn plain(
        kind: NormKind,
        eps: f64,
        offset: f64,
        segment: usize,
        [x, gain, bias]: &[Vec<f64>; 3],
    ) -> Vec<f64> {
        let n = segment as f64;
        let normed = x.chunks(segment).enumerate().map(|(s, x)| {
            let mean = match kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => x.iter().sum::<f64>() / n,
            };
            let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let column = move |j: usize| s * segment % WIDTH + j;
            (x.iter().enumerate())
                .map(|(j, x)| {
                    let w = gain[column(j) % gain.len()] + offset;
                    let b = if bias.is_empty() {
                        0.0
                    } else {
                        bias[column(j) % bias.len()]
                    };
                    (x - mean) / (square + eps).sqrt() * w + b
                })
                .collect::<Vec<_>>()
        });
        normed.collect::<Vec<_>>().concat()
    }

    /// Largest difference of a gradient from a central difference in f64, relative to 1 + |g|; what
    /// backward finds is multiplied by `factor`.
    fn worst(kind: NormKind, offset: f32, segment: usize, n_gain: usize, factor: f64) -> f64 {
        let json = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
            "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
            "vocab_size": 4, "rms_norm_eps": 0.1, "max_position_embeddings": 8,
        });
        let mut config = config_of_json(Path::new("config.json"), &json, 4).unwrap();
        (config.norm, config.norm_offset) = (kind, offset);
        let has_bias = kind == NormKind::Layer && segment == WIDTH;
        let values = vec![rows(1, n_gain, 2), rows(1, WIDTH, 3)];
        let parameters = Parameters {
            names: vec!["norm.weight".into(), "norm.bias".into()],
            shapes: vec![vec![n_gain], vec![WIDTH]],
            values,
        };
        let ids = NormIds {
            weight: 0,
            bias: has_bias.then_some(1),
        };
        let (x, d) = (rows(N_ROWS, WIDTH, 1), rows(N_ROWS, WIDTH, 4));
        let norm = Norm::new(Isa::detect(), &config, &parameters.values, ids, segment);
        let mut gradients = Gradients::new(&parameters, |_| true);
        let (mut y, mut dx) = (Rows::new(WIDTH), rows(N_ROWS, WIDTH, 4));
        norm.forward(&x, &mut y);
        norm.backward(&x, &mut dx, &mut gradients);
        let bias = if has_bias {
            flat(&parameters.values[1])
        } else {
            Vec::new()
        };
        let mut inputs = [flat(&x), flat(&parameters.values[0]), bias];
        let eps = f64::from(config.norm_eps);
        let run = |inputs: &[Vec<f64>; 3]| plain(kind, eps, f64::from(offset), segment, inputs);
        for (found, want) in flat(&y).iter().zip(run(&inputs)) {
            assert!((found - want).abs() < 1e-5, "{found} is not {want}");
        }
        let loss = |inputs: &[Vec<f64>; 3]| -> f64 {
            run(inputs).iter().zip(flat(&d)).map(|(y, d)| y * d).sum()
        };
        let found = [
            flat(&dx),
            flat(gradients.of(0).unwrap()),
            if has_bias {
                flat(gradients.of(1).unwrap())
            } else {
                Vec::new()
            },
        ];
        let mut worst = 0.0_f64;
        for (which, found) in found.iter().enumerate() {
            assert_eq!(found.len(), inputs[which].len());
            for (i, found) in found.iter().enumerate() {
                let mut moved = |by: f64| {
                    inputs[which][i] += by;
                    let loss = loss(&inputs);
                    inputs[which][i] -= by;
                    loss
                };
                let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                worst = worst.max((factor * found - want).abs() / (1.0 + want.abs()));
            }
        }
        worst
    }

    /// Whole rows, heads with one gain, heads with their own, with Gemma's offset and without; and a
    /// gradient that is off by one in a hundred is seen.
    #[test]
    fn gradients_agree_with_differences() {
        for kind in [NormKind::Rms, NormKind::Layer] {
            for (segment, n_gain) in [(WIDTH, WIDTH), (4, 4), (4, WIDTH)] {
                for offset in [0.0, 1.0] {
                    let right = worst(kind, offset, segment, n_gain, 1.0);
                    assert!(
                        right < 2e-5,
                        "{kind:?} {segment} {n_gain} {offset}: {right}"
                    );
                    let wrong = worst(kind, offset, segment, n_gain, 1.01);
                    assert!(
                        wrong > 1e-3,
                        "{kind:?} {segment} {n_gain} {offset}: {wrong}"
                    );
                }
            }
        }
    }
}
