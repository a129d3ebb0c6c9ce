//! A request for text, in exact ids: what completions and chat have in common.

use isogloss_record::{Encoded, Prompt, Request, Sampling, Span};

use super::body::Prompts;
use super::model_error;
use crate::error::ApiError;
use crate::server::Shared;
use crate::token::random_seed;

/// Shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Completion,
    Chat,
}

/// One prompt.
#[derive(Debug, Clone)]
pub(super) struct Prompted {
    /// As it was written; `None` where ids were.
    pub(super) text: Option<String>,
    pub(super) token_ids: Vec<u32>,
}

/// Everything that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    /// Which of the backend's models.
    pub(super) model: usize,
    pub(super) prompts: Vec<Prompted>,
    pub(super) sampling: Sampling,
    /// Whether the draws' seed was given.
    pub(super) has_seed: bool,
    /// The prompt stands in the answer.
    pub(super) echo: bool,
    /// With log-probabilities, and so many of the most probable tokens.
    pub(super) n_top: Option<usize>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) return_token_ids: bool,
}

impl Ask {
    /// Whether log-probabilities of the prompt are asked for.
    pub(super) fn scores(&self) -> bool {
        self.echo && self.n_top.is_some()
    }

    /// What continues a prompt of so many tokens, as far as the model's context reaches; `None`
    /// where nothing is to be continued.
    pub(super) fn generate(
        &self,
        shared: &Shared<'_>,
        prompt: &Prompted,
    ) -> Result<Option<Encoded>, ApiError> {
        let context_length = shared.backend.fingerprint().context_length;
        let room = context_length.saturating_sub(prompt.token_ids.len());
        let max_tokens = self.sampling.max_tokens.min(room);
        if max_tokens == 0 {
            return Ok(None);
        }
        // Asked twice without a seed, a prompt is drawn twice.
        let seed = if self.has_seed || self.sampling.temperature == 0.0 {
            self.sampling.seed
        } else {
            random_seed()?
        };
        Ok(Some(Encoded::Generate {
            token_ids: prompt.token_ids.clone(),
            sampling: Sampling {
                max_tokens,
                seed,
                ..self.sampling.clone()
            },
        }))
    }
}

/// Prompts in exact ids: texts on the path that every text takes, ids as they are.
///
/// # Errors
/// 400 with the model's own words; 413 for more than the limits.
pub(super) fn encode(
    shared: &Shared<'_>,
    prompts: Prompts,
    max_tokens: usize,
) -> Result<Vec<Prompted>, ApiError> {
    let limits = shared.limits;
    if prompts.len() > limits.n_prompts {
        return Err(ApiError::new(
            413,
            format!(
                "{} prompts in one request, at most {} are taken",
                prompts.len(),
                limits.n_prompts
            ),
        ));
    }
    let prompts: Vec<(Option<String>, Prompt)> = match prompts {
        Prompts::Texts(texts) => texts
            .into_iter()
            .map(|text| (Some(text.clone()), Prompt::Text(text)))
            .collect(),
        Prompts::Ids(lists) => lists
            .into_iter()
            .map(|ids| (None, Prompt::Tokens(ids)))
            .collect(),
    };
    let mut n_tokens = 0;
    prompts
        .into_iter()
        .map(|(text, prompt)| {
            let token_ids = ids(shared, prompt, max_tokens)?;
            n_tokens += token_ids.len();
            if n_tokens > limits.n_tokens {
                return Err(ApiError::new(
                    413,
                    format!(
                        "more than {} tokens in the prompts of one request",
                        limits.n_tokens
                    ),
                )
                .hint("send fewer prompts at once"));
            }
            Ok(Prompted { text, token_ids })
        })
        .collect()
}

/// One prompt's ids; where nothing is to be continued, it may fill the context to the end.
pub(super) fn ids(
    shared: &Shared<'_>,
    prompt: Prompt,
    max_tokens: usize,
) -> Result<Vec<u32>, ApiError> {
    let request = if max_tokens > 0 {
        Request::Generate {
            prompt,
            sampling: Sampling {
                max_tokens: 1,
                temperature: 0.0,
                seed: 0,
                stop: Vec::new(),
            },
        }
    } else {
        let (context, continuation) = match prompt {
            Prompt::Text(text) => (Prompt::Text(String::new()), text),
            other => (other, String::new()),
        };
        Request::Score {
            context,
            continuation,
            span: Span::All,
            pool: false,
        }
    };
    let encoded = shared.backend.encode(&request);
    match encoded.map_err(|error| model_error(&error))? {
        Encoded::Score { token_ids, .. }
        | Encoded::Generate { token_ids, .. }
        | Encoded::Choose { token_ids, .. } => Ok(token_ids),
    }
}
