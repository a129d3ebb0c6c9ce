//! The engine without text: jobs in token ids in, responses out.
//!
//! ```text
//! jobs -> check -> sequences (sorted) -> score: groups -> tree (find, push) -> pass: batches of rows
//!                                                  \-> output layer at scored positions -> responses
//!               -> generate: a row each until all have ended
//! ```
//!
//! [`Core::run`] answers a list of jobs; a [`super::flow::NetworkFlow`] takes jobs while others run.

use std::borrow::Cow;

use isogloss_record::{Encoded, Usage};

use super::generate::{Generation, Listener, Stops};
use super::score::Scoring;
use super::tree::Tree;
use crate::arch::forward::{Batch, Buffers, Decoder, Ropes};
use crate::backend::{BackendError, RunSettings};

/// What a run changes: segments, buffers, tables.
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) batch: Batch,
    pub(super) buffers: Buffers,
    pub(super) ropes: Ropes,
    /// Counts how often all segments were lost; paths of another epoch lead nowhere.
    pub(super) epoch: u64,
}

impl State {
    pub(super) fn new(decoder: &Decoder, epoch: u64) -> Self {
        Self {
            tree: Tree::new(decoder.kv, decoder.config.d_model),
            batch: Batch::default(),
            buffers: Buffers::new(&decoder.config),
            ropes: Ropes::new(&decoder.config),
            epoch,
        }
    }

    /// Forgets all segments: after an error some may be half computed.
    pub(super) fn reset(&mut self, decoder: &Decoder) {
        self.tree = Tree::new(decoder.kv, decoder.config.d_model);
        self.epoch += 1;
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
    /// Bytes of segments at once, those in use too.
    pub(super) tree_bytes_max: usize,
    /// Token rows that go through the network together.
    pub(super) batch_rows: usize,
    /// Whether the last block's pooled states are taken after the final norm.
    pub(super) pool_after_norm: bool,
    /// Threads that compute; the calling thread only hands out work and answers.
    pub(super) pool: rayon::ThreadPool,
}

/// A job on its way.
pub(super) struct Job<'a> {
    /// Its number for the caller.
    pub(super) key: usize,
    /// Which adapter; 0: none.
    pub(super) adapter: usize,
    pub(super) encoded: Cow<'a, Encoded>,
}

impl Core {
    /// Answers every job with one adapter (0: none).
    pub(super) fn run(
        &self,
        state: &mut State,
        jobs: &[Encoded],
        adapter: usize,
        settings: &RunSettings<'_>,
        stops: &Stops<'_>,
        listener: &mut Listener<'_>,
    ) -> Result<Usage, BackendError> {
        jobs.iter().try_for_each(|job| self.check(job))?;
        let mut usage = Usage::default();
        let (mut scoring, mut generation) = (Scoring::default(), Generation::default());
        for (key, encoded) in jobs.iter().enumerate() {
            let job = Job {
                key,
                adapter,
                encoded: Cow::Borrowed(encoded),
            };
            match encoded {
                Encoded::Generate { .. } => generation.add(job),
                Encoded::Score { .. } | Encoded::Choose { .. } => scoring.add(job),
            }
        }
        scoring.sort();
        generation.sort();
        let result = (|| {
            while !scoring.is_empty() {
                self.score_step(
                    state,
                    &mut scoring,
                    0,
                    settings,
                    &mut usage,
                    listener.on_response,
                )?;
            }
            while !generation.is_empty() {
                self.generate_step(
                    state,
                    &mut generation,
                    settings,
                    stops,
                    &mut usage,
                    listener,
                )?;
            }
            Ok(())
        })();
        if result.is_err() {
            state.reset(&self.decoder);
        }
        result.map(|()| usage)
    }

    /// Bytes of segments that stay when nothing needs them.
    pub(super) fn kept_bytes(&self, settings: &RunSettings<'_>) -> usize {
        if settings.share_prefixes {
            self.cache_bytes
        } else {
            0
        }
    }
}
