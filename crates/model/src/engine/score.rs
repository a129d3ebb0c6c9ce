//! Scoring: sequences in groups, each position once.

use std::collections::BTreeMap;

use isogloss_record::{Encoded, Pooled, Response, Usage};

use super::core::{Core, State};
use super::jobs::{Scored, Sequence, response, sequences};
use super::pass::{BATCH_ROWS, Pool, Todo};
use super::tree::{Path, SegmentId, Tree};
use crate::backend::{BackendError, RunSettings};

impl Core {
    pub(super) fn score(
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
