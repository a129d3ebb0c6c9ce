//! Why an adapter cannot be used: what, where, expected, found.

use std::path::PathBuf;

use isogloss_record::Explain;
use isogloss_record::files::FileError;

use crate::checkpoint::CheckpointError;

/// Why an adapter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The weight file is not sound.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// The path holds something else.
    #[error(
        "`{path}` is not an adapter: expected a folder with adapter_config.json and \
         adapter_model.safetensors, found {found}"
    )]
    NotAnAdapter {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
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
    /// Something that would change a number and is not computed.
    #[error("`{path}`: {what} is not supported")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is not supported.
        what: String,
    },
    /// A tensor contradicts the settings or itself.
    #[error("`{path}`: tensor `{name}`: expected {expected}, found {found}")]
    Tensor {
        /// The weight file.
        path: PathBuf,
        /// Name as stored.
        name: String,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// One of two tensors that belong together, or a layer, is not there.
    #[error("`{path}` has no tensor `{name}`: {why}")]
    Missing {
        /// The weight file.
        path: PathBuf,
        /// Name of what is missing.
        name: String,
        /// Why it must be there.
        why: String,
    },
    /// It changes a module that the model does not have.
    #[error(
        "the adapter `{}` changes `{module}`, which `{}` (a {family} of {n_layers} layers) does not \
         have", sides.adapter.display(), sides.model.display()
    )]
    NoModule {
        /// Adapter and model.
        sides: Box<Sides>,
        /// The module, by its name in the adapter.
        module: String,
        /// The model's family.
        family: &'static str,
        /// The model's blocks.
        n_layers: usize,
    },
    /// It does not fit the model's shape.
    #[error(
        "the adapter `{}` does not fit `{}`: tensor `{name}`: expected shape {expected:?}, found \
         {found:?}", sides.adapter.display(), sides.model.display()
    )]
    Shape {
        /// Adapter and model.
        sides: Box<Sides>,
        /// Name as stored.
        name: String,
        /// By the model and the settings.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
}

/// An adapter and a model that do not fit.
#[derive(Debug)]
pub struct Sides {
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// The model.
    pub model: PathBuf,
    /// The model that the adapter says it was made for.
    pub made_for: Option<String>,
}

impl Explain for AdapterError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File(error) => return error.hint(),
            Self::Weights(CheckpointError::Damaged { .. }) | Self::Missing { .. } => {
                "save the adapter again, or copy its folder again".into()
            }
            Self::Weights(error) => return error.hint(),
            Self::NotAnAdapter { .. } => {
                "give the folder that PEFT's `save_pretrained` wrote; a merged model is opened by \
                 itself"
                    .into()
            }
            Self::Setting { .. } | Self::Tensor { .. } => {
                "the two files are not of the same adapter, or one was edited: save it again".into()
            }
            Self::Unsupported { .. } => {
                "merge the adapter into its model with PEFT (`merge_and_unload`) and open that"
                    .into()
            }
            Self::NoModule { sides, .. } | Self::Shape { sides, .. } => match &sides.made_for {
                Some(name) => format!("the adapter says that it was made for `{name}`"),
                None => "give the model that the adapter was made for".into(),
            },
        })
    }
}
