//! Causal attention of many query rows, each over its own path of segments.
//!
//! A task is one key/value head and some neighboring tokens of one run: their scores against all
//! keys of the path go to one buffer by absolute position, each row gets its own softmax, and the
//! weighted values are again matrix tiles. Every score is a chain over the head's dimensions,
//! every output a chain over positions in order: how the path is cut into segments, or which rows
//! share a task, changes no bit (masked positions add an exact zero).

use std::cell::RefCell;

use rayon::prelude::*;

use super::forward::{Batch, Piece, Run};
use super::kv::{Kv, KvShape};
use crate::kernel::gemm::row_blocks;
use crate::kernel::vector::{add_slope, scale, soft_cap, softmax_weights};
use crate::kernel::{Disjoint, Isa, NR, Rows, Tile, tile};

/// Query rows (tokens × heads of a group) that share a pass over the keys.
const TASK_ROWS: usize = 48;

/// What attention needs to know of its layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape<'a> {
    pub(crate) kv: KvShape,
    pub(crate) n_heads: usize,
    /// Multiplies query · key.
    pub(crate) scale: f32,
    /// Scores become c · tanh(score / c).
    pub(crate) softcap: Option<f32>,
    /// ALiBi's slope of each query head; empty where there is none.
    pub(crate) slopes: &'a [f32],
    /// Positions that a query sees, itself included; `None`: all.
    pub(crate) window: Option<usize>,
}

/// Attention of all rows of a batch in one layer: queries are the first `n_heads · d_head`
/// columns of `qkv`, `out` gets as many.
#[expect(unsafe_code, reason = "tasks write disjoint parts of the output")]
pub(crate) fn attend(
    isa: Isa,
    shape: &AttentionShape<'_>,
    layer: usize,
    batch: &Batch,
    kvs: &[Kv],
    qkv: &Rows,
    out: &mut Rows,
) {
    let group = shape.n_heads / shape.kv.n_kv_heads;
    let n_tokens = (TASK_ROWS / group).max(1);
    let tasks: Vec<_> = batch
        .runs
        .iter()
        .flat_map(|run| {
            (0..run.n_rows)
                .step_by(n_tokens)
                .map(move |first| (run, first))
        })
        .flat_map(|(run, first)| (0..shape.kv.n_kv_heads).map(move |head| (run, first, head)))
        .collect();
    out.set_rows(qkv.n_rows());
    let stride = out.stride();
    let d = shape.kv.d_head;
    let out = Disjoint::new(out.padded_mut());
    let run_task = |&(run, first, head): &(&Run, usize, usize)| {
        let n = n_tokens.min(run.n_rows - first);
        TASK.with_borrow_mut(|task| {
            task.run(
                isa,
                shape,
                layer,
                &batch.pieces[run.path.clone()],
                kvs,
                qkv,
                run,
                first,
                n,
                head,
            );
            for (r, sum) in task.sums.iter().enumerate() {
                let (token, g) = (r / group, r % group);
                let at = (run.first_row + first + token) * stride + (head * group + g) * d;
                // SAFETY: the tasks' (rows, heads) do not overlap.
                let out = unsafe { out.part(at, d) };
                scale(
                    isa,
                    &task.mixed[r * shape.kv.d_value..][..d],
                    1.0 / sum,
                    out,
                );
            }
        });
    };
    if rayon::current_num_threads() == 1 || tasks.len() == 1 {
        tasks.iter().for_each(run_task);
    } else {
        tasks.par_iter().for_each(run_task);
    }
}

/// Buffers of a thread, reused from task to task.
#[derive(Default)]
struct Task {
    queries: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    sums: Vec<f32>,
}

thread_local! {
    static TASK: RefCell<Task> = RefCell::default();
}

