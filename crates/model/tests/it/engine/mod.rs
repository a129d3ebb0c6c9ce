//! The native engine on tiny models: against slow loops, and against itself.

mod economy;
mod faults;
mod same_bytes;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::Family;
use isogloss_model::engine::{EngineOptions, Network};
use isogloss_model::{BackendError, Isa, RunSettings};
use isogloss_record::{Encoded, FinishReason, Response, Sampling, Usage};

use crate::reference;
use crate::tiny::{FAMILIES, Tiny, ids};

pub(crate) const VOCAB: usize = 1_100;

/// How a run is computed; none of it may change a byte.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) threads: usize,
    pub(crate) batch_size: usize,
    pub(crate) share_prefixes: bool,
    pub(crate) isa: Option<Isa>,
    pub(crate) cache_bytes: usize,
}

pub(crate) const STRAIGHT: Way = Way {
    threads: 1,
    batch_size: 1,
    share_prefixes: false,
    isa: None,
    cache_bytes: 1 << 30,
};

pub(crate) fn load(model: Tiny, way: Way) -> Network {
    let options = EngineOptions {
        threads: NonZeroUsize::new(way.threads),
        cache_bytes: way.cache_bytes,
        isa: way.isa,
        ..EngineOptions::default()
    };
    let config = model.config.clone();
    Network::load(&config, Arc::new(model), "tiny", Some(0), &options).unwrap()
}

fn try_run(
    network: &Network,
    way: Way,
    jobs: &[Encoded],
) -> Result<(Vec<Response>, Usage), BackendError> {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: way.batch_size,
        share_prefixes: way.share_prefixes,
        cancel: &cancel,
    };

    let mut answers = vec![None; jobs.len()];
    let usage = network.run(jobs, &settings, &[], &text, &mut |i, response| {
        assert!(
            answers[i].replace(response).is_none(),
            "job {i} is answered once"
        );
    })?;
    Ok((
        answers
            .into_iter()
            .map(|a| a.expect("every job is answered"))
            .collect(),
        usage,
    ))
}

/// A text that shows its ids.
pub(crate) fn text(ids: &[u32]) -> String {
    ids.iter()
        .fold(String::new(), |text, id| text + &format!("<{id}>"))
}

pub(crate) fn run(network: &Network, way: Way, jobs: &[Encoded]) -> Vec<Response> {
    try_run(network, way, jobs).unwrap().0
}

pub(crate) fn score(
    token_ids: Vec<u32>,
    n_context: usize,
    scored_from: usize,
    n_pooled: usize,
) -> Encoded {
    Encoded::Score {
        token_ids,
        n_context,
        scored_from,
        n_pooled,
    }
}

pub(crate) fn greedy(max_tokens: usize) -> Sampling {
    Sampling {
        max_tokens,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    }
}

/// Related and unrelated sequences: shared contexts, one the beginning of another, duplicates,
/// single tokens, nothing to score, lengths around blocks of 32.
pub(crate) fn mixed_jobs() -> Vec<Encoded> {
    let context = ids(1, 45, VOCAB);
    let mut jobs = Vec::new();
    for (seed, n) in [(2, 1), (3, 7), (4, 33), (5, 20)] {
        let tokens = [context.clone(), ids(seed, n, VOCAB)].concat();
        jobs.push(score(tokens, 45, 45, 0));
    }
    jobs.push(score(context.clone(), 0, 1, 0));
    jobs.push(score(context[..31].to_vec(), 10, 0, 0));
    jobs.push(score(context.clone(), 0, 1, 0));
    jobs.push(score(context.clone(), 45, 45, 45));
    jobs.push(score([&[0], &context[..20]].concat(), 21, 21, 21));
    jobs.push(score(ids(9, 1, VOCAB), 0, 0, 0));
    jobs.push(score(ids(9, 1, VOCAB), 0, 0, 1));
    jobs.push(score(ids(10, 64, VOCAB), 64, 64, 0));
    jobs.push(score(ids(11, 150, VOCAB), 3, 3, 100));
    jobs.push(score(Vec::new(), 0, 0, 0));
    jobs.push(Encoded::Choose {
        token_ids: context[..30].to_vec(),
        labels: vec![vec![5], vec![7, 8, 9], vec![5, 6]],
    });
    jobs.push(Encoded::Generate {
        token_ids: context.clone(),
        sampling: greedy(12),
    });
    jobs.push(Encoded::Generate {
        token_ids: context[..40].to_vec(),
        sampling: Sampling {
            temperature: 1.3,
            seed: 4,
            ..greedy(70)
        },
    });
    jobs.push(Encoded::Generate {
        token_ids: ids(12, 1, VOCAB),
        sampling: greedy(5),
    });
    jobs.push(Encoded::Generate {
        token_ids: ids(12, 3, VOCAB),
        sampling: greedy(0),
    });
    jobs
}

