//! `generate`: continuations of prompts and answers to dialogues.
//!
//! Input: `{"id","prompt"}` or `{"id","messages":[{"role","content"}]}`. Output:
//! `{"id","text","token_ids","logprobs","finish_reason"}`, the new ids only;
//! null where a server does not tell ids or log-probabilities.

use isogloss_model::{Backend, RunSettings};
use isogloss_record::{Encoded, Message, Prompt, Request, Response, Sampling, Usage};
use serde_json::{Map, Value};

use super::{Input, PrimitiveError, Sink, answer_all};
use crate::jsonl::{Line, LineError, decimal};

const KNOWN: [&str; 2] = ["prompt", "messages"];

/// Continues every line.
pub fn generate(
    backend: &dyn Backend,
    input: &Input<'_>,
    sampling: &Sampling,
    settings: &RunSettings<'_>,
    sink: Sink<'_>,
) -> Result<Usage, PrimitiveError> {
    let request = |line: &Line| {
        Ok(Request::Generate {
            prompt: prompt(line, input.file)?,
            sampling: sampling.clone(),
        })
    };
    answer_all(backend, input, settings, request, answer, sink)
}

fn prompt(line: &Line, file: &str) -> Result<Prompt, LineError> {
    match (line.text("prompt", file)?, line.fields.get("messages")) {
        (Some(text), None) => Ok(Prompt::Text(text.to_owned())),
        (None, Some(messages)) => {
            let messages: Vec<Message> =
                serde_json::from_value(messages.clone()).map_err(|error| {
                    line.error(
                        file,
                        format!("`messages` must be a list of {{\"role\", \"content\"}}: {error}"),
                    )
                })?;
            if messages.is_empty() {
                return Err(line.error(file, "`messages` is empty".to_owned()));
            }
            Ok(Prompt::Chat(messages))
        }
        _ => Err(line.error(
            file,
            "expected `prompt` or `messages`, and only one of these".to_owned(),
        )),
    }
}

fn answer(line: &Line, _: &Encoded, response: Response) -> Map<String, Value> {
    let Response::Generate {
        token_ids,
        text,
        logprobs,
        finish_reason,
    } = response
    else {
        unreachable!("a generate request is answered by a generation");
    };
    let finish_reason = serde_json::to_value(finish_reason).expect("a plain value");
    line.answer(
        &KNOWN,
        vec![
            ("text", text.into()),
            ("token_ids", token_ids.into()),
            (
                "logprobs",
                logprobs
                    .map(|all| all.into_iter().map(decimal).collect::<Vec<Value>>())
                    .into(),
            ),
            ("finish_reason", finish_reason),
        ],
    )
}
