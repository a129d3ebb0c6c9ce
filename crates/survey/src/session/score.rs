//! Groups of texts or words as requests, and their answers as scores.
//!
//! Raw text for every model: context, a blank line, option; the prior is the same with the context
//! empty. The blank line's own tokens are left out of the option's bits.

use std::collections::BTreeSet;

use isogloss_eval::run::{Answer, Progress as Asked, Runner};
use isogloss_model::{Backend, BackendError};
use isogloss_record::{Encoded, Pooled, Prompt, Request, Response, Span};

use crate::error::SurveyError;
use crate::items::GROUP;
use crate::measures::choice::GroupScores;

/// What stands between a text and its continuation.
const BLANK_LINE: &str = "\n\n";

/// Four contexts and four options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) contexts: [&'a str; GROUP],
    pub(crate) options: [&'a str; GROUP],
}

impl<'a> Question<'a> {
    pub(crate) fn new(contexts: &'a [String; GROUP], options: &'a [String; GROUP]) -> Self {
        Self {
            contexts: contexts.each_ref().map(String::as_str),
            options: options.each_ref().map(String::as_str),
        }
    }
}

/// What is wanted beside the options' log-probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing.
    Options,
    /// The context's own log-probabilities.
    ContextBits,
    /// Those, and its hidden states.
    ContextStates,
}

/// What a group of questions gave.
#[derive(Debug, Clone)]
pub(crate) struct Scored {
    pub(crate) scores: GroupScores,
    /// ln p of each context, in nats; 0 unless it was wanted.
    pub(crate) context_nats: [f64; GROUP],
    /// Hidden states of each context; `None` unless they were wanted.
    pub(crate) states: [Option<Pooled>; GROUP],
}

/// Requests per question: sixteen pairs and four priors.
const N_REQUESTS: usize = GROUP * GROUP + GROUP;

