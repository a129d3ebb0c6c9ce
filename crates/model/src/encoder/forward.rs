//! The forward pass of an encoder with norms behind the branches, over the tokens of many texts at
//! once, one after the other and without padding.
//!
//! ```text
//! x = norm(word + type + position); per block: x = norm(x + attention(x)); x = norm(x + ff(x))
//! ```
//! Source: Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692, for positions.

use std::ops::Range;

use super::config::{Activation, EncoderConfig};
use super::weights::{HeadWeights, Weights};
use crate::arch::forward::each_row;
use crate::arch::kv::{Kv, KvShape};
use crate::arch::memory::{Reading, Sees, Shape, read};
use crate::arch::{Linear, Norm};
use crate::kernel::vector::{self, add, layer_norm};
use crate::kernel::{Isa, NR, Rows, gemm};

/// A text in exact token ids, special tokens included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenText {
    /// The ids.
    pub ids: Vec<u32>,
    /// Which of two texts a token belongs to; empty where all are of the first (type 0).
    pub types: Vec<u32>,
}

impl From<Vec<u32>> for TokenText {
    fn from(ids: Vec<u32>) -> Self {
        Self {
            ids,
            types: Vec::new(),
        }
    }
}

/// Reused activations; `x` holds the result.
pub(crate) struct Buffers {
    pub(crate) x: Rows,
    qkv: Rows,
    mixed: Rows,
    projected: Rows,
    up: Rows,
}

impl Buffers {
    pub(crate) fn new(c: &EncoderConfig) -> Self {
        Self {
            x: Rows::new(c.d_model),
            qkv: Rows::new(3 * c.d_model),
            mixed: Rows::new(c.d_model),
            projected: Rows::new(c.d_model),
            up: Rows::new(c.d_ff),
        }
    }
}

/// Hidden states after the last block, of all tokens of `texts` in their order, left in `b.x`;
/// returns the rows of each text.
pub(crate) fn forward(
    isa: Isa,
    c: &EncoderConfig,
    w: &Weights,
    texts: &[&TokenText],
    b: &mut Buffers,
) -> Vec<Range<usize>> {
    let spans = embed(isa, c, w, texts, b);
    let d = c.d_model;
    let kv = KvShape {
        n_layers: 1,
        n_kv_heads: c.n_heads,
        d_head: c.d_head(),
        d_value: c.d_head().next_multiple_of(NR),
    };
    let shape = Shape {
        kv,
        scale: 1.0 / (c.d_head() as f32).sqrt(),
        bias: None,
    };
    let mut kvs: Vec<Kv> = spans.iter().map(|rows| Kv::new(kv, rows.len())).collect();
    for block in &w.blocks {
        apply(isa, &block.qkv, &b.x, &mut b.qkv);
        for (kv, rows) in kvs.iter_mut().zip(&spans) {
            kv.write(0, 0, rows.len(), |i| &b.qkv.row(rows.start + i)[d..]);
        }
        let readings: Vec<Reading<'_>> = (kvs.iter().zip(&spans))
            .map(|(kv, rows)| Reading {
                rows: rows.clone(),
                kv,
                sees: Sees::All(rows.len()),
            })
            .collect();
        read(isa, &shape, 0, &readings, &b.qkv, &mut b.mixed);
        apply(isa, &block.out, &b.mixed, &mut b.projected);
        add_and_norm(isa, c, &block.attention_norm, &mut b.projected, &mut b.x);
        apply(isa, &block.up, &b.x, &mut b.up);
        each_row(&mut b.up, |_, up| activate(isa, c.activation, up));
        apply(isa, &block.down, &b.up, &mut b.projected);
        add_and_norm(isa, c, &block.ff_norm, &mut b.projected, &mut b.x);
    }
    spans
}

