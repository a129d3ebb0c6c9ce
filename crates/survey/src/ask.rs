//! Asking a model through the run store: what is stored is not computed again.
//!
//! ```text
//! Request -> Backend::encode -> Encoded -> Store, or Backend::run -> Response
//! ```

use std::collections::{HashMap, HashSet};

use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Explain, Key, Request, Response, Store, StoreError, Usage};

/// Why a survey ended without results.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The model did not answer.
    #[error(transparent)]
    Model(#[from] BackendError),
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
    /// Settings that cannot be followed.
    #[error("{what}: found {found}, expected {expected}")]
    Settings {
        /// Which setting.
        what: &'static str,
        /// What was given.
        found: String,
        /// What is possible.
        expected: String,
    },
}

impl Explain for SurveyError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Unanswered { .. } => {
                Some("run the same command again: what was answered is kept".to_owned())
            }
            Self::Settings { .. } => None,
        }
    }
}

/// Responses are made to survive a kill after so many of them.
const N_RESPONSES_PER_COMMIT: usize = 128;

/// A question in exact ids with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) encoded: Encoded,
    pub(crate) response: Response,
}

/// A model with the store of its answers.
pub(crate) struct Asker<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) store: &'a mut Store,
    pub(crate) settings: RunSettings<'a>,
    pub(crate) usage: Usage,
}

impl Asker<'_> {
    /// One answer per request, in their order. Equal requests are computed once, stored ones not
    /// at all; `fresh_states` computes those again that want hidden states, which are never stored.
    ///
    /// `on_tokens` hears how many tokens of how many are answered.
    pub(crate) fn ask(
        &mut self,
        requests: &[Request],
        fresh_states: bool,
        on_tokens: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<Answer>, SurveyError> {
        let hash = self.backend.fingerprint().hash.clone();
        let mut encoded = Vec::with_capacity(requests.len());
        for request in requests {
            encoded.push(self.backend.encode(request)?);
        }
        let keys: Vec<Key> = encoded
            .iter()
            .map(|job| Key::of("response", &(&hash, job)))
            .collect();
        let mut answers: HashMap<Key, Response> = HashMap::new();
        let mut jobs: Vec<Encoded> = Vec::new();
        let mut job_keys: Vec<Key> = Vec::new();
        let mut waiting: HashSet<Key> = HashSet::new();
        let (mut n_done, mut n_total) = (0, 0);
        for (job, &key) in encoded.iter().zip(&keys) {
            if answers.contains_key(&key) || waiting.contains(&key) {
                continue;
            }
            let n_tokens = n_tokens(job);
            n_total += n_tokens;
            let stored = if fresh_states && wants_states(job) {
                None
            } else {
                self.store.find::<Response>(key)?
            };
            if let Some(response) = stored {
                n_done += n_tokens;
                self.usage.n_tokens_stored += n_tokens;
                answers.insert(key, response);
            } else {
                waiting.insert(key);
                jobs.push(job.clone());
                job_keys.push(key);
            }
        }
        on_tokens(n_done, n_total);
        if !jobs.is_empty() {
            let store = &mut *self.store;
            let mut store_error = None;
            let usage = self
                .backend
                .run(&jobs, &self.settings, &mut |index, response| {
                    n_done += n_tokens(&jobs[index]);
                    let stored = store.insert(job_keys[index], &response).and_then(|()| {
                        if (answers.len() + 1).is_multiple_of(N_RESPONSES_PER_COMMIT) {
                            store.commit()
                        } else {
                            Ok(())
                        }
                    });
                    if let Err(error) = stored {
                        store_error.get_or_insert(error);
                    }
                    answers.insert(job_keys[index], response);
                    on_tokens(n_done, n_total);
                });
            // What was answered before a failure is kept.
            self.store.commit()?;
            if let Some(error) = store_error {
                return Err(error.into());
            }
            self.usage += usage?;
        }
        let n_missing = keys.iter().filter(|key| !answers.contains_key(key)).count();
        if n_missing > 0 {
            return Err(SurveyError::Unanswered {
                model: self.backend.fingerprint().name.clone(),
                n_missing,
                n: keys.len(),
            });
        }
        Ok(encoded
            .into_iter()
            .zip(&keys)
            .map(|(encoded, key)| Answer {
                encoded,
                response: answers[key].clone(),
            })
            .collect())
    }
}

fn wants_states(job: &Encoded) -> bool {
    matches!(job, Encoded::Score { n_pooled, .. } if *n_pooled > 0)
}

/// Tokens of a job, new ones included.
fn n_tokens(job: &Encoded) -> u64 {
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
