//! A batch that jobs join while it runs: what a server needs.
//!
//! ```text
//! join (checked) -> waits -> step: one group of sequences to score, then one token of each generation
//! ```
//!
//! A step is short, so a long generation does not keep a short score waiting, nor many scores a
//! generation. Answers are those of [`super::Network::run`], whatever else is under way.

use std::borrow::Cow;
use std::ops::Range;

use isogloss_record::{Encoded, Response, Usage};

use super::core::{Job, State};
use super::generate::{Generation, Listener, Stops};
use super::network::Network;
use super::score::Scoring;
use crate::backend::{BackendError, Flow, RunSettings};

/// Text of generated ids.
pub type TextOf<'a> = Box<dyn Fn(&[u32]) -> String + 'a>;

/// Jobs under way in a [`Network`].
pub struct NetworkFlow<'a> {
    network: &'a Network,
    eos: &'a [u32],
    text_of: TextOf<'a>,
    /// Of the segments that generations under way use.
    epoch: u64,
    /// Jobs to score that joined since the ones under way began: so these are finished first.
    next: Vec<Job<'static>>,
    scoring: Scoring<'static>,
    generation: Generation<'static>,
}

impl<'a> NetworkFlow<'a> {
    pub(super) fn new(network: &'a Network, eos: &'a [u32], text_of: TextOf<'a>) -> Self {
        Self {
            network,
            eos,
            text_of,
            epoch: network.state().epoch,
            next: Vec::new(),
            scoring: Scoring::default(),
            generation: Generation::default(),
        }
    }

    /// One group of sequences, one token of each generation.
    fn advance(
        &mut self,
        state: &mut State,
        settings: &RunSettings<'_>,
        listener: &mut Listener<'_>,
    ) -> Result<Usage, BackendError> {
        let (core, mut usage) = (&self.network.core, Usage::default());
        if self.scoring.is_empty() {
            self.next.drain(..).for_each(|job| self.scoring.add(job));
            self.scoring.sort();
        }
        if !self.scoring.is_empty() {
            let reserved = self.generation.reserved(state);
            core.score_step(
                state,
                &mut self.scoring,
                reserved,
                settings,
                &mut usage,
                listener.on_response,
            )?;
        }
        let stops = Stops {
            eos: self.eos,
            text_of: &*self.text_of,
        };
        core.generate_step(
            state,
            &mut self.generation,
            settings,
            &stops,
            &mut usage,
            listener,
        )?;
        Ok(usage)
    }

    fn forget(&mut self) {
        self.next.clear();
        self.scoring = Scoring::default();
        self.generation = Generation::default();
    }
}

impl Flow for NetworkFlow<'_> {
    fn join(&mut self, key: usize, model: usize, job: Encoded) -> Result<(), BackendError> {
        let core = &self.network.core;
        core.check(&job)?;
        if model > core.decoder.adapters.len() {
            return Err(BackendError::Invalid(format!(
                "`{}` has no adapter {model}",
                core.name
            )));
        }
        let is_generation = matches!(job, Encoded::Generate { .. });
        let job = Job {
            key,
            adapter: model,
            encoded: Cow::Owned(job),
        };
        if is_generation {
            self.generation.add(job);
        } else {
            self.next.push(job);
        }
        Ok(())
    }

    fn n_open(&self) -> usize {
        self.next.len() + self.scoring.n_jobs() + self.generation.n_jobs()
    }

    fn step(
        &mut self,
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let network = self.network;
        let mut state = network.state();
        if state.epoch != self.epoch {
            self.epoch = state.epoch;
            if self.generation.has_open() {
                self.forget();
                return Err(BackendError::Failed {
                    message: "the work of another caller failed and took this batch with it".into(),
                    hint: Some("ask again".into()),
                });
            }
        }
        let mut listener = Listener {
            on_token,
            on_response,
        };
        let result = self.advance(&mut state, settings, &mut listener);
        if result.is_err() {
            state.reset(&network.core.decoder);
            self.epoch = state.epoch;
            self.forget();
        }
        result
    }

    fn most_probable(
        &mut self,
        model: usize,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        let core = &self.network.core;
        let mut state = self.network.state();
        let reserved = self.generation.reserved(&state);
        let top = super::top::Asked {
            token_ids,
            adapter: model,
            positions,
            n,
            reserved,
        };
        core.most_probable(&mut state, &top, settings)
    }
}

impl Drop for NetworkFlow<'_> {
    fn drop(&mut self) {
        let mut state = self.network.state();
        if state.epoch == self.epoch {
            self.generation.abandon(&mut state);
        }
    }
}
