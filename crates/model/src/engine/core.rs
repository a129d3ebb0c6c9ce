//! The engine without text: jobs in token ids in, responses out.
//!
//! ```text
//! jobs -> sequences (sorted) -> groups -> tree (find, push) -> batches of rows -> forward
//!                                                   \-> output layer at scored positions -> responses
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

use isogloss_record::{Encoded, Pooled, Response, Usage};

use super::generate::Listener;
use super::output::{self, logprob};
use super::tree::{Path, SegmentId, Tree};
use crate::arch::forward::{Batch, Buffers, Decoder, NotFinite, Piece, Ropes, Run};
use crate::backend::{BackendError, RunSettings};
use crate::kernel::Rows;

/// Token rows that go through the network together: enough for the products to be bound by
/// arithmetic, few enough for the activations to stay near the processor.
const BATCH_ROWS: usize = 512;

/// What a run changes: segments, buffers, tables.
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) batch: Batch,
    pub(super) buffers: Buffers,
    pub(super) ropes: Ropes,
}

impl State {
    pub(super) fn new(decoder: &Decoder) -> Self {
        Self {
            tree: Tree::new(decoder.kv, decoder.config.d_model),
            batch: Batch::default(),
            buffers: Buffers::new(&decoder.config),
            ropes: Ropes::new(&decoder.config),
        }
    }
}

/// A decoder with its name and limits.
pub(super) struct Core {
    pub(super) decoder: Decoder,
    pub(super) name: String,
    /// Id that the tokenizer puts first; left out of pooled means.
    pub(super) bos: Option<u32>,
    /// Bytes of segments kept between calls.
    pub(super) cache_bytes: usize,
    /// Whether the last block's pooled states are taken after the final norm.
    pub(super) pool_after_norm: bool,
    /// Threads that compute; the calling thread only hands out work and answers.
    pub(super) pool: rayon::ThreadPool,
}

/// One sequence to compute: a score job, one label of a choice, or the beginning of a score job whose
/// states are pooled.
struct Sequence {
    job: usize,
    /// Which part of the job's answer: labels of a choice in their order, states before scores.
    label: usize,
    tokens: Vec<u32>,
    /// Positions `from..to` whose tokens are scored.
    scored: Range<usize>,
    /// Greedy agreement counts from here on.
    n_context: usize,
    n_pooled: usize,
}

impl Sequence {
    /// Tokens that must go through the network: the last one only if its state is pooled.
    fn n_computed(&self) -> usize {
        let n_scored = if self.scored.is_empty() {
            0
        } else {
            self.scored.end - 1
        };
        n_scored.max(self.n_pooled)
    }
}

/// What a scored sequence gave.
struct Scored {
    logprobs: Vec<f32>,
    greedy: bool,
    pooled: Option<Pooled>,
}

/// A part of a segment that is to be computed.
pub(super) struct Todo {
    pub(super) path: Path,
    /// Offsets in the path's last segment.
    pub(super) range: Range<usize>,
}

/// Hidden states summed while the rows of a segment pass.
struct Pool {
    segment: SegmentId,
    /// Positions that count for the mean.
    mean: Range<usize>,
    last: usize,
    sums: Vec<Vec<f64>>,
    lasts: Vec<Vec<f32>>,
}

