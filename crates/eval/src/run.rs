//! Asking a model through the run store: what is stored is not computed again.
//!
//! ```text
//! Request -> encode -> key of (model, exact ids) -> stored?  -> Answer
//!                                                -> one Backend::run over all that is missing
//! ```
//!
//! Everything missing goes to the backend in one call, so that shared prefixes are computed once;
//! the store is committed as answers arrive, so that a kill loses [`TOKENS_PER_COMMIT`] at most.
//! Pooled hidden states are large and never stored: a job that wants them is computed again each
//! time; store what is derived from them with [`Runner::derive`].

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use isogloss_model::truncate::Truncate;
use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Explain, Key, Request, Response, Store, StoreError, Usage};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Responses survive a kill after so many tokens (some ten seconds of a small model).
pub const TOKENS_PER_COMMIT: u64 = 4_096;

/// Why requests were not answered.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A request that cannot be encoded: nothing was computed.
    #[error("{source}")]
    Request {
        /// Which request of the call, from 0.
        index: usize,
        /// Why.
        source: BackendError,
    },
    /// The model did not answer.
    #[error(transparent)]
    Model(BackendError),
    /// The run store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A backend broke its contract.
    #[error("`{model}` did not answer {n_missing} of {n} requests")]
    Unanswered {
        /// Name of the model.
        model: String,
        /// Requests without an answer.
        n_missing: usize,
        /// Requests.
        n: usize,
    },
}

impl Explain for RunError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Request { source, .. } | Self::Model(source) => source.hint(),
            Self::Store(error) => error.hint(),
            Self::Unanswered { .. } => {
                Some("run the same command again: what was answered is kept".into())
            }
        }
    }
}

/// A question in exact ids with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The question.
    pub encoded: Encoded,
    /// The answer.
    pub response: Response,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Tokens of answered jobs; of a generation, as many as it may have.
    pub n_tokens_done: u64,
    /// Tokens of all jobs.
    pub n_tokens: u64,
}

/// A model with the store of its answers.
pub struct Runner<'a> {
    backend: &'a dyn Backend,
    store: &'a mut Store,
    settings: RunSettings<'a>,
    truncate: Truncate,
    usage: Usage,
}

impl<'a> Runner<'a> {
    /// A runner; `settings` change no answer.
    pub fn new(backend: &'a dyn Backend, store: &'a mut Store, settings: RunSettings<'a>) -> Self {
        Self {
            backend,
            store,
            settings,
            truncate: Truncate::Refuse,
            usage: Usage::default(),
        }
    }

    /// The same, where texts longer than the model's context may be cut.
    #[must_use]
    pub fn truncating(self, truncate: Truncate) -> Self {
        Self { truncate, ..self }
    }

