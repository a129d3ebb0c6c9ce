//! The jobs of one call as requests: who asks, and how answers come together.
//!
//! ```text
//! jobs -> Work (sequences to score in groups, continuations alone) -> threads (Shared) -> Part -> Open -> response
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};

use isogloss_model::BackendError;
use isogloss_record::{Encoded, Response};

use super::ServerModel;
use super::error::ServerError;
use super::http::Http;
use super::wire::{self, Scored};

impl ServerModel {
    /// Jobs as requests: sequences to score together, as many as fit one; continuations alone.
    pub(super) fn work(&self, jobs: &[Encoded]) -> Result<Vec<Work>, BackendError> {
        let settings = &self.http.settings;
        let mut work = Vec::new();
        let mut group: Vec<Sequence> = Vec::new();
        let mut n_tokens = 0;
        for (job, encoded) in jobs.iter().enumerate() {
            let ids: Vec<Vec<u32>> = match encoded {
                Encoded::Score { n_pooled: 1.., .. } => {
                    return Err(self.unsupported("give hidden states: it is behind a server"));
                }
                Encoded::Score { token_ids, .. } => vec![token_ids.clone()],
                Encoded::Choose { token_ids, labels } => labels
                    .iter()
                    .map(|label| [token_ids.as_slice(), label].concat())
                    .collect(),
                Encoded::Generate { .. } => {
                    work.push(Work::Generate {
                        job,
                        encoded: encoded.clone(),
                    });
                    continue;
                }
            };
            self.check_scoring()?;
            for (label, ids) in ids.into_iter().enumerate() {
                let is_full = group.len() >= settings.n_prompts.max(1)
                    || n_tokens + ids.len() > settings.n_tokens;
                if is_full && !group.is_empty() {
                    work.push(Work::Score(std::mem::take(&mut group)));
                    n_tokens = 0;
                }
                n_tokens += ids.len();
                group.push(Sequence { job, label, ids });
            }
        }
        if !group.is_empty() {
            work.push(Work::Score(group));
        }
        Ok(work)
    }
}
/// A sequence to score: a text, or one label of a choice with what precedes it.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    job: usize,
    label: usize,
    ids: Vec<u32>,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Score(Vec<Sequence>),
    Generate { job: usize, encoded: Encoded },
}

/// A part of a job's answer.
pub(super) struct Part {
    job: usize,
    label: usize,
    answer: Answer,
}

pub(super) enum Answer {
    Scored(Scored),
    Drawn { n_prompt: usize, response: Response },
}

impl Part {
    pub(super) fn n_tokens(&self) -> u64 {
        (match &self.answer {
            Answer::Scored(scored) => scored.logprobs.len(),
            Answer::Drawn { n_prompt, response } => {
                let Response::Generate { token_ids, .. } = response else {
                    return *n_prompt as u64;
                };
                n_prompt + token_ids.as_ref().map_or(0, Vec::len)
            }
        }) as u64
    }
}

/// What the threads of one call share.
pub(super) struct Shared {
    pub(super) http: Arc<Http>,
    pub(super) model: String,
    pub(super) n_extra: usize,
    /// Most probable tokens to ask for beside new ones, so that their log-probabilities come.
    pub(super) n_top: usize,
    pub(super) context_length: usize,
    pub(super) next: AtomicUsize,
    pub(super) stop: AtomicBool,
    pub(super) work: RwLock<Vec<Work>>,
}

impl Shared {
    /// Takes work until there is none, or the call has ended.
    pub(super) fn ask_all(&self, results: &Sender<Result<Vec<Part>, ServerError>>) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let work = {
                let all = self.work.read().unwrap_or_else(PoisonError::into_inner);
                all.get(at).cloned()
            };
            let Some(work) = work else { return };
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let result = match work {
                Work::Score(sequences) => self.score(sequences),
                Work::Generate { job, encoded } => self.generate(job, &encoded),
            };
            let is_error = result.is_err();
            if results.send(result).is_err() || is_error {
                return;
            }
        }
    }

    fn score(&self, sequences: Vec<Sequence>) -> Result<Vec<Part>, ServerError> {
        let ids: Vec<&[u32]> = sequences.iter().map(|s| s.ids.as_slice()).collect();
        let lengths: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
        let body = wire::score_body(&self.model, &ids, self.n_extra, 1);
        let answer = self.http.post("/completions", &body, &self.stop)?;
        let scored =
            wire::scored(answer, &lengths, self.n_extra).map_err(|why| self.http.answer(why))?;
        Ok((sequences.into_iter().zip(scored))
            .map(|(sequence, scored)| Part {
                job: sequence.job,
                label: sequence.label,
                answer: Answer::Scored(scored),
            })
            .collect())
    }

    fn generate(&self, job: usize, encoded: &Encoded) -> Result<Vec<Part>, ServerError> {
        let Encoded::Generate {
            token_ids,
            sampling,
        } = encoded
        else {
            return Ok(Vec::new());
        };
        let room = self.context_length.saturating_sub(token_ids.len());
        let max_tokens = sampling.max_tokens.min(room);
        let body = wire::generate_body(&self.model, token_ids, sampling, max_tokens, self.n_top);
        let answer = self.http.post("/completions", &body, &self.stop)?;
        let drawn = wire::drawn(answer).map_err(|why| self.http.answer(why))?;
        let response = Response::Generate {
            token_ids: drawn.token_ids,
            text: drawn.text,
            logprobs: drawn.logprobs,
            finish_reason: drawn.finish_reason,
        };
        Ok(vec![Part {
            job,
            label: 0,
            answer: Answer::Drawn {
                n_prompt: token_ids.len(),
                response,
            },
        }])
    }
}

/// Choices whose labels are not all there.
#[derive(Default)]
pub(super) struct Open(BTreeMap<usize, BTreeMap<usize, f32>>);

impl Open {
    /// The job's answer, if this was its last part.
    pub(super) fn add(&mut self, jobs: &[Encoded], part: Part) -> Option<(usize, Response)> {
        let scored = match part.answer {
            Answer::Drawn { response, .. } => return Some((part.job, response)),
            Answer::Scored(scored) => scored,
        };
        match &jobs[part.job] {
            Encoded::Score {
                n_context,
                scored_from,
                ..
            } => Some((
                part.job,
                Response::Score {
                    greedy: scored
                        .is_best
                        .iter()
                        .skip((*n_context).max(1))
                        .all(|best| *best),
                    logprobs: (scored.logprobs.into_iter().enumerate())
                        .map(|(at, logprob)| logprob.filter(|_| at >= (*scored_from).max(1)))
                        .collect(),
                    pooled: None,
                },
            )),
            Encoded::Choose { token_ids, labels } => {
                let own = scored.logprobs[token_ids.len()..].iter().flatten();
                // Summed in f64, as the native engine does.
                let sum = own.map(|x| f64::from(*x)).sum::<f64>() as f32;
                let parts = self.0.entry(part.job).or_default();
                parts.insert(part.label, sum);
                if parts.len() < labels.len() {
                    return None;
                }
                let logprobs = self.0.remove(&part.job)?.into_values().collect();
                Some((part.job, Response::Choose { logprobs }))
            }
            Encoded::Generate { .. } => None,
        }
    }
}
