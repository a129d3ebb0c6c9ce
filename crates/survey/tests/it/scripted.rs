//! A model of closures: what it thinks of an option given a text, and what it says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use isogloss_model::{Backend, BackendError, Capabilities, RunSettings};
use isogloss_record::{
    Encoded, Fingerprint, FinishReason, Pooled, Prompt, Request, Response, Span, Usage,
};

/// Tokens are characters.
pub(crate) struct Scripted<'a> {
    pub(crate) fingerprint: Fingerprint,
    /// ln p per character of an option after a context (both without the blank line).
    pub(crate) nats: &'a (dyn Fn(&str, &str) -> f64 + Sync),
    /// What it says after a prompt.
    pub(crate) says: &'a (dyn Fn(&str) -> String + Sync),
    /// A state for a text.
    pub(crate) state: &'a (dyn Fn(&str) -> Vec<f32> + Sync),
    /// Jobs that it was given.
    pub(crate) n_jobs: AtomicUsize,
    /// Breaks off after so many jobs.
    pub(crate) n_jobs_max: usize,
    /// Whether breaking off is the user's doing, or its own failure.
    pub(crate) cancels: bool,
}

impl<'a> Scripted<'a> {
    pub(crate) fn new(
        name: &str,
        nats: &'a (dyn Fn(&str, &str) -> f64 + Sync),
        says: &'a (dyn Fn(&str) -> String + Sync),
        state: &'a (dyn Fn(&str) -> Vec<f32> + Sync),
    ) -> Self {
        Self {
            fingerprint: Fingerprint {
                name: name.to_owned(),
                architecture: "scripted".to_owned(),
                quantization: "none".to_owned(),
                compute: "f64".to_owned(),
                hash: name.to_owned(),
                n_parameters: None,
                context_length: 8192,
                license: None,
            },
            nats,
            says,
            state,
            n_jobs: AtomicUsize::new(0),
            n_jobs_max: usize::MAX,
            cancels: true,
        }
    }
}

fn ids(text: &str) -> Vec<u32> {
    text.chars().map(|c| c as u32).collect()
}

fn text(ids: &[u32]) -> String {
    ids.iter().filter_map(|&id| char::from_u32(id)).collect()
}

impl Backend for Scripted<'_> {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            logprobs: true,
            hidden_states: true,
            chat: false,
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        Ok(ids(text))
    }

    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        let plain = |prompt: &Prompt| match prompt {
            Prompt::Text(text) => text.clone(),
            _ => panic!("the survey asks in raw text"),
        };
        Ok(match request {
            Request::Score {
                context,
                continuation,
                span,
                pool,
            } => {
                let context = plain(context);
                let n_context = context.chars().count();
                let token_ids = ids(&format!("{context}{continuation}"));
                Encoded::Score {
                    scored_from: if *span == Span::All {
                        1
                    } else {
                        n_context.max(1)
                    },
                    n_pooled: match (*pool, n_context) {
                        (false, _) => 0,
                        (true, 0) => token_ids.len(),
                        (true, n) => n,
                    },
                    token_ids,
                    n_context,
                }
            }
            Request::Generate { prompt, sampling } => Encoded::Generate {
                token_ids: ids(&plain(prompt)),
                sampling: sampling.clone(),
            },
            Request::Choose { .. } => panic!("the survey chooses nothing by label"),
        })
    }

    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        // An order of its own: answers may come in any.
        for index in (0..jobs.len()).rev() {
            let is_over = self.n_jobs.fetch_add(1, Ordering::Relaxed) >= self.n_jobs_max;
            if settings.cancel.load(Ordering::Relaxed) || is_over && self.cancels {
                return Err(BackendError::Canceled);
            }
            if is_over {
                return Err(BackendError::Invalid("out of answers".to_owned()));
            }
            on_response(index, self.answer(&jobs[index]));
        }
        Ok(Usage::default())
    }
}

impl Scripted<'_> {
    fn answer(&self, job: &Encoded) -> Response {
        match job {
            Encoded::Score {
                token_ids,
                n_context,
                scored_from,
                n_pooled,
            } => {
                let context = text(&token_ids[..*n_context]);
                let option = text(&token_ids[*n_context..]);
                let nats = (self.nats)(&context, option.trim_start()) as f32;
                let own = (self.nats)("", &context) as f32;
                Response::Score {
                    logprobs: (0..token_ids.len())
                        .map(|i| {
                            (i >= *scored_from).then_some(if i < *n_context { own } else { nats })
                        })
                        .collect(),
                    greedy: false,
                    pooled: (*n_pooled > 0).then(|| {
                        let state = vec![(self.state)(&text(&token_ids[..*n_pooled]))];
                        Pooled {
                            mean: state.clone(),
                            last: state,
                        }
                    }),
                }
            }
            Encoded::Generate { token_ids, .. } => {
                let said = (self.says)(&text(token_ids));
                Response::Generate {
                    token_ids: Some(ids(&said)),
                    logprobs: Some(vec![-1.0; said.chars().count()]),
                    text: said,
                    finish_reason: FinishReason::Length,
                }
            }
            Encoded::Choose { .. } => panic!("the survey chooses nothing by label"),
        }
    }
}

/// A switch that is never thrown.
pub(crate) static GO_ON: AtomicBool = AtomicBool::new(false);

pub(crate) fn run_settings() -> RunSettings<'static> {
    RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel: &GO_ON,
    }
}
