//! The engine without text: jobs in token ids in, responses out.
//!
//! ```text
//! jobs -> check -> sequences (sorted) -> score: groups -> tree (find, push) -> pass: batches of rows
//!                                                  \-> output layer at scored positions -> responses
//!               -> generate: a row each until all have ended
//! ```

use isogloss_record::{Encoded, Response, Usage};

use super::generate::{Listener, Stops};
use super::tree::Tree;
use crate::arch::forward::{Batch, Buffers, Decoder, Ropes};
use crate::backend::{BackendError, RunSettings};

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

impl Core {
    /// Answers every job. `text_of` turns generated ids into text.
    pub(super) fn run(
        &self,
        state: &mut State,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        stops: &Stops<'_>,
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
}
