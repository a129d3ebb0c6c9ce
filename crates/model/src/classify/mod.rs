//! Classifiers and reward models: a number for each label of a text, by an encoder or a decoder.
//!
//! ```text
//! folder -> Classifier (encoder and head | decoder and `score`) -> logits -> Problem::probabilities
//! ```
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::atomic::AtomicBool;
//!
//! use isogloss_model::RunSettings;
//! use isogloss_model::classify::Classifier;
//! use isogloss_model::engine::EngineOptions;
//! use isogloss_model::ports::TextScorer;
//!
//! let model = Classifier::open("xnli".as_ref(), "xnli", &EngineOptions::default())?;
//! let pair = model.encode("Она поёт.", Some("Кто-то поёт."))?;
//! let cancel = AtomicBool::new(false);
//! let settings = RunSettings { batch_size: 8, share_prefixes: false, cancel: &cancel };
//! model.score(&[pair], &settings, &mut |i, logits| {
//!     assert_eq!((i, logits.len()), (0, model.labels().len()));
//! })?;
//! # Ok(())
//! # }
//! ```

mod decoder;

use std::path::Path;

use isogloss_record::{Fingerprint, Usage};

use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::headed::{Headed, decoder_of};
use crate::checkpoint::hf_config::{architecture, read_json};
use crate::checkpoint::settings::Settings;
use crate::checkpoint::{CheckpointError, Kind};
use crate::encoder::sentence::encode;
use crate::encoder::{EncoderNetwork, Head, Problem, TokenText};
use crate::engine::{EngineError, EngineOptions};
use crate::ports::TextScorer;
use crate::tokenizer::Tokenizer;
use decoder::HeadedDecoder;

/// A classifier or a reward model on this machine.
pub struct Classifier {
    body: Body,
    tokenizer: Option<Tokenizer>,
}

enum Body {
    Encoder(Box<EncoderNetwork>),
    Decoder(Box<HeadedDecoder>),
}

impl Classifier {
    /// Opens a Hugging Face folder (`…ForSequenceClassification`). One without a tokenizer opens, and
    /// answers only what is given in token ids. `name` is what the user calls the model.
    ///
    /// # Errors
    /// One error that says what, where, expected and found.
    pub fn open(path: &Path, name: &str, options: &EngineOptions) -> Result<Self, EngineError> {
        if Kind::of(path)? == Kind::Gguf {
            return Err(EngineError::Checkpoint(CheckpointError::Unsupported {
                path: path.to_owned(),
                what: "a GGUF file as a classifier".into(),
            }));
        }
        let config_path = path.join("config.json");
        let config = read_json(&config_path)?;
        let body = if is_decoder(&config_path, &config)? {
            Body::Decoder(Box::new(HeadedDecoder::open(path, name, options)?))
        } else {
            Body::Encoder(Box::new(EncoderNetwork::open(path, name, options)?))
        };
        Self::of_body(body, path, Tokenizer::open_if_any(path)?)
    }

    /// The contents of `model.safetensors` that are in memory, with their `config.json`; it answers
    /// what is given in token ids.
    ///
    /// # Errors
    /// As [`Classifier::open`].
    pub fn of_safetensors_bytes(
        config: &serde_json::Value,
        bytes: Vec<u8>,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let path = Path::new("config.json");
        let body = if is_decoder(path, config)? {
            let headed = Headed::of_safetensors_bytes(config, bytes)?;
            Body::Decoder(Box::new(HeadedDecoder::of_headed(headed, name, options)?))
        } else {
            let network = EncoderNetwork::of_safetensors_bytes(config, bytes, name, options)?;
            Body::Encoder(Box::new(network))
        };
        Self::of_body(body, path, None)
    }

    fn of_body(body: Body, path: &Path, tokenizer: Option<Tokenizer>) -> Result<Self, EngineError> {
        let vocab_size = match &body {
            Body::Decoder(decoder) => decoder.config.vocab_size,
            Body::Encoder(network) if network.config().head == Head::Sequence => {
                network.config().vocab_size
            }
            Body::Encoder(_) => {
                return Err(EngineError::Checkpoint(CheckpointError::Unsupported {
                    path: path.to_owned(),
                    what: "a model without a head for whole texts as a classifier".into(),
                }));
            }
        };
        if let Some(tokenizer) = &tokenizer {
            tokenizer.check_fits(vocab_size)?;
        }
        Ok(Self { body, tokenizer })
    }
}

impl TextScorer for Classifier {
    fn fingerprint(&self) -> &Fingerprint {
        match &self.body {
            Body::Encoder(network) => network.fingerprint(),
            Body::Decoder(decoder) => &decoder.fingerprint,
        }
    }

    fn labels(&self) -> &[String] {
        match &self.body {
            Body::Encoder(network) => &network.config().labels,
            Body::Decoder(decoder) => &decoder.labels,
        }
    }

    fn problem(&self) -> Problem {
        match &self.body {
            Body::Encoder(network) => network.config().problem,
            Body::Decoder(decoder) => decoder.problem,
        }
    }

    fn encode(&self, text: &str, second: Option<&str>) -> Result<TokenText, BackendError> {
        let name = &self.fingerprint().name;
        let mut encoded = encode(name, self.tokenizer.as_ref(), text, second)?;
        match &self.body {
            // RoBERTa tells two texts apart by the tokens between them.
            Body::Encoder(network) if network.config().n_types > 1 => {}
            _ => encoded.types.clear(),
        }
        Ok(encoded)
    }

    fn check(&self, text: &TokenText) -> Result<(), BackendError> {
        match &self.body {
            Body::Encoder(network) => network.check(text),
            Body::Decoder(decoder) => decoder.check(text),
        }
    }

    fn score(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_logits: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<Usage, BackendError> {
        match &self.body {
            Body::Decoder(decoder) => decoder.score(texts, settings, on_logits),
            Body::Encoder(network) => network.label_logits(texts, settings, &mut |i, mut rows| {
                on_logits(i, rows.pop().expect("a text has one row of logits"));
            }),
        }
    }
}

/// Whether `config.json` is that of a decoder with a head.
fn is_decoder(path: &Path, config: &serde_json::Value) -> Result<bool, CheckpointError> {
    let settings = Settings { path, json: config };
    Ok(decoder_of(architecture(&settings)?).is_some())
}
