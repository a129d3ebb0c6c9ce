//! `POST /v1/completions`: the body.

use isogloss_record::Sampling;
use serde::Deserialize;
use serde_json::{Number, Value};

use super::ask::{Ask, Kind, encode};
use super::body::{Prompts, neutral, seed, stops, temperature, whole_distribution};
use super::check_model;
use crate::error::ApiError;
use crate::server::Shared;

/// New tokens where the body does not say, as in the OpenAI API.
const N_TOKENS: usize = 16;
/// Most probable tokens that can be asked for, as in vLLM.
pub(super) const N_TOP: usize = 20;

/// The body as it is written. What would change an answer and is not here is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    model: Option<String>,
    prompt: Prompts,
    max_tokens: Option<usize>,
    #[serde(default)]
    echo: bool,
    logprobs: Option<usize>,
    temperature: Option<f32>,
    seed: Option<Number>,
    stop: Option<Value>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    /// As in vLLM: ids of prompt and continuation beside the text.
    #[serde(default)]
    return_token_ids: bool,
    n: Option<f64>,
    best_of: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    min_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    suffix: Option<Value>,
    logit_bias: Option<Value>,
    #[serde(rename = "user")]
    _user: Option<Value>,
}

/// `stream_options`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
}

impl Body {
    /// Refuses what no model could answer.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        for (param, value) in [
            ("n", self.n),
            ("best_of", self.best_of),
            ("top_p", self.top_p),
        ] {
            neutral(param, value, 1.0)?;
        }
        whole_distribution(self.top_k, self.min_p)?;
        neutral("presence_penalty", self.presence_penalty, 0.0)?;
        neutral("frequency_penalty", self.frequency_penalty, 0.0)?;
        for (param, value) in [("suffix", &self.suffix), ("logit_bias", &self.logit_bias)] {
            let is_empty = match value {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(Value::Object(biases)) => biases.is_empty(),
                Some(_) => false,
            };
            if !is_empty {
                return Err(ApiError::field(
                    param,
                    format!("`{param}` is not supported"),
                ));
            }
        }
        if let Some(n) = self.logprobs.filter(|n| *n > N_TOP) {
            return Err(ApiError::field(
                "logprobs",
                format!("`logprobs` can be up to {N_TOP}, not {n}"),
            ));
        }
        self.sampling().map(|_| ())
    }

    /// How to draw; without a seed each prompt gets one of its own, later.
    fn sampling(&self) -> Result<(Sampling, bool), ApiError> {
        let seed = seed(self.seed.as_ref())?;
        let sampling = self.with_seed(seed.unwrap_or_default())?;
        Ok((sampling, seed.is_some()))
    }

    fn with_seed(&self, seed: u64) -> Result<Sampling, ApiError> {
        Ok(Sampling {
            max_tokens: self.max_tokens.unwrap_or(N_TOKENS),
            temperature: temperature(self.temperature)?,
            seed,
            stop: stops(self.stop.as_ref())?,
        })
    }
}

pub(super) fn ask(shared: &Shared<'_>, body: Body) -> Result<Ask, ApiError> {
    let model = check_model(shared, body.model.as_deref())?;
    body.check()?;
    let (sampling, has_seed) = body.sampling()?;
    Ok(Ask {
        kind: Kind::Completion,
        model,
        echo: body.echo,
        n_top: body.logprobs,
        stream: body.stream,
        include_usage: body.stream_options.is_some_and(|o| o.include_usage),
        return_token_ids: body.return_token_ids,
        prompts: encode(shared, body.prompt, sampling.max_tokens)?,
        sampling,
        has_seed,
    })
}
