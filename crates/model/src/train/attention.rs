//! Causal attention within each sequence of a batch, forward and backward.
//!
//! A task is one sequence and one key/value head, whole: queries pass in blocks, the scores of a
//! block exist once, and the gradients of keys and values are sums over blocks in order. Backward
//! computes the shares again from queries and keys, so forward keeps nothing but its inputs.
//!
//! With s = scale · q · k, shares p = softmax(s) and out = p · v:
//! `dv = pᵀ · d`, `dp = d · vᵀ`, `ds = p · (dp − Σ p · dp)`, `dq = scale · ds · k`,
//! `dk = dsᵀ · scale · q`. A soft cap multiplies `ds` by its slope; what is added to scores by
//! position (ALiBi) changes nothing.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::kernel::gradient::{multiply_by, soft_cap_slope, softmax_backward};
use crate::kernel::product::Small;
use crate::kernel::vector::{add_slope, multiply, scale, soft_cap, softmax_weights};
use crate::kernel::{Disjoint, Isa, NR, Rows, transpose};

/// Queries that pass together.
const QUERIES: usize = 48;

/// What attention needs to know of its layer and batch.
pub(super) struct Attention<'a> {
    pub(super) isa: Isa,
    /// Rows of each sequence.
    pub(super) spans: &'a [Range<usize>],
    pub(super) n_heads: usize,
    pub(super) n_kv_heads: usize,
    pub(super) d_head: usize,
    /// Multiplies query · key.
    pub(super) scale: f32,
    /// Scores become c · tanh(score / c).
    pub(super) softcap: Option<f32>,
    /// ALiBi's slope of each query head; empty where there is none.
    pub(super) slopes: &'a [f32],
    /// Positions that a query sees, itself included; `None`: all.
    pub(super) window: Option<usize>,
}

/// Buffers of a thread, reused from task to task.
#[derive(Default)]
struct Task {
    /// `[position][width]`, width: `d_head` in whole groups of 32 columns.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[d_head][stride]`, columns by position.
    keys_transposed: Vec<f32>,
    values_transposed: Vec<f32>,
    /// Of a block, scaled: `[row][width]`.
    queries: Vec<f32>,
    /// Of a block: `[row][block stride]`, column 0 is the block's first visible position.
    shares: Vec<f32>,
    cap_slopes: Vec<f32>,
    d_shares: Vec<f32>,
    /// Of a block: `[column][QUERIES]`.
    transposed: Vec<f32>,
    d_out: Vec<f32>,
    /// Result of a block: `[row][width]`.
    result: Vec<f32>,
    d_keys: Vec<f32>,
    d_values: Vec<f32>,
}

thread_local! {
    static TASK: RefCell<Task> = RefCell::default();
}

/// Neighboring queries of a sequence.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    n: usize,
    /// First position that one of them sees.
    base: usize,
    /// Behind the last one.
    end: usize,
    stride: usize,
}

impl Block {
    fn n_columns(self) -> usize {
        self.end - self.base
    }
}

