//! Adapters: folders that PEFT writes, applied to a model as it is loaded.
//!
//! ```text
//! adapter_config.json ------> AdapterConfig \
//! adapter_model.safetensors -> names, roles -> Adapter -> Checkpoint (changed) -> Weights (packed)
//! ```
//! The checkpoint's tensors keep their names, shapes and views; what an adapter changes is changed
//! as rows are read, so any base works: Hugging Face folders with fused or transposed projections,
//! and GGUF files in any storage format. LoRA, rank-stabilized LoRA, DoRA, embeddings, trained
//! token rows, and modules saved as a whole are computed; all else is refused by name.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use isogloss_model::adapter::Adapter;
//! use isogloss_model::checkpoint::Checkpoint;
//! let mut checkpoint = Checkpoint::open("smollm2.gguf".as_ref())?;
//! Adapter::open("my-adapter".as_ref())?.apply(&mut checkpoint)?;
//! # Ok(())
//! # }
//! ```
//!
//! Source: PEFT's checkpoint format, `docs/source/developer_guides/checkpoint.md`, and its layers
//! `tuners/lora`, `tuners/trainable_tokens` (0.21).

mod apply;
mod beside;
mod change;
mod config;
mod error;
mod modules;
mod names;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isogloss_record::files;
use serde_json::Value;

pub use change::Change;
pub use error::{AdapterError, Sides};
pub(crate) use modules::{permuted_heads, unpermuted};

use crate::checkpoint::mapped::MappedFile;
use crate::checkpoint::{Entry, Overlay, safetensors};
use config::AdapterConfig;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// An opened adapter: settings and memory-mapped tensors, not yet held against a model.
#[derive(Debug)]
pub struct Adapter {
    folder: PathBuf,
    config: AdapterConfig,
    /// Weights, then settings.
    files: Vec<MappedFile>,
    /// By their names in the file.
    tensors: BTreeMap<String, Entry>,
}

impl Adapter {
    /// Opens a folder that PEFT wrote.
    ///
    /// # Errors
    /// One error that says what, where, expected and found; see [`AdapterError`].
    pub fn open(folder: &Path) -> Result<Self, AdapterError> {
        let (config, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
        let found = match (config.is_file(), weights.is_file()) {
            (true, true) => None,
            _ if folder.is_file() => Some("a file"),
            _ if !folder.exists() => Some("nothing"),
            (false, true) => Some("a folder without adapter_config.json"),
            (true, false) if folder.join("adapter_model.bin").is_file() => {
                Some("pickled weights (adapter_model.bin): save them as safetensors")
            }
            (true, false) => Some("a folder without adapter_model.safetensors"),
            (false, false) => Some("a folder without either"),
        };
        if let Some(found) = found {
            return Err(AdapterError::NotAnAdapter {
                path: folder.to_owned(),
                found: found.to_owned(),
            });
        }
        let config = MappedFile::owned(&config, files::read(&config)?);
        Self::of_files(folder, config, MappedFile::open(&weights)?)
    }

    /// The contents of both files, in memory.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn of_bytes(config: Vec<u8>, weights: Vec<u8>) -> Result<Self, AdapterError> {
        let file = |name: &str, bytes| MappedFile::owned(Path::new(name), bytes);
        Self::of_files(
            Path::new("adapter"),
            file(CONFIG, config),
            file(WEIGHTS, weights),
        )
    }

    fn of_files(
        folder: &Path,
        config: MappedFile,
        weights: MappedFile,
    ) -> Result<Self, AdapterError> {
        let json: Value =
            serde_json::from_slice(config.bytes()).map_err(|error| AdapterError::Setting {
                path: config.path.clone(),
                key: "(all)".into(),
                expected: "JSON".into(),
                found: error.to_string(),
            })?;
        let settings = AdapterConfig::parse(&config.path, &json)?;
        let mut tensors = BTreeMap::new();
        safetensors::add_tensors(&weights, 0, &|name| Some(name.to_owned()), &mut tensors)?;
        if tensors.is_empty() {
            return Err(AdapterError::Missing {
                path: weights.path,
                name: "….lora_A.weight".into(),
                why: "it holds no tensors at all".into(),
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
            config: settings,
            files: vec![weights, config],
            tensors,
        })
    }

    /// Path of the weight file, for messages.
    fn weights_path(&self) -> PathBuf {
        self.files[0].path.clone()
    }
}
