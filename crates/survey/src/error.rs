//! Why a survey ends without results.

use isogloss_eval::run::RunError;
use isogloss_model::BackendError;
use isogloss_record::{Explain, StoreError};

/// Why a survey ended without results.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The model was not asked, or did not answer.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The tokenizer failed.
    #[error(transparent)]
    Model(#[from] BackendError),
    /// The run store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Settings that cannot be followed.
    #[error("{what}: found {found}, expected {expected}")]
    Settings {
        /// Which setting.
        what: &'static str,
        /// What was given.
        found: String,
        /// What is possible.
        expected: String,
    },
}

impl SurveyError {
    /// Whether the user stopped the work.
    pub fn is_canceled(&self) -> bool {
        matches!(
            self,
            Self::Run(RunError::Model(BackendError::Canceled))
                | Self::Model(BackendError::Canceled)
        )
    }
}

impl Explain for SurveyError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Settings { .. } => None,
        }
    }
}
