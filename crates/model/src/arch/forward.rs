//! One pass of many token rows through all blocks.
//!
//! The rows of a batch may belong to any sequences. Each block first stores the keys and values of
//! *all* rows and then lets each row attend to its own path, so a batch may hold a prefix and its
//! continuations together. Nothing here allocates once the buffers have grown.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::attention::{AttentionShape, attend};
use super::kv::{Kv, KvShape};
use super::lowrank::{LowRank, Site};
use super::weights::{Linear, Norm};
use super::{Block, Rope, Weights, alibi};
use crate::checkpoint::{Activation, Config, HeadNorm, NormKind, Positions, Residual};
use crate::kernel::vector::{
    add, exact_gelu_gate, gelu, gelu_gate, gelu_tanh, layer_norm, layer_norm_in_place, multiply,
    rms_norm, rms_norm_in_place, silu, silu_gate, soft_cap,
};
use crate::kernel::{Disjoint, Isa, Rows, gemm, parallel};

/// Token rows to compute, grouped in runs of neighbors.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Token id of each row.
    pub(crate) tokens: Vec<u32>,
    pub(crate) runs: Vec<Run>,
    /// The paths of all runs, one after the other.
    pub(crate) pieces: Vec<Piece>,
}

/// Neighboring tokens of one segment.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) first_row: usize,
    pub(crate) n_rows: usize,
    /// Position of the first row in its sequence.
    pub(crate) first_position: usize,
    /// Where the first row lies in its segment (the path's last piece).
    pub(crate) at: usize,
    /// The path from the root to this segment, in [`Batch::pieces`].
    pub(crate) path: Range<usize>,
    /// Which of [`Decoder::adapters`], from 1; 0: none.
    pub(crate) adapter: usize,
}

/// A segment on a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Index of its keys and values.
    pub(crate) kv: usize,
    /// Position of its first token.
    pub(crate) start: usize,
    /// How many of its tokens belong to the path (ignored for the path's last piece).
    pub(crate) n_used: usize,
}

impl Batch {
    /// Forgets all rows, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.runs.clear();
        self.pieces.clear();
    }
}

/// Reused activations; `x` is the residual stream and holds the result.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) x: Rows,
    normed: Rows,
    qkv: Rows,
    mixed: Rows,
    projected: Rows,
    up: Rows,
    gated: Rows,
}

impl Buffers {
    pub(crate) fn new(c: &Config) -> Self {
        Self {
            x: Rows::new(c.d_model),
            normed: Rows::new(c.d_model),
            qkv: Rows::new((c.n_heads + 2 * c.n_kv_heads) * c.d_head),
            mixed: Rows::new(c.n_heads * c.d_head),
            projected: Rows::new(c.d_model),
            up: Rows::new(if c.gated { 2 * c.d_ff } else { c.d_ff }),
            gated: Rows::new(c.d_ff),
        }
    }

    /// Bytes that each row of a pass takes.
    pub(crate) fn bytes_per_row(&self) -> usize {
        [
            &self.x,
            &self.normed,
            &self.qkv,
            &self.mixed,
            &self.projected,
            &self.up,
            &self.gated,
        ]
        .map(|rows| rows.stride() * size_of::<f32>())
        .into_iter()
        .sum()
    }
}

/// Where in a block something can be seen and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The residual stream before the block: `d_model` values.
    BlockInput,
    /// What attention adds, before a norm behind it: `d_model` values.
    AttentionOutput,
    /// Input of the feed-forward layer's last projection, after the gate: `d_ff` values.
    MlpActivation,
    /// What the feed-forward layer adds, before a norm behind it: `d_model` values.
    MlpOutput,
    /// The residual stream after the block: `d_model` values.
    BlockOutput,
}

/// A decoder ready to compute.
pub(crate) struct Decoder {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    pub(crate) kv: KvShape,
    /// ALiBi's slope of each head; empty for other positions.
    pub(crate) slopes: Vec<f32>,
    pub(crate) isa: Isa,
    /// Adapters that rows may choose.
    pub(crate) adapters: Vec<LowRank>,
}