/// Bytes of an answer, hidden states included.
fn bytes(response: &Response) -> Vec<u32> {
    match response {
        Response::Score {
            logprobs,
            greedy,
            pooled,
        } => {
            let mut all: Vec<u32> = logprobs
                .iter()
                .map(|x| x.map_or(u32::MAX, f32::to_bits))
                .collect();
            all.push(u32::from(*greedy));
            if let Some(pooled) = pooled {
                all.extend(
                    pooled
                        .mean
                        .iter()
                        .chain(&pooled.last)
                        .flatten()
                        .map(|x| x.to_bits()),
                );
            }
            all
        }
        Response::Choose { logprobs } => logprobs.iter().map(|x| x.to_bits()).collect(),
        Response::Generate {
            token_ids,
            logprobs,
            ..
        } => (token_ids.iter().flatten().copied())
            .chain(logprobs.iter().flatten().map(|x| x.to_bits()))
            .collect(),
    }
}

#[track_caller]
pub(crate) fn assert_same(what: &str, want: &[Response], got: &[Response]) {
    for (i, (want, got)) in want.iter().zip(got).enumerate() {
        assert_eq!(bytes(want), bytes(got), "{what}: job {i}");
        assert_eq!(want, got, "{what}: job {i}");
    }
}

#[test]
fn every_family_agrees_with_slow_loops() {
    for family in FAMILIES {
        let tokens = ids(21, 90, VOCAB);
        let want = reference::run(&Tiny::new(family, 3), &tokens);
        let network = load(Tiny::new(family, 3), STRAIGHT);
        let answers = run(
            &network,
            STRAIGHT,
            &[score(tokens.clone(), 0, 1, tokens.len())],
        );
        let Response::Score {
            logprobs,
            pooled: Some(pooled),
            ..
        } = &answers[0]
        else {
            panic!("{answers:?}")
        };
        assert_eq!(logprobs[0], None);
        for (t, logprob) in logprobs.iter().enumerate().skip(1) {
            let want = want.logprobs[t - 1][tokens[t] as usize];
            let got = f64::from(logprob.unwrap());
            assert!(
                (want - got).abs() < 2e-4,
                "{family:?}, position {t}: want {want}, got {got}"
            );
        }
        for layer in 0..3 {
            let rows = &want.hidden[layer];
            for i in 0..40 {
                let (mean, last) = (rows.iter().map(|r| r[i]).sum::<f64>() / 90.0, rows[89][i]);
                assert!(
                    (mean - f64::from(pooled.mean[layer][i])).abs() < 2e-4,
                    "{family:?} mean, layer {layer}"
                );
                assert!(
                    (last - f64::from(pooled.last[layer][i])).abs() < 2e-4,
                    "{family:?} last, layer {layer}"
                );
            }
        }
    }
}

