//! From token ids to the residual stream, and back to the gradients of the tables.

use super::gradients::Gradients;
use super::pass::Pass;
use crate::arch::forward::each_row;
use crate::kernel::Rows;
use crate::kernel::vector::{add, multiply};

/// The residual stream before the first block; `raw` keeps it before its norm where there is one.
pub(super) fn forward(pass: &Pass<'_>, raw: &mut Rows, x: &mut Rows) {
    let (c, isa, batch) = (pass.config, pass.isa, pass.batch);
    let norm = pass.layout.embedding_norm.map(|ids| pass.norm(ids));
    let table = &pass.values[pass.layout.embedding];
    let positions = pass.layout.positions.map(|id| &pass.values[id]);
    let to = if norm.is_some() { &mut *raw } else { &mut *x };
    to.set_rows(batch.tokens.len());
    each_row(to, |i, row| {
        row.copy_from_slice(table.row(batch.tokens[i] as usize));
        if c.embedding_scale != 1.0 {
            multiply(isa, row, c.embedding_scale);
        }
        if let Some(positions) = positions {
            add(isa, row, positions.row(batch.positions[i]));
        }
    });
    if let Some(norm) = norm {
        norm.forward(raw, x);
    }
}

/// Gradients of tables and norm from `dx`, that of the first block's input.
pub(super) fn backward(pass: &Pass<'_>, raw: &Rows, dx: &mut Rows, gradients: &mut Gradients) {
    let (c, batch) = (pass.config, pass.batch);
    if let Some(ids) = pass.layout.embedding_norm {
        pass.norm(ids).backward(raw, dx, gradients);
    }
    if let Some(id) = pass.layout.positions {
        gradients.add_to_rows(id, c.context_length, dx, 1.0, |i| batch.positions[i]);
    }
    gradients.add_to_rows(
        pass.layout.embedding,
        c.vocab_size,
        dx,
        c.embedding_scale,
        |i| batch.tokens[i] as usize,
    );
}
