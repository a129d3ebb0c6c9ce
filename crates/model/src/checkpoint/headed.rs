//! A decoder with a classification or reward head (`…ForSequenceClassification`): the decoder as it
//! always is, and beside it `score.weight`.
//!
//! Source: `GenericForSequenceClassification` of transformers 5.23.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::hf_config::{self, architecture, license, read_json, tensor_name};
use super::mapped::MappedFile;
use super::settings::Settings;
use super::{Checkpoint, CheckpointError, Entry, Tensor, layout, safetensors};
use crate::arch::TensorSource;

/// A decoder and what comes after it.
pub(crate) struct Headed {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) config: Value,
    head: BTreeMap<String, Entry>,
}

impl Headed {
    /// Opens a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join("config.json");
        let config = read_json(&path)?;
        let mut files = Vec::new();
        for file in safetensors::weight_files(folder)? {
            files.push(MappedFile::open(&file)?);
        }
        let mut headed = Self::of_files(folder, &path, config, files)?;
        headed.checkpoint.license = license(folder);
        for name in hf_config::SETTINGS_FILES {
            let path = folder.join(name);
            if path.is_file() {
                headed.checkpoint.files.push(MappedFile::open(&path)?);
            }
        }
        Ok(headed)
    }

    /// The contents of `model.safetensors` that are in memory, with their `config.json`.
    pub(crate) fn of_safetensors_bytes(
        config: &Value,
        bytes: Vec<u8>,
    ) -> Result<Self, CheckpointError> {
        let weights = MappedFile::owned(Path::new("model.safetensors"), bytes);
        let path = Path::new("config.json");
        Self::of_files(Path::new(""), path, config.clone(), vec![weights])
    }

    fn of_files(
        folder: &Path,
        path: &Path,
        config: Value,
        files: Vec<MappedFile>,
    ) -> Result<Self, CheckpointError> {
        let found = architecture(&Settings {
            path,
            json: &config,
        })?;
        let decoder = decoder_of(found).ok_or_else(|| CheckpointError::Architecture {
            path: path.to_owned(),
            found: found.to_owned(),
        })?;
        // The decoder of the same settings; it has no output layer of its own.
        let mut json = config.clone();
        json["architectures"] = Value::from(vec![decoder]);
        json["tie_word_embeddings"] = Value::Bool(true);
        if json.get("text_config").is_some_and(Value::is_object) {
            json["text_config"]["tie_word_embeddings"] = Value::Bool(true);
        }
        let mut head = BTreeMap::new();
        let only_head = |name: &str| is_head(name).then(|| name.to_owned());
        for (file_idx, file) in files.iter().enumerate() {
            safetensors::add_tensors(file, file_idx, &only_head, &mut head)?;
        }
        let body = |name: &str| {
            if is_head(name) {
                None
            } else {
                tensor_name(name)
            }
        };
        let checkpoint = hf_config::of_renamed(folder, path, &json, None, files, &body)?;
        layout::check(&checkpoint)?;
        Ok(Self {
            checkpoint,
            config,
            head,
        })
    }
}

impl TensorSource for Headed {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        match self.head.get_key_value(name) {
            Some((name, entry)) => Some(entry.tensor(name, &self.checkpoint.files)),
            None => self.checkpoint.tensor(name).ok(),
        }
    }
}

fn is_head(name: &str) -> bool {
    name.starts_with("score.")
}

/// The architecture of the decoder alone; `None` for a head that is not known.
pub(crate) fn decoder_of(architecture: &str) -> Option<&'static str> {
    Some(
        match architecture.strip_suffix("ForSequenceClassification")? {
            "Llama" => "LlamaForCausalLM",
            "Mistral" => "MistralForCausalLM",
            "Qwen2" => "Qwen2ForCausalLM",
            "Qwen3" => "Qwen3ForCausalLM",
            "Gemma2" => "Gemma2ForCausalLM",
            "Gemma3Text" => "Gemma3ForCausalLM",
            "Gemma3" => "Gemma3ForConditionalGeneration",
            "Phi3" => "Phi3ForCausalLM",
            "Olmo2" => "Olmo2ForCausalLM",
            "GPT2" => "GPT2LMHeadModel",
            "GPTNeoX" => "GPTNeoXForCausalLM",
            "Bloom" => "BloomForCausalLM",
            _ => return None,
        },
    )
}