impl Task {
    /// Fills `mixed` (`[row][d_value]`, not yet divided) and `sums`.
    #[expect(
        clippy::too_many_arguments,
        reason = "one inner step, called from one place"
    )]
    #[expect(unsafe_code, reason = "calls the raw tile after checking all bounds")]
    fn run(
        &mut self,
        isa: Isa,
        shape: &AttentionShape<'_>,
        layer: usize,
        path: &[Piece],
        kvs: &[Kv],
        qkv: &Rows,
        run: &Run,
        first: usize,
        n_tokens: usize,
        head: usize,
    ) {
        let KvShape {
            n_kv_heads,
            d_head: d,
            d_value,
            ..
        } = shape.kv;
        let group = shape.n_heads / n_kv_heads;
        let n_rows = n_tokens * group;
        let first_position = run.first_position + first;
        let end = first_position + n_tokens;
        let sees_from =
            |position: usize| shape.window.map_or(0, |w| (position + 1).saturating_sub(w));
        // Scores lie by position: column `NR + position − base`. The base is a multiple of the
        // lanes of a sum, so that sums run in the same order wherever a task begins.
        let base = sees_from(first_position) / 16 * 16;
        let stride = (end - base).next_multiple_of(NR) + 2 * NR + 16;
        grow(&mut self.queries, n_rows * d);
        grow(&mut self.scores, n_rows * stride);
        grow(&mut self.mixed, n_rows * d_value);

        for r in 0..n_rows {
            let (token, g) = (r / group, r % group);
            let query = &qkv.row(run.first_row + first + token)[(head * group + g) * d..][..d];
            for (to, q) in self.queries[r * d..(r + 1) * d].iter_mut().zip(query) {
                *to = q * shape.scale;
            }
        }

        for (i, piece) in path.iter().enumerate() {
            let n_used = used(piece, i + 1 == path.len(), end);
            let keys = kvs[piece.kv].head(layer, head);
            for block in 0..n_used.div_ceil(NR) {
                let start = piece.start + block * NR;
                if start + NR.min(n_used - block * NR) <= base {
                    continue;
                }
                let (b, b_stride) = keys.keys(block);
                let column = NR + start - base;
                for (row, rows) in row_blocks(n_rows) {
                    let c = &mut self.scores[row * stride + column..][..(rows - 1) * stride + NR];
                    let t = Tile {
                        rows,
                        k: d,
                        a: self.queries[row * d..(row + rows) * d].as_ptr(),
                        a_stride: d,
                        b: b.as_ptr(),
                        b_stride,
                        c: c.as_mut_ptr(),
                        c_stride: stride,
                        resume: false,
                    };
                    // SAFETY: all three were sliced to the tile's size (`keys` promises 32 floats
                    // from the start of each of its d rows).
                    unsafe { tile(isa, &t) }
                }
            }
        }

        self.sums.clear();
        for r in 0..n_rows {
            let position = first_position + r / group;
            let row = &mut self.scores[r * stride + NR..][..end - base];
            if let Some(cap) = shape.softcap {
                soft_cap(isa, row, cap);
            }
            if let Some(slope) = shape.slopes.get(head * group + r % group) {
                // The distance to the query, so that scores stay small in long texts.
                add_slope(isa, row, *slope, base as f32 - position as f32);
            }
            self.sums.push(softmax_weights(
                isa,
                row,
                sees_from(position) - base,
                position + 1 - base,
            ));
        }

        let mut resume = false;
        for (i, piece) in path.iter().enumerate() {
            let n_used = used(piece, i + 1 == path.len(), end);
            let skip = base.saturating_sub(piece.start);
            if n_used <= skip {
                continue;
            }
            let k = n_used - skip;
            let values = &kvs[piece.kv].head(layer, head).values(skip)[..k * d_value];
            let column = NR + piece.start + skip - base;
            for panel in (0..d_value).step_by(NR) {
                for (row, rows) in row_blocks(n_rows) {
                    let a = &self.scores[row * stride + column..][..(rows - 1) * stride + k];
                    let c = &mut self.mixed[row * d_value + panel..][..(rows - 1) * d_value + NR];
                    let t = Tile {
                        rows,
                        k,
                        a: a.as_ptr(),
                        a_stride: stride,
                        b: values[panel..].as_ptr(),
                        b_stride: d_value,
                        c: c.as_mut_ptr(),
                        c_stride: d_value,
                        resume,
                    };
                    // SAFETY: all three were sliced to the tile's size; `values` holds k whole rows.
                    unsafe { tile(isa, &t) }
                }
            }
            resume = true;
        }
    }
}

/// Tokens of a piece that a task with positions below `end` reads.
fn used(piece: &Piece, is_own: bool, end: usize) -> usize {
    if is_own {
        end - piece.start
    } else {
        piece.n_used
    }
}

fn grow(buffer: &mut Vec<f32>, n: usize) {
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
}
