//! An encoder-decoder with its tokenizer: text in, answers out.

use std::path::Path;

use isogloss_record::{Encoded, Fingerprint, Prompt, Request, Response, Sampling, Usage};

use super::config::kind_of;
use super::network::Seq2SeqNetwork;
use crate::backend::{Backend, BackendError, Capabilities, RunSettings};
use crate::checkpoint::hf_config::{architecture, read_json};
use crate::checkpoint::settings::Settings;
use crate::engine::{EngineError, EngineOptions};
use crate::ports::Translator;
use crate::tokenizer::Tokenizer;

/// A T5 or its kin on this machine.
pub struct Seq2Seq {
    network: Seq2SeqNetwork,
    tokenizer: Option<Tokenizer>,
}

impl Seq2Seq {
    /// Opens a Hugging Face folder. One without a tokenizer opens, and answers only what is given in
    /// token ids. `name` is what the user calls the model.
    ///
    /// # Errors
    /// One error that says what, where, expected and found.
    pub fn open(path: &Path, name: &str, options: &EngineOptions) -> Result<Self, EngineError> {
        let network = Seq2SeqNetwork::open(path, name, options)?;
        let tokenizer = Tokenizer::open_if_any(path)?;
        if let Some(tokenizer) = &tokenizer {
            tokenizer.check_fits(network.config().vocab_size)?;
        }
        Ok(Self { network, tokenizer })
    }

    /// Whether a path is that of an encoder-decoder; `false` where that cannot be told.
    pub fn is_one(path: &Path) -> bool {
        let path = path.join("config.json");
        let Ok(json) = read_json(&path) else {
            return false;
        };
        let settings = Settings {
            path: &path,
            json: &json,
        };
        architecture(&settings).is_ok_and(|name| kind_of(name).is_some())
    }

    /// The model, for work in token ids.
    pub fn network(&self) -> &Seq2SeqNetwork {
        &self.network
    }

    fn tokenizer(&self) -> Result<&Tokenizer, BackendError> {
        let missing = || self.network.cannot("encode text: it has no tokenizer");
        self.tokenizer.as_ref().ok_or_else(missing)
    }

    /// Ids of a source: a text gets the end token that the encoder expects.
    fn source(&self, prompt: &Prompt) -> Result<Vec<u32>, BackendError> {
        let ids = match prompt {
            Prompt::Tokens(ids) => ids.clone(),
            Prompt::Chat(_) => return Err(self.network.cannot("answer a dialogue")),
            Prompt::Text(text) if text.is_empty() => Vec::new(),
            Prompt::Text(text) => {
                let (ids, _) = (self.tokenizer()?.encode_with_specials(text, None))
                    .expect("a single text can be encoded");
                ids
            }
        };
        Ok(ids)
    }

    fn checked(&self, job: Encoded) -> Result<Encoded, BackendError> {
        self.network.check(&job)?;
        Ok(job)
    }
}

impl Backend for Seq2Seq {
    fn fingerprint(&self) -> &Fingerprint {
        self.network.fingerprint()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            logprobs: true,
            hidden_states: false,
            chat: false,
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        Ok(self.tokenizer()?.tokenize(text))
    }

    /// The context is the source, with its end token; continuation and labels are targets, encoded
    /// alone and without an end token. A span of all tokens is that of the target, since nothing
    /// precedes those of the source. Source: `_encode_pair` of lm-evaluation-harness.
    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        match request {
            Request::Score {
                context,
                continuation,
                span: _,
                pool,
            } => {
                if *pool {
                    let what = "give hidden states: it is an encoder-decoder";
                    return Err(self.network.cannot(what));
                }
                let mut token_ids = self.source(context)?;
                let n_context = token_ids.len();
                token_ids.extend(self.tokenizer()?.tokenize(continuation));
                if token_ids.len() == n_context {
                    return Err(BackendError::Invalid("the target is empty".into()));
                }
                self.checked(Encoded::Score {
                    token_ids,
                    n_context,
                    scored_from: n_context,
                    n_pooled: 0,
                })
            }
            Request::Choose { context, labels } => {
                let tokenizer = self.tokenizer()?;
                self.checked(Encoded::Choose {
                    token_ids: self.source(context)?,
                    labels: labels
                        .iter()
                        .map(|label| tokenizer.tokenize(label))
                        .collect(),
                })
            }
            Request::Generate { prompt, sampling } => self.checked(Encoded::Generate {
                token_ids: self.source(prompt)?,
                sampling: sampling.clone(),
            }),
        }
    }

    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        self.run_streaming(jobs, settings, &mut |_, _, _| true, on_response)
    }

    fn run_streaming(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let text_of = |ids: &[u32]| self.decode(ids).unwrap_or_default();
        let eos = self.tokenizer.as_ref().map_or(&[][..], Tokenizer::eos_ids);
        self.network
            .run_streaming(jobs, settings, eos, &text_of, on_token, on_response)
    }

    fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        Some(self.tokenizer.as_ref()?.bytes_of(id))
    }

    /// Without the space that SentencePiece puts before a text.
    fn decode(&self, ids: &[u32]) -> Option<String> {
        let text = self.tokenizer.as_ref()?.decode(ids);
        Some(text.strip_prefix(' ').map(str::to_owned).unwrap_or(text))
    }
}

impl Translator for Seq2Seq {
    fn fingerprint(&self) -> &Fingerprint {
        self.network.fingerprint()
    }

    fn encode(&self, source: &str) -> Result<Vec<u32>, BackendError> {
        self.source(&Prompt::Text(source.to_owned()))
    }

    fn translate(
        &self,
        sources: &[Vec<u32>],
        sampling: &Sampling,
        settings: &RunSettings<'_>,
        on_target: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let jobs: Vec<Encoded> = (sources.iter())
            .map(|ids| Encoded::Generate {
                token_ids: ids.clone(),
                sampling: sampling.clone(),
            })
            .collect();
        self.run(&jobs, settings, on_target)
    }
}
