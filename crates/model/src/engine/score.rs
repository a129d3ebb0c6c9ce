//! Scoring: sequences in groups, each position once.

use std::collections::BTreeMap;

use isogloss_record::{Pooled, Response, Usage};

use super::core::{Core, Job, State};
use super::jobs::{Scored, Sequence, response, sequences};
use super::pass::{Pool, Todo};
use super::tree::{Path, SegmentId, Tree};
use crate::backend::{BackendError, RunSettings};

/// Scoring jobs under way.
#[derive(Default)]
pub(super) struct Scoring<'a> {
    jobs: BTreeMap<usize, Job<'a>>,
    /// Not yet computed; taken from the end.
    sequences: Vec<Sequence>,
    /// Parts of answers that are not whole.
    parts: BTreeMap<usize, Vec<(usize, Scored)>>,
}

impl<'a> Scoring<'a> {
    pub(super) fn add(&mut self, job: Job<'a>) {
        self.sequences.extend(sequences(&job));
        self.jobs.insert(job.key, job);
    }

    /// Neighbors share most. A beginning that must be computed anew for its hidden states comes
    /// before all that goes on from it, so that they find it.
    pub(super) fn sort(&mut self) {
        self.sequences.sort_by(|b, a| {
            (a.adapter, &a.tokens, b.n_pooled, a.job, a.label)
                .cmp(&(b.adapter, &b.tokens, a.n_pooled, b.job, b.label))
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    pub(super) fn n_jobs(&self) -> usize {
        self.jobs.len()
    }
}

impl Core {
    /// Scores one group of sequences; whether there was room for it beside `reserved` bytes of
    /// segments that others are going to need.
    pub(super) fn score_step(
        &self,
        state: &mut State,
        scoring: &mut Scoring<'_>,
        reserved: usize,
        settings: &RunSettings<'_>,
        usage: &mut Usage,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<bool, BackendError> {
        let (group, scored) =
            self.score_group(state, &mut scoring.sequences, reserved, settings, usage)?;
        let has_room = !group.is_empty();
        for (sequence, scored) in group.into_iter().zip(scored) {
            let parts = scoring.parts.entry(sequence.job).or_default();
            parts.push((sequence.label, scored));
            let job = &scoring.jobs[&sequence.job];
            if let Some(response) = response(&job.encoded, parts) {
                scoring.parts.remove(&sequence.job);
                scoring.jobs.remove(&sequence.job);
                on_response(sequence.job, response);
            }
        }
        state.tree.shrink_to(self.kept_bytes(settings));
        Ok(has_room)
    }

    /// Takes as many sequences as fit a group and scores them.
    fn score_group(
        &self,
        state: &mut State,
        waiting: &mut Vec<Sequence>,
        reserved: usize,
        settings: &RunSettings<'_>,
        usage: &mut Usage,
    ) -> Result<(Vec<Sequence>, Vec<Scored>), BackendError> {
        let (mut todo, mut paths, mut pools) = (Vec::new(), Vec::new(), Vec::new());
        let (mut n_rows, mut alone) = (0, Vec::new());
        let mut group: Vec<Sequence> = Vec::new();
        while group.len() < settings.batch_size.max(1) && n_rows < self.batch_rows {
            let Some(sequence) = waiting.last() else {
                break;
            };
            let n = sequence.n_computed();
            let shares = settings.share_prefixes && sequence.n_pooled == 0;
            let fits = self.make_room(state, &sequence.tokens[..n], sequence.adapter, reserved);
            let must_go = group.is_empty() && reserved == 0;
            if !fits && !must_go {
                break;
            }
            let (mut path, found) = if shares {
                state.tree.find(sequence.adapter, &sequence.tokens[..n])
            } else {
                (Path::new(), 0)
            };
            if found < n {
                let new = &sequence.tokens[found..n];
                let shares = settings.share_prefixes;
                let id = (state.tree).push(&mut path, sequence.adapter, new, new.len(), shares);
                if !shares {
                    alone.push(id);
                }
                todo.push(Todo {
                    path: path.clone(),
                    range: 0..new.len(),
                    adapter: sequence.adapter,
                });
                if sequence.n_pooled > 0 {
                    pools.push(self.pool(id, sequence));
                }
            }
            // What the group reads must outlast the making of room for its later members.
            state.tree.pin(&path);
            n_rows += n - found;
            usage.n_tokens_requested += sequence.tokens.len() as u64;
            usage.n_tokens_shared += found as u64;
            usage.n_tokens_computed += (n - found) as u64;
            paths.push(path);
            group.extend(waiting.pop());
        }
        self.compute(state, &todo, &mut pools, settings)?;
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
        for path in &paths {
            state.tree.unpin(path);
        }
        for id in alone {
            state.tree.drop_segment(id);
        }
        Ok((group, scored))
    }

    /// Drops what nobody uses until `tokens` fit beside `reserved` bytes; whether they do.
    pub(super) fn make_room(
        &self,
        state: &mut State,
        tokens: &[u32],
        adapter: usize,
        reserved: usize,
    ) -> bool {
        let tree = &mut state.tree;
        let needed = tree.bytes_of(tokens.len()).saturating_add(reserved);
        if tree.n_bytes().saturating_add(needed) > self.tree_bytes_max {
            // What begins so was used just now: it goes last.
            tree.find(adapter, tokens);
            tree.shrink_to(self.tree_bytes_max.saturating_sub(needed));
        }
        tree.n_bytes().saturating_add(needed) <= self.tree_bytes_max
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
