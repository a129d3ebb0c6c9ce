//! Requests and answers of `/v1/completions`.

use std::collections::BTreeMap;

use isogloss_record::{FinishReason, Sampling};
use serde::Deserialize;
use serde_json::{Value, json};

/// Log-probabilities of a sequence that stands in the prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// One per token; of the first it means nothing.
    pub(super) logprobs: Vec<Option<f32>>,
    /// Whether a token is the most probable at its position; false where that is not told.
    pub(super) is_best: Vec<bool>,
    /// Sum of the probabilities that are listed at each position; 0 where none are.
    pub(super) listed: Vec<f64>,
}

/// A continuation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    pub(super) text: String,
    /// Where the server tells them.
    pub(super) token_ids: Option<Vec<u32>>,
    /// One per id, where the server tells them.
    pub(super) logprobs: Option<Vec<f32>>,
    pub(super) finish_reason: FinishReason,
}

/// Asks for the log-probabilities of sequences: the call of lm-evaluation-harness, in ids.
///
/// `n_extra` new tokens are asked for: 0, or 1 where the server refuses 0.
pub(super) fn score_body(model: &str, sequences: &[&[u32]], n_extra: usize, n_top: usize) -> Value {
    json!({
        "model": model,
        "prompt": sequences,
        "max_tokens": n_extra,
        "temperature": 0.0,
        "echo": true,
        "logprobs": n_top,
        "seed": 0,
    })
}

pub(super) fn generate_body(
    model: &str,
    prompt: &[u32],
    sampling: &Sampling,
    max_tokens: usize,
    n_top: usize,
) -> Value {
    let mut body = json!({
        "model": model,
        "prompt": [prompt],
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "logprobs": n_top,
        "return_token_ids": true,
    });
    if sampling.temperature > 0.0 {
        // The model's own distribution: some servers cut its tail unless they are told not to.
        body["top_p"] = json!(1.0);
        body["top_k"] = json!(-1);
        body["min_p"] = json!(0.0);
    }
    if !sampling.stop.is_empty() {
        body["stop"] = json!(sampling.stop);
    }
    body
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    index: usize,
    #[serde(default)]
    text: String,
    logprobs: Option<Value>,
    finish_reason: Option<String>,
    token_ids: Option<Vec<u32>>,
}

/// `logprobs` of a continuation in the shape of chats, as llama.cpp gives them.
#[derive(Deserialize)]
struct Content {
    content: Vec<Token>,
}

#[derive(Deserialize)]
struct Token {
    id: Option<u32>,
    logprob: f64,
}

#[derive(Deserialize)]
struct Logprobs {
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Option<Vec<Option<BTreeMap<String, f64>>>>,
}

/// Choices in the order of their prompts; there must be `n`.
fn choices(answer: Value, n: usize) -> Result<Vec<Choice>, String> {
    let completion: Completion =
        serde_json::from_value(answer).map_err(|error| format!("it is no completion: {error}"))?;
    let mut choices = completion.choices;
    choices.sort_by_key(|choice| choice.index);
    if choices.len() != n || choices.iter().enumerate().any(|(i, c)| c.index != i) {
        return Err(format!(
            "{n} prompts were sent and choices {:?} came back",
            choices
                .iter()
                .map(|choice| choice.index)
                .collect::<Vec<_>>()
        ));
    }
    Ok(choices)
}

/// Per sequence its log-probabilities.
///
/// # Errors
/// What is wrong with the answer, in words that follow "it".
pub(super) fn scored(
    answer: Value,
    n_tokens: &[usize],
    n_extra: usize,
) -> Result<Vec<Scored>, String> {
    let choices = choices(answer, n_tokens.len())?;
    (choices.into_iter().zip(n_tokens))
        .map(|(choice, &n)| {
            let value = choice
                .logprobs
                .filter(|value| !value.is_null())
                .ok_or("it ignores `logprobs`")?;
            let found: Logprobs = serde_json::from_value(value)
                .map_err(|_| "its `logprobs` are not those of a completion (`token_logprobs`)")?;
            let n_found = found.token_logprobs.len();
            if !(n..=n + n_extra).contains(&n_found) {
                return Err(if n_found <= n_extra {
                    format!("it ignores `echo`: {n_found} log-probabilities for {n} tokens")
                } else {
                    format!("it gives {n_found} log-probabilities for {n} tokens")
                });
            }
            let mut scored = Scored {
                logprobs: Vec::with_capacity(n),
                is_best: Vec::with_capacity(n),
                listed: Vec::with_capacity(n),
            };
            for (at, logprob) in found.token_logprobs.into_iter().take(n).enumerate() {
                let top = found
                    .top_logprobs
                    .as_ref()
                    .and_then(|top| top.get(at)?.as_ref());
                if at > 0 && !logprob.is_some_and(|x| x.is_finite() && x <= 1e-3) {
                    return Err(format!("it gives {logprob:?} as a log-probability"));
                }
                let highest = top.iter().flat_map(|top| top.values()).copied();
                let highest = highest.fold(f64::NEG_INFINITY, f64::max);
                scored
                    .is_best
                    .push(logprob.is_some_and(|x| highest.is_finite() && x >= highest));
                scored.listed.push(
                    top.iter()
                        .flat_map(|top| top.values())
                        .map(|x| x.exp())
                        .sum(),
                );
                scored.logprobs.push(logprob.map(|x| x as f32));
            }
            Ok(scored)
        })
        .collect()
}

