//! An encoder-decoder in memory: token ids in, answers out, no text.

use std::path::Path;

use isogloss_record::{Encoded, Fingerprint, Response, Usage};

use super::config::{self, Seq2SeqConfig};
use super::jobs::{Listener, Stops, Work};
use super::loaded::Loaded;
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::folder::Folder;
use crate::encoder::network::check_ids;
use crate::engine::{EngineError, EngineOptions};

/// An encoder-decoder in memory with its threads and buffers.
///
/// An answer depends on its job alone: not on the other jobs of a call, their number, the threads,
/// or whether equal sources are encoded once.
pub struct Seq2SeqNetwork {
    pub(super) loaded: Loaded,
}

impl Seq2SeqNetwork {
    /// Opens a Hugging Face folder; `name` is what the user calls the model.
    ///
    /// # Errors
    /// One error that says what, where, expected and found.
    pub fn open(path: &Path, name: &str, options: &EngineOptions) -> Result<Self, EngineError> {
        let folder = Folder::open(path, &|name| Some(name.to_owned()))?;
        Self::of_folder(folder, name, options)
    }

    /// The contents of `model.safetensors` that are in memory, with their `config.json`.
    ///
    /// # Errors
    /// As [`Seq2SeqNetwork::open`].
    pub fn of_safetensors_bytes(
        config: &serde_json::Value,
        bytes: Vec<u8>,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let rename = |name: &str| Some(name.to_owned());
        let folder = Folder::of_safetensors_bytes(config, bytes, &rename)?;
        Self::of_folder(folder, name, options)
    }

    fn of_folder(folder: Folder, name: &str, options: &EngineOptions) -> Result<Self, EngineError> {
        let config = config::parse(&folder.settings(), folder.n_tensors())?;
        if config.n_decoder_layers == 0 {
            return Err(EngineError::Checkpoint(CheckpointError::Unsupported {
                path: folder.path().to_owned(),
                what: "to score or to write with an encoder alone".into(),
            }));
        }
        Loaded::new(folder, config, name, options).map(|loaded| Self { loaded })
    }

    /// Shape and settings of the model.
    pub fn config(&self) -> &Seq2SeqConfig {
        &self.loaded.model.config
    }

    /// What exactly this model is.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.loaded.fingerprint
    }

    /// Answers jobs in token ids; see [`crate::Backend::run_streaming`] and the module's
    /// documentation for what source and target are.
    ///
    /// `eos` are ids that end a generation besides those of the configuration, `text_of` turns
    /// generated ids into text.
    ///
    /// # Errors
    /// Before any work, for the first job that cannot be answered.
    pub fn run_streaming(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        eos: &[u32],
        text_of: &dyn Fn(&[u32]) -> String,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        for job in jobs {
            self.check(job)?;
        }
        let mut buffers = self.loaded.buffers();
        let mut work = Work {
            network: self,
            settings,
            buffers: &mut buffers,
            usage: Usage::default(),
        };
        work.score(jobs, on_response)?;
        let stops = Stops { eos, text_of };
        let mut listener = Listener {
            on_token,
            on_response,
        };
        work.generate(jobs, &stops, &mut listener)?;
        Ok(work.usage)
    }

    /// As [`Seq2SeqNetwork::run_streaming`], without hearing of single tokens.
    ///
    /// # Errors
    /// As there.
    pub fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        text_of: &dyn Fn(&[u32]) -> String,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let on_token = &mut |_, _, _| true;
        self.run_streaming(jobs, settings, &[], text_of, on_token, on_response)
    }

    /// Refuses what cannot be answered.
    pub(super) fn check(&self, job: &Encoded) -> Result<(), BackendError> {
        match job {
            Encoded::Score {
                token_ids,
                n_context,
                n_pooled,
                ..
            } => {
                if *n_pooled > 0 {
                    return Err(self.cannot("give hidden states: it is an encoder-decoder"));
                }
                let Some((source, target)) = token_ids.split_at_checked(*n_context) else {
                    return Err(BackendError::Invalid(format!(
                        "a text of {} tokens cannot have {n_context} of context",
                        token_ids.len()
                    )));
                };
                self.check_source(source)?;
                self.check_target(target)
            }
            Encoded::Choose { token_ids, labels } => {
                self.check_source(token_ids)?;
                if labels.is_empty() || labels.iter().any(Vec::is_empty) {
                    return Err(BackendError::Invalid(
                        "a choice needs labels of one token or more".into(),
                    ));
                }
                labels.iter().try_for_each(|label| self.check_target(label))
            }
            Encoded::Generate {
                token_ids,
                sampling,
            } => {
                if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
                    return Err(BackendError::Invalid(format!(
                        "the temperature must be 0 or more, not {}",
                        sampling.temperature
                    )));
                }
                self.check_source(token_ids)
            }
        }
    }

    fn check_source(&self, ids: &[u32]) -> Result<(), BackendError> {
        let c = &self.loaded.model.config;
        if ids.is_empty() {
            return Err(self.cannot("answer without a source: it is an encoder-decoder"));
        }
        check_ids(
            &self.loaded.fingerprint.name,
            ids,
            c.vocab_size,
            c.context_length,
        )
    }

    /// A target may be empty: there is nothing to score in it.
    fn check_target(&self, ids: &[u32]) -> Result<(), BackendError> {
        let c = &self.loaded.model.config;
        if ids.is_empty() {
            return Ok(());
        }
        check_ids(
            &self.loaded.fingerprint.name,
            ids,
            c.vocab_size,
            c.context_length,
        )
    }

    pub(super) fn cannot(&self, what: &str) -> BackendError {
        BackendError::Unsupported {
            model: self.loaded.fingerprint.name.clone(),
            what: what.to_owned(),
        }
    }

    pub(super) fn not_finite(&self) -> BackendError {
        BackendError::NotFinite {
            model: self.loaded.fingerprint.name.clone(),
            place: "the logits".into(),
        }
    }
}
