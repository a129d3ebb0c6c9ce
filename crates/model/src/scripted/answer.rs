//! Answers of a scripted model, token by token.

use isogloss_record::{Encoded, FinishReason, Pooled, Response};

use super::knowledge::{Knowledge, N_LAYERS};
use super::{BOS, decode, ids};

/// What stands between a context and the text that is asked about.
const BLANK_LINE: &str = "\n\n";

/// ln p of a token that carries nothing: of a blank line, of a continuation's own choice.
const SURE: f32 = -0.1;

pub(super) fn answer(knowledge: &Knowledge, job: &Encoded) -> Response {
    match job {
        Encoded::Score {
            token_ids,
            scored_from,
            n_pooled,
            ..
        } => Response::Score {
            logprobs: logprobs(knowledge, token_ids)
                .into_iter()
                .enumerate()
                .map(|(position, logprob)| (position >= (*scored_from).max(1)).then_some(logprob))
                .collect(),
            greedy: false,
            pooled: (*n_pooled > 0).then(|| pooled(knowledge, &token_ids[..*n_pooled])),
        },
        Encoded::Choose { token_ids, labels } => Response::Choose {
            logprobs: labels
                .iter()
                .map(|label| {
                    let whole: Vec<u32> = token_ids.iter().chain(label).copied().collect();
                    logprobs(knowledge, &whole)[token_ids.len()..].iter().sum()
                })
                .collect(),
        },
        Encoded::Generate {
            token_ids,
            sampling,
        } => {
            let prompt = decode(token_ids);
            let text: String = knowledge
                .continuation(&prompt, sampling.max_tokens)
                .chars()
                .take(sampling.max_tokens)
                .collect();
            let end = sampling
                .stop
                .iter()
                .filter(|stop| !stop.is_empty())
                .filter_map(|stop| text.find(stop.as_str()))
                .min();
            let text = text[..end.unwrap_or(text.len())].to_owned();
            let token_ids: Vec<u32> = ids(&text).collect();
            Response::Generate {
                logprobs: Some(vec![SURE; token_ids.len()]),
                token_ids: Some(token_ids),
                text,
                finish_reason: if end.is_some() {
                    FinishReason::Stop
                } else {
                    FinishReason::Length
                },
            }
        }
    }
}

/// ln p of each token; of the first it means nothing.
fn logprobs(knowledge: &Knowledge, token_ids: &[u32]) -> Vec<f32> {
    let text = decode(token_ids);
    let (context, separator, asked) = match text.split_once(BLANK_LINE) {
        Some((context, asked)) => (context, BLANK_LINE, asked),
        None => ("", "", text.as_str()),
    };
    let n_bos = token_ids.iter().take_while(|&&id| id == BOS).count();
    let mut logprobs = vec![SURE; n_bos];
    for (text, nats) in [
        (context, knowledge.nats("", context)),
        (
            separator,
            f64::from(SURE) * separator.chars().count() as f64,
        ),
        (asked, knowledge.nats(context, asked)),
    ] {
        let n = text.chars().count();
        logprobs.extend(std::iter::repeat_n((nats / n.max(1) as f64) as f32, n));
    }
    // An id of no character in the middle of a text has a probability too.
    logprobs.resize(token_ids.len(), SURE);
    logprobs
}

fn pooled(knowledge: &Knowledge, token_ids: &[u32]) -> Pooled {
    let text = decode(token_ids);
    let states: Vec<Vec<f32>> = (0..N_LAYERS)
        .map(|layer| knowledge.state(&text, layer))
        .collect();
    Pooled {
        mean: states.clone(),
        last: states,
    }
}