/// One continuation.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn drawn(answer: Value) -> Result<Drawn, String> {
    let choice = choices(answer, 1)?.swap_remove(0);
    let (mut token_ids, mut logprobs) = (choice.token_ids, None);
    if let Some(value) = choice.logprobs.filter(|value| !value.is_null()) {
        if let Ok(found) = serde_json::from_value::<Logprobs>(value.clone()) {
            logprobs = found
                .token_logprobs
                .into_iter()
                .collect::<Option<Vec<f64>>>();
        } else if let Ok(found) = serde_json::from_value::<Content>(value) {
            let ids = found.content.iter().map(|token| token.id);
            token_ids = token_ids.or_else(|| ids.collect());
            logprobs = Some(found.content.iter().map(|token| token.logprob).collect());
        }
    }
    let logprobs = logprobs.map(|all| all.into_iter().map(|x| x as f32).collect::<Vec<f32>>());
    if let (Some(ids), Some(logprobs)) = (&token_ids, &logprobs)
        && ids.len() != logprobs.len()
    {
        let (n, m) = (ids.len(), logprobs.len());
        return Err(format!("it gives {m} log-probabilities for {n} new tokens"));
    }
    let finish_reason = match choice.finish_reason.as_deref() {
        Some("stop") => FinishReason::Stop,
        Some("length") => FinishReason::Length,
        other => return Err(format!("it ends for the reason {other:?}")),
    };
    Ok(Drawn {
        text: choice.text,
        token_ids,
        logprobs,
        finish_reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(logprobs: &Value) -> Value {
        json!({"choices": [{"index": 0, "text": "", "logprobs": logprobs, "finish_reason": "length"}]})
    }

    #[test]
    fn log_probabilities_are_read() {
        let found = scored(
            answer(&json!({
                "token_logprobs": [null, -0.5, -2.0, -9.0],
                "top_logprobs": [null, {"a": -0.5}, {"b": -1.0, "c": -2.0}, {"d": -9.0}],
            })),
            &[3],
            1,
        )
        .unwrap();
        let sum = (-1.0_f64).exp() + (-2.0_f64).exp();
        assert_eq!(
            found,
            [Scored {
                logprobs: vec![None, Some(-0.5), Some(-2.0)],
                is_best: vec![false, true, false],
                listed: vec![0.0, (-0.5_f64).exp(), sum],
            }]
        );
    }

    #[test]
    fn continuations_are_read_in_both_shapes_and_what_is_not_told_is_absent() {
        let read = |logprobs: &Value| {
            let drawn = drawn(answer(logprobs)).unwrap();
            (drawn.token_ids, drawn.logprobs)
        };
        assert_eq!(read(&json!(null)), (None, None));
        assert_eq!(
            read(&json!({"token_logprobs": [-0.5, -2.0]})),
            (None, Some(vec![-0.5, -2.0]))
        );
        let content = json!({"content": [{"id": 7, "logprob": -0.5}, {"id": 9, "logprob": -2.0}]});
        assert_eq!(read(&content), (Some(vec![7, 9]), Some(vec![-0.5, -2.0])));
        let no_ids = json!({"content": [{"token": "a", "logprob": -0.5}]});
        assert_eq!(read(&no_ids), (None, Some(vec![-0.5])));
        let mut uneven = answer(&json!({"token_logprobs": [-0.5, -2.0]}));
        uneven["choices"][0]["token_ids"] = json!([1, 2, 3]);
        assert!(
            drawn(uneven)
                .unwrap_err()
                .contains("2 log-probabilities for 3")
        );
    }

    #[test]
    fn draws_are_from_the_whole_distribution() {
        let sampling = |temperature| Sampling {
            max_tokens: 3,
            temperature,
            seed: 4,
            stop: Vec::new(),
        };
        let body = generate_body("m", &[1], &sampling(0.7), 3, 1);
        assert_eq!(
            (
                &body["top_p"],
                &body["top_k"],
                &body["min_p"],
                &body["seed"]
            ),
            (&json!(1.0), &json!(-1), &json!(0.0), &json!(4))
        );
        assert!(generate_body("m", &[1], &sampling(0.0), 3, 1)["top_k"].is_null());
    }

    #[test]
    fn answers_that_are_no_log_probabilities_are_named() {
        for (logprobs, part) in [
            (json!(null), "ignores `logprobs`"),
            (json!({"content": []}), "not those of a completion"),
            (json!({"token_logprobs": [-1.0]}), "ignores `echo`"),
            (json!({"token_logprobs": [null, null, -1.0]}), "None"),
            (json!({"token_logprobs": [null, 0.5, -1.0]}), "0.5"),
            (json!({"token_logprobs": [0, 0, 0, 0, 0]}), "gives 5"),
        ] {
            let error = scored(answer(&logprobs), &[3], 1).unwrap_err();
            assert!(error.contains(part), "{logprobs}: {error}");
        }
        let two = json!({"choices": [{"index": 0, "text": ""}, {"index": 0, "text": ""}]});
        assert!(scored(two, &[3, 3], 0).unwrap_err().contains("[0, 0]"));
    }
}
