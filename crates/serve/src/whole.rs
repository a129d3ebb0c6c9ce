//! A batch of a model that nothing can join: all that waits is asked in one call.

use std::ops::Range;

use isogloss_model::{Backend, BackendError, Flow, RunSettings};
use isogloss_record::{Encoded, Response, Usage};

/// The batch.
pub(crate) struct Whole<'a> {
    backend: &'a dyn Backend,
    keys: Vec<usize>,
    jobs: Vec<Encoded>,
}

impl<'a> Whole<'a> {
    pub(crate) fn new(backend: &'a dyn Backend) -> Self {
        Self {
            backend,
            keys: Vec::new(),
            jobs: Vec::new(),
        }
    }
}

impl Flow for Whole<'_> {
    fn join(&mut self, key: usize, _model: usize, job: Encoded) -> Result<(), BackendError> {
        self.keys.push(key);
        self.jobs.push(job);
        Ok(())
    }

    fn n_open(&self) -> usize {
        self.jobs.len()
    }

    fn step(
        &mut self,
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let (keys, jobs) = (
            std::mem::take(&mut self.keys),
            std::mem::take(&mut self.jobs),
        );
        self.backend.run_streaming(
            &jobs,
            settings,
            &mut |job, id, logprob| on_token(keys[job], id, logprob),
            &mut |job, response| on_response(keys[job], response),
        )
    }

    fn most_probable(
        &mut self,
        _model: usize,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        self.backend
            .most_probable(token_ids, positions, n, settings)
    }
}
