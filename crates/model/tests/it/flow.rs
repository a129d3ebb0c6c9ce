//! A batch that jobs join while it runs: the bytes of jobs alone, nobody waits for long, adapters of
//! one base side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isogloss_model::adapter::Adapter;
use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::checkpoint::write::safetensors;
use isogloss_model::engine::{EngineOptions, Network};
use isogloss_model::{Flow, RunSettings};
use isogloss_record::{Encoded, Response};
use serde_json::json;

use crate::adapters::{Case, case};
use crate::engine::{
    STRAIGHT, VOCAB, Way, assert_same, greedy, load, mixed_jobs, run, score, text,
};
use crate::tiny::{FAMILIES, Tiny, ids};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn settings(batch_size: usize) -> RunSettings<'static> {
    RunSettings {
        batch_size,
        share_prefixes: true,
        cancel: &GO_ON,
    }
}

/// One step; answers go to `answers`.
fn step(flow: &mut dyn Flow, n: usize, answers: &mut BTreeMap<usize, Response>) {
    flow.step(&settings(n), &mut |_, _, _| true, &mut |key, response| {
        assert!(answers.insert(key, response).is_none(), "answered once");
    })
    .unwrap();
}

#[test]
fn jobs_that_join_a_running_batch_have_the_bytes_of_jobs_alone() {
    for family in [FAMILIES[0], FAMILIES[3]] {
        let straight = load(Tiny::new(family, 3), STRAIGHT);
        let jobs = mixed_jobs();
        let want = run(&straight, STRAIGHT, &jobs);
        for (n_steps, batch_size, cache_bytes) in [(0, 64, 1 << 30), (1, 4, 1 << 30), (3, 2, 0)] {
            let way = Way {
                cache_bytes,
                ..STRAIGHT
            };
            let network = load(Tiny::new(family, 3), way);
            let mut flow = network.flow(&[], Box::new(text));
            let mut answers = BTreeMap::new();
            // The longest generation first, all else while it runs.
            let order = (0..jobs.len()).rev();
            for key in order {
                flow.join(key, 0, jobs[key].clone()).unwrap();
                for _ in 0..n_steps {
                    step(&mut flow, batch_size, &mut answers);
                }
            }
            while flow.n_open() > 0 {
                step(&mut flow, batch_size, &mut answers);
            }
            let got: Vec<Response> = answers.into_values().collect();
            assert_same(&format!("{n_steps} steps between"), &want, &got);
        }
    }
}

#[test]
fn a_short_score_does_not_wait_for_a_long_generation_nor_many_scores_hold_one_up() {
    let network = load(Tiny::new(FAMILIES[0], 3), STRAIGHT);
    let mut flow = network.flow(&[], Box::new(text));
    let mut answers = BTreeMap::new();
    let long = Encoded::Generate {
        token_ids: ids(1, 20, VOCAB),
        sampling: greedy(100),
    };
    flow.join(0, 0, long).unwrap();
    for _ in 0..5 {
        step(&mut flow, 8, &mut answers);
    }
    flow.join(1, 0, score(ids(2, 30, VOCAB), 10, 10, 0))
        .unwrap();
    step(&mut flow, 8, &mut answers);
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&1]);
    // 40 texts of 190 tokens need many groups; each leaves the generation its token.
    for key in 2..42 {
        let tokens = ids(key as u64, 190, VOCAB);
        flow.join(key, 0, score(tokens, 0, 1, 0)).unwrap();
    }
    let mut n_tokens = 0;
    for n_steps in 1..=10 {
        flow.step(
            &settings(8),
            &mut |key, _, _| {
                n_tokens += usize::from(key == 0);
                true
            },
            &mut |key, response| {
                answers.insert(key, response);
            },
        )
        .unwrap();
        assert_eq!(n_tokens, n_steps);
    }
    assert!(answers.len() > 10 && !answers.contains_key(&0));
}

#[test]
fn what_is_refused_or_given_up_leaves_the_rest_alone() {
    let network = load(Tiny::new(FAMILIES[0], 3), STRAIGHT);
    let generate = |max_tokens| Encoded::Generate {
        token_ids: ids(1, 20, VOCAB),
        sampling: greedy(max_tokens),
    };
    let want = run(&network, STRAIGHT, &[generate(20)]);
    let mut flow = network.flow(&[], Box::new(text));
    let mut answers = BTreeMap::new();
    flow.join(0, 0, generate(20)).unwrap();
    step(&mut flow, 8, &mut answers);
    let error = flow
        .join(1, 0, score(vec![VOCAB as u32], 0, 1, 0))
        .unwrap_err();
    assert!(error.to_string().contains("outside the vocabulary"));
    let error = flow.join(1, 1, generate(1)).unwrap_err();
    assert!(error.to_string().contains("no adapter 1"), "{error}");
    assert_eq!(flow.n_open(), 1);
    // Another one that nobody wants any more ends with what it has.
    flow.join(2, 0, generate(50)).unwrap();
    while flow.n_open() > 0 {
        flow.step(
            &settings(8),
            &mut |key, _, _| key == 0,
            &mut |key, response| {
                answers.insert(key, response);
            },
        )
        .unwrap();
    }
    assert_eq!(answers[&0], want[0]);
    let Response::Generate { token_ids, .. } = &answers[&2] else {
        panic!()
    };
    assert_eq!(token_ids.as_ref().map(Vec::len), Some(1));
    // A batch that is dropped under way leaves nothing behind that is in use.
    flow.join(3, 0, generate(50)).unwrap();
    step(&mut flow, 8, &mut answers);
    drop(flow);
    assert_eq!(run(&network, STRAIGHT, &[generate(20)]), want);
}

