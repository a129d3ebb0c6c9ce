//! `POST /tokenize` and `POST /detokenize`, in the words of vLLM and of llama.cpp.

use isogloss_record::Prompt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::ids;
use super::chat::{Turn, messages};
use super::logprobs::token_text;
use super::{check_model, model_error};
use crate::error::ApiError;
use crate::server::Shared;

/// One of `prompt` (vLLM), `content` (llama.cpp), `messages` (vLLM).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokenize {
    model: Option<String>,
    prompt: Option<String>,
    content: Option<String>,
    messages: Option<Vec<Turn>>,
    /// Whether what the tokenizer puts before a text is there; with `prompt` it is by default.
    add_special_tokens: Option<bool>,
    add_special: Option<bool>,
    /// Only `true`: special tokens inside a text become their ids.
    parse_special: Option<bool>,
    /// Only `true`: the beginning of the model's turn follows the messages.
    add_generation_prompt: Option<bool>,
    #[serde(default, alias = "with_pieces")]
    return_token_strs: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detokenize {
    model: Option<String>,
    tokens: Vec<u32>,
}

pub(super) fn tokenize(shared: &Shared<'_>, body: &Tokenize) -> Result<Value, ApiError> {
    check_model(shared, body.model.as_deref())?;
    for (param, value) in [
        ("parse_special", body.parse_special),
        ("add_generation_prompt", body.add_generation_prompt),
    ] {
        if value == Some(false) {
            return Err(ApiError::field(
                param,
                format!("`{param}` can only be true here"),
            ));
        }
    }
    let special = body.add_special_tokens.or(body.add_special);
    let token_ids = match (&body.prompt, &body.content, &body.messages) {
        (None, None, Some(turns)) => ids(shared, Prompt::Chat(messages(turns)), 1)?,
        (Some(text), None, None) => text_ids(shared, text, special.unwrap_or(true))?,
        (None, Some(text), None) => text_ids(shared, text, special.unwrap_or(false))?,
        // What a client writes that does not know whom it talks to.
        (Some(text), Some(same), None) if text == same => {
            text_ids(shared, text, special.unwrap_or(true))?
        }
        _ => {
            return Err(ApiError::new(
                400,
                "expected `prompt`, `content` or `messages`, and only one of these",
            ));
        }
    };
    let pieces = body.return_token_strs.then(|| {
        let pieces = token_ids.iter().map(|id| token_text(shared.backend, *id));
        pieces.collect::<Vec<_>>()
    });
    Ok(json!({
        "count": token_ids.len(),
        "max_model_len": shared.backend.fingerprint().context_length,
        "tokens": token_ids,
        "token_strs": pieces,
    }))
}

fn text_ids(shared: &Shared<'_>, text: &str, special: bool) -> Result<Vec<u32>, ApiError> {
    let bare = shared.backend.tokenize(text);
    let mut token_ids = bare.map_err(|error| model_error(&error))?;
    if special {
        token_ids.splice(0..0, shared.prefix.iter().copied());
    }
    Ok(token_ids)
}

pub(super) fn detokenize(shared: &Shared<'_>, body: &Detokenize) -> Result<Value, ApiError> {
    check_model(shared, body.model.as_deref())?;
    match shared.backend.decode(&body.tokens) {
        Some(text) => Ok(json!({"prompt": text, "content": text})),
        None => Err(ApiError::new(400, "this model has no tokenizer")),
    }
}
