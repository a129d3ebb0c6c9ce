//! Rows through the network and the output layer.

use std::ops::Range;
use std::sync::atomic::Ordering;

use isogloss_record::Pooled;

use super::core::{Core, State};
use super::output::{self, logprob};
use super::tree::{Path, SegmentId, Tree};
use crate::arch::forward::{NotFinite, Piece, Point, Run};
use crate::backend::{BackendError, RunSettings};
use crate::kernel::Rows;

/// Token rows that go through the network together, where memory allows: enough for the products to
/// be bound by arithmetic, few enough for the activations to stay near the processor.
pub(super) const BATCH_ROWS: usize = 512;

/// A part of a segment that is to be computed.
pub(super) struct Todo {
    pub(super) path: Path,
    /// Offsets in the path's last segment.
    pub(super) range: Range<usize>,
    /// Which adapter; 0: none.
    pub(super) adapter: usize,
}

/// Hidden states summed while the rows of a segment pass.
pub(super) struct Pool {
    pub(super) segment: SegmentId,
    /// Positions that count for the mean.
    pub(super) mean: Range<usize>,
    pub(super) last: usize,
    pub(super) sums: Vec<Vec<f64>>,
    pub(super) lasts: Vec<Vec<f32>>,
}

impl Core {
    /// Sends rows through the network, in order, in batches.
    pub(super) fn compute(
        &self,
        state: &mut State,
        todo: &[Todo],
        pools: &mut [Pool],
        settings: &RunSettings<'_>,
    ) -> Result<(), BackendError> {
        state.batch.clear();
        for part in todo {
            let mut range = part.range.clone();
            while !range.is_empty() {
                let room = self.batch_rows - state.batch.tokens.len();
                let n = room.min(range.len());
                add_run(state, part, range.start..range.start + n);
                range.start += n;
                if state.batch.tokens.len() == self.batch_rows {
                    self.forward(state, pools, settings)?;
                }
            }
        }
        self.forward(state, pools, settings)
    }

    /// Computes the rows of the batch and empties it.
    fn forward(
        &self,
        state: &mut State,
        pools: &mut [Pool],
        settings: &RunSettings<'_>,
    ) -> Result<(), BackendError> {
        if settings.cancel.load(Ordering::Relaxed) {
            return Err(BackendError::Canceled);
        }
        if state.batch.tokens.is_empty() {
            return Ok(());
        }
        let State {
            tree,
            batch,
            buffers,
            ropes,
            ..
        } = state;
        let pooled: Vec<(usize, &Run)> = (batch.runs.iter())
            .filter_map(|run| {
                let id = batch.pieces[run.path.end - 1].kv;
                pools.iter().position(|p| p.segment == id).map(|p| (p, run))
            })
            .collect();
        let mut normed = Rows::new(self.decoder.config.d_model);
        let visit = |layer: usize, point: Point, x: &mut Rows| {
            if point != Point::BlockOutput {
                return;
            }
            let is_last = layer + 1 == self.decoder.config.n_layers;
            let x = if is_last && self.pool_after_norm && !pooled.is_empty() {
                // States that are not finite are refused with the block's own rows.
                let _ = self
                    .decoder
                    .norm(x, &self.decoder.weights.final_norm, &mut normed);
                &normed
            } else {
                &*x
            };
            for (pool, run) in &pooled {
                pools[*pool].take(layer, run, x);
            }
        };
        self.pool
            .install(|| {
                self.decoder
                    .forward(batch, &mut tree.kvs, ropes, buffers, visit)
            })
            .map_err(|NotFinite { layer }| self.not_finite(layer))?;
        for run in &batch.runs {
            let id = batch.pieces[run.path.end - 1].kv;
            for i in 0..run.n_rows {
                tree.hidden_mut(id, run.at + i)
                    .copy_from_slice(buffers.x.row(run.first_row + i));
            }
        }
        batch.clear();
        Ok(())
    }