impl Core {
    /// Refuses what cannot be computed, before any work.
    pub(super) fn check(&self, job: &Encoded) -> Result<(), BackendError> {
        let (n_vocab, limit) = (
            self.decoder.config.vocab_size,
            self.decoder.config.context_length,
        );
        let known = |ids: &[u32]| match ids.iter().find(|id| **id as usize >= n_vocab) {
            Some(id) => Err(BackendError::Invalid(format!(
                "token id {id} is outside the vocabulary of `{}` (ids 0 to {})",
                self.name,
                n_vocab - 1
            ))),
            None => Ok(()),
        };
        let fits = |found: usize| {
            if found <= limit {
                Ok(())
            } else {
                Err(BackendError::TooLong {
                    model: self.name.clone(),
                    found,
                    limit,
                })
            }
        };
        match job {
            Encoded::Score {
                token_ids,
                n_context,
                n_pooled,
                ..
            } => {
                known(token_ids)?;
                fits(token_ids.len())?;
                if *n_context > token_ids.len() || *n_pooled > token_ids.len() {
                    return Err(BackendError::Invalid(format!(
                        "a text of {} tokens cannot have {n_context} of context and {n_pooled} pooled",
                        token_ids.len()
                    )));
                }
                Ok(())
            }
            Encoded::Choose { token_ids, labels } => {
                known(token_ids)?;
                if token_ids.is_empty() || labels.is_empty() || labels.iter().any(Vec::is_empty) {
                    return Err(BackendError::Invalid(
                        "a choice needs a context and labels of one token or more".into(),
                    ));
                }
                labels.iter().try_for_each(|label| {
                    known(label)?;
                    fits(token_ids.len() + label.len())
                })
            }
            Encoded::Generate {
                token_ids,
                sampling,
            } => {
                known(token_ids)?;
                if token_ids.is_empty() {
                    return Err(BackendError::Invalid(
                        "a prompt needs one token or more".into(),
                    ));
                }
                if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
                    return Err(BackendError::Invalid(format!(
                        "the temperature must be 0 or more, not {}",
                        sampling.temperature
                    )));
                }
                fits(token_ids.len() + usize::from(sampling.max_tokens > 0))
            }
        }
    }

    /// Answers every job. `text_of` turns generated ids into text.
    pub(super) fn run(
        &self,
        state: &mut State,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        stops: &super::generate::Stops<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        jobs.iter().try_for_each(|job| self.check(job))?;
        let mut usage = Usage::default();
        let result = self
            .score(state, jobs, settings, &mut usage, on_response)
            .and_then(|()| {
                let mut listener = Listener {
                    on_token,
                    on_response,
                };
                self.generate(state, jobs, settings, stops, &mut usage, &mut listener)
            });
        if result.is_err() {
            // Segments may be half computed.
            state.tree = Tree::new(self.decoder.kv, self.decoder.config.d_model);
        }
        result.map(|()| usage)
    }

    fn score(
        &self,
        state: &mut State,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        usage: &mut Usage,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<(), BackendError> {
        let mut sequences = sequences(jobs);
        // Neighbors share most. A beginning that must be computed anew for its hidden states comes
        // before all that goes on from it, so that they find it.
        sequences.sort_by(|a, b| {
            (&a.tokens, b.n_pooled, a.job, a.label).cmp(&(&b.tokens, a.n_pooled, b.job, b.label))
        });
        let mut open: BTreeMap<usize, Vec<(usize, Scored)>> = BTreeMap::new();
        let mut rest = &sequences[..];
        while !rest.is_empty() {
            let (n, scored) = self.score_group(state, rest, settings, usage)?;
            for (sequence, scored) in rest[..n].iter().zip(scored) {
                let parts = open.entry(sequence.job).or_default();
                parts.push((sequence.label, scored));
                if let Some(response) = response(&jobs[sequence.job], parts) {
                    open.remove(&sequence.job);
                    on_response(sequence.job, response);
                }
            }
            rest = &rest[n..];
            state.tree.shrink_to(if settings.share_prefixes {
                self.cache_bytes
            } else {
                0
            });
        }
        Ok(())
    }

    /// Takes as many sequences as fit a group and scores them.
    fn score_group(
        &self,
        state: &mut State,
        sequences: &[Sequence],
        settings: &RunSettings<'_>,
        usage: &mut Usage,
    ) -> Result<(usize, Vec<Scored>), BackendError> {
        let (mut todo, mut paths, mut pools) = (Vec::new(), Vec::new(), Vec::new());
        let (mut n_rows, mut alone) = (0, Vec::new());
        for sequence in sequences.iter().take(settings.batch_size.max(1)) {
            if n_rows >= BATCH_ROWS {
                break;
            }
            let n = sequence.n_computed();
            let (mut path, found) = if settings.share_prefixes && sequence.n_pooled == 0 {
                state.tree.find(&sequence.tokens[..n])
            } else {
                (Path::new(), 0)
            };
            if found < n {
                let new = &sequence.tokens[found..n];
                let id = state
                    .tree
                    .push(&mut path, new, new.len(), settings.share_prefixes);
                if !settings.share_prefixes {
                    alone.push(id);
                }
                todo.push(Todo {
                    path: path.clone(),
                    range: 0..new.len(),
                });
                if sequence.n_pooled > 0 {
                    pools.push(self.pool(id, sequence));
                }
            }
            n_rows += n - found;
            usage.n_tokens_requested += sequence.tokens.len() as u64;
            usage.n_tokens_shared += found as u64;
            usage.n_tokens_computed += (n - found) as u64;
            paths.push(path);
        }
        self.compute(state, &todo, &mut pools, settings)?;
        let group = &sequences[..paths.len()];
        self.fill_heads(
            state,
            group
                .iter()
                .zip(&paths)
                .flat_map(|(s, path)| s.scored.clone().map(move |p| (path, p - 1))),
        )?;
        let mut pools = pools.into_iter();
        let scored = group.iter().zip(&paths).map(|(sequence, path)| {
            let pooled = (sequence.n_pooled > 0)
                .then(|| pools.next())
                .flatten()
                .map(Pool::finish);
            self.read(&state.tree, sequence, path, pooled)
        });
        let scored = scored.collect();
        for id in alone {
            state.tree.drop_segment(id);
        }
        Ok((group.len(), scored))
    }

    fn pool(&self, segment: SegmentId, sequence: &Sequence) -> Pool {
        let n = sequence.n_pooled;
        let has_bos = n > 1 && self.bos == Some(sequence.tokens[0]);
        let (n_layers, d) = (self.decoder.config.n_layers, self.decoder.config.d_model);
        Pool {
            segment,
            mean: usize::from(has_bos)..n,
            last: n - 1,
            sums: vec![vec![0.0; d]; n_layers],
            lasts: vec![Vec::new(); n_layers],
        }
    }

    /// Sends rows through the network, in order, in batches.
    fn compute(
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
                let room = BATCH_ROWS - state.batch.tokens.len();
                let n = room.min(range.len());
                add_run(state, &part.path, range.start..range.start + n);
                range.start += n;
                if state.batch.tokens.len() == BATCH_ROWS {
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
        } = state;
        let pooled: Vec<(usize, &Run)> = (batch.runs.iter())
            .filter_map(|run| {
                let id = batch.pieces[run.path.end - 1].kv;
                pools.iter().position(|p| p.segment == id).map(|p| (p, run))
            })
            .collect();
        let mut normed = Rows::new(self.decoder.config.d_model);
        let after_block = |layer: usize, x: &Rows| {
            let is_last = layer + 1 == self.decoder.config.n_layers;
            let x = if is_last && self.pool_after_norm && !pooled.is_empty() {
                // States that are not finite are refused with the block's own rows.
                let _ = self
                    .decoder
                    .norm(x, &self.decoder.weights.final_norm, &mut normed);
                &normed
            } else {
                x
            };
            for (pool, run) in &pooled {
                pools[*pool].take(layer, run, x);
            }
        };
        self.pool
            .install(|| {
                self.decoder
                    .forward(batch, &mut tree.kvs, ropes, buffers, after_block)
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

    fn not_finite(&self, layer: usize) -> BackendError {
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
            logprob(&self.decoder, normed.row(0), &head, token),
            token == head.argmax,
        )
    }

    fn read(
        &self,
        tree: &Tree,
        sequence: &Sequence,
        path: &Path,
        pooled: Option<Pooled>,
    ) -> Scored {
        let mut scored = Scored {
            logprobs: Vec::new(),
            greedy: true,
            pooled,
        };
        for position in sequence.scored.clone() {
            let (logprob, best) =
                self.token_logprob(tree, path, position - 1, sequence.tokens[position]);
            scored.logprobs.push(logprob);
            scored.greedy &= best || position < sequence.n_context;
        }
        scored
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

    fn finish(self) -> Pooled {
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
fn add_run(state: &mut State, path: &Path, range: Range<usize>) {
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
    });
    batch.tokens.extend(&segment.tokens[range]);
}

/// The sequences of all scoring jobs.
fn sequences(jobs: &[Encoded]) -> Vec<Sequence> {
    let mut all = Vec::new();
    for (job, encoded) in jobs.iter().enumerate() {
        match encoded {
            Encoded::Score {
                token_ids,
                n_context,
                scored_from,
                n_pooled,
            } => {
                // Greedy agreement needs every token of the continuation.
                let from = (*scored_from).min(*n_context).max(1);
                let scored = from..token_ids.len().max(from);
                let sequence = |label, n_tokens, scored, n_pooled| Sequence {
                    job,
                    label,
                    tokens: token_ids[..n_tokens].to_vec(),
                    scored,
                    n_context: *n_context,
                    n_pooled,
                };
                if has_two_parts(*n_pooled, token_ids) {
                    all.push(sequence(0, *n_pooled, 0..0, *n_pooled));
                    all.push(sequence(1, token_ids.len(), scored, 0));
                } else {
                    all.push(sequence(0, token_ids.len(), scored, *n_pooled));
                }
            }
            Encoded::Choose { token_ids, labels } => {
                all.extend(labels.iter().enumerate().map(|(label, ids)| {
                    let tokens = [&token_ids[..], ids].concat();
                    let scored = token_ids.len()..tokens.len();
                    Sequence {
                        job,
                        label,
                        tokens,
                        scored,
                        n_context: token_ids.len(),
                        n_pooled: 0,
                    }
                }));
            }
            Encoded::Generate { .. } => {}
        }
    }
    all
}

/// Whether the pooled beginning of a score job is a sequence of its own.
fn has_two_parts(n_pooled: usize, token_ids: &[u32]) -> bool {
    (1..token_ids.len()).contains(&n_pooled)
}

/// The answer to a job, once all its sequences are there.
fn response(job: &Encoded, parts: &mut Vec<(usize, Scored)>) -> Option<Response> {
    match job {
        Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        } => {
            if parts.len() < 1 + usize::from(has_two_parts(*n_pooled, token_ids)) {
                return None;
            }
            parts.sort_by_key(|(label, _)| *label);
            let (_, scored) = parts.pop()?;
            let pooled = scored.pooled.or_else(|| parts.pop()?.1.pooled);
            let first = (*scored_from).min(*n_context).max(1);
            let logprob = |position: usize| {
                let wanted = position >= (*scored_from).max(1);
                wanted.then(|| scored.logprobs[position - first])
            };
            let logprobs = (0..token_ids.len()).map(logprob).collect();
            Some(Response::Score {
                logprobs,
                greedy: scored.greedy,
                pooled,
            })
        }
        Encoded::Choose { labels, .. } => {
            if parts.len() < labels.len() {
                return None;
            }
            parts.sort_by_key(|(label, _)| *label);
            // Summed in f64, so that long labels lose nothing.
            let sum =
                |scored: &Scored| scored.logprobs.iter().map(|x| f64::from(*x)).sum::<f64>() as f32;
            Some(Response::Choose {
                logprobs: parts.iter().map(|(_, scored)| sum(scored)).collect(),
            })
        }
        Encoded::Generate { .. } => None,
    }
}