impl Attention<'_> {
    /// Mixes values: all buffers hold heads one after the other.
    #[expect(unsafe_code, reason = "tasks write disjoint parts of the output")]
    pub(super) fn forward(&self, q: &Rows, k: &Rows, v: &Rows, out: &mut Rows) {
        let d = self.d_head;
        out.set_rows(q.n_rows());
        let stride = out.stride();
        let out = Disjoint::new(out.padded_mut());
        self.each_task(|span, kv_head, task| {
            task.load(self, span, kv_head, k, v);
            for head in self.heads(kv_head) {
                for block in self.blocks(span.len()) {
                    task.shares(self, span, head, block, q);
                    task.mix(self, block);
                    for r in 0..block.n {
                        let at = (span.start + block.first + r) * stride + head * d;
                        // SAFETY: sequences have their own rows, heads their own columns.
                        let to = unsafe { out.part(at, d) };
                        to.copy_from_slice(&task.result[r * self.width()..][..d]);
                    }
                }
            }
        });
    }

    /// Gradients of queries, keys and values from that of the output.
    #[expect(unsafe_code, reason = "tasks write disjoint parts of the output")]
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs and outputs of one operation"
    )]
    pub(super) fn backward(
        &self,
        q: &Rows,
        k: &Rows,
        v: &Rows,
        d_out: &Rows,
        dq: &mut Rows,
        dk: &mut Rows,
        dv: &mut Rows,
    ) {
        let (d, width) = (self.d_head, self.width());
        for rows in [&mut *dq, &mut *dk, &mut *dv] {
            rows.set_rows(q.n_rows());
        }
        let (q_stride, k_stride, v_stride) = (dq.stride(), dk.stride(), dv.stride());
        let (dq, dk, dv) = (
            Disjoint::new(dq.padded_mut()),
            Disjoint::new(dk.padded_mut()),
            Disjoint::new(dv.padded_mut()),
        );
        self.each_task(|span, kv_head, task| {
            task.load(self, span, kv_head, k, v);
            task.load_for_backward(self, span.len());
            for head in self.heads(kv_head) {
                for block in self.blocks(span.len()) {
                    task.shares(self, span, head, block, q);
                    task.backward(self, span, head, block, d_out);
                    for r in 0..block.n {
                        let at = (span.start + block.first + r) * q_stride + head * d;
                        // SAFETY: sequences have their own rows, heads their own columns.
                        let to = unsafe { dq.part(at, d) };
                        scale(self.isa, &task.result[r * width..][..d], self.scale, to);
                    }
                }
            }
            for r in 0..span.len() {
                let (row, column) = (span.start + r, kv_head * d);
                // SAFETY: sequences have their own rows, key/value heads their own columns.
                let (dk, dv) = unsafe {
                    (
                        dk.part(row * k_stride + column, d),
                        dv.part(row * v_stride + column, d),
                    )
                };
                dk.copy_from_slice(&task.d_keys[r * width..][..d]);
                dv.copy_from_slice(&task.d_values[r * width..][..d]);
            }
        });
    }

    fn each_task(&self, f: impl Fn(&Range<usize>, usize, &mut Task) + Sync + Send) {
        let tasks: Vec<_> = (self.spans.iter())
            .flat_map(|span| (0..self.n_kv_heads).map(move |head| (span, head)))
            .collect();
        tasks
            .into_par_iter()
            .with_max_len(1)
            .for_each(|(span, head)| TASK.with_borrow_mut(|task| f(span, head, task)));
    }

    /// Query heads of a key/value head.
    fn heads(&self, kv_head: usize) -> Range<usize> {
        let group = self.n_heads / self.n_kv_heads;
        kv_head * group..(kv_head + 1) * group
    }

    /// Width of a head in whole groups of 32 columns.
    fn width(&self) -> usize {
        self.d_head.next_multiple_of(NR)
    }

    fn sees_from(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }

    fn blocks(&self, n: usize) -> impl Iterator<Item = Block> {
        (0..n).step_by(QUERIES).map(move |first| {
            let end = (first + QUERIES).min(n);
            let base = self.sees_from(first);
            Block {
                first,
                n: end - first,
                base,
                end,
                stride: (end - base).next_multiple_of(NR),
            }
        })
    }
}

impl Task {
    /// Keys and values of one head of one sequence.
    fn load(&mut self, a: &Attention<'_>, span: &Range<usize>, head: usize, k: &Rows, v: &Rows) {
        let (d, width, n) = (a.d_head, a.width(), span.len());
        for (from, to) in [(k, &mut self.keys), (v, &mut self.values)] {
            room(to, n * width);
            for (i, to) in to.chunks_exact_mut(width).enumerate() {
                to[..d].copy_from_slice(&from.row(span.start + i)[head * d..][..d]);
            }
        }
        let stride = stride(n);
        room(&mut self.keys_transposed, d * stride);
        transpose(
            a.isa,
            &self.keys,
            width,
            n,
            d,
            &mut self.keys_transposed,
            stride,
        );
    }

    fn load_for_backward(&mut self, a: &Attention<'_>, n: usize) {
        let (d, width, stride) = (a.d_head, a.width(), stride(n));
        room(&mut self.values_transposed, d * stride);
        transpose(
            a.isa,
            &self.values,
            width,
            n,
            d,
            &mut self.values_transposed,
            stride,
        );
        reset(&mut self.d_keys, n * width);
        reset(&mut self.d_values, n * width);
    }

    /// Scaled queries and the shares of a block.
    fn shares(
        &mut self,
        a: &Attention<'_>,
        span: &Range<usize>,
        head: usize,
        block: Block,
        q: &Rows,
    ) {
        let (isa, d, width) = (a.isa, a.d_head, a.width());
        room(&mut self.queries, block.n * width);
        for (i, to) in self.queries.chunks_exact_mut(width).enumerate() {
            let row = &q.row(span.start + block.first + i)[head * d..][..d];
            scale(isa, row, a.scale, &mut to[..d]);
        }
        room(&mut self.shares, block.n * block.stride);
        Small {
            n_rows: block.n,
            depth: d,
            n_columns: block.n_columns(),
            a: &self.queries,
            a_stride: width,
            b: &self.keys_transposed[block.base..],
            b_stride: stride(span.len()),
            c: &mut self.shares,
            c_stride: block.stride,
            resume: false,
        }
        .run(isa);
        if a.softcap.is_some() {
            room(&mut self.cap_slopes, block.n * block.stride);
        }
        for i in 0..block.n {
            let position = block.first + i;
            let row = &mut self.shares[i * block.stride..][..block.n_columns()];
            if let Some(cap) = a.softcap {
                soft_cap(isa, row, cap);
                let slopes = &mut self.cap_slopes[i * block.stride..][..block.n_columns()];
                soft_cap_slope(isa, row, cap, slopes);
            }
            if let Some(slope) = a.slopes.get(head) {
                add_slope(isa, row, *slope, block.base as f32 - position as f32);
            }
            let (from, to) = (
                a.sees_from(position) - block.base,
                position + 1 - block.base,
            );
            let sum = softmax_weights(isa, row, from, to);
            multiply(isa, row, 1.0 / sum);
        }
    }

