//! Everything that can go wrong between us and a model's server.

use isogloss_model::BackendError;
use isogloss_record::Explain;

/// Why a server did not answer as it should. Never holds a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be one.
    #[error("`{given}` is not the address of a server: {why}")]
    BadAddress {
        /// As it was written, without credentials.
        given: String,
        /// What is wrong.
        why: String,
    },
    /// It is not there, or stops answering, after all retries.
    #[error("no answer from `{url}`: {why}{}", times(*n_retries))]
    Unreachable {
        /// The address.
        url: String,
        /// The last failure.
        why: String,
        /// How often the request was sent again.
        n_retries: u32,
    },
    /// It refuses.
    #[error("`{url}` answers {status}: {why}")]
    Refused {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// Its own words, or what the status means.
        why: String,
    },
    /// It answers with something that cannot be right.
    #[error("the answer of `{url}` cannot be used: {why}")]
    Answer {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The model is not one of those that are served.
    #[error("{} at `{url}`: it serves {}", asked.as_ref().map_or("say which model".into(), |m| format!("no model `{m}`")), list(served))]
    NoModel {
        /// The address.
        url: String,
        /// The model that was asked for.
        asked: Option<String>,
        /// Those that there are.
        served: Vec<String>,
    },
    /// Nothing turns text into ids.
    #[error("`{url}` does not tell the token ids of a text ({why})")]
    NoTokenizer {
        /// The address.
        url: String,
        /// What it answered.
        why: String,
    },
    /// The log-probabilities are not those of the text.
    #[error("`{model}` at `{url}` gives no real log-probabilities: {why}")]
    NotReal {
        /// The address.
        url: String,
        /// The model.
        model: String,
        /// How that was seen.
        why: String,
    },
    /// The tokenizer that was named cannot be had.
    #[error("the tokenizer `{name}` cannot be used: {message}")]
    Tokenizer {
        /// As it was named.
        name: String,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The user stopped the work.
    #[error("stopped")]
    Canceled,
}

fn times(n_retries: u32) -> String {
    match n_retries {
        0 => String::new(),
        1 => " (sent again once)".into(),
        n => format!(" (sent again {n} times)"),
    }
}

fn list(served: &[String]) -> String {
    let names: Vec<String> = served.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

impl Explain for ServerError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadAddress { .. } => "write it as `http://127.0.0.1:8377/v1#model`".into(),
            Self::Unreachable { .. } => {
                "check that the server runs, and run the same command again".into()
            }
            Self::Refused { status: 401 | 403, .. } => {
                "set ISOGLOSS_API_KEY to the server's token".into()
            }
            Self::Refused { .. } | Self::Answer { .. } => {
                "check the address, and that the server speaks the OpenAI completions API".into()
            }
            Self::NoModel { url, served, .. } => match &served[..] {
                [only, ..] => format!("write `{url}#{only}`"),
                [] => "load a model in the server".into(),
            },
            Self::NoTokenizer { url, .. } => format!(
                "name a tokenizer at hand: `{url}#MODEL,tokenizer=PATH` (a folder with tokenizer.json, a .gguf file or a short name)"
            ),
            Self::NotReal { .. } => {
                "serve the model with `isogloss serve` or vLLM; `isogloss generate` works with this server".into()
            }
            Self::Tokenizer { hint, .. } => return hint.clone(),
            Self::Canceled => return None,
        })
    }
}

impl From<ServerError> for BackendError {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Canceled => Self::Canceled,
            error => Self::Failed {
                hint: error.hint(),
                message: error.to_string(),
            },
        }
    }
}
