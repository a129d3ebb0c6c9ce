//! The forward passes of a T5: sources through the encoder, targets through the decoder; the tokens
//! of many sequences lie one after the other, without padding.
//!
//! ```text
//! per block: x += attention(norm x); decoder: x += attention to the source(norm x); x += ff(norm x)
//! ```
//! Scores are not scaled; positions are a bias by distance. Source: Raffel et al. 2019,
//! arXiv:1910.10683.

use std::ops::Range;

use super::bias::distances;
use super::config::Seq2SeqConfig;
use super::weights::{Block, Stack, Weights};
use crate::arch::Norm;
use crate::arch::forward::each_row;
use crate::arch::kv::{Kv, KvShape};
use crate::arch::memory::{Distances, Reading, Sees, Shape, read};
use crate::encoder::forward::{activate, apply};
use crate::kernel::vector::{add, rms_norm};
use crate::kernel::{Isa, NR, Rows};

/// Reused activations and tables; `x` holds the result, normed at last.
pub(crate) struct Buffers {
    pub(crate) x: Rows,
    normed: Rows,
    qkv: Rows,
    query: Rows,
    kv: Rows,
    mixed: Rows,
    projected: Rows,
    up: Rows,
    gated: Rows,
    encoder_biases: Vec<Distances>,
    decoder_biases: Vec<Distances>,
}

impl Buffers {
    pub(crate) fn new(c: &Seq2SeqConfig) -> Self {
        let d_heads = c.n_heads * c.d_head;
        Self {
            x: Rows::new(c.d_model),
            normed: Rows::new(c.d_model),
            qkv: Rows::new(3 * d_heads),
            query: Rows::new(d_heads),
            kv: Rows::new(2 * d_heads),
            mixed: Rows::new(d_heads),
            projected: Rows::new(c.d_model),
            up: Rows::new(if c.gated { 2 * c.d_ff } else { c.d_ff }),
            gated: Rows::new(c.d_ff),
            encoder_biases: Vec::new(),
            decoder_biases: Vec::new(),
        }
    }
}

/// A target under way: what its decoder has stored, and what it looks at.
pub(crate) struct Target<'a> {
    /// Inputs to compute: the start, then the target's tokens.
    pub(crate) inputs: &'a [u32],
    /// Position of the first of them.
    pub(crate) first_position: usize,
    /// Keys and values of the inputs, with room for these.
    pub(crate) own: &'a mut Kv,
    /// Keys and values of the source, from [`Model::cross`].
    pub(crate) source: &'a Kv,
    /// Tokens of the source.
    pub(crate) n_source: usize,
}

/// Weights and shape together.
pub(crate) struct Model {
    pub(crate) config: Seq2SeqConfig,
    pub(crate) weights: Weights,
    pub(crate) isa: Isa,
}

impl Model {
    /// Sizes of stored keys and values over `n_layers`.
    pub(crate) fn kv_shape(&self, n_layers: usize) -> KvShape {
        KvShape {
            n_layers,
            n_kv_heads: self.config.n_heads,
            d_head: self.config.d_head,
            d_value: self.config.d_head.next_multiple_of(NR),
        }
    }

    /// States of all tokens of the sources after the encoder's last norm, in `b.x`; returns the
    /// rows of each source.
    pub(crate) fn encode(&self, sources: &[&[u32]], b: &mut Buffers) -> Vec<Range<usize>> {
        let (isa, stack) = (self.isa, &self.weights.encoder);
        let spans = self.embed(sources.iter().copied(), b);
        let span = spans.iter().map(Range::len).max().unwrap_or(1);
        self.extend(stack, &mut b.encoder_biases, span, true);
        let kv = self.kv_shape(1);
        let mut kvs: Vec<Kv> = spans.iter().map(|rows| Kv::new(kv, rows.len())).collect();
        let d_heads = self.config.n_heads * self.config.d_head;
        for (layer, block) in stack.blocks.iter().enumerate() {
            self.norm(&block.attention_norm, &b.x, &mut b.normed);
            apply(isa, &block.qkv, &b.normed, &mut b.qkv);
            for (kv, rows) in kvs.iter_mut().zip(&spans) {
                kv.write(0, 0, rows.len(), |i| &b.qkv.row(rows.start + i)[d_heads..]);
            }
            let readings: Vec<Reading<'_>> = (kvs.iter().zip(&spans))
                .map(|(kv, rows)| Reading {
                    rows: rows.clone(),
                    kv,
                    sees: Sees::All(rows.len()),
                })
                .collect();
            let shape = Shape {
                kv,
                scale: 1.0,
                bias: Some(of_layer(&b.encoder_biases, layer)),
            };
            read(isa, &shape, 0, &readings, &b.qkv, &mut b.mixed);
            apply(isa, &block.out, &b.mixed, &mut b.projected);
            each_row(&mut b.x, |i, x| add(isa, x, b.projected.row(i)));
            self.feed_forward(block, b);
        }
        self.last_norm(stack, b);
        spans
    }

    /// Keys and values of each decoder block for one source, whose states are `rows` of `b.x`.
    pub(crate) fn cross(&self, rows: Range<usize>, b: &mut Buffers) -> Kv {
        let decoder = self.weights.decoder.as_ref();
        let stack = &decoder.expect("asked only of a model with a decoder").stack;
        let mut states = Rows::new(self.config.d_model);
        states.set_rows(rows.len());
        for (i, row) in rows.clone().enumerate() {
            states.row_mut(i).copy_from_slice(b.x.row(row));
        }
        let mut kv = Kv::new(self.kv_shape(stack.blocks.len()), rows.len());
        for (layer, block) in stack.blocks.iter().enumerate() {
            let cross = block.cross.as_ref().expect("a decoder looks at its source");
            apply(self.isa, &cross.kv, &states, &mut b.kv);
            kv.write(layer, 0, rows.len(), |i| b.kv.row(i));
        }
        kv
    }

