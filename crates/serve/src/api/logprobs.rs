//! Log-probabilities in the two shapes of the OpenAI API.

use std::fmt::Write;

use isogloss_model::Backend;
use serde_json::{Map, Value, json};

/// A token's text; of bytes that are no text alone, `bytes:\xE0\xB8`; where the model cannot say,
/// `token_id:17`.
pub(super) fn token_text(backend: &dyn Backend, id: u32) -> String {
    let Some(bytes) = backend.bytes_of(id) else {
        return format!("token_id:{id}");
    };
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut text = "bytes:".to_owned();
        for byte in error.into_bytes() {
            write!(text, "\\x{byte:02X}").expect("a string takes all text");
        }
        text
    })
}

/// A number in as few digits as read back to it; null where it is not finite.
pub(super) fn decimal(number: f32) -> Value {
    let shortest: f64 = number
        .to_string()
        .parse()
        .expect("what a number is written as is a number");
    shortest.into()
}

/// One position of an answer.
pub(super) struct Position<'a> {
    pub(super) id: u32,
    /// `None` where nothing precedes.
    pub(super) logprob: Option<f32>,
    /// The most probable tokens; empty where none were asked for.
    pub(super) top: &'a [(u32, f32)],
}

/// `logprobs` of a completion. `offset` counts the characters before, and is moved on.
pub(super) fn of_completion(
    backend: &dyn Backend,
    positions: &[Position<'_>],
    n_top: usize,
    offset: &mut usize,
) -> Value {
    let (mut tokens, mut logprobs, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
    for position in positions {
        tokens.push(Value::from(token_text(backend, position.id)));
        logprobs.push(position.logprob.map_or(Value::Null, decimal));
        tops.push(match position.logprob {
            Some(_) if n_top > 0 => Value::Object(top(backend, position.top)),
            _ => Value::Null,
        });
        offsets.push(Value::from(*offset));
        *offset += n_characters(backend, position.id);
    }
    json!({
        "tokens": tokens,
        "token_logprobs": logprobs,
        "top_logprobs": if n_top > 0 { Value::Array(tops) } else { Value::Null },
        "text_offset": offsets,
    })
}

/// Texts with log-probabilities; of two tokens with one text, the more probable.
fn top(backend: &dyn Backend, top: &[(u32, f32)]) -> Map<String, Value> {
    let mut map = Map::new();
    for (id, logprob) in top {
        map.entry(token_text(backend, *id))
            .or_insert_with(|| decimal(*logprob));
    }
    map
}

/// Characters that begin in a token; special tokens are no text.
fn n_characters(backend: &dyn Backend, id: u32) -> usize {
    if backend.decode(&[id]).is_none_or(|text| text.is_empty()) {
        return 0;
    }
    let bytes = backend.bytes_of(id).unwrap_or_default();
    // Bytes 10xxxxxx go on with a character.
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// `logprobs` of a chat answer.
pub(super) fn of_chat(backend: &dyn Backend, positions: &[Position<'_>]) -> Value {
    let one = |id: u32, logprob: Option<f32>| {
        json!({
            "token": token_text(backend, id),
            "logprob": logprob.map_or(Value::Null, decimal),
            "bytes": backend.bytes_of(id),
        })
    };
    let content: Vec<Value> = positions
        .iter()
        .map(|position| {
            let mut entry = one(position.id, position.logprob);
            let top = position
                .top
                .iter()
                .map(|(id, logprob)| one(*id, Some(*logprob)));
            entry["top_logprobs"] = top.collect::<Vec<_>>().into();
            entry
        })
        .collect();
    json!({ "content": content })
}
