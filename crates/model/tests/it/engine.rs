//! The native engine on tiny models: against slow loops, and against itself.

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
fn no_setting_changes_a_byte() {
    for family in FAMILIES {
        let jobs = mixed_jobs();
        let want: Vec<Response> = jobs
            .iter()
            .map(|job| {
                run(
                    &load(Tiny::new(family, 5), STRAIGHT),
                    STRAIGHT,
                    std::slice::from_ref(job),
                )
                .remove(0)
            })
            .collect();
        for threads in [1, 2, 3] {
            for batch_size in [1, 8, 100] {
                for share_prefixes in [false, true] {
                    let way = Way {
                        threads,
                        batch_size,
                        share_prefixes,
                        ..STRAIGHT
                    };
                    let network = load(Tiny::new(family, 5), way);
                    let what = format!(
                        "{family:?}, {threads} threads, batch {batch_size}, shared {share_prefixes}"
                    );
                    assert_same(&what, &want, &run(&network, way, &jobs));
                    // Again, with every prefix known; then in another order, with a small memory.
                    assert_same(&format!("{what}, again"), &want, &run(&network, way, &jobs));
                    let mut turned: Vec<_> = jobs.clone();
                    turned.rotate_left(5);
                    turned.reverse();
                    let mut answers = run(&network, way, &turned);
                    answers.reverse();
                    answers.rotate_right(5);
                    assert_same(&format!("{what}, turned"), &want, &answers);
                }
            }
        }
    }
}