impl Decoder {
    pub(crate) fn new(config: Config, weights: Weights, isa: Isa) -> Self {
        let slopes = match config.positions {
            Positions::Alibi => alibi::slopes(config.n_heads),
            Positions::Rotary | Positions::Learned => Vec::new(),
        };
        Self {
            kv: KvShape::new(&config),
            slopes,
            config,
            weights,
            isa,
            adapters: Vec::new(),
        }
    }
}

/// Rotation tables, extended as longer sequences come.
#[derive(Debug)]
pub(crate) struct Ropes {
    global: Rope,
    local: Rope,
}

impl Ropes {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            global: Rope::global(config),
            local: Rope::local(config),
        }
    }

    fn extend_to(&mut self, n: usize) {
        self.global.extend_to(n);
        self.local.extend_to(n);
    }
}

/// A value that is not finite came out of this block (`n_layers`: the embedding).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotFinite {
    pub(crate) layer: usize,
}

/// Floats below which a pass over rows is not worth a thread.
const ROW_WORK: usize = 1 << 14;

impl Decoder {
    /// Computes all rows of a batch: their keys and values go to `kvs`, their final residual
    /// stream (before the last norm) is left in `buffers.x`. `visit` sees every [`Point`] of every
    /// block, and may write there.
    pub(crate) fn forward(
        &self,
        batch: &Batch,
        kvs: &mut [Kv],
        ropes: &mut Ropes,
        buffers: &mut Buffers,
        mut visit: impl FnMut(usize, Point, &mut Rows),
    ) -> Result<(), NotFinite> {
        let n_positions = batch
            .runs
            .iter()
            .map(|r| r.first_position + r.n_rows)
            .max()
            .unwrap_or(0);
        ropes.extend_to(n_positions);
        self.embed(batch, buffers)?;
        for (layer, block) in self.weights.blocks.iter().enumerate() {
            let mut visit = |point, rows: &mut Rows| visit(layer, point, rows);
            self.block(layer, block, batch, kvs, ropes, buffers, &mut visit)?;
        }
        // The blocks check their input: the last output is checked here.
        let finite = |i| buffers.x.row(i).iter().map(|x| x * 0.0).sum::<f32>() == 0.0;
        if (0..buffers.x.n_rows()).all(finite) {
            Ok(())
        } else {
            Err(NotFinite {
                layer: self.config.n_layers - 1,
            })
        }
    }

