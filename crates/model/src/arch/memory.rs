//! Attention of query rows over stored keys and values: all of them (encoders, and decoders that
//! look at an encoder's output) or the past alone, with a bias by distance where there is one.
//!
//! Unlike [`super::attention`], whose queries walk a tree of shared prefixes, every sequence reads
//! one [`Kv`] of its own. Each score is a chain over the head's dimensions, each output a chain over
//! positions in order, and a masked position adds an exact zero: which rows share a task, or whether
//! later positions are already stored, changes no bit. Sequences of a batch lie one after the other,
//! so there is no padding that could be seen.

use std::ops::Range;

use super::kv::{Kv, KvShape};
use super::task::{TASK_ROWS, Task, each_task};
use crate::kernel::product::Small;
use crate::kernel::vector::{add, scale, softmax_weights};
use crate::kernel::{Disjoint, Isa, NR, Rows};

/// Query rows of one sequence, and what they look at.
#[derive(Clone)]
pub(crate) struct Reading<'a> {
    /// Rows of the queries.
    pub(crate) rows: Range<usize>,
    pub(crate) kv: &'a Kv,
    pub(crate) sees: Sees,
}

/// Which stored positions a query row sees.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sees {
    /// The first so many.
    All(usize),
    /// Those up to its own position, itself included; the first row stands at this position.
    Past(usize),
}

/// What attention needs to know of its layer.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) kv: KvShape,
    /// Multiplies query · key.
    pub(crate) scale: f32,
    /// Added to the scores by distance.
    pub(crate) bias: Option<&'a Distances>,
}

/// A bias for each head and each distance from query to key.
#[derive(Debug, Default)]
pub(crate) struct Distances {
    /// Distances `-(span − 1) ..= span − 1`.
    span: usize,
    /// `[n_heads][2 · span − 1]`.
    values: Vec<f32>,
}

impl Distances {
    /// `value(head, distance)`, where distance is key position − query position.
    pub(crate) fn new(n_heads: usize, span: usize, value: impl Fn(usize, isize) -> f32) -> Self {
        let value = &value;
        let last = span as isize - 1;
        let values = (0..n_heads).flat_map(|head| (-last..=last).map(move |d| value(head, d)));
        Self {
            span,
            values: values.collect(),
        }
    }

    pub(crate) fn span(&self) -> usize {
        self.span
    }

    /// Biases of the query at `position` for keys `0..n`.
    fn of(&self, head: usize, position: usize, n: usize) -> &[f32] {
        let first = head * (2 * self.span - 1) + self.span - 1 - position;
        &self.values[first..first + n]
    }
}

/// Attention of all readings in one layer: queries are the first `n_heads · d_head` columns of
/// `queries`, `out` gets as many for each of its rows.
#[expect(unsafe_code, reason = "tasks write disjoint parts of the output")]
pub(crate) fn read(
    isa: Isa,
    shape: &Shape<'_>,
    layer: usize,
    readings: &[Reading<'_>],
    queries: &Rows,
    out: &mut Rows,
) {
    let KvShape {
        n_kv_heads: n_heads,
        d_head: d,
        d_value,
        ..
    } = shape.kv;
    out.set_rows(queries.n_rows());
    let stride = out.stride();
    let out = Disjoint::new(out.padded_mut());
    let tasks: Vec<_> = readings
        .iter()
        .flat_map(|reading| {
            let firsts = reading.rows.clone().step_by(TASK_ROWS);
            firsts.map(move |first| (reading, first))
        })
        .flat_map(|(reading, first)| (0..n_heads).map(move |head| (reading, first, head)))
        .collect();
    each_task(&tasks, |&(reading, first, head), task| {
        let rows = first..(first + TASK_ROWS).min(reading.rows.end);
        fill(
            task,
            isa,
            shape,
            layer,
            reading,
            rows.clone(),
            queries,
            head,
        );
        for (i, sum) in task.sums.iter().enumerate() {
            let at = (rows.start + i) * stride + head * d;
            // SAFETY: the tasks' (rows, heads) do not overlap.
            let out = unsafe { out.part(at, d) };
            scale(isa, &task.mixed[i * d_value..][..d], 1.0 / sum, out);
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
    shape: &Shape<'_>,
    layer: usize,
    reading: &Reading<'_>,
    rows: Range<usize>,
    queries: &Rows,
    head: usize,
) {
    let KvShape {
        d_head: d, d_value, ..
    } = shape.kv;
    let keys_and_values = reading.kv.head(layer, head);
    let seen_by = |row: usize| match reading.sees {
        Sees::All(n) => n,
        Sees::Past(first) => first + row - reading.rows.start + 1,
    };
    let n_rows = rows.len();
    let n_keys = seen_by(rows.end - 1);
    let stride = n_keys.next_multiple_of(NR) + 16;
    task.grow(n_rows * d, n_rows * stride, n_rows * d_value);
    for (to, row) in task.queries.chunks_exact_mut(d).zip(rows.clone()) {
        for (to, q) in to.iter_mut().zip(&queries.row(row)[head * d..][..d]) {
            *to = q * shape.scale;
        }
    }
    for block in 0..n_keys.div_ceil(NR) {
        let (b, b_stride) = keys_and_values.keys(block);
        let product = Small {
            n_rows,
            depth: d,
            n_columns: NR,
            a: &task.queries,
            a_stride: d,
            b,
            b_stride,
            c: &mut task.scores[block * NR..],
            c_stride: stride,
            resume: false,
        };
        product.run(isa);
    }
    task.sums.clear();
    for (scores, row) in task.scores.chunks_exact_mut(stride).zip(rows) {
        let n_seen = seen_by(row);
        let scores = &mut scores[..n_keys];
        if let Some(bias) = shape.bias {
            let position = match reading.sees {
                Sees::All(_) => row - reading.rows.start,
                Sees::Past(_) => n_seen - 1,
            };
            add(isa, &mut scores[..n_seen], bias.of(head, position, n_seen));
        }
        task.sums.push(softmax_weights(isa, scores, 0, n_seen));
    }
    let product = Small {
        n_rows,
        depth: n_keys,
        n_columns: d_value,
        a: &task.scores,
        a_stride: stride,
        b: keys_and_values.values(0),
        b_stride: d_value,
        c: &mut task.mixed,
        c_stride: d_value,
        resume: false,
    };
    product.run(isa);
}
