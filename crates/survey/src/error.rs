//! Why a survey ends without results.

use isogloss_eval::run::RunError;
use isogloss_model::BackendError;
use isogloss_record::{Explain, Lang, StoreError};

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
    /// Texts that the model cannot hold: nothing was computed.
    #[error(
        "{n_texts} texts are longer than the {limit} tokens that `{model}` can hold (the longest has {longest}), in {}",
        codes(languages)
    )]
    TooLong {
        /// Name of the model.
        model: String,
        /// Its context length.
        limit: usize,
        /// Pairs of a context and its longest option that do not fit.
        n_texts: usize,
        /// Tokens of the longest.
        longest: usize,
        /// Languages of these texts.
        languages: Vec<Lang>,
    },
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

/// The first languages by their codes, and how many more there are.
fn codes(languages: &[Lang]) -> String {
    const N_SHOWN: usize = 8;
    let shown: Vec<String> = languages
        .iter()
        .take(N_SHOWN)
        .map(Lang::to_string)
        .collect();
    match languages.len().saturating_sub(N_SHOWN) {
        0 => shown.join(", "),
        n => format!("{} and {n} more", shown.join(", ")),
    }
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

impl SurveyError {
    /// Whether another model may still be surveyed: this one could not be asked or did not answer.
    pub fn is_of_the_model(&self) -> bool {
        match self {
            Self::Run(RunError::Store(_)) | Self::Store(_) | Self::Settings { .. } => false,
            Self::Run(_) | Self::Model(_) | Self::TooLong { .. } => !self.is_canceled(),
        }
    }
}

impl Explain for SurveyError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::TooLong { .. } => Some(
                "leave these languages out, or cut their contexts: `--truncate left` or `right`"
                    .into(),
            ),
            Self::Settings { .. } => None,
        }
    }
}