/// The golden adapter and the same with another scale, beside one base.
fn beside(case: &Case) -> (Network, Vec<Checkpoint>) {
    let base = Arc::new(case.base());
    let options = EngineOptions::default();
    let config = base.config.clone();
    let mut network = Network::load(&config, base.clone(), "tiny", None, &options).unwrap();
    let mut merged = vec![case.base()];
    let alpha = case.config["lora_alpha"].as_f64().unwrap();
    for (number, factor) in [(1, 1.0), (2, -2.0)] {
        let mut config = case.config.clone();
        config["lora_alpha"] = json!(alpha * factor);
        let open = || {
            let weights = safetensors(&case.weights());
            Adapter::of_bytes(config.to_string().into_bytes(), weights).unwrap()
        };
        assert_eq!(network.add_adapter(&open(), &base).unwrap(), number);
        let mut checkpoint = case.base();
        open().apply(&mut checkpoint).unwrap();
        merged.push(checkpoint);
    }
    (network, merged)
}

fn logprobs(response: &Response) -> Vec<f32> {
    match response {
        Response::Score { logprobs, .. } => logprobs.iter().flatten().copied().collect(),
        Response::Choose { logprobs } => logprobs.clone(),
        Response::Generate { logprobs, .. } => logprobs.clone().unwrap(),
    }
}

#[test]
fn adapters_side_by_side_are_the_merged_ones_and_mix_without_a_trace() {
    for name in ["lora", "rslora_patterns"] {
        let case = case(name);
        let (network, merged) = beside(&case);
        let vocab = merged[0].config.vocab_size;
        let context = ids(3, 12, vocab);
        let jobs = [
            score(ids(3, 40, vocab), 0, 1, 0),
            Encoded::Choose {
                token_ids: context.clone(),
                labels: vec![vec![1], vec![2, 3]],
            },
            Encoded::Generate {
                token_ids: context,
                sampling: greedy(9),
            },
        ];
        // Alone: a flow of its own for each adapter and job.
        let alone = |model: usize, job: &Encoded| {
            let (network, _) = beside(&case);
            let mut flow = network.flow(&[], Box::new(text));
            let mut answers = BTreeMap::new();
            flow.join(0, model, job.clone()).unwrap();
            while flow.n_open() > 0 {
                step(&mut flow, 1, &mut answers);
            }
            answers.remove(&0).unwrap()
        };
        let want: Vec<Response> = (0..9).map(|key| alone(key / 3, &jobs[key % 3])).collect();
        // Together, one base and both adapters in one batch, on common beginnings.
        let mut flow = network.flow(&[], Box::new(text));
        let mut answers = BTreeMap::new();
        for key in [4, 0, 8, 2, 5, 1, 7, 3, 6] {
            flow.join(key, key / 3, jobs[key % 3].clone()).unwrap();
            step(&mut flow, 16, &mut answers);
        }
        while flow.n_open() > 0 {
            step(&mut flow, 16, &mut answers);
        }
        drop(flow);
        let got: Vec<Response> = answers.into_values().collect();
        assert_same(name, &want, &got);
        // And as if each had been merged.
        for (model, checkpoint) in merged.into_iter().enumerate() {
            let config = checkpoint.config.clone();
            let options = EngineOptions::default();
            let source = Arc::new(checkpoint);
            let network = Network::load(&config, source, "tiny", None, &options).unwrap();
            let merged = run(&network, STRAIGHT, &jobs);
            for (job, merged) in merged.iter().enumerate() {
                let (merged, beside) = (logprobs(merged), logprobs(&got[model * 3 + job]));
                assert_eq!(merged.len(), beside.len());
                let worst = (merged.iter().zip(&beside))
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                let limit = if model == 0 { 0.0 } else { 1e-4 };
                assert!(worst <= limit, "{name}, model {model}, job {job}: {worst}");
            }
        }
        // The adapters do something.
        assert!((logprobs(&got[0])[0] - logprobs(&got[3])[0]).abs() > 1e-3);
        assert!((logprobs(&got[3])[0] - logprobs(&got[6])[0]).abs() > 1e-3);
    }
}

#[test]
fn what_is_more_than_low_rank_cannot_lie_beside() {
    for (name, part) in [
        ("dora", "beside the model"),
        ("embedding", "lm_head.weight"),
        ("token_rows", "model.embed_tokens.weight"),
    ] {
        let case = case(name);
        let base = Arc::new(case.base());
        let (config, options) = (base.config.clone(), EngineOptions::default());
        let mut network = Network::load(&config, base.clone(), "tiny", None, &options).unwrap();
        let weights = safetensors(&case.weights());
        let adapter = Adapter::of_bytes(case.config.to_string().into_bytes(), weights).unwrap();
        let error = network
            .add_adapter(&adapter, &base)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("beside") && error.contains(part),
            "{name}: {error}"
        );
    }
}
