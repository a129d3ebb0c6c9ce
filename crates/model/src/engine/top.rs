//! The most probable tokens at positions of a sequence: what servers show beside a log-probability.

use std::ops::Range;

use super::core::{Core, State};
use super::output;
use super::pass::Todo;
use super::tree::{Path, Tree};
use crate::backend::{BackendError, RunSettings};
use isogloss_record::Encoded;

impl Core {
    /// `[positions.len()][n]` ids with log-probabilities, the most probable first; fewer where the
    /// vocabulary is smaller. Every log-probability is the one that scoring the token would give.
    pub(super) fn most_probable(
        &self,
        state: &mut State,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
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
        let result = self.top_of(state, before, positions, n, settings);
        if result.is_err() {
            // Segments may be half computed.
            state.tree = Tree::new(self.decoder.kv, self.decoder.config.d_model);
        } else {
            state.tree.shrink_to(if settings.share_prefixes {
                self.cache_bytes
            } else {
                0
            });
        }
        result
    }

    fn top_of(
        &self,
        state: &mut State,
        before: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        let (mut path, found) = if settings.share_prefixes {
            state.tree.find(before)
        } else {
            (Path::new(), 0)
        };
        let new = &before[found..];
        let mut alone = None;
        if !new.is_empty() {
            let id = state
                .tree
                .push(&mut path, new, new.len(), settings.share_prefixes);
            alone = (!settings.share_prefixes).then_some(id);
            let todo = Todo {
                path: path.clone(),
                range: 0..new.len(),
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
