//! A model behind an OpenAI-compatible server as a [`Backend`]: ours, vLLM, llama.cpp.
//!
//! ```text
//! address -> /v1/models -> ids (its /tokenize, or a tokenizer at hand) -> probe -> ServerModel
//! request -> encode (exact ids) -> /v1/completions with ids, echo and logprobs -> response
//! ```
//!
//! - Ids travel, never text, so nothing depends on how a server encodes.
//! - A server is asked twice before any work whether its log-probabilities are real ([`probe`]);
//!   one that ignores `echo`, gives zeros, or the same for two contexts is refused by name where a
//!   text is to be scored. It can still generate.
//! - At most `n_in_flight` requests are under way; a timeout runs from when its request is sent;
//!   what fails and may pass is sent again, `Retry-After` first, and each time `on_retry` is told.
//! - Hidden states do not travel: what needs them is not measured.
//!
//! Our own server tells the model's fingerprint, so that answers had over HTTP and on this machine
//! are the same ones in a run store. Of others the address, the name and the ids of the probe are
//! hashed: another model of that name behind the same address looks the same.

mod address;
mod error;
mod http;
mod ids;
mod probe;
mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use isogloss_model::encode::Encoder;
use isogloss_model::{Backend, BackendError, Capabilities, RunSettings};
use isogloss_record::{Encoded, Fingerprint, Prompt, Request, Response, Usage};
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub use address::ServerAddress;
pub use error::ServerError;
pub use http::OnRetry;

use crate::settings::ServerSettings;
use http::Http;
use ids::{Chat, Ids};
use probe::Scoring;
use wire::Scored;

/// How often a waiting call looks whether the user stopped.
const TICK: Duration = Duration::from_millis(50);
/// Context length of a server that does not tell it.
const UNKNOWN_LENGTH: usize = 1 << 20;

/// A model behind a server.
#[derive(Debug)]
pub struct ServerModel {
    fingerprint: Fingerprint,
    http: Arc<Http>,
    ids: Ids,
    chat: Chat,
    scoring: Result<Scoring, String>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http({})", self.url())
    }
}

/// `/v1/models`, as far as we read it.
#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    /// vLLM, ours.
    max_model_len: Option<usize>,
    /// llama.cpp.
    meta: Option<Meta>,
    /// Ours.
    fingerprint: Option<Fingerprint>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "n_ctx")]
    context: Option<usize>,
    #[serde(rename = "n_ctx_train")]
    trained_context: Option<usize>,
    #[serde(rename = "n_params")]
    parameters: Option<u64>,
}

impl ServerModel {
    /// Finds the model, its ids and what it can do. Some five small requests.
    ///
    /// # Errors
    /// [`ServerError`]; a server without real log-probabilities is none yet, see
    /// [`ServerModel::check_scoring`].
    pub fn open(
        address: &ServerAddress,
        settings: &ServerSettings,
        on_retry: Option<OnRetry>,
    ) -> Result<Self, ServerError> {
        let on_retry = on_retry.unwrap_or_else(ids::silent);
        let http = Arc::new(Http::new(address, settings, on_retry));
        let models: Models = serde_json::from_value(http.get("/models")?)
            .map_err(|error| http.answer(format!("`/models` gives no list: {error}")))?;
        let asked = address.model.as_deref();
        let served = || models.data.iter().map(|model| model.id.clone()).collect();
        let model = match (asked, &models.data[..]) {
            (None, [only]) => only,
            (Some(asked), all) if all.iter().any(|model| model.id == asked) => {
                let found = all.iter().find(|model| model.id == asked);
                found.unwrap_or(&all[0])
            }
            _ => {
                return Err(ServerError::NoModel {
                    url: http.url(),
                    asked: asked.map(str::to_owned),
                    served: served(),
                });
            }
        };
        let ids = Ids::open(&http, &model.id)?;
        let probed = probe::probe(&http, &model.id, &ids)?;
        let fingerprint = match &model.fingerprint {
            Some(fingerprint) => fingerprint.clone(),
            None => unknown(&http, model, &probed.ids),
        };
        Ok(Self {
            fingerprint,
            chat: Chat::of(&http, &model.id),
            http,
            ids,
            scoring: probed.scoring,
        })
    }

    /// Whether texts can be scored.
    ///
    /// # Errors
    /// [`ServerError::NotReal`], with what was seen.
    pub fn check_scoring(&self) -> Result<(), ServerError> {
        self.scoring().map(|_| ())
    }

    fn scoring(&self) -> Result<Scoring, ServerError> {
        self.scoring.clone().map_err(|why| ServerError::NotReal {
            url: self.http.url(),
            model: self.fingerprint.name.clone(),
            why,
        })
    }

    fn encoder(&self) -> Encoder<'_> {
        Encoder {
            model: &self.fingerprint.name,
            tokenizer: Some(&self.ids),
            template: None,
            // The server knows its vocabulary; it refuses what is outside.
            n_vocab: u32::MAX as usize,
            context_length: self.fingerprint.context_length,
            bos: self.ids.bos(),
        }
    }

    fn unsupported(&self, what: &str) -> BackendError {
        BackendError::Unsupported {
            model: self.fingerprint.name.clone(),
            what: what.into(),
        }
    }
}

