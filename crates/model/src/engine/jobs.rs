//! Scoring jobs as sequences of tokens, and sequences' answers as responses.

use std::ops::Range;

use isogloss_record::{Encoded, Pooled, Response};

use super::core::Job;

/// One sequence to compute: a score job, one label of a choice, or the beginning of a score job whose
/// states are pooled.
pub(super) struct Sequence {
    /// The job's number.
    pub(super) job: usize,
    pub(super) adapter: usize,
    /// Which part of the job's answer: labels of a choice in their order, states before scores.
    pub(super) label: usize,
    pub(super) tokens: Vec<u32>,
    /// Positions `from..to` whose tokens are scored.
    pub(super) scored: Range<usize>,
    /// Greedy agreement counts from here on.
    pub(super) n_context: usize,
    pub(super) n_pooled: usize,
}

impl Sequence {
    /// Tokens that must go through the network: the last one only if its state is pooled.
    pub(super) fn n_computed(&self) -> usize {
        let n_scored = if self.scored.is_empty() {
            0
        } else {
            self.scored.end - 1
        };
        n_scored.max(self.n_pooled)
    }
}

/// What a scored sequence gave.
pub(super) struct Scored {
    pub(super) logprobs: Vec<f32>,
    pub(super) greedy: bool,
    pub(super) pooled: Option<Pooled>,
}

/// The sequences of a scoring job.
pub(super) fn sequences(job: &Job<'_>) -> Vec<Sequence> {
    let mut all = Vec::new();
    let (adapter, encoded) = (job.adapter, &*job.encoded);
    let job = job.key;
    match encoded {
        Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        } => {
            // Greedy agreement needs every token of the continuation.
            let from = (*scored_from).min(*n_context).max(1);
            let scored = from..token_ids.len().max(from);
            let sequence = |label, n_tokens, scored, n_pooled| Sequence {
                job,
                adapter,
                label,
                tokens: token_ids[..n_tokens].to_vec(),
                scored,
                n_context: *n_context,
                n_pooled,
            };
            if has_two_parts(*n_pooled, token_ids) {
                all.push(sequence(0, *n_pooled, 0..0, *n_pooled));
                all.push(sequence(1, token_ids.len(), scored, 0));
            } else {
                all.push(sequence(0, token_ids.len(), scored, *n_pooled));
            }
        }
        Encoded::Choose { token_ids, labels } => {
            all.extend(labels.iter().enumerate().map(|(label, ids)| {
                let tokens = [&token_ids[..], ids].concat();
                let scored = token_ids.len()..tokens.len();
                Sequence {
                    job,
                    adapter,
                    label,
                    tokens,
                    scored,
                    n_context: token_ids.len(),
                    n_pooled: 0,
                }
            }));
        }
        Encoded::Generate { .. } => {}
    }
    all
}

/// Whether the pooled beginning of a score job is a sequence of its own.
fn has_two_parts(n_pooled: usize, token_ids: &[u32]) -> bool {
    (1..token_ids.len()).contains(&n_pooled)
}

/// The answer to a job, once all its sequences are there.
pub(super) fn response(job: &Encoded, parts: &mut Vec<(usize, Scored)>) -> Option<Response> {
    match job {
        Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        } => {
            if parts.len() < 1 + usize::from(has_two_parts(*n_pooled, token_ids)) {
                return None;
            }
            parts.sort_by_key(|(label, _)| *label);
            let (_, scored) = parts.pop()?;
            let pooled = scored.pooled.or_else(|| parts.pop()?.1.pooled);
            let first = (*scored_from).min(*n_context).max(1);
            let logprob = |position: usize| {
                let wanted = position >= (*scored_from).max(1);
                wanted.then(|| scored.logprobs[position - first])
            };
            let logprobs = (0..token_ids.len()).map(logprob).collect();
            Some(Response::Score {
                logprobs,
                greedy: scored.greedy,
                pooled,
            })
        }
        Encoded::Choose { labels, .. } => {
            if parts.len() < labels.len() {
                return None;
            }
            parts.sort_by_key(|(label, _)| *label);
            // Summed in f64, so that long labels lose nothing.
            let sum =
                |scored: &Scored| scored.logprobs.iter().map(|x| f64::from(*x)).sum::<f64>() as f32;
            Some(Response::Choose {
                logprobs: parts.iter().map(|(_, scored)| sum(scored)).collect(),
            })
        }
        Encoded::Generate { .. } => None,
    }
}