    /// The model.
    pub fn backend(&self) -> &'a dyn Backend {
        self.backend
    }

    /// Tokens of all calls so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// One answer per request, in their order. Equal requests are computed once, stored ones not
    /// at all. All are encoded before any work, so a request that cannot be answered costs nothing.
    pub fn ask(
        &mut self,
        requests: &[Request],
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Answer>, RunError> {
        let jobs = self.encode(requests)?;
        let mut responses: Vec<Option<Response>> = vec![None; jobs.len()];
        self.run(
            &jobs,
            &mut |index, response| responses[index] = Some(response),
            on_progress,
        )?;
        Ok(jobs
            .into_iter()
            .zip(responses)
            .map(|(encoded, response)| Answer {
                encoded,
                response: response.expect("`run` answers every job or fails"),
            })
            .collect())
    }

    /// The requests in exact ids. Tokens that are cut count in [`Runner::usage`].
    pub fn encode(&mut self, requests: &[Request]) -> Result<Vec<Encoded>, RunError> {
        let mut jobs = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            let (job, n_cut) = self
                .backend
                .encode_cut(request, self.truncate)
                .map_err(|source| RunError::Request { index, source })?;
            self.usage.n_tokens_cut += n_cut as u64;
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// Tokens of these jobs that are not in the store: the work ahead, for an estimate.
    pub fn n_tokens_missing(&self, jobs: &[Encoded]) -> u64 {
        let mut seen = std::collections::HashSet::new();
        jobs.iter()
            .filter(|job| {
                let key = self.key(job);
                seen.insert(key) && (wants_states(job) || !self.store.contains(key))
            })
            .map(n_tokens)
            .sum()
    }

    /// Answers every job; `on_response` gets each index once, in any order, as answers are ready,
    /// so that large hidden states need not be held together.
    ///
    /// After an error (a full disk, a stop by the user) the answers before it are in the store as
    /// far as it can still be written; a store that fails ends the work, by setting
    /// `settings.cancel`.
    pub fn run(
        &mut self,
        jobs: &[Encoded],
        on_response: &mut dyn FnMut(usize, Response),
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<(), RunError> {
        let mut progress = Progress {
            n_tokens_done: 0,
            n_tokens: jobs.iter().map(n_tokens).sum(),
        };
        // Equal jobs are one; the key leaves out what does not change the stored answer, so a job
        // that wants states is another one than the same job without.
        let mut places: HashMap<(Key, bool), usize> = HashMap::new();
        let mut missing: Vec<Encoded> = Vec::new();
        let mut asked: Vec<Vec<usize>> = Vec::new();
        let mut keys: Vec<Key> = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            let (key, wants_states) = (self.key(job), wants_states(job));
            if !wants_states && let Some(response) = self.store.find::<Response>(key)? {
                let n_tokens = n_tokens(job);
                self.usage.n_tokens_requested += n_tokens;
                self.usage.n_tokens_stored += n_tokens;
                progress.n_tokens_done += n_tokens;
                on_response(index, response);
                continue;
            }
            if let Some(&place) = places.get(&(key, wants_states)) {
                asked[place].push(index);
            } else {
                places.insert((key, wants_states), missing.len());
                missing.push(job.clone());
                asked.push(vec![index]);
                keys.push(key);
            }
        }
        on_progress(progress);
        if missing.is_empty() {
            return Ok(());
        }
        let (store, usage, settings) = (&mut *self.store, &mut self.usage, self.settings);
        let model = &self.backend.fingerprint().name;
        let mut failure: Option<RunError> = None;
        let mut n_uncommitted = 0;
        let mut n_answered = 0;
        let ran = self
            .backend
            .run(&missing, &settings, &mut |place, response| {
                if failure.is_some() {
                    return;
                }
                let n_tokens = n_tokens(&missing[place]);
                n_uncommitted += n_tokens;
                let stored = check_finite(model, &response).and_then(|()| {
                    store.insert(keys[place], &response)?;
                    if n_uncommitted >= TOKENS_PER_COMMIT {
                        n_uncommitted = 0;
                        store.commit()?;
                    }
                    Ok(())
                });
                if let Err(error) = stored {
                    failure = Some(error);
                    settings.cancel.store(true, Ordering::Relaxed);
                    return;
                }
                n_answered += 1;
                let (last, others) = asked[place].split_last().expect("someone asked");
                for &index in others {
                    usage.n_tokens_requested += n_tokens;
                    usage.n_tokens_shared += n_tokens;
                    on_response(index, response.clone());
                }
                on_response(*last, response);
                progress.n_tokens_done += n_tokens * asked[place].len() as u64;
                on_progress(progress);
            });
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.store.commit()?;
        self.usage += ran.map_err(RunError::Model)?;
        if n_answered < missing.len() {
            return Err(RunError::Unanswered {
                model: model.clone(),
                n_missing: missing.len() - n_answered,
                n: missing.len(),
            });
        }
        Ok(())
    }

    /// A value derived from answers, stored under its own key: `compute` runs only where it is not
    /// in the store. `content` is everything that the value depends on beside the model.
    pub fn derive<T, E>(
        &mut self,
        purpose: &str,
        content: &impl Serialize,
        compute: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<StoreError>,
    {
        let fingerprint = self.backend.fingerprint();
        let key = Key::of(purpose, &(&fingerprint.hash, &fingerprint.compute, content));
        if let Some(value) = self.store.find(key)? {
            return Ok(value);
        }
        let value = compute(self)?;
        self.store.insert(key, &value)?;
        self.store.commit()?;
        Ok(value)
    }

    /// Key of a job's answer. What the stored answer does not depend on is left out: whether
    /// states are wanted beside it, and the seed of greedy choices.
    fn key(&self, job: &Encoded) -> Key {
        let fingerprint = self.backend.fingerprint();
        let mut plain = job.clone();
        match &mut plain {
            Encoded::Score { n_pooled, .. } => *n_pooled = 0,
            Encoded::Generate { sampling, .. } if sampling.temperature <= 0.0 => sampling.seed = 0,
            Encoded::Choose { .. } | Encoded::Generate { .. } => {}
        }
        Key::of(
            "response",
            &(&fingerprint.hash, &fingerprint.compute, &plain),
        )
    }
}

/// JSON has no infinities: one would be stored as "nothing".
fn check_finite(model: &str, response: &Response) -> Result<(), RunError> {
    let finite = match response {
        Response::Score { logprobs, .. } => logprobs.iter().flatten().all(|x| x.is_finite()),
        Response::Choose { logprobs } => logprobs.iter().all(|x| x.is_finite()),
        Response::Generate { logprobs, .. } => logprobs.iter().flatten().all(|x| x.is_finite()),
    };
    if finite {
        Ok(())
    } else {
        Err(RunError::Model(BackendError::NotFinite {
            model: model.to_owned(),
            place: "a log-probability".into(),
        }))
    }
}

fn wants_states(job: &Encoded) -> bool {
    matches!(job, Encoded::Score { n_pooled, .. } if *n_pooled > 0)
}

/// Tokens of a job; of a generation, with as many new ones as it may have.
pub fn n_tokens(job: &Encoded) -> u64 {
    (match job {
        Encoded::Score { token_ids, .. } => token_ids.len(),
        Encoded::Choose { token_ids, labels } => {
            token_ids.len() + labels.iter().map(Vec::len).sum::<usize>()
        }
        Encoded::Generate {
            token_ids,
            sampling,
        } => token_ids.len() + sampling.max_tokens,
    }) as u64
}