#[test]
fn a_small_memory_and_split_calls_change_no_byte() {
    let jobs = mixed_jobs();
    let want = run(
        &load(Tiny::new(Family::Gemma3, 6), STRAIGHT),
        STRAIGHT,
        &jobs,
    );
    for cache_bytes in [0, 60_000, 200_000] {
        let way = Way {
            share_prefixes: true,
            batch_size: 3,
            cache_bytes,
            ..STRAIGHT
        };
        let network = load(Tiny::new(Family::Gemma3, 6), way);
        for n in [1, 2, 5] {
            let answers: Vec<_> = jobs
                .chunks(n)
                .flat_map(|part| run(&network, way, part))
                .collect();
            assert_same(
                &format!("{cache_bytes} bytes, calls of {n}"),
                &want,
                &answers,
            );
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    for family in [Family::Llama, Family::Gemma3] {
        let want = run(
            &load(Tiny::new(family, 7), STRAIGHT),
            STRAIGHT,
            &mixed_jobs(),
        );
        for isa in Isa::available() {
            let way = Way {
                isa: Some(isa),
                share_prefixes: true,
                batch_size: 8,
                ..STRAIGHT
            };
            assert_same(
                &format!("{isa:?}"),
                &want,
                &run(&load(Tiny::new(family, 7), way), way, &mixed_jobs()),
            );
        }
    }
}

#[test]
fn shared_prefixes_are_computed_once() {
    let context = ids(31, 50, VOCAB);
    let jobs: Vec<_> = (0..15)
        .map(|i| {
            score(
                [context.clone(), vec![i], ids(40, 9, VOCAB)].concat(),
                50,
                50,
                0,
            )
        })
        .collect();
    let way = Way {
        share_prefixes: true,
        batch_size: 32,
        ..STRAIGHT
    };
    let network = load(Tiny::new(Family::Llama, 8), way);
    let (_, usage) = try_run(&network, way, &jobs).unwrap();
    // 50 of the context once, then 9 of each continuation (nothing follows its last token);
    // continuations begin with different tokens here.
    assert_eq!(usage.n_tokens_requested, 15 * 60);
    assert_eq!(usage.n_tokens_computed, 50 + 15 * 9);
    assert_eq!(usage.n_tokens_shared, 14 * 50);
    let (_, again) = try_run(&network, way, &jobs).unwrap();
    assert_eq!(
        (again.n_tokens_computed, again.n_tokens_shared),
        (0, 15 * 59)
    );
}

/// A context whose states are pooled serves the options that go on from it, whichever of them
/// comes first.
#[test]
fn a_pooled_context_is_computed_once() {
    let way = Way {
        share_prefixes: true,
        batch_size: 32,
        ..STRAIGHT
    };
    let network = load(Tiny::new(Family::Llama, 5), way);
    let context = ids(31, 40, VOCAB);
    let jobs: Vec<Encoded> = (0..4)
        .map(|option| {
            let tokens = [context.clone(), vec![option; 6]].concat();
            score(tokens, 40, 40, if option == 2 { 40 } else { 0 })
        })
        .collect();
    let (answers, usage) = try_run(&network, way, &jobs).unwrap();
    // The context once, and five of each option's six tokens (nothing follows the last).
    assert_eq!(usage.n_tokens_computed, 40 + 4 * 5);
    assert_same("shared or not", &run(&network, STRAIGHT, &jobs), &answers);
    let pooled = |answer: &Response| {
        matches!(
            answer,
            Response::Score {
                pooled: Some(_),
                ..
            }
        )
    };
    assert_eq!(
        answers.iter().map(pooled).collect::<Vec<_>>(),
        [false, false, true, false]
    );
}

/// Tokens that must go through the network: distinct beginnings of the sequences, each without its
/// last token, which only is predicted.
fn n_needed(jobs: &[Encoded]) -> u64 {
    let mut beginnings = std::collections::BTreeSet::new();
    for job in jobs {
        let sequences: Vec<Vec<u32>> = match job {
            Encoded::Score { token_ids, .. } => vec![token_ids.clone()],
            Encoded::Choose { token_ids, labels } => (labels.iter())
                .map(|label| [&token_ids[..], label].concat())
                .collect(),
            Encoded::Generate { .. } => panic!("a continuation is not known before"),
        };
        for sequence in sequences {
            let beginnings_of = (1..sequence.len()).map(|n| sequence[..n].to_vec());
            beginnings.extend(beginnings_of);
        }
    }
    beginnings.len() as u64
}

/// A choice costs its context once and of its labels what comes before their last tokens; options in
/// another order share what they begin with.
#[test]
fn choices_and_permuted_options_compute_each_beginning_once() {
    let network = load(Tiny::new(FAMILIES[0], 3), STRAIGHT);
    let way = Way {
        batch_size: 64,
        share_prefixes: true,
        ..STRAIGHT
    };
    let context = ids(21, 30, VOCAB);
    let choice = Encoded::Choose {
        token_ids: context.clone(),
        labels: vec![vec![5], vec![7, 8, 9], vec![7, 8, 4], vec![5, 6], vec![11]],
    };
    let (_, usage) = try_run(&network, way, std::slice::from_ref(&choice)).unwrap();
    // 30 of the context, 7 and 8 of two labels together, 5 before 6; last tokens are not computed.
    assert_eq!(usage.n_tokens_computed, 33);
    assert_eq!(n_needed(&[choice]), 33);
    // Five sequences of 31, 33, 33, 32 and 31 tokens, of which the last tokens need no states.
    assert_eq!(usage.n_tokens_requested, 160);
    assert_eq!(usage.n_tokens_shared, 160 - 5 - 33);

    // Four options of three tokens in all 24 orders, then labels of one token and of two.
    let network = load(Tiny::new(FAMILIES[0], 3), STRAIGHT);
    let options: [[u32; 3]; 4] = [[31, 32, 33], [31, 40, 41], [50, 51, 52], [60, 61, 62]];
    let mut jobs = Vec::new();
    for order in 0..256_usize {
        let order = [order % 4, order / 4 % 4, order / 16 % 4, order / 64];
        if (0..4).all(|i| order.contains(&i)) {
            let options = order.iter().flat_map(|i| options[*i]);
            jobs.push(Encoded::Choose {
                token_ids: context.iter().copied().chain(options).collect(),
                labels: vec![vec![70], vec![71], vec![72, 73], vec![72, 74]],
            });
        }
    }
    assert_eq!(jobs.len(), 24);
    let (_, usage) = try_run(&network, way, &jobs).unwrap();
    assert_eq!(usage.n_tokens_computed, n_needed(&jobs));
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

#[test]
fn what_cannot_be_computed_is_refused_before_any_work() {
    let network = load(Tiny::new(Family::Llama, 11), STRAIGHT);
    let fails = |job: Encoded| {
        try_run(&network, STRAIGHT, &[score(vec![1, 2], 1, 1, 0), job])
            .unwrap_err()
            .to_string()
    };
    assert!(
        fails(score(vec![1, 1_100], 1, 1, 0)).contains("token id 1100 is outside the vocabulary")
    );
    assert!(fails(score(ids(1, 201, VOCAB), 1, 1, 0)).contains("201 tokens, `tiny` can hold 200"));
    assert!(fails(score(vec![1, 2], 3, 1, 0)).contains("cannot have 3 of context"));
    assert!(
        fails(Encoded::Choose {
            token_ids: vec![1],
            labels: vec![vec![]]
        })
        .contains("one token or more")
    );
    assert!(
        fails(Encoded::Generate {
            token_ids: vec![],
            sampling: greedy(3)
        })
        .contains("one token or more")
    );
    let hot = Sampling {
        temperature: f32::NAN,
        ..greedy(3)
    };
    assert!(
        fails(Encoded::Generate {
            token_ids: vec![1],
            sampling: hot
        })
        .contains("temperature")
    );
}

#[test]
fn damaged_weights_are_named() {
    let load_error = |change: &dyn Fn(&mut Tiny)| {
        let mut model = Tiny::new(Family::Llama, 12);
        change(&mut model);
        let model = Tiny::from_tensors(model.config, model.tensors);
        let config = model.config.clone();
        Network::load(
            &config,
            Arc::new(model),
            "tiny",
            None,
            &EngineOptions::default(),
        )
        .err()
        .map(|e| e.to_string())
    };
    assert_eq!(load_error(&|_| {}), None);
    let nan = load_error(&|m| {
        m.tensors
            .get_mut("model.layers.1.mlp.up_proj.weight")
            .unwrap()
            .1[90] = f32::NAN;
    });
    // d_model 40: value 90 is in row 2
    assert_eq!(
        nan.unwrap(),
        "tensor `model.layers.1.mlp.up_proj.weight` holds a value that is not finite (row 2)"
    );
    let inf = load_error(&|m| m.tensors.get_mut("model.norm.weight").unwrap().1[0] = f32::INFINITY);
    assert!(inf.unwrap().contains("`model.norm.weight`"));
    let missing = load_error(&|m| drop(m.tensors.remove("model.layers.2.self_attn.k_proj.weight")));
    assert!(
        missing
            .unwrap()
            .contains("no tensor `model.layers.2.self_attn.k_proj.weight`")
    );
    let shape = load_error(&|m| m.config.d_ff = 51);
    assert!(
        shape
            .unwrap()
            .contains("has shape [52, 40], the model expects [51, 40]")
    );
}

#[test]
fn an_overflow_inside_is_named_by_its_block() {
    let mut model = Tiny::new(Family::Llama, 13);
    model
        .tensors
        .get_mut("model.layers.1.mlp.down_proj.weight")
        .unwrap()
        .1
        .fill(3e38);
    let network = load(Tiny::from_tensors(model.config, model.tensors), STRAIGHT);
    let error = try_run(&network, STRAIGHT, &[score(vec![1, 2, 3], 0, 1, 0)]).unwrap_err();
    assert!(
        matches!(&error, BackendError::NotFinite { place, .. } if place == "block 1 of 3"),
        "{error}"
    );
}

#[test]
fn a_cancelled_call_ends_and_the_next_one_is_whole() {
    let network = load(Tiny::new(Family::Llama, 14), STRAIGHT);
    let want = run(
        &load(Tiny::new(Family::Llama, 14), STRAIGHT),
        STRAIGHT,
        &mixed_jobs(),
    );
    let cancel = AtomicBool::new(true);
    let settings = RunSettings {
        batch_size: 4,
        share_prefixes: true,
        cancel: &cancel,
    };
    let error = network
        .run(
            &mixed_jobs(),
            &settings,
            &[],
            &|_| String::new(),
            &mut |_, _| {},
        )
        .unwrap_err();
    assert!(matches!(error, BackendError::Canceled));
    let way = Way {
        share_prefixes: true,
        ..STRAIGHT
    };
    assert_same(
        "after a cancelled call",
        &want,
        &run(&network, way, &mixed_jobs()),
    );
}
