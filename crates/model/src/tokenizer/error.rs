//! Why a tokenizer cannot be used.

use std::path::{Path, PathBuf};

use isogloss_record::Explain;
use isogloss_record::files::FileError;

use crate::checkpoint::CheckpointError;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model file or its settings are at fault.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model comes without a tokenizer.
    #[error("`{path}` has no tokenizer: expected {expected}")]
    None {
        /// The path that was opened.
        path: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// The tokenizer's description contradicts itself.
    #[error("the tokenizer of `{path}` is damaged: {what}: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A kind of tokenizer or of pre-tokenizer that is not computed.
    #[error("`{path}` has the {what} `{found}`, which is not known")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// `tokenizer kind`, `pre-tokenizer`, `tokenizer class`.
        what: &'static str,
        /// Its name.
        found: String,
        /// The known names.
        known: String,
    },
    /// More tokens than the model's embedding has rows.
    #[error(
        "the tokenizer of `{path}` does not fit the model: it has {n_tokens} tokens, the embedding \
         has {n_rows} rows"
    )]
    DoesNotFit {
        /// The path that was opened.
        path: PathBuf,
        /// Tokens of the tokenizer.
        n_tokens: usize,
        /// Rows of the embedding.
        n_rows: usize,
    },
}

pub(super) fn damaged(path: &Path, what: &str, expected: &str, found: &str) -> TokenizerError {
    TokenizerError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

impl Explain for TokenizerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Checkpoint(error) => error.hint(),
            Self::None { .. } => {
                Some("download the tokenizer into the folder, or give `token_ids`".into())
            }
            Self::Damaged { .. } => Some("download the file again".into()),
            Self::Unknown { known, .. } => Some(format!("known are {known}")),
            Self::DoesNotFit { .. } => {
                Some("weights and tokenizer are not of the same model: download both".into())
            }
        }
    }
}
