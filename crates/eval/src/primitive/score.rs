//! `score`: log-probabilities of given texts.
//!
//! Input: `{"id","text"}`, `{"id","context","continuation"}` or `{"id","token_ids"}`. Output:
//! `{"id","token_ids","logprobs","n_context_tokens","loglikelihood","greedy","bits_per_byte"}`;
//! log-probabilities in nats, null where nothing precedes. With `n_tokens_cut` where texts may be cut.

use isogloss_model::{Backend, RunSettings};
use isogloss_record::{Encoded, Prompt, Request, Response, Span, Usage};
use serde_json::{Map, Value};

use super::{Input, PrimitiveError, Sink, answer_all};
use crate::jsonl::{Line, LineError, decimal};

const KNOWN: [&str; 4] = ["text", "context", "continuation", "token_ids"];

/// Scores every line.
pub fn score(
    backend: &dyn Backend,
    input: &Input<'_>,
    settings: &RunSettings<'_>,
    sink: Sink<'_>,
) -> Result<Usage, PrimitiveError> {
    answer_all(
        backend,
        input,
        settings,
        |line| request(line, input.file),
        answer,
        sink,
    )
}

fn request(line: &Line, file: &str) -> Result<Request, LineError> {
    let text = line.text("text", file)?;
    let context = line.text("context", file)?;
    let continuation = line.text("continuation", file)?;
    let token_ids = line.token_ids(file)?;
    let score = |context, continuation: &str| Request::Score {
        context,
        continuation: continuation.to_owned(),
        span: Span::All,
        pool: false,
    };
    let empty = |field: &str| {
        line.error(
            file,
            format!("`{field}` is empty: there is nothing to score"),
        )
    };
    match (text, context, continuation, token_ids) {
        (Some(""), None, None, None) => Err(empty("text")),
        (Some(text), None, None, None) => Ok(score(Prompt::Text(String::new()), text)),
        (None, Some(_), Some(""), None) => Err(empty("continuation")),
        (None, Some(context), Some(continuation), None) => {
            Ok(score(Prompt::Text(context.to_owned()), continuation))
        }
        (None, None, None, Some(ids)) if ids.is_empty() => Err(empty("token_ids")),
        (None, None, None, Some(ids)) => Ok(score(Prompt::Tokens(ids), "")),
        _ => Err(line.error(
            file,
            "expected `text`, or `context` and `continuation`, or `token_ids`, and only one of these"
                .to_owned(),
        )),
    }
}

fn answer(line: &Line, job: &Encoded, response: Response) -> Map<String, Value> {
    let (
        Encoded::Score {
            token_ids,
            n_context,
            ..
        },
        Response::Score {
            logprobs, greedy, ..
        },
    ) = (job, response)
    else {
        unreachable!("a score request is answered by a score");
    };
    let scored = &logprobs[*n_context..];
    let loglikelihood: f64 = scored
        .iter()
        .flatten()
        .map(|&logprob| f64::from(logprob))
        .sum();
    let bits_per_byte = n_bytes(line)
        .filter(|&n_bytes| n_bytes > 0)
        .map(|n_bytes| -loglikelihood / std::f64::consts::LN_2 / n_bytes as f64);
    let written: Vec<Value> = logprobs
        .iter()
        .map(|logprob| logprob.map_or(Value::Null, decimal))
        .collect();
    line.answer(
        &KNOWN,
        vec![
            ("token_ids", token_ids.clone().into()),
            ("logprobs", written.into()),
            ("n_context_tokens", (*n_context).into()),
            ("loglikelihood", loglikelihood.into()),
            ("greedy", greedy.into()),
            ("bits_per_byte", bits_per_byte.into()),
        ],
    )
}

/// UTF-8 bytes of what was scored: the text, or the continuation with the white space that moved
/// to it; `None` for token ids.
fn n_bytes(line: &Line) -> Option<usize> {
    let field = |name| line.fields.get(name).and_then(Value::as_str);
    if let Some(text) = field("text") {
        return Some(text.len());
    }
    let context = field("context")?;
    let n_moved = if context.trim_end().is_empty() {
        0
    } else {
        context.len() - context.trim_end().len()
    };
    Some(field("continuation")?.len() + n_moved)
}
