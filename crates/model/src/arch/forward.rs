//! One pass of many token rows through all blocks.
//!
//! The rows of a batch may belong to any sequences. Each block first stores the keys and values of
//! *all* rows and then lets each row attend to its own path, so a batch may hold a prefix and its
//! continuations together. Nothing here allocates once the buffers have grown.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::attention::{AttentionShape, attend};
use super::kv::{Kv, KvShape};
use super::{Block, Rope, Weights};
use crate::checkpoint::{Activation, Config};
use crate::kernel::vector::{add, gelu_gate, rms_norm, rms_norm_in_place, silu_gate};
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
    gate_up: Rows,
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
            gate_up: Rows::new(2 * c.d_ff),
            gated: Rows::new(c.d_ff),
        }
    }
}

/// A decoder ready to compute.
pub(crate) struct Decoder {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    pub(crate) kv: KvShape,
    pub(crate) isa: Isa,
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
    /// stream (before the last norm) is left in `buffers.x`. `after_block` sees the residual
    /// stream after each block.
    pub(crate) fn forward(
        &self,
        batch: &Batch,
        kvs: &mut [Kv],
        ropes: &mut Ropes,
        buffers: &mut Buffers,
        mut after_block: impl FnMut(usize, &Rows),
    ) -> Result<(), NotFinite> {
        let n_positions = batch
            .runs
            .iter()
            .map(|r| r.first_position + r.n_rows)
            .max()
            .unwrap_or(0);
        ropes.extend_to(n_positions);
        let c = &self.config;
        buffers.x.set_rows(batch.tokens.len());
        for (i, id) in batch.tokens.iter().enumerate() {
            let row = buffers.x.row_mut(i);
            self.weights.embedding(*id, row);
            if c.embedding_scale != 1.0 {
                for x in row {
                    *x *= c.embedding_scale;
                }
            }
        }
        for (layer, block) in self.weights.blocks.iter().enumerate() {
            self.block(layer, block, batch, kvs, ropes, buffers)?;
            after_block(layer, &buffers.x);
        }
        // The blocks check their input: the last output is checked here.
        let finite = |i| buffers.x.row(i).iter().map(|x| x * 0.0).sum::<f32>() == 0.0;
        if (0..buffers.x.n_rows()).all(finite) {
            Ok(())
        } else {
            Err(NotFinite {
                layer: c.n_layers - 1,
            })
        }
    }

    fn block(
        &self,
        layer: usize,
        block: &Block,
        batch: &Batch,
        kvs: &mut [Kv],
        ropes: &Ropes,
        b: &mut Buffers,
    ) -> Result<(), NotFinite> {
        let (c, isa) = (&self.config, self.isa);
        let sliding =
            c.sliding_window.is_some() && c.sliding_layers.get(layer).copied().unwrap_or(false);
        let shape = AttentionShape {
            kv: self.kv,
            n_heads: c.n_heads,
            scale: c.attention_scale,
            window: c.sliding_window.filter(|_| sliding),
        };
        let rope = if sliding { &ropes.local } else { &ropes.global };

        // The input of a block is the output of the one before.
        self.norm(&b.x, &block.attention_norm, &mut b.normed)
            .map_err(|()| NotFinite {
                layer: layer.checked_sub(1).unwrap_or(c.n_layers),
            })?;
        gemm(isa, &b.normed, &block.qkv, &mut b.qkv);
        self.rotate(block, rope, batch, &mut b.qkv);
        let n_q = c.n_heads * c.d_head;
        for run in &batch.runs {
            let own = batch.pieces[run.path.end - 1];
            let row = |i: usize| &b.qkv.row(run.first_row + i)[n_q..];
            kvs[own.kv].write(layer, run.at, run.n_rows, row);
        }
        attend(isa, &shape, layer, batch, kvs, &b.qkv, &mut b.mixed);
        gemm(isa, &b.mixed, &block.out, &mut b.projected);
        self.add_branch(&block.attention_post_norm, &mut b.projected, &mut b.x);

        self.norm(&b.x, &block.ff_norm, &mut b.normed)
            .map_err(|()| NotFinite { layer })?;
        gemm(isa, &b.normed, &block.gate_up, &mut b.gate_up);
        self.gate(&b.gate_up, &mut b.gated);
        gemm(isa, &b.gated, &block.down, &mut b.projected);
        self.add_branch(&block.ff_post_norm, &mut b.projected, &mut b.x);
        Ok(())
    }

    /// RMS norm of all rows; `Err` where a row is not finite.
    pub(crate) fn norm(&self, x: &Rows, weight: &[f32], out: &mut Rows) -> Result<(), ()> {
        out.set_rows(x.n_rows());
        let n_bad = AtomicUsize::new(0);
        each_row(out, |i, out| {
            if !rms_norm(self.isa, x.row(i), weight, self.config.norm_eps, out).is_finite() {
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
            if !block.qkv_bias.is_empty() {
                add(self.isa, row, &block.qkv_bias);
            }
            let position = position(i);
            let heads = row
                .chunks_exact_mut(c.d_head)
                .take(c.n_heads + c.n_kv_heads);
            for (h, head) in heads.enumerate() {
                let norm = if h < c.n_heads {
                    &block.q_norm
                } else {
                    &block.k_norm
                };
                if !norm.is_empty() {
                    rms_norm_in_place(self.isa, head, norm, c.norm_eps);
                }
                rope.rotate(head, position);
            }
        });
    }

    /// `x += norm(y)`, without the norm where there is none.
    fn add_branch(&self, post_norm: &[f32], y: &mut Rows, x: &mut Rows) {
        if !post_norm.is_empty() {
            each_row(y, |_, y| {
                rms_norm_in_place(self.isa, y, post_norm, self.config.norm_eps);
            });
        }
        each_row(x, |i, x| add(self.isa, x, y.row(i)));
    }

    fn gate(&self, gate_up: &Rows, out: &mut Rows) {
        out.set_rows(gate_up.n_rows());
        each_row(out, |i, out| {
            let (gate, up) = gate_up.row(i).split_at(self.config.d_ff);
            match self.config.activation {
                Activation::Silu => silu_gate(self.isa, gate, up, out),
                Activation::GeluTanh => gelu_gate(self.isa, gate, up, out),
            }
        });
    }
}

/// Calls `f` on every row, on several threads where there is work for them.
#[expect(unsafe_code, reason = "threads write disjoint rows")]
fn each_row(rows: &mut Rows, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let (n, stride, width) = (rows.n_rows(), rows.stride(), rows.width());
    let data = Disjoint::new(rows.padded_mut());
    parallel(n, (ROW_WORK / width.max(1)).max(1), |range| {
        for i in range {
            // SAFETY: ranges do not overlap, and each row is visited once.
            f(i, unsafe { data.part(i * stride, width) });
        }
    });
}