    pub(super) fn not_finite(&self, layer: usize) -> BackendError {
        let n_layers = self.decoder.config.n_layers;
        let place = if layer == n_layers {
            "the embedding".into()
        } else {
            format!("block {layer} of {n_layers}")
        };
        BackendError::NotFinite {
            model: self.name.clone(),
            place,
        }
    }

    /// Runs one batch of rows for the generator.
    pub(super) fn step(
        &self,
        state: &mut State,
        todo: &[Todo],
        settings: &RunSettings<'_>,
    ) -> Result<(), BackendError> {
        self.compute(state, todo, &mut [], settings)
    }

    /// Makes sure that the output layer is known at all these positions.
    pub(super) fn fill_heads<'a>(
        &self,
        state: &mut State,
        positions: impl Iterator<Item = (&'a Path, usize)>,
    ) -> Result<(), BackendError> {
        let mut missing: Vec<_> = positions
            .map(|(path, position)| state.tree.locate(path, position))
            .filter(|(id, at)| state.tree.segments[*id].heads[*at].is_none())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let tree = &state.tree;
        let hidden = |i: usize| {
            let (id, at): (SegmentId, usize) = missing[i];
            tree.hidden(id, at)
        };
        let heads = self
            .pool
            .install(|| output::heads(&self.decoder, missing.len(), hidden));
        for ((id, at), head) in missing.into_iter().zip(heads) {
            let head = head.ok_or_else(|| BackendError::NotFinite {
                model: self.name.clone(),
                place: "the output layer".into(),
            })?;
            state.tree.segments[id].heads[at] = Some(head);
        }
        Ok(())
    }

    /// Log-probability of `token` after a position, and whether it is the most probable.
    pub(super) fn token_logprob(
        &self,
        tree: &Tree,
        path: &Path,
        position: usize,
        token: u32,
    ) -> (f32, bool) {
        let (id, at) = tree.locate(path, position);
        let head = tree.segments[id].heads[at].expect("filled before it is read");
        let mut x = Rows::new(self.decoder.config.d_model);
        let mut normed = Rows::new(self.decoder.config.d_model);
        x.set_rows(1);
        x.row_mut(0).copy_from_slice(tree.hidden(id, at));
        let _ = self
            .decoder
            .norm(&x, &self.decoder.weights.final_norm, &mut normed);
        (
            logprob(&self.decoder, &normed, &head, token),
            token == head.argmax,
        )
    }
}

impl Pool {
    /// Adds the rows of a run, in order of position.
    fn take(&mut self, layer: usize, run: &Run, x: &Rows) {
        for i in 0..run.n_rows {
            let (position, row) = (run.first_position + i, x.row(run.first_row + i));
            if self.mean.contains(&position) {
                for (sum, x) in self.sums[layer].iter_mut().zip(row) {
                    *sum += f64::from(*x);
                }
            }
            if position == self.last {
                self.lasts[layer] = row.to_vec();
            }
        }
    }

    pub(super) fn finish(self) -> Pooled {
        let n = self.mean.len() as f64;
        let mean = self
            .sums
            .iter()
            .map(|sums| sums.iter().map(|s| (s / n) as f32).collect())
            .collect();
        Pooled {
            mean,
            last: self.lasts,
        }
    }
}

/// Adds rows of a path's last segment to the batch.
fn add_run(state: &mut State, part: &Todo, range: Range<usize>) {
    let path = &part.path;
    let (id, _) = *path.last().expect("a path has a segment");
    let State { tree, batch, .. } = state;
    let first_piece = batch.pieces.len();
    let piece = |(kv, n_used): &(SegmentId, usize)| Piece {
        kv: *kv,
        start: tree.segments[*kv].start,
        n_used: *n_used,
    };
    batch.pieces.extend(path.iter().map(piece));
    let segment = &tree.segments[id];
    batch.runs.push(Run {
        first_row: batch.tokens.len(),
        n_rows: range.len(),
        first_position: segment.start + range.start,
        at: range.start,
        path: first_piece..batch.pieces.len(),
        adapter: part.adapter,
    });
    batch.tokens.extend(&segment.tokens[range]);
}
