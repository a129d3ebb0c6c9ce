//! Causal attention of many query rows, each over its own path of segments.
//!
//! A task is one key/value head and some neighboring tokens of one run: their scores against all
//! keys of the path go to one buffer by absolute position, each row gets its own softmax, and the
//! weighted values are again matrix tiles. Every score is a chain over the head's dimensions,
//! every output a chain over positions in order: how the path is cut into segments, or which rows
//! share a task, changes no bit (masked positions add an exact zero).

use super::forward::{Batch, Piece, Run};
use super::kv::{Kv, KvShape};
use super::task::{TASK_ROWS, Task, each_task};
use crate::kernel::product::Small;
use crate::kernel::vector::{add_slope, scale, soft_cap, softmax_weights};
use crate::kernel::{Disjoint, Isa, NR, Rows};

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
    each_task(&tasks, |&(run, first, head), task| {
        let n = n_tokens.min(run.n_rows - first);
        fill(
            task,
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
}

/// Fills `mixed` (`[row][d_value]`, not yet divided) and `sums`.
#[expect(
    clippy::too_many_arguments,
    reason = "one inner step, called from one place"
)]
fn fill(
    task: &mut Task,
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
    let sees_from = |position: usize| shape.window.map_or(0, |w| (position + 1).saturating_sub(w));
    // Scores lie by position: column `NR + position − base`. The base is a multiple of the
    // lanes of a sum, so that sums run in the same order wherever a task begins.
    let base = sees_from(first_position) / 16 * 16;
    let stride = (end - base).next_multiple_of(NR) + 2 * NR + 16;
    task.grow(n_rows * d, n_rows * stride, n_rows * d_value);

    for r in 0..n_rows {
        let (token, g) = (r / group, r % group);
        let query = &qkv.row(run.first_row + first + token)[(head * group + g) * d..][..d];
        for (to, q) in task.queries[r * d..(r + 1) * d].iter_mut().zip(query) {
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
            // `keys` promises 32 floats from the start of each of its d rows.
            let product = Small {
                n_rows,
                depth: d,
                n_columns: NR,
                a: &task.queries,
                a_stride: d,
                b,
                b_stride,
                c: &mut task.scores[column..],
                c_stride: stride,
                resume: false,
            };
            product.run(isa);
        }
    }

    task.sums.clear();
    for r in 0..n_rows {
        let position = first_position + r / group;
        let row = &mut task.scores[r * stride + NR..][..end - base];
        if let Some(cap) = shape.softcap {
            soft_cap(isa, row, cap);
        }
        if let Some(slope) = shape.slopes.get(head * group + r % group) {
            // The distance to the query, so that scores stay small in long texts.
            add_slope(isa, row, *slope, base as f32 - position as f32);
        }
        task.sums.push(softmax_weights(
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
        let product = Small {
            n_rows,
            depth: k,
            n_columns: d_value,
            a: &task.scores[column..],
            a_stride: stride,
            b: values,
            b_stride: d_value,
            c: &mut task.mixed,
            c_stride: d_value,
            resume,
        };
        product.run(isa);
        resume = true;
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
