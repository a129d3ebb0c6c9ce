//! Why a checkpoint cannot be used: what, where, expected, found.

use std::path::PathBuf;

use isogloss_record::Explain;
use isogloss_record::files::FileError;

use crate::encoder::config::KNOWN_ENCODERS;

/// Architectures that the engine knows, as they are spelled in `config.json` and in GGUF.
pub const KNOWN_ARCHITECTURES: &str = "Llama (`LlamaForCausalLM`, `llama`), Mistral \
     (`MistralForCausalLM`, `llama`), Qwen 2 (`Qwen2ForCausalLM`, `qwen2`), Qwen 3 \
     (`Qwen3ForCausalLM`, `qwen3`), Gemma 2 (`Gemma2ForCausalLM`, `gemma2`), Gemma 3 \
     (`Gemma3ForCausalLM`, `Gemma3ForConditionalGeneration`, `gemma3`), Phi-3 \
     (`Phi3ForCausalLM`, `phi3`), OLMo 2 (`Olmo2ForCausalLM`, `olmo2`), Cohere \
     (`CohereForCausalLM`, `command-r`), GPT-2 (`GPT2LMHeadModel`, `gpt2`), GPT-NeoX \
     (`GPTNeoXForCausalLM`, `gptneox`), BLOOM (`BloomForCausalLM`, `bloom`)";

/// What a known architecture is good for, where it is no language model.
fn kind_of(architecture: &str) -> Option<&'static str> {
    if crate::encoder::config::kind_of(architecture).is_some() {
        Some("an encoder: it gives vectors, labels or masked words, and continues no text")
    } else if crate::seq2seq::config::kind_of(architecture).is_some() {
        Some("an encoder-decoder: it writes or scores a target for a source")
    } else if super::headed::decoder_of(architecture).is_some() {
        Some("a classifier: it gives labels or a reward, and continues no text")
    } else {
        None
    }
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The path holds something else.
    #[error(
        "`{path}` is not a model: expected a .gguf file or a folder with config.json, found {found}"
    )]
    NotAModel {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// The file contradicts its own format.
    #[error("`{path}` is damaged: {what}: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An architecture that the engine does not compute.
    #[error("`{path}` has the architecture `{found}`, which is not known")]
    Architecture {
        /// The file.
        path: PathBuf,
        /// Its architecture.
        found: String,
    },
    /// A sound file of a kind that is not computed.
    #[error("`{path}`: {what} is not supported")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not supported.
        what: String,
    },
    /// A setting is missing or impossible.
    #[error("`{path}`: setting `{key}`: expected {expected}, found {found}")]
    Setting {
        /// The file.
        path: PathBuf,
        /// Name of the setting.
        key: String,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("`{path}` has no tensor `{name}`")]
    MissingTensor {
        /// The file or folder.
        path: PathBuf,
        /// Name in Hugging Face layout.
        name: String,
    },
    /// A tensor that the architecture does not have: ignoring it would change the model.
    #[error("`{path}` has a tensor `{name}`, which its architecture does not have")]
    UnexpectedTensor {
        /// The file or folder.
        path: PathBuf,
        /// Name in Hugging Face layout where it has one.
        name: String,
    },
    /// A tensor of another shape than the settings say.
    #[error("`{path}`: tensor `{name}` has shape {found:?}, the settings say {expected:?}")]
    Shape {
        /// The file or folder.
        path: PathBuf,
        /// Name in Hugging Face layout.
        name: String,
        /// By the settings.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
}

impl Explain for CheckpointError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::NotAModel { .. } => Some(
                "give a .gguf file, a Hugging Face folder, a hub id or a built-in short name"
                    .into(),
            ),
            Self::Damaged { .. } => {
                Some("download the file again and compare its size and hash".into())
            }
            Self::Architecture { found, .. } => Some(match kind_of(found) {
                Some(kind) => format!("`{found}` is {kind}"),
                None => format!(
                    "known are, as language models, {KNOWN_ARCHITECTURES}; as encoders, \
                     {KNOWN_ENCODERS}; T5, mT5, umT5; and most of the language models as \
                     `…ForSequenceClassification`"
                ),
            }),
            Self::Unsupported { .. } => {
                Some("convert the model, or serve it and measure it by its URL".into())
            }
            Self::Setting { .. } => Some("compare the file with the published one".into()),
            Self::MissingTensor { .. } | Self::UnexpectedTensor { .. } | Self::Shape { .. } => {
                Some("the weights and the settings are not of the same model: download both".into())
            }
        }
    }
}
