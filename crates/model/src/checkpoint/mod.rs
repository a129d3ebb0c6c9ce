//! Model files: what is in a checkpoint, whatever its format.
//!
//! ```text
//! folder or .gguf -> Checkpoint { config, tensors (memory-mapped) } -> engine
//!                 -> Tokenizer (crate::tokenizer; needs no weights)
//! ```
//!
//! One file per format ([`gguf`], [`safetensors`], [`hf_config`]); names, shapes and settings are
//! those of the Hugging Face layout afterwards, and every tensor that the architecture needs is
//! known to be there with the right shape.
//!
//! ```no_run
//! # fn main() -> Result<(), isogloss_model::checkpoint::CheckpointError> {
//! use isogloss_model::checkpoint::Checkpoint;
//! let checkpoint = Checkpoint::open(std::path::Path::new("smollm2.gguf"))?;
//! let norm = checkpoint.tensor("model.norm.weight")?;
//! assert_eq!(norm.shape, [checkpoint.config.d_model]);
//! # Ok(())
//! # }
//! ```

mod config;
pub mod damage;
mod error;
pub(crate) mod family;
pub(crate) mod folder;
pub(crate) mod gguf;
pub(crate) mod gguf_config;
mod hash;
pub(crate) mod headed;
pub(crate) mod hf_config;
mod hf_rope;
mod layout;
pub(crate) mod mapped;
mod mixture;
mod overlay;
pub mod quant;
mod quantize;
mod requantize;
pub(crate) mod safetensors;
pub(crate) mod settings;
pub(crate) mod split;
mod tensor;
pub mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use isogloss_record::Fingerprint;

pub use config::{
    Activation, Config, Family, HeadNorm, NormKind, Positions, Residual, RopePairing, RopeScaling,
};
pub use error::{CheckpointError, KNOWN_ARCHITECTURES};
pub(crate) use layout::expected as expected_tensors;
pub use mixture::{Format, FormatError};
pub use tensor::{Dtype, Tensor, View};

pub(crate) use overlay::Overlay;

use mapped::MappedFile;

/// An opened model: settings and memory-mapped tensors.
#[derive(Debug)]
pub struct Checkpoint {
    /// Shape and settings.
    pub config: Config,
    /// Licence as the model's own files state it.
    pub license: Option<String>,
    /// What the user gave.
    path: PathBuf,
    /// Name of the storage format: `Q4_K_M`, `BF16`…
    quantization: String,
    /// Files whose bytes are the model, in a fixed order: weights, settings, tokenizer.
    files: Vec<MappedFile>,
    /// By name in Hugging Face layout.
    tensors: BTreeMap<String, Entry>,
    /// What an adapter changes; `None` without one.
    overlay: Option<Overlay>,
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Index into `Checkpoint::files`.
    pub(crate) file: usize,
    /// Bytes of the stored tensor in that file.
    pub(crate) range: Range<usize>,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) view: View,
}

impl Entry {
    /// The tensor, in the files that the entry points into.
    pub(crate) fn tensor<'a>(&self, name: &'a str, files: &'a [MappedFile]) -> Tensor<'a> {
        Tensor {
            name: Cow::Borrowed(name),
            shape: self.shape.clone(),
            dtype: self.dtype,
            bytes: &files[self.file].bytes()[self.range.clone()],
            view: self.view,
            change: None,
        }
    }
}