    /// States after each input of the targets and the decoder's last norm, scaled for the output
    /// layer, in `b.x`; returns the rows of each target.
    pub(crate) fn decode(&self, targets: &mut [Target<'_>], b: &mut Buffers) -> Vec<Range<usize>> {
        let isa = self.isa;
        let decoder = self.weights.decoder.as_ref();
        let stack = &decoder.expect("asked only of a model with a decoder").stack;
        let spans = self.embed(targets.iter().map(|target| target.inputs), b);
        let ends = targets.iter().map(|t| t.first_position + t.inputs.len());
        self.extend(stack, &mut b.decoder_biases, ends.max().unwrap_or(1), false);
        let kv = self.kv_shape(stack.blocks.len());
        let d_heads = self.config.n_heads * self.config.d_head;
        for (layer, block) in stack.blocks.iter().enumerate() {
            self.norm(&block.attention_norm, &b.x, &mut b.normed);
            apply(isa, &block.qkv, &b.normed, &mut b.qkv);
            for (target, rows) in targets.iter_mut().zip(&spans) {
                let row = |i: usize| &b.qkv.row(rows.start + i)[d_heads..];
                target
                    .own
                    .write(layer, target.first_position, rows.len(), row);
            }
            let readings: Vec<Reading<'_>> = (targets.iter().zip(&spans))
                .map(|(target, rows)| Reading {
                    rows: rows.clone(),
                    kv: &*target.own,
                    sees: Sees::Past(target.first_position),
                })
                .collect();
            let shape = Shape {
                kv,
                scale: 1.0,
                bias: Some(of_layer(&b.decoder_biases, layer)),
            };
            read(isa, &shape, layer, &readings, &b.qkv, &mut b.mixed);
            apply(isa, &block.out, &b.mixed, &mut b.projected);
            each_row(&mut b.x, |i, x| add(isa, x, b.projected.row(i)));

            let cross = block.cross.as_ref().expect("a decoder looks at its source");
            self.norm(&cross.norm, &b.x, &mut b.normed);
            apply(isa, &cross.query, &b.normed, &mut b.query);
            let readings: Vec<Reading<'_>> = (targets.iter().zip(&spans))
                .map(|(target, rows)| Reading {
                    rows: rows.clone(),
                    kv: target.source,
                    sees: Sees::All(target.n_source),
                })
                .collect();
            let shape = Shape {
                kv,
                scale: 1.0,
                bias: None,
            };
            read(isa, &shape, layer, &readings, &b.query, &mut b.mixed);
            apply(isa, &cross.out, &b.mixed, &mut b.projected);
            each_row(&mut b.x, |i, x| add(isa, x, b.projected.row(i)));
            self.feed_forward(block, b);
        }
        self.last_norm(stack, b);
        let scale = self.config.output_scale;
        if scale != 1.0 {
            each_row(&mut b.x, |_, x| x.iter_mut().for_each(|x| *x *= scale));
        }
        spans
    }

    /// Embeddings of all tokens, in `b.x`; returns the rows of each sequence.
    fn embed<'a>(
        &self,
        sequences: impl Iterator<Item = &'a [u32]>,
        b: &mut Buffers,
    ) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        let mut n_rows = 0;
        for ids in sequences {
            b.x.set_rows(n_rows + ids.len());
            for (i, id) in ids.iter().enumerate() {
                self.weights.embedding(*id, b.x.row_mut(n_rows + i));
            }
            spans.push(n_rows..n_rows + ids.len());
            n_rows += ids.len();
        }
        b.x.set_rows(n_rows);
        spans
    }

    fn feed_forward(&self, block: &Block, b: &mut Buffers) {
        let (isa, c) = (self.isa, &self.config);
        self.norm(&block.ff_norm, &b.x, &mut b.normed);
        apply(isa, &block.up, &b.normed, &mut b.up);
        b.gated.set_rows(b.up.n_rows());
        each_row(&mut b.gated, |i, out| {
            let (gate, up) = b.up.row(i).split_at(c.d_ff);
            out.copy_from_slice(gate);
            activate(isa, c.activation, out);
            for (out, up) in out.iter_mut().zip(up) {
                *out *= up;
            }
        });
        apply(isa, &block.down, &b.gated, &mut b.projected);
        each_row(&mut b.x, |i, x| add(isa, x, b.projected.row(i)));
    }

    fn norm(&self, norm: &Norm, x: &Rows, out: &mut Rows) {
        out.set_rows(x.n_rows());
        each_row(out, |i, out| {
            rms_norm(self.isa, x.row(i), &norm.weight, self.config.norm_eps, out);
        });
    }

    fn last_norm(&self, stack: &Stack, b: &mut Buffers) {
        self.norm(&stack.final_norm, &b.x, &mut b.normed);
        std::mem::swap(&mut b.x, &mut b.normed);
    }

    /// Makes the tables of biases reach `span` positions.
    fn extend(&self, stack: &Stack, tables: &mut Vec<Distances>, span: usize, is_encoder: bool) {
        if tables.first().is_some_and(|table| table.span() >= span) {
            return;
        }
        let (c, span) = (&self.config, span.next_power_of_two());
        let of = |table: &Vec<f32>| distances(table, c.n_heads, span, is_encoder, c.max_distance);
        *tables = stack.biases.iter().map(of).collect();
    }
}

/// The table of a block: its own, or that of all.
fn of_layer(tables: &[Distances], layer: usize) -> &Distances {
    &tables[layer.min(tables.len() - 1)]
}