/// What is known of a model whose server does not tell its content.
fn unknown(http: &Http, model: &Model, probe_ids: &[Vec<u32>]) -> Fingerprint {
    let mark = serde_json::json!(["server", http.url(), model.id, probe_ids]).to_string();
    let hash = Sha256::digest(mark.as_bytes());
    let meta = model.meta.as_ref();
    Fingerprint {
        name: model.id.clone(),
        architecture: "unknown".into(),
        quantization: "unknown".into(),
        compute: "server".into(),
        hash: hash
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
        n_parameters: meta.and_then(|meta| meta.parameters),
        context_length: model
            .max_model_len
            .or(meta.and_then(|meta| meta.context.or(meta.trained_context)))
            .unwrap_or(UNKNOWN_LENGTH),
        license: None,
    }
}

impl Backend for ServerModel {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            logprobs: self.scoring.is_ok(),
            hidden_states: false,
            chat: self.chat != Chat::None,
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        use isogloss_model::encode::TextToIds;
        self.ids.tokenize(text)
    }

    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        let encoder = self.encoder();
        match request {
            Request::Score { pool: true, .. } => {
                Err(self.unsupported("give hidden states: it is behind a server"))
            }
            Request::Generate {
                prompt: Prompt::Chat(messages),
                sampling,
            } => {
                if self.chat == Chat::None {
                    return Err(self.unsupported("answer a dialogue: it has no chat template"));
                }
                let ids = self
                    .chat
                    .ids(&self.http, &self.fingerprint.name, messages)?;
                encoder.encode(&Request::Generate {
                    prompt: Prompt::Tokens(ids),
                    sampling: sampling.clone(),
                })
            }
            Request::Score { context, .. } | Request::Choose { context, .. } => {
                self.check_scoring()?;
                if matches!(context, Prompt::Chat(_)) {
                    return Err(self.unsupported("score after a dialogue: it is behind a server"));
                }
                encoder.encode(request)
            }
            Request::Generate { .. } => encoder.encode(request),
        }
    }

    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let work = self.work(jobs)?;
        let n_threads = self.http.settings.n_in_flight.clamp(1, work.len().max(1));
        let shared = Arc::new(Shared {
            http: self.http.clone(),
            model: self.fingerprint.name.clone(),
            n_extra: self.scoring.as_ref().map_or(0, |scoring| scoring.n_extra),
            context_length: self.fingerprint.context_length,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            work: RwLock::new(work),
        });
        let (sender, results) = channel();
        // Threads of their own: where the user stops, nobody waits for what is under way.
        for _ in 0..n_threads {
            let (shared, sender) = (shared.clone(), sender.clone());
            thread::spawn(move || shared.ask_all(&sender));
        }
        drop(sender);
        let mut usage = Usage::default();
        let mut open = Open::default();
        let end = loop {
            if settings.cancel.load(Ordering::Relaxed) {
                break Err(BackendError::Canceled);
            }
            let parts = match results.recv_timeout(TICK) {
                Ok(Ok(parts)) => parts,
                Ok(Err(error)) => break Err(error.into()),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break Ok(usage),
            };
            for part in parts {
                let n_tokens = part.n_tokens();
                usage.n_tokens_requested += n_tokens;
                usage.n_tokens_computed += n_tokens;
                if let Some((job, response)) = open.add(jobs, part) {
                    on_response(job, response);
                }
            }
        };
        shared.stop.store(true, Ordering::Relaxed);
        end
    }
}

impl ServerModel {
    /// Jobs as requests: sequences to score together, as many as fit one; continuations alone.
    fn work(&self, jobs: &[Encoded]) -> Result<Vec<Work>, BackendError> {
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
struct Sequence {
    job: usize,
    label: usize,
    ids: Vec<u32>,
}

/// One request.
#[derive(Debug, Clone)]
enum Work {
    Score(Vec<Sequence>),
    Generate { job: usize, encoded: Encoded },
}

/// A part of a job's answer.
struct Part {
    job: usize,
    label: usize,
    answer: Answer,
}

enum Answer {
    Scored(Scored),
    Drawn { n_prompt: usize, response: Response },
}

impl Part {
    fn n_tokens(&self) -> u64 {
        (match &self.answer {
            Answer::Scored(scored) => scored.logprobs.len(),
            Answer::Drawn { n_prompt, response } => {
                let Response::Generate { token_ids, .. } = response else {
                    return *n_prompt as u64;
                };
                n_prompt + token_ids.len()
            }
        }) as u64
    }
}

/// What the threads of one call share.
struct Shared {
    http: Arc<Http>,
    model: String,
    n_extra: usize,
    context_length: usize,
    next: AtomicUsize,
    stop: AtomicBool,
    work: RwLock<Vec<Work>>,
}

impl Shared {
    /// Takes work until there is none, or the call has ended.
    fn ask_all(&self, results: &Sender<Result<Vec<Part>, ServerError>>) {
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
        let body = wire::generate_body(&self.model, token_ids, sampling, max_tokens);
        let answer = self.http.post("/completions", &body, &self.stop)?;
        let drawn = wire::drawn(answer).map_err(|why| self.http.answer(why))?;
        let response = Response::Generate {
            token_ids: drawn.token_ids.unwrap_or_default(),
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
struct Open(BTreeMap<usize, BTreeMap<usize, f32>>);

impl Open {
    /// The job's answer, if this was its last part.
    fn add(&mut self, jobs: &[Encoded], part: Part) -> Option<(usize, Response)> {
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
