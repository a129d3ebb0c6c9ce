//! The native engine: a decoder of our own behind the [`Backend`] port.
//!
//! ```text
//! path -> checkpoint -> Network (packed weights, threads, computed prefixes)
//!      -> tokenizer, chat template -> encode
//! jobs in token ids -> sequences -> tree of segments -> batches of rows -> output layer -> answers
//! ```
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::atomic::AtomicBool;
//!
//! use isogloss_model::engine::{Engine, EngineOptions};
//! use isogloss_model::{Backend, RunSettings};
//! use isogloss_record::{Prompt, Request, Span};
//!
//! let engine = Engine::open("smollm2.gguf".as_ref(), "smollm2", &EngineOptions::default())?;
//! let job = engine.encode(&Request::Score {
//!     context: Prompt::Text("The capital of France is".into()),
//!     continuation: " Paris".into(),
//!     span: Span::Continuation,
//!     pool: false,
//! })?;
//! let cancel = AtomicBool::new(false);
//! let settings = RunSettings { batch_size: 8, share_prefixes: true, cancel: &cancel };
//! engine.run(&[job], &settings, &mut |i, answer| assert!(i == 0, "{answer:?}"))?;
//! # Ok(())
//! # }
//! ```

mod check;
mod core;
mod flow;
mod generate;
mod hooks;
mod jobs;
#[doc(hidden)]
pub mod measure;
mod memory;
mod network;
mod output;
mod pass;
mod score;
mod top;
mod tree;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isogloss_record::{Encoded, Explain, Fingerprint, Request, Response, Usage};

pub use flow::{NetworkFlow, TextOf};
pub use hooks::{Point, Site, Visit};
pub use memory::{MemoryError, Needs};
pub use network::{EngineOptions, LoadError, Network};

use crate::adapter::{Adapter, AdapterError};
use crate::backend::{Backend, BackendError, Capabilities, Flow, RunSettings};
use crate::checkpoint::{Checkpoint, CheckpointError, Config};
use crate::encode::{Encoder, TextToIds};
use crate::template::{ChatTemplate, TemplateError};
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::truncate::Truncate;

/// A model on this machine.
pub struct Engine {
    fingerprint: Fingerprint,
    config: Config,
    tokenizer: Option<Tokenizer>,
    template: Option<ChatTemplate>,
    eos_ids: Vec<u32>,
    network: Network,
    /// Of the model with each adapter beside it.
    beside: Vec<Fingerprint>,
}

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model's files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The adapter over it.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Its chat template.
    #[error("the chat template of `{name}` cannot be used")]
    Template {
        /// Name of the model.
        name: String,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// Its weights.
    #[error("`{name}` cannot be loaded")]
    Load {
        /// Name of the model.
        name: String,
        /// What is wrong.
        source: LoadError,
    },
}

impl Explain for EngineError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Checkpoint(error) => error.hint(),
            Self::Adapter(error) => error.hint(),
            Self::Tokenizer(error) => error.hint(),
            Self::Template { source, .. } => source.hint(),
            Self::Load {
                source: LoadError::Memory(error),
                ..
            } => error.hint(),
            Self::Load { .. } => {
                Some("the files may be damaged: fetch them again and compare their hashes".into())
            }
        }
    }
}

/// The checkpoint, in the format that is asked for.
fn opened(path: &Path, options: &EngineOptions) -> Result<Checkpoint, CheckpointError> {
    let checkpoint = Checkpoint::open(path)?;
    Ok(match options.at {
        None => checkpoint,
        Some(format) => checkpoint.at(format),
    })
}

impl Engine {
    /// Opens a `.gguf` file or a Hugging Face folder. A folder without a tokenizer opens, and
    /// answers only what is given in token ids.
    ///
    /// `name` is what the user calls the model.
    ///
    /// # Errors
    /// One error that says what, where, expected and found.
    pub fn open(path: &Path, name: &str, options: &EngineOptions) -> Result<Self, EngineError> {
        Self::of_checkpoint(opened(path, options)?, path, name, options)
    }

    /// The same with a PEFT adapter applied: a model of its own, with a fingerprint of its own.
    /// Tokenizer and chat template are those of the model, whatever lies in the adapter's folder.
    ///
    /// # Errors
    /// As [`Engine::open`]; an adapter that does not fit the model is refused before any work.
    pub fn open_adapted(
        path: &Path,
        adapter: &Path,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let adapter = Adapter::open(adapter)?;
        let mut checkpoint = opened(path, options)?;
        adapter.apply(&mut checkpoint)?;
        Self::of_checkpoint(checkpoint, path, name, options)
    }

    fn of_checkpoint(
        checkpoint: Checkpoint,
        path: &Path,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        Self::with_checkpoint(checkpoint, path, name, options).map(|(engine, _)| engine)
    }

