//! `POST /v1/chat/completions`: the body, through the model's own template.

use isogloss_record::{Message, Prompt, Role, Sampling};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::ask::{Ask, Kind, Prompted, ids};
use super::body::{neutral, seed, stops, temperature, whole_distribution};
use super::check_model;
use super::completion::{N_TOP, StreamOptions};
use crate::error::ApiError;
use crate::server::Shared;

/// The body as it is written. What would change an answer and is not here is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    model: Option<String>,
    messages: Vec<Turn>,
    /// Without: as far as the model's context reaches.
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<usize>,
    #[serde(default)]
    logprobs: bool,
    top_logprobs: Option<usize>,
    temperature: Option<f32>,
    seed: Option<Number>,
    stop: Option<Value>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    return_token_ids: bool,
    n: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    #[serde(rename = "user")]
    _user: Option<Value>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    role: Speaker,
    content: Content,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    System,
    /// The newer name of `system`.
    Developer,
    User,
    Assistant,
}

/// A text, or texts in parts.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "`content` must be a text or a list of {\"type\": \"text\", \"text\"}"
)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "type", rename_all = "lowercase")]
enum Part {
    Text { text: String },
}

impl Body {
    /// Refuses what no model could answer.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.messages.is_empty() {
            return Err(ApiError::field("messages", "`messages` is empty"));
        }
        neutral("n", self.n, 1.0)?;
        neutral("top_p", self.top_p, 1.0)?;
        whole_distribution(self.top_k, self.min_p)?;
        neutral("presence_penalty", self.presence_penalty, 0.0)?;
        neutral("frequency_penalty", self.frequency_penalty, 0.0)?;
        if self.max_tokens == Some(0) {
            return Err(ApiError::field(
                "max_tokens",
                "`max_tokens` must be 1 or more",
            ));
        }
        match self.top_logprobs {
            Some(n) if n > N_TOP => Err(ApiError::field(
                "top_logprobs",
                format!("`top_logprobs` can be up to {N_TOP}, not {n}"),
            )),
            Some(1..) if !self.logprobs => Err(ApiError::field(
                "top_logprobs",
                "`top_logprobs` needs `\"logprobs\": true`",
            )),
            _ => self.sampling().map(|_| ()),
        }
    }

    /// How to draw; without a seed each prompt gets one of its own, later.
    fn sampling(&self) -> Result<(Sampling, bool), ApiError> {
        let seed = seed(self.seed.as_ref())?;
        let sampling = self.with_seed(seed.unwrap_or_default())?;
        Ok((sampling, seed.is_some()))
    }

    fn with_seed(&self, seed: u64) -> Result<Sampling, ApiError> {
        Ok(Sampling {
            max_tokens: self.max_tokens.unwrap_or(usize::MAX),
            temperature: temperature(self.temperature)?,
            seed,
            stop: stops(self.stop.as_ref())?,
        })
    }
}

/// Messages as the template takes them.
pub(super) fn messages(turns: &[Turn]) -> Vec<Message> {
    turns
        .iter()
        .map(|turn| Message {
            role: match turn.role {
                Speaker::System | Speaker::Developer => Role::System,
                Speaker::User => Role::User,
                Speaker::Assistant => Role::Assistant,
            },
            content: match &turn.content {
                Content::Text(text) => text.clone(),
                Content::Parts(parts) => parts
                    .iter()
                    .map(|Part::Text { text }| text.as_str())
                    .collect(),
            },
        })
        .collect()
}

pub(super) fn ask(shared: &Shared<'_>, body: &Body) -> Result<Ask, ApiError> {
    let model = check_model(shared, body.model.as_deref())?;
    body.check()?;
    let (sampling, has_seed) = body.sampling()?;
    let prompt = Prompt::Chat(messages(&body.messages));
    Ok(Ask {
        kind: Kind::Chat,
        model,
        prompts: vec![Prompted {
            text: None,
            token_ids: ids(shared, prompt, 1)?,
        }],
        sampling,
        has_seed,
        echo: false,
        n_top: body.logprobs.then(|| body.top_logprobs.unwrap_or(0)),
        stream: body.stream,
        include_usage: body.stream_options.is_some_and(|o| o.include_usage),
        return_token_ids: body.return_token_ids,
    })
}