#[test]
fn a_greedy_continuation_is_the_argmax_of_slow_loops() {
    for family in FAMILIES {
        let (model, prompt) = (Tiny::new(family, 4), ids(22, 10, VOCAB));
        let mut tokens = prompt.clone();
        for _ in 0..8 {
            let answer = reference::run(&model, &tokens);
            let last = answer.logprobs.last().unwrap();
            let best = (0..VOCAB)
                .max_by(|a, b| last[*a].total_cmp(&last[*b]))
                .unwrap();
            tokens.push(best as u32);
        }
        let network = load(model, STRAIGHT);
        let jobs = [
            Encoded::Generate {
                token_ids: prompt,
                sampling: greedy(8),
            },
            score(tokens.clone(), 10, 10, 0),
        ];
        let answers = run(&network, STRAIGHT, &jobs);
        let Response::Generate {
            token_ids: Some(token_ids),
            logprobs: Some(drawn),
            finish_reason,
            ..
        } = &answers[0]
        else {
            panic!()
        };
        assert_eq!(token_ids, &tokens[10..], "{family:?}");
        assert_eq!(*finish_reason, FinishReason::Length);
        // Scored, the same tokens have the same log-probabilities, and are all greedy.
        let Response::Score {
            logprobs, greedy, ..
        } = &answers[1]
        else {
            panic!()
        };
        assert!(greedy);
        assert_eq!(
            logprobs[10..]
                .iter()
                .map(|x| x.unwrap())
                .collect::<Vec<_>>(),
            *drawn
        );
    }
}

#[test]
fn a_choice_is_the_score_of_each_label() {
    let network = load(Tiny::new(Family::Qwen3, 9), STRAIGHT);
    let context = ids(51, 12, VOCAB);
    let labels = vec![vec![3], vec![900, 4], vec![3, 3, 3]];
    let mut jobs = vec![Encoded::Choose {
        token_ids: context.clone(),
        labels: labels.clone(),
    }];
    jobs.extend(
        labels
            .iter()
            .map(|l| score([&context[..], l].concat(), 12, 12, 0)),
    );
    let answers = run(&network, STRAIGHT, &jobs);
    let Response::Choose { logprobs } = &answers[0] else {
        panic!()
    };
    for (label, answer) in answers[1..].iter().enumerate() {
        let Response::Score {
            logprobs: parts, ..
        } = answer
        else {
            panic!()
        };
        let sum: f64 = parts.iter().flatten().map(|x| f64::from(*x)).sum();
        assert_eq!(logprobs[label], sum as f32);
    }
}

#[test]
fn generation_ends_at_stop_texts_and_end_tokens() {
    let network = load(Tiny::new(Family::Llama, 10), STRAIGHT);
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 1,
        share_prefixes: true,
        cancel: &cancel,
    };

    let answer = |sampling: Sampling, eos: &[u32]| {
        let job = Encoded::Generate {
            token_ids: ids(61, 6, VOCAB),
            sampling,
        };
        let mut answer = None;
        network
            .run(&[job], &settings, eos, &text, &mut |_, r| {
                answer = Some(r);
            })
            .unwrap();
        let Some(Response::Generate {
            token_ids: Some(token_ids),
            text,
            finish_reason,
            ..
        }) = answer
        else {
            panic!()
        };
        (token_ids, text, finish_reason)
    };
    let (free, text, reason) = answer(greedy(6), &[]);
    assert_eq!((free.len(), reason), (6, FinishReason::Length));
    assert_eq!(text, self::text(&free));
    let (stopped, text, reason) = answer(
        Sampling {
            stop: vec![format!("{}>", free[2])],
            ..greedy(6)
        },
        &[],
    );
    assert_eq!(stopped, free[..3]);
    assert_eq!(text, format!("<{}><{}><", free[0], free[1]));
    assert_eq!(reason, FinishReason::Stop);
    let (ended, text, reason) = answer(greedy(6), &[free[2]]);
    assert_eq!(ended, free[..3]);
    assert_eq!((text, reason), (self::text(&free[..2]), FinishReason::Stop));
    // 200 positions: a prompt of 6 leaves 194 new tokens.
    let (long, _, reason) = answer(greedy(1_000), &[]);
    assert_eq!((long.len(), reason), (194, FinishReason::Length));
}