    /// The model, and its checkpoint as it was loaded.
    fn with_checkpoint(
        checkpoint: Checkpoint,
        path: &Path,
        name: &str,
        options: &EngineOptions,
    ) -> Result<(Self, Arc<Checkpoint>), EngineError> {
        let config = checkpoint.config.clone();
        let tokenizer = Tokenizer::open_if_any(path)?;
        let template = match &tokenizer {
            Some(tokenizer) => {
                tokenizer.check_fits(config.vocab_size)?;
                ChatTemplate::of(tokenizer).map_err(|source| EngineError::Template {
                    name: name.to_owned(),
                    source,
                })?
            }
            None => None,
        };
        let bos = match &tokenizer {
            Some(tokenizer) => tokenizer.added_bos(),
            None => config.bos_id,
        };
        let checkpoint = Arc::new(checkpoint);
        let network =
            Network::load(&config, checkpoint.clone(), name, bos, options).map_err(|source| {
                EngineError::Load {
                    name: name.to_owned(),
                    source,
                }
            })?;
        let mut fingerprint = network.install(|| checkpoint.fingerprint(name));
        options.compute.name().clone_into(&mut fingerprint.compute);
        let mut eos_ids = config.eos_ids.clone();
        eos_ids.extend(tokenizer.iter().flat_map(Tokenizer::eos_ids));
        let engine = Self {
            fingerprint,
            config,
            tokenizer,
            template,
            eos_ids,
            network,
            beside: Vec::new(),
        };
        Ok((engine, checkpoint))
    }

    /// A model with PEFT adapters beside it, each under a name of its own: every job of a
    /// [`Flow`] chooses one or none. Only low-rank changes of the blocks' projections can be
    /// computed so.
    ///
    /// # Errors
    /// As [`Engine::open_adapted`].
    pub fn open_beside(
        path: &Path,
        name: &str,
        adapters: &[(String, PathBuf)],
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let checkpoint = opened(path, options)?;
        let mut opened = Vec::new();
        for (name, folder) in adapters {
            opened.push((name, Adapter::open(folder)?));
        }
        // Held against the model before its weights are packed.
        for (_, adapter) in &opened {
            adapter.beside(&checkpoint)?;
        }
        let (mut engine, checkpoint) = Self::with_checkpoint(checkpoint, path, name, options)?;
        for (name, adapter) in opened {
            engine.network.add_adapter(&adapter, &checkpoint)?;
            let fingerprint = Fingerprint {
                name: name.clone(),
                hash: adapter.hash_beside(&engine.fingerprint.hash),
                ..engine.fingerprint.clone()
            };
            engine.beside.push(fingerprint);
        }
        Ok(engine)
    }

    /// Shape and settings of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its tokenizer, if it has one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    fn encoder(&self) -> Encoder<'_> {
        Encoder {
            model: &self.fingerprint.name,
            tokenizer: self.tokenizer.as_ref().map(|found| found as &dyn TextToIds),
            template: self.template.as_ref(),
            n_vocab: self.config.vocab_size,
            context_length: self.config.context_length,
            bos: self
                .tokenizer
                .as_ref()
                .map_or(self.config.bos_id, Tokenizer::bos),
        }
    }

    /// The decoder, for work in token ids.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl Backend for Engine {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn models(&self) -> Vec<&Fingerprint> {
        std::iter::once(&self.fingerprint)
            .chain(&self.beside)
            .collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            logprobs: true,
            hidden_states: true,
            chat: self.template.is_some(),
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        match &self.tokenizer {
            Some(tokenizer) => Ok(tokenizer.tokenize(text)),
            None => Err(BackendError::Unsupported {
                model: self.fingerprint.name.clone(),
                what: "encode text: it has no tokenizer".into(),
            }),
        }
    }

    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        self.encoder().encode(request)
    }

    fn encode_cut(
        &self,
        request: &Request,
        truncate: Truncate,
    ) -> Result<(Encoded, usize), BackendError> {
        self.encoder().encode_cut(request, truncate)
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
        self.network.run_streaming(
            jobs,
            settings,
            &self.eos_ids,
            &text_of,
            on_token,
            on_response,
        )
    }

    fn flow(&self) -> Option<Box<dyn Flow + '_>> {
        let text_of = |ids: &[u32]| self.decode(ids).unwrap_or_default();
        let flow = self.network.flow(&self.eos_ids, Box::new(text_of));
        Some(Box::new(flow))
    }

    fn most_probable(
        &self,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        self.network
            .most_probable(token_ids, positions, n, settings)
    }

    fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        Some(self.tokenizer.as_ref()?.bytes_of(id))
    }

    fn decode(&self, ids: &[u32]) -> Option<String> {
        Some(self.tokenizer.as_ref()?.decode(ids))
    }
}