    /// The residual stream before the first block.
    fn embed(&self, batch: &Batch, b: &mut Buffers) -> Result<(), NotFinite> {
        let c = &self.config;
        b.x.set_rows(batch.tokens.len());
        for (i, id) in batch.tokens.iter().enumerate() {
            let row = b.x.row_mut(i);
            self.weights.embedding(*id, row);
            if c.embedding_scale != 1.0 {
                multiply(self.isa, row, c.embedding_scale);
            }
        }
        if c.positions == Positions::Learned {
            for run in &batch.runs {
                for i in 0..run.n_rows {
                    let at = (run.first_position + i) * c.d_model;
                    let position = &self.weights.positions[at..at + c.d_model];
                    add(self.isa, b.x.row_mut(run.first_row + i), position);
                }
            }
        }
        if !self.weights.embedding_norm.weight.is_empty() {
            self.norm(&b.x, &self.weights.embedding_norm, &mut b.normed)
                .map_err(|()| NotFinite { layer: c.n_layers })?;
            std::mem::swap(&mut b.x, &mut b.normed);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one step, called from one place")]
    fn block(
        &self,
        layer: usize,
        block: &Block,
        batch: &Batch,
        kvs: &mut [Kv],
        ropes: &Ropes,
        b: &mut Buffers,
        visit: &mut impl FnMut(Point, &mut Rows),
    ) -> Result<(), NotFinite> {
        visit(Point::BlockInput, &mut b.x);
        let (c, isa) = (&self.config, self.isa);
        let sliding =
            c.sliding_window.is_some() && c.sliding_layers.get(layer).copied().unwrap_or(false);
        let shape = AttentionShape {
            kv: self.kv,
            n_heads: c.n_heads,
            scale: c.attention_scale,
            softcap: c.attention_softcap,
            slopes: &self.slopes,
            window: c.sliding_window.filter(|_| sliding),
        };
        let rope = if sliding { &ropes.local } else { &ropes.global };

        // The input of a block is the output of the one before.
        self.norm(&b.x, &block.attention_norm, &mut b.normed)
            .map_err(|()| NotFinite {
                layer: layer.checked_sub(1).unwrap_or(c.n_layers),
            })?;
        gemm(isa, &b.normed, &block.qkv.weight, &mut b.qkv);
        self.adapt(batch, layer, Site::Qkv, &b.normed, &mut b.qkv);
        self.rotate(block, rope, batch, &mut b.qkv);
        let n_q = c.n_heads * c.d_head;
        for run in &batch.runs {
            let own = batch.pieces[run.path.end - 1];
            let row = |i: usize| &b.qkv.row(run.first_row + i)[n_q..];
            kvs[own.kv].write(layer, run.at, run.n_rows, row);
        }
        attend(isa, &shape, layer, batch, kvs, &b.qkv, &mut b.mixed);
        self.project(&block.out, &b.mixed, &mut b.projected);
        self.adapt(batch, layer, Site::Out, &b.mixed, &mut b.projected);
        visit(Point::AttentionOutput, &mut b.projected);
        match c.residual {
            Residual::Sequential => {
                self.add_branch(&block.attention_post_norm, &mut b.projected, &mut b.x);
                self.norm(&b.x, &block.ff_norm, &mut b.normed)
                    .map_err(|()| NotFinite { layer })?;
            }
            // The feed-forward layer sees what attention saw.
            Residual::Parallel => {
                self.add_branch(&block.attention_post_norm, &mut b.projected, &mut b.x);
            }
            Residual::ParallelTwoNorms => {
                self.norm(&b.x, &block.ff_norm, &mut b.normed)
                    .map_err(|()| NotFinite { layer })?;
                self.add_branch(&block.attention_post_norm, &mut b.projected, &mut b.x);
            }
        }
        gemm(isa, &b.normed, &block.up.weight, &mut b.up);
        self.adapt(batch, layer, Site::Up, &b.normed, &mut b.up);
        self.activate(&block.up.bias, &mut b.up, &mut b.gated);
        visit(Point::MlpActivation, &mut b.gated);
        self.project(&block.down, &b.gated, &mut b.projected);
        self.adapt(batch, layer, Site::Down, &b.gated, &mut b.projected);
        visit(Point::MlpOutput, &mut b.projected);
        self.add_branch(&block.ff_post_norm, &mut b.projected, &mut b.x);
        visit(Point::BlockOutput, &mut b.x);
        Ok(())
    }

    /// `y = x · Wᵀ + b`.
    fn project(&self, linear: &Linear, x: &Rows, y: &mut Rows) {
        gemm(self.isa, x, &linear.weight, y);
        if !linear.bias.is_empty() {
            each_row(y, |_, y| add(self.isa, y, &linear.bias));
        }
    }

    /// Norm of all rows, a copy where there is none; `Err` where a row is not finite.
    pub(crate) fn norm(&self, x: &Rows, norm: &Norm, out: &mut Rows) -> Result<(), ()> {
        out.set_rows(x.n_rows());
        let eps = self.config.norm_eps;
        let n_bad = AtomicUsize::new(0);
        each_row(out, |i, out| {
            let x = x.row(i);
            let sum = match self.config.norm {
                _ if norm.weight.is_empty() => {
                    out.copy_from_slice(x);
                    x.iter().map(|x| x * 0.0).sum()
                }
                NormKind::Rms => rms_norm(self.isa, x, &norm.weight, eps, out),
                NormKind::Layer => layer_norm(self.isa, x, &norm.weight, &norm.bias, eps, out),
            };
            if !sum.is_finite() {
                n_bad.fetch_add(1, Ordering::Relaxed);
            }
        });
        if n_bad.into_inner() == 0 {
            Ok(())
        } else {
            Err(())
        }
    }

    /// Biases, head norms and rotation of queries and keys, in place.
    fn rotate(&self, block: &Block, rope: &Rope, batch: &Batch, qkv: &mut Rows) {
        let c = &self.config;
        // Positions by row: runs are few, rows many.
        let position = |row: usize| {
            let run = batch.runs.partition_point(|r| r.first_row <= row) - 1;
            batch.runs[run].first_position + row - batch.runs[run].first_row
        };
        each_row(qkv, |i, row| {
            if !block.qkv.bias.is_empty() {
                add(self.isa, row, &block.qkv.bias);
            }
            let position = position(i);
            let (queries, rest) = row.split_at_mut(c.n_heads * c.d_head);
            let keys = &mut rest[..c.n_kv_heads * c.d_head];
            for (heads, norm) in [(queries, &block.q_norm), (keys, &block.k_norm)] {
                self.norm_heads(heads, norm);
                if c.positions == Positions::Rotary {
                    for head in heads.chunks_exact_mut(c.d_head) {
                        rope.rotate(head, position);
                    }
                }
            }
        });
    }

    /// Norms of the queries or keys of one token, in place.
    fn norm_heads(&self, heads: &mut [f32], norm: &[f32]) {
        let c = &self.config;
        let in_place = |x: &mut [f32], weight: &[f32]| match c.norm {
            NormKind::Rms => rms_norm_in_place(self.isa, x, weight, c.norm_eps),
            NormKind::Layer => layer_norm_in_place(self.isa, x, weight, c.norm_eps),
        };
        match c.head_norm {
            HeadNorm::None => {}
            HeadNorm::Whole => in_place(heads, norm),
            HeadNorm::Shared => {
                for head in heads.chunks_exact_mut(c.d_head) {
                    in_place(head, norm);
                }
            }
            HeadNorm::Own => {
                let weights = norm.chunks_exact(c.d_head);
                for (head, weight) in heads.chunks_exact_mut(c.d_head).zip(weights) {
                    in_place(head, weight);
                }
            }
        }
    }

    /// `x += norm(y)`, without the norm where there is none.
    fn add_branch(&self, post_norm: &Norm, y: &mut Rows, x: &mut Rows) {
        if !post_norm.weight.is_empty() {
            // Every family with post norms has RMS norms.
            each_row(y, |_, y| {
                rms_norm_in_place(self.isa, y, &post_norm.weight, self.config.norm_eps);
            });
        }
        each_row(x, |i, x| add(self.isa, x, y.row(i)));
    }

    /// Bias, non-linearity and gate of the feed-forward layer.
    fn activate(&self, bias: &[f32], up: &mut Rows, out: &mut Rows) {
        let (c, isa) = (&self.config, self.isa);
        if !bias.is_empty() {
            each_row(up, |_, up| add(isa, up, bias));
        }
        out.set_rows(up.n_rows());
        each_row(out, |i, out| {
            let up = up.row(i);
            if c.gated {
                let (gate, up) = up.split_at(c.d_ff);
                match c.activation {
                    Activation::Silu => silu_gate(isa, gate, up, out),
                    Activation::GeluTanh => gelu_gate(isa, gate, up, out),
                    Activation::Gelu => exact_gelu_gate(isa, gate, up, out),
                }
            } else {
                out.copy_from_slice(up);
                match c.activation {
                    Activation::Silu => silu(isa, out),
                    Activation::GeluTanh => gelu_tanh(isa, out),
                    Activation::Gelu => gelu(isa, out),
                }
            }
        });
    }

    /// What the family does to logits after the output layer.
    pub(crate) fn finish_logits(&self, logits: &mut [f32]) {
        if self.config.logit_scale != 1.0 {
            multiply(self.isa, logits, self.config.logit_scale);
        }
        if let Some(cap) = self.config.logit_softcap {
            soft_cap(self.isa, logits, cap);
        }
    }
}

/// Calls `f` on every row, on several threads where there is work for them.
#[expect(unsafe_code, reason = "threads write disjoint rows")]
pub(crate) fn each_row(rows: &mut Rows, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let (n, stride, width) = (rows.n_rows(), rows.stride(), rows.width());
    let data = Disjoint::new(rows.padded_mut());
    parallel(n, (ROW_WORK / width.max(1)).max(1), |range| {
        for i in range {
            // SAFETY: ranges do not overlap, and each row is visited once.
            f(i, unsafe { data.part(i * stride, width) });
        }
    });
}
