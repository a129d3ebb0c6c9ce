//! A Hugging Face folder of a model that is no decoder: settings and tensors as they are stored.
//!
//! ```text
//! folder -> Folder { config.json, memory-mapped tensors under the names that the caller gives them }
//!        -> encoder (BERT and kin) | seq2seq (T5 and kin) | heads on decoders
//! ```
//! [`super::Checkpoint`] is for decoders, whose settings and tensors it knows; here the reader of the
//! weights says which tensors it needs, and what is left over is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use isogloss_record::Fingerprint;
use serde_json::Value;

use super::hf_config::{SETTINGS_FILES, license, read_json};
use super::mapped::MappedFile;
use super::settings::Settings;
use super::{CheckpointError, Entry, Kind, Tensor, commonest_dtype, hash, safetensors};
use crate::arch::TensorSource;
use crate::kernel::Compute;

/// An opened folder: settings and memory-mapped tensors, nothing interpreted.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    config_path: PathBuf,
    config: Value,
    license: Option<String>,
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Entry>,
}

/// What the folder's own name of a tensor means: its canonical one; `None` leaves it out.
pub(crate) type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Folder {
    /// Opens a folder with `config.json` and `model.safetensors` or its shards.
    pub(crate) fn open(folder: &Path, rename: Rename<'_>) -> Result<Self, CheckpointError> {
        if Kind::of(folder)? == Kind::Gguf {
            return Err(CheckpointError::Unsupported {
                path: folder.to_owned(),
                what: "a GGUF file of a model that is no decoder".into(),
            });
        }
        let config_path = folder.join("config.json");
        let config = read_json(&config_path)?;
        let mut files = Vec::new();
        for file in safetensors::weight_files(folder)? {
            files.push(MappedFile::open(&file)?);
        }
        let mut opened = Self::of_files(folder, &config_path, config, files, rename)?;
        opened.license = license(folder);
        for name in SETTINGS_FILES {
            opened.add_settings(name)?;
        }
        Ok(opened)
    }

    /// The contents of `model.safetensors` that are in memory, with their `config.json`.
    pub(crate) fn of_safetensors_bytes(
        config: &Value,
        bytes: Vec<u8>,
        rename: Rename<'_>,
    ) -> Result<Self, CheckpointError> {
        let weights = MappedFile::owned(Path::new("model.safetensors"), bytes);
        let path = Path::new("config.json");
        Self::of_files(Path::new(""), path, config.clone(), vec![weights], rename)
    }

    fn of_files(
        folder: &Path,
        config_path: &Path,
        config: Value,
        files: Vec<MappedFile>,
        rename: Rename<'_>,
    ) -> Result<Self, CheckpointError> {
        let mut tensors = BTreeMap::new();
        for (file_idx, file) in files.iter().enumerate() {
            safetensors::add_tensors(file, file_idx, &rename, &mut tensors)?;
        }
        Ok(Self {
            path: folder.to_owned(),
            config_path: config_path.to_owned(),
            config,
            license: None,
            files,
            tensors,
        })
    }

    /// Makes a file beside the weights, if it is there, part of what the model is.
    fn add_settings(&mut self, name: &str) -> Result<(), CheckpointError> {
        let path = self.path.join(name);
        if path.is_file() {
            self.add_file(&path)?;
        }
        Ok(())
    }

    /// Makes a file part of what the model is.
    pub(crate) fn add_file(&mut self, path: &Path) -> Result<(), CheckpointError> {
        self.files.push(MappedFile::open(path)?);
        Ok(())
    }

    /// Typed access to `config.json`.
    pub(crate) fn settings(&self) -> Settings<'_> {
        Settings {
            path: &self.config_path,
            json: &self.config,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn n_tensors(&self) -> usize {
        self.tensors.len()
    }

    /// Refuses tensors that nobody read: ignoring them would be another model.
    pub(crate) fn check_all_used(&self, used: &BTreeSet<String>) -> Result<(), CheckpointError> {
        match self.tensors.keys().find(|name| !used.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(CheckpointError::UnexpectedTensor {
                path: self.path.clone(),
                name: name.clone(),
            }),
        }
    }

    /// What exactly this model is; see [`super::Checkpoint::fingerprint`].
    pub(crate) fn fingerprint(
        &self,
        name: &str,
        architecture: &str,
        context_length: usize,
        compute: Compute,
    ) -> Fingerprint {
        let n_values = |entry: &Entry| entry.shape.iter().map(|n| *n as u64).product::<u64>();
        Fingerprint {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            quantization: commonest_dtype(&self.tensors),
            compute: compute.name().to_owned(),
            hash: hash::of_files(&self.files),
            n_parameters: Some(self.tensors.values().map(n_values).sum()),
            context_length,
            license: self.license.clone(),
        }
    }
}

impl TensorSource for Folder {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let (name, entry) = self.tensors.get_key_value(name)?;
        Some(entry.tensor(name, &self.files))
    }
}
