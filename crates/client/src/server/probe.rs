//! Are the log-probabilities that a server echoes those of the text? Asked before any work.
//!
//! Servers that do not know `echo` answer as if nothing had been asked, with zeros, or with the
//! log-probabilities of something else; every choice by likelihood is then at chance, silently.

use isogloss_model::encode::TextToIds;
use isogloss_record::Sampling;

use super::error::ServerError;
use super::http::Http;
use super::ids::Ids;
use super::wire::{self, Scored};

/// Two contexts that expect different things, and one continuation.
const CONTEXTS: [&str; 2] = [
    "The capital of France is",
    "One two three four five six seven eight nine ten. One two three four",
];
const CONTINUATION: &str = " five six seven";

/// Nats that the continuation must differ by, between the contexts: far below what any model
/// that reads them shows, far above rounding.
const DIFFERENCE: f64 = 1e-3;
/// By so much may listed probabilities exceed 1: half-precision servers round.
const EXCESS: f64 = 0.01;

/// How log-probabilities can be had from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scoring {
    /// New tokens that must be asked for.
    pub(super) n_extra: usize,
}

/// What was found: how to score, or why not; and the ids that were asked, as a mark of the
/// tokenizer.
pub(super) struct Probed {
    pub(super) scoring: Result<Scoring, String>,
    pub(super) ids: Vec<Vec<u32>>,
    /// Most probable tokens to ask for beside new ones, so that their log-probabilities come.
    pub(super) n_top: usize,
}

/// Asks two contexts with one continuation.
///
/// # Errors
/// Where the server cannot be asked at all.
pub(super) fn probe(http: &Http, model: &str, tokenizer: &Ids) -> Result<Probed, ServerError> {
    let ids_of = |text: &str| -> Result<Vec<u32>, ServerError> {
        let ids = tokenizer.tokenize(text);
        ids.map_err(|error| http.answer(error.to_string()))
    };
    let continuation = ids_of(CONTINUATION)?;
    let mut ids = Vec::new();
    for context in CONTEXTS {
        let mut sequence: Vec<u32> = tokenizer.added_bos().into_iter().collect();
        sequence.extend(ids_of(context)?);
        sequence.extend(&continuation);
        ids.push(sequence);
    }
    let scoring = score(http, model, &ids)?.and_then(|(scored, n_extra)| {
        check(&scored, continuation.len()).map(|()| Scoring { n_extra })
    });
    let n_top = n_top(http, model, &ids[0]);
    Ok(Probed {
        scoring,
        ids,
        n_top,
    })
}

/// llama.cpp takes `"logprobs": 0` for "none": 1 where 0 brings nothing. A server that does not draw
/// says so when it is asked to.
fn n_top(http: &Http, model: &str, ids: &[u32]) -> usize {
    let sampling = Sampling {
        max_tokens: 1,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    };
    let body = wire::generate_body(model, ids, &sampling, 1, 0);
    let answer = http.try_post("/completions", &body);
    let drawn = answer.ok().and_then(|answer| wire::drawn(answer).ok());
    usize::from(drawn.is_some_and(|drawn| drawn.logprobs.is_none()))
}

type Found = Result<(Vec<Scored>, usize), String>;

fn score(http: &Http, model: &str, ids: &[Vec<u32>]) -> Result<Found, ServerError> {
    let sequences: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
    let mut why = String::new();
    for n_extra in [0, 1] {
        let body = wire::score_body(model, &sequences, n_extra, 5);
        match http.try_post("/completions", &body) {
            Ok(answer) => match wire::scored(answer, &lengths, n_extra) {
                Ok(scored) => return Ok(Ok((scored, n_extra))),
                Err(found) => why = found,
            },
            // It may want one new token at least, or does not know the request at all.
            Err(ServerError::Refused {
                status: 400 | 404 | 405 | 422 | 500 | 501,
                why: found,
                ..
            }) => why = format!("it refuses `echo` with `logprobs`: {found}"),
            Err(error) => return Err(error),
        }
    }
    Ok(Err(why))
}

fn check(scored: &[Scored], n_continuation: usize) -> Result<(), String> {
    let mut sums = Vec::new();
    for one in scored {
        let after_first = || one.logprobs.iter().skip(1).flatten();
        if after_first().all(|x| *x == 0.0) {
            return Err("all of them are 0".into());
        }
        let mut distinct: Vec<u32> = after_first().map(|x| x.to_bits()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() == 1 {
            return Err("all of them are the same".into());
        }
        if let Some(sum) = one.listed.iter().find(|sum| **sum > 1.0 + EXCESS) {
            return Err(format!(
                "the probabilities at one position add up to {sum:.3}"
            ));
        }
        let from = one.logprobs.len() - n_continuation;
        let continuation = one.logprobs[from..].iter().flatten();
        sums.push(continuation.map(|x| f64::from(*x)).sum::<f64>());
    }
    if (sums[0] - sums[1]).abs() < DIFFERENCE {
        return Err(format!(
            "`{CONTINUATION}` has the same one ({:.3}) after `{}` and after `{}`",
            sums[0], CONTEXTS[0], CONTEXTS[1]
        ));
    }
    Ok(())
}
