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
mod work;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use isogloss_model::encode::Encoder;
use isogloss_model::truncate::{Limit, Truncate};
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
use work::{Open, Shared};

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
    n_top: usize,
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
            None => unknown(&http, model, &probed.ids, props(&http)),
        };
        Ok(Self {
            fingerprint,
            chat: Chat::of(&http, &model.id),
            http,
            ids,
            scoring: probed.scoring,
            n_top: probed.n_top,
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

/// `/props` of llama.cpp, as far as we read it.
#[derive(Deserialize)]
struct Props {
    default_generation_settings: Slot,
}

#[derive(Deserialize)]
struct Slot {
    n_ctx: usize,
}

fn props(http: &Http) -> Option<Props> {
    serde_json::from_value(http.get_beside("/props").ok()?).ok()
}

/// What is known of a model whose server does not tell its content.
fn unknown(
    http: &Http,
    model: &Model,
    probe_ids: &[Vec<u32>],
    props: Option<Props>,
) -> Fingerprint {
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
            // Of one slot: what a request may fill.
            .or(props.map(|props| props.default_generation_settings.n_ctx))
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
        self.encode_cut(request, Truncate::Refuse)
            .map(|(job, _)| job)
    }

    fn encode_cut(
        &self,
        request: &Request,
        truncate: Truncate,
    ) -> Result<(Encoded, usize), BackendError> {
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
                let whole = Encoded::Generate {
                    token_ids: ids,
                    sampling: sampling.clone(),
                };
                let limit = Limit {
                    model: &self.fingerprint.name,
                    n_tokens: self.fingerprint.context_length,
                    bos: self.ids.bos(),
                    is_dialogue: true,
                };
                limit.fit(whole, truncate)
            }
            Request::Score { context, .. } | Request::Choose { context, .. } => {
                self.check_scoring()?;
                if matches!(context, Prompt::Chat(_)) {
                    return Err(self.unsupported("score after a dialogue: it is behind a server"));
                }
                encoder.encode_cut(request, truncate)
            }
            Request::Generate { .. } => encoder.encode_cut(request, truncate),
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
            n_top: self.n_top,
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