/// The normed sum of the embeddings of all tokens, in `b.x`; returns the rows of each text.
fn embed(
    isa: Isa,
    c: &EncoderConfig,
    w: &Weights,
    texts: &[&TokenText],
    b: &mut Buffers,
) -> Vec<Range<usize>> {
    let d = c.d_model;
    let n_rows = texts.iter().map(|text| text.ids.len()).sum();
    b.projected.set_rows(n_rows);
    let mut spans = Vec::with_capacity(texts.len());
    let mut row = 0;
    for text in texts {
        let first = row;
        let mut position = c.first_position;
        for (i, id) in text.ids.iter().enumerate() {
            let x = b.projected.row_mut(row);
            w.word(*id, x);
            let kind = text.types.get(i).map_or(0, |kind| *kind as usize);
            if c.n_types > 0 {
                add(isa, x, &w.types[kind * d..][..d]);
            }
            // A padding token inside a RoBERTa text stands nowhere and is not counted.
            let at = if c.first_position > 0 && *id == c.pad_id {
                c.pad_id as usize
            } else {
                position += 1;
                position - 1
            };
            add(isa, x, &w.positions[at * d..][..d]);
            row += 1;
        }
        spans.push(first..row);
    }
    b.x.set_rows(n_rows);
    let (norm, from) = (&w.embedding_norm, &b.projected);
    each_row(&mut b.x, |i, x| {
        layer_norm(isa, from.row(i), &norm.weight, &norm.bias, c.norm_eps, x);
    });
    spans
}

/// `y = x · Wᵀ + b`.
pub(crate) fn apply(isa: Isa, linear: &Linear, x: &Rows, y: &mut Rows) {
    gemm(isa, x, &linear.weight, y);
    if !linear.bias.is_empty() {
        each_row(y, |_, y| add(isa, y, &linear.bias));
    }
}

/// `x = norm(y + x)`.
fn add_and_norm(isa: Isa, c: &EncoderConfig, norm: &Norm, y: &mut Rows, x: &mut Rows) {
    each_row(y, |i, y| add(isa, y, x.row(i)));
    each_row(x, |i, x| {
        layer_norm(isa, y.row(i), &norm.weight, &norm.bias, c.norm_eps, x);
    });
}

/// `x = f(x)`.
pub(crate) fn activate(isa: Isa, activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Gelu => vector::gelu(isa, x),
        Activation::GeluTanh => vector::gelu_tanh(isa, x),
        Activation::Silu => vector::silu(isa, x),
        Activation::Tanh => {
            for x in x {
                *x = vector::tanh(*x);
            }
        }
        Activation::Relu => {
            for x in x {
                // Not `max`, which would hide a value that is not a number.
                if *x < 0.0 {
                    *x = 0.0;
                }
            }
        }
    }
}

/// Logits of hidden states `[n, d_model]`: over the vocabulary or over labels, as the head says.
///
/// # Panics
/// Without a head.
pub(crate) fn logits(isa: Isa, c: &EncoderConfig, head: &HeadWeights, x: &Rows) -> Rows {
    let transform = |dense: &Linear, activation| {
        let mut y = Rows::new(c.d_model);
        apply(isa, dense, x, &mut y);
        each_row(&mut y, |_, y| activate(isa, activation, y));
        y
    };
    let project = |output: &Linear, x: &Rows| {
        let mut y = Rows::new(output.weight.n_out());
        apply(isa, output, x, &mut y);
        y
    };
    match head {
        HeadWeights::None => unreachable!("asked only where there is a head"),
        HeadWeights::MaskedLm {
            dense,
            activation,
            norm,
            output,
        } => {
            let y = transform(dense, *activation);
            let mut normed = Rows::new(c.d_model);
            normed.set_rows(y.n_rows());
            each_row(&mut normed, |i, out| {
                layer_norm(isa, y.row(i), &norm.weight, &norm.bias, c.norm_eps, out);
            });
            project(output, &normed)
        }
        HeadWeights::Sequence {
            dense,
            activation,
            output,
        } => project(output, &transform(dense, *activation)),
        HeadWeights::Token { output } => project(output, x),
    }
}