    /// `result = shares · values`.
    fn mix(&mut self, a: &Attention<'_>, block: Block) {
        let width = a.width();
        room(&mut self.result, block.n * width);
        Small {
            n_rows: block.n,
            depth: block.n_columns(),
            n_columns: a.d_head,
            a: &self.shares,
            a_stride: block.stride,
            b: &self.values[block.base * width..],
            b_stride: width,
            c: &mut self.result,
            c_stride: width,
            resume: false,
        }
        .run(a.isa);
    }

    /// Adds a block to the gradients of keys and values; leaves that of its scaled queries in
    /// `result`.
    fn backward(
        &mut self,
        a: &Attention<'_>,
        span: &Range<usize>,
        head: usize,
        block: Block,
        d_out: &Rows,
    ) {
        let (isa, d, width) = (a.isa, a.d_head, a.width());
        room(&mut self.d_out, block.n * width);
        for (i, to) in self.d_out.chunks_exact_mut(width).enumerate() {
            to[..d].copy_from_slice(&d_out.row(span.start + block.first + i)[head * d..][..d]);
        }
        room(&mut self.transposed, block.n_columns() * QUERIES);
        self.add_transposed(a, block, true);
        room(&mut self.d_shares, block.n * block.stride);
        Small {
            n_rows: block.n,
            depth: d,
            n_columns: block.n_columns(),
            a: &self.d_out,
            a_stride: width,
            b: &self.values_transposed[block.base..],
            b_stride: stride(span.len()),
            c: &mut self.d_shares,
            c_stride: block.stride,
            resume: false,
        }
        .run(isa);
        for i in 0..block.n {
            let at = i * block.stride..i * block.stride + block.n_columns();
            let row = &mut self.d_shares[at.clone()];
            softmax_backward(isa, &self.shares[at.clone()], row);
            if a.softcap.is_some() {
                multiply_by(isa, row, &self.cap_slopes[at]);
            }
        }
        self.add_transposed(a, block, false);
        room(&mut self.result, block.n * width);
        Small {
            n_rows: block.n,
            depth: block.n_columns(),
            n_columns: d,
            a: &self.d_shares,
            a_stride: block.stride,
            b: &self.keys[block.base * width..],
            b_stride: width,
            c: &mut self.result,
            c_stride: width,
            resume: false,
        }
        .run(isa);
    }

    /// `d_values += sharesᵀ · d_out`, or `d_keys += d_sharesᵀ · queries`.
    fn add_transposed(&mut self, a: &Attention<'_>, block: Block, is_values: bool) {
        let width = a.width();
        let (from, b, c) = if is_values {
            (&self.shares, &self.d_out, &mut self.d_values)
        } else {
            (&self.d_shares, &self.queries, &mut self.d_keys)
        };
        transpose(
            a.isa,
            from,
            block.stride,
            block.n,
            block.n_columns(),
            &mut self.transposed,
            QUERIES,
        );
        Small {
            n_rows: block.n_columns(),
            depth: block.n,
            n_columns: a.d_head,
            a: &self.transposed,
            a_stride: QUERIES,
            b,
            b_stride: width,
            c: &mut c[block.base * width..],
            c_stride: width,
            resume: true,
        }
        .run(a.isa);
    }
}

/// Floats from one row to the next of buffers with a column per position: a block's last group of
/// 32 columns may reach past the end.
fn stride(n_positions: usize) -> usize {
    n_positions.next_multiple_of(NR) + NR
}

/// Room for `n` values, which are what they were. Padding may hold anything: columns of a product
/// do not mix, and what lies behind the wanted ones is never read.
fn room(buffer: &mut Vec<f32>, n: usize) {
    buffer.resize(n, 0.0);
}

/// `n` zeros, for sums.
fn reset(buffer: &mut Vec<f32>, n: usize) {
    buffer.clear();
    buffer.resize(n, 0.0);
}

#[cfg(test)]
mod tests;