impl Checkpoint {
    /// Opens a `.gguf` file or a Hugging Face folder (`config.json` beside `model.safetensors` or
    /// its shards). Tensors stay on disk until they are read.
    ///
    /// # Errors
    /// One error that says what, where, expected and found; see [`CheckpointError`].
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = match Kind::of(path)? {
            Kind::Gguf => gguf_config::open(path)?,
            Kind::Folder => hf_config::open(path)?,
        };
        layout::check(&checkpoint)?;
        Ok(checkpoint)
    }

    /// A GGUF file that is in memory; `name` is for messages.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn of_gguf_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let checkpoint = gguf_config::of_file(MappedFile::owned(Path::new(name), bytes))?;
        layout::check(&checkpoint)?;
        Ok(checkpoint)
    }

    /// The contents of `model.safetensors` that are in memory, with their `config.json`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn of_safetensors_bytes(
        config: &serde_json::Value,
        bytes: Vec<u8>,
    ) -> Result<Self, CheckpointError> {
        let weights = MappedFile::owned(Path::new("model.safetensors"), bytes);
        let path = Path::new("config.json");
        let checkpoint = hf_config::of_files(Path::new(""), path, config, None, vec![weights])?;
        layout::check(&checkpoint)?;
        Ok(checkpoint)
    }

    /// The tensor of that name in Hugging Face layout.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>, CheckpointError> {
        let (name, entry) =
            self.tensors
                .get_key_value(name)
                .ok_or_else(|| CheckpointError::MissingTensor {
                    path: self.path.clone(),
                    name: name.to_owned(),
                })?;
        let Some(overlay) = &self.overlay else {
            return Ok(entry.tensor(name, &self.files));
        };
        Ok(Tensor {
            change: overlay.changes.get(name),
            ..match overlay.entries.get(name) {
                Some(other) => other.tensor(name, &overlay.files),
                None => entry.tensor(name, &self.files),
            }
        })
    }

    /// Whether there is such a tensor.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names of all tensors in Hugging Face layout, in alphabetical order.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Parameters, embeddings included; a tied output layer counts once.
    pub fn n_parameters(&self) -> u64 {
        let n_values = |entry: &Entry| entry.shape.iter().map(|n| *n as u64).product::<u64>();
        self.tensors.values().map(n_values).sum()
    }

    /// Bytes of the files that are mapped into memory, adapters' too.
    pub(crate) fn n_mapped_bytes(&self) -> u64 {
        let own = self.files.iter();
        let over = self.overlay.iter().flat_map(|overlay| &overlay.files);
        own.chain(over).map(|file| file.bytes().len() as u64).sum()
    }

    /// What exactly this model is. Reads every byte of its files once (a second per gigabyte or
    /// less, on the threads of the current rayon pool): keep the answer.
    ///
    /// With an adapter, its files are part of the hash. `name` is what the user called it; `compute` is the engine's arithmetic (`f32`).
    pub fn fingerprint(&self, name: &str) -> Fingerprint {
        Fingerprint {
            name: name.to_owned(),
            architecture: self.config.family.name().to_owned(),
            quantization: self.quantization.clone(),
            compute: "f32".into(),
            hash: match &self.overlay {
                None => hash::of_files(&self.files),
                Some(overlay) => overlay.hash(&hash::of_files(&self.files)),
            },
            n_parameters: Some(self.n_parameters()),
            context_length: self.config.context_length,
            license: self.license.clone(),
        }
    }
}

/// A `config.json` as a [`Config`]; `path` is for messages, `n_tensors` bounds the layers.
///
/// # Errors
/// [`CheckpointError::Architecture`], [`CheckpointError::Setting`],
/// [`CheckpointError::Unsupported`].
pub fn config_of_json(
    path: &Path,
    json: &serde_json::Value,
    n_tensors: usize,
) -> Result<Config, CheckpointError> {
    hf_config::parse(path, json, None, n_tensors)
}

/// The two kinds of model paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file that begins with `GGUF`.
    Gguf,
    /// A folder with `config.json` or a tokenizer.
    Folder,
}

impl Kind {
    /// Looks at the path; only the first bytes are read.
    pub(crate) fn of(path: &Path) -> Result<Self, CheckpointError> {
        let not_a_model = |found: String| CheckpointError::NotAModel {
            path: path.to_owned(),
            found,
        };
        if path.is_dir() {
            let has = |name: &str| path.join(name).is_file();
            let tokenizers = ["tokenizer.json", "tokenizer.model", "spiece.model"];
            if has("config.json") || tokenizers.into_iter().any(has) {
                return Ok(Self::Folder);
            }
            return Err(not_a_model("a folder without config.json".into()));
        }
        let magic = mapped::first_bytes(path, 4)?;
        if magic == b"GGUF" {
            return Ok(Self::Gguf);
        }
        Err(not_a_model(match magic.len() {
            0 => "an empty file".into(),
            _ => format!("a file that begins with `{}`", magic.escape_ascii()),
        }))
    }
}

/// The commonest format among matrices other than the embedding, by number of values.
pub(crate) fn commonest_dtype(tensors: &BTreeMap<String, Entry>) -> String {
    let mut counts: BTreeMap<Dtype, usize> = BTreeMap::new();
    for (name, entry) in tensors {
        if entry.shape.len() == 2 && !name.contains("embed_tokens") {
            *counts.entry(entry.dtype).or_default() += entry.shape.iter().product::<usize>();
        }
    }
    let commonest = counts.into_iter().max_by_key(|(_, n_values)| *n_values);
    commonest.map_or_else(|| "unknown".into(), |(dtype, _)| dtype.name().to_owned())
}
