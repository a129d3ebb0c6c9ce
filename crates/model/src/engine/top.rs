//! The most probable tokens at positions of a sequence: what servers show beside a log-probability.

use std::ops::Range;

use super::core::{Core, State};
use super::output;
use super::pass::Todo;
use super::tree::{Path, Tree};
use crate::backend::{BackendError, RunSettings};
use isogloss_record::Encoded;

/// Where the most probable tokens are asked for, and how many.
pub(super) struct Asked<'a> {
    pub(super) token_ids: &'a [u32],
    pub(super) adapter: usize,
    pub(super) positions: Range<usize>,
    pub(super) n: usize,
    /// Bytes of segments that others are going to need.
    pub(super) reserved: usize,
}

impl Core {
    /// `[positions.len()][n]` ids with log-probabilities, the most probable first; fewer where the
    /// vocabulary is smaller. Every log-probability is the one that scoring the token would give.
    pub(super) fn most_probable(
        &self,
        state: &mut State,
        asked: &Asked<'_>,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        let (token_ids, positions, n) = (asked.token_ids, asked.positions.clone(), asked.n);
        if positions.is_empty() || n == 0 {
            return Ok(vec![Vec::new(); positions.len()]);
        }
        if positions.start == 0 || positions.end > token_ids.len() + 1 {
            return Err(BackendError::Invalid(format!(
                "positions {} to {} of a text of {} tokens have no distribution",
                positions.start,
                positions.end - 1,
                token_ids.len()
            )));
        }
        let before = &token_ids[..positions.end - 1];
        self.check(&Encoded::Score {
            token_ids: before.to_vec(),
            n_context: 0,
            scored_from: 1,
            n_pooled: 0,
        })?;
        let result = self.top_of(state, before, asked, settings);
        if result.is_err() {
            state.reset(&self.decoder);
        } else {
            state.tree.shrink_to(self.kept_bytes(settings));
        }
        result
    }

    fn top_of(
        &self,
        state: &mut State,
        before: &[u32],
        asked: &Asked<'_>,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        let (adapter, positions, n) = (asked.adapter, asked.positions.clone(), asked.n);
        self.make_room(state, before, adapter, asked.reserved);
        let (mut path, found) = if settings.share_prefixes {
            state.tree.find(adapter, before)
        } else {
            (Path::new(), 0)
        };
        let new = &before[found..];
        let mut alone = None;
        if !new.is_empty() {
            let id = state
                .tree
                .push(&mut path, adapter, new, new.len(), settings.share_prefixes);
            alone = (!settings.share_prefixes).then_some(id);
            let todo = Todo {
                path: path.clone(),
                range: 0..new.len(),
                adapter,
            };
            self.step(state, &[todo], settings)?;
        }
        self.fill_heads(state, positions.clone().map(|p| (&path, p - 1)))?;
        let top = positions.map(|p| self.top_at(&state.tree, &path, p - 1, n));
        let top = top.collect();
        if let Some(id) = alone {
            state.tree.drop_segment(id);
        }
        Ok(top)
    }

    fn top_at(&self, tree: &Tree, path: &Path, position: usize, n: usize) -> Vec<(u32, f32)> {
        let (id, at) = tree.locate(path, position);
        let head = tree.segments[id].heads[at].expect("filled before it is read");
        let logprob = |logit: f32| (f64::from(logit) - head.log_sum) as f32;
        if n == 1 {
            return vec![(head.argmax, logprob(head.max))];
        }
        let hidden = tree.hidden(id, at);
        let logits = self.pool.install(|| output::logits(&self.decoder, hidden));
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        let by_logit = |a: &u32, b: &u32| {
            logits[*b as usize]
                .total_cmp(&logits[*a as usize])
                .then(a.cmp(b))
        };
        if n < ids.len() {
            ids.select_nth_unstable_by(n, by_logit);
            ids.truncate(n);
        }
        ids.sort_unstable_by(by_logit);
        ids.into_iter()
            .map(|id| (id, logprob(logits[id as usize])))
            .collect()
    }
}