/// Asks questions, all in one call so that what they share is computed once.
pub(crate) fn score(
    runner: &mut Runner<'_>,
    questions: &[Question<'_>],
    want: Want,
    on_progress: &mut dyn FnMut(Asked),
) -> Result<Vec<Scored>, SurveyError> {
    let separators = separators(runner.backend())?;
    let mut requests = Vec::with_capacity(questions.len() * N_REQUESTS);
    for question in questions {
        for (i, context) in question.contexts.iter().enumerate() {
            for (j, option) in question.options.iter().enumerate() {
                let own = i == j && want != Want::Options;
                let span = if own { Span::All } else { Span::Continuation };
                let pool = own && want == Want::ContextStates;
                requests.push(pair(context, option, span, pool));
            }
        }
        for option in question.options {
            requests.push(pair("", option, Span::All, false));
        }
    }
    let mut answers = runner.ask(&requests, on_progress)?;
    answers
        .chunks_exact_mut(N_REQUESTS)
        .map(|answers| {
            let mut scored = Scored {
                scores: GroupScores {
                    conditional: [[0.0; GROUP]; GROUP],
                    prior: [0.0; GROUP],
                },
                context_nats: [0.0; GROUP],
                states: [const { None }; GROUP],
            };
            for (index, answer) in answers.iter_mut().enumerate() {
                let (i, j) = (index / GROUP, index % GROUP);
                let nats = option_nats(answer, &separators)?;
                if i == GROUP {
                    scored.scores.prior[j] = nats;
                    continue;
                }
                scored.scores.conditional[i][j] = nats;
                if i == j && want != Want::Options {
                    scored.context_nats[i] = context_nats(answer)?;
                    scored.states[i] = take_states(answer);
                }
            }
            Ok(scored)
        })
        .collect()
}

/// An option after a context (after none: the prior).
pub(crate) fn pair(context: &str, option: &str, span: Span, pool: bool) -> Request {
    Request::Score {
        context: Prompt::Text(context.to_owned()),
        continuation: format!("{BLANK_LINE}{option}"),
        span,
        pool,
    }
}

/// Every option after every context, `[context][option]`, and after none: ln p in nats.
pub(crate) fn score_all(
    runner: &mut Runner<'_>,
    contexts: &[String],
    options: &[String],
    on_progress: &mut dyn FnMut(Asked),
) -> Result<(Vec<Vec<f64>>, Vec<f64>), SurveyError> {
    let separators = separators(runner.backend())?;
    let priors = options
        .iter()
        .map(|option| pair("", option, Span::All, false));
    let requests: Vec<Request> = (contexts.iter())
        .flat_map(|context| {
            let span = Span::Continuation;
            options
                .iter()
                .map(move |option| pair(context, option, span, false))
        })
        .chain(priors)
        .collect();
    let answers = runner.ask(&requests, on_progress)?;
    let mut nats = answers
        .iter()
        .map(|answer| option_nats(answer, &separators));
    let mut row = || {
        nats.by_ref()
            .take(options.len())
            .collect::<Result<Vec<f64>, _>>()
    };
    let conditional = contexts.iter().map(|_| row()).collect::<Result<_, _>>()?;
    Ok((conditional, row()?))
}

/// A whole text's ln p in nats, with its hidden states where they are wanted.
pub(crate) fn roll(
    runner: &mut Runner<'_>,
    texts: &[&str],
    want_states: bool,
) -> Result<Vec<(f64, Option<Pooled>)>, SurveyError> {
    let requests: Vec<Request> = texts
        .iter()
        .map(|text| Request::Score {
            context: Prompt::Text(String::new()),
            continuation: (*text).to_owned(),
            span: Span::All,
            pool: want_states,
        })
        .collect();
    runner
        .ask(&requests, &mut |_| {})?
        .iter_mut()
        .map(|answer| {
            let (_, logprobs, _) = parts(answer)?;
            let nats = logprobs.iter().flatten().map(|&x| f64::from(x)).sum();
            Ok((nats, take_states(answer)))
        })
        .collect()
}

/// Ids that blank lines are written with, whatever a tokenizer merges.
fn separators(backend: &dyn Backend) -> Result<BTreeSet<u32>, BackendError> {
    let mut ids = BTreeSet::new();
    for text in ["\n", BLANK_LINE] {
        ids.extend(backend.tokenize(text)?);
    }
    Ok(ids)
}

/// Ids, log-probabilities and context length of a scored sequence.
type Parts<'a> = (&'a [u32], &'a [Option<f32>], usize);

fn parts(answer: &Answer) -> Result<Parts<'_>, SurveyError> {
    match (&answer.encoded, &answer.response) {
        (
            Encoded::Score {
                token_ids,
                n_context,
                ..
            },
            Response::Score { logprobs, .. },
        ) if logprobs.len() == token_ids.len() => Ok((token_ids, logprobs, *n_context)),
        _ => Err(BackendError::Invalid(
            "a scored text was answered with something else than one number per token".to_owned(),
        )
        .into()),
    }
}

/// ln p of the continuation without the blank line before it. A token without a log-probability is
/// a BOS, or the blank line of a tokenizer without BOS: nothing precedes it.
fn option_nats(answer: &Answer, separators: &BTreeSet<u32>) -> Result<f64, SurveyError> {
    let (token_ids, logprobs, n_context) = parts(answer)?;
    Ok(token_ids
        .iter()
        .zip(logprobs)
        .skip(n_context)
        .skip_while(|(id, logprob)| logprob.is_none() || separators.contains(id))
        .filter_map(|(_, logprob)| logprob.map(f64::from))
        .sum())
}

fn context_nats(answer: &Answer) -> Result<f64, SurveyError> {
    let (_, logprobs, n_context) = parts(answer)?;
    Ok(logprobs[..n_context]
        .iter()
        .flatten()
        .map(|&x| f64::from(x))
        .sum())
}

fn take_states(answer: &mut Answer) -> Option<Pooled> {
    match &mut answer.response {
        Response::Score { pooled, .. } => pooled.take(),
        _ => None,
    }
}
