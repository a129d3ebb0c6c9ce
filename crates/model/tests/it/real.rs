//! The engine on real small models against `transformers` on the same de-quantized weights.
//!
//! Goldens and the script that made them: `golden/engine/`.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogloss_model::engine::{Engine, EngineOptions};
use isogloss_model::{Backend, RunSettings};
use isogloss_record::{Encoded, Response, Sampling};
use serde_json::Value;

#[test]
fn smollm2_agrees_with_the_reference() {
    check("smollm2-135m");
}

#[test]
fn gemma3_agrees_with_the_reference() {
    check("gemma3-270m");
}

/// Log-probabilities within 2e-3, greedy tokens equal wherever the top two are 0.01 apart,
/// hidden states within 1e-3 of the direction (checked by their sampled coordinates).
#[track_caller]
fn check(name: &str) {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../golden/engine/{name}.json"));
    let golden: Value =
        serde_json::from_str(&isogloss_record::files::read_to_string(&golden).unwrap()).unwrap();
    let engine = Engine::open(
        &isogloss_testkit::model_path(name),
        name,
        &EngineOptions::default(),
    )
    .unwrap();
    let d_model = engine.config().d_model;
    let texts = golden["texts"].as_array().unwrap();
    let mut jobs = Vec::new();
    for text in texts {
        let token_ids = ids(&text["ids"]);
        jobs.push(Encoded::Score {
            n_context: 0,
            scored_from: 1,
            n_pooled: token_ids.len(),
            token_ids: token_ids.clone(),
        });
        let max_tokens = text["greedy"].as_array().map_or(0, Vec::len);
        let sampling = Sampling {
            max_tokens,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        };
        jobs.push(Encoded::Generate {
            token_ids,
            sampling,
        });
    }
    let long = &golden["long"];
    if long.is_object() {
        jobs.push(Encoded::Score {
            token_ids: ids(&long["ids"]),
            n_context: 0,
            scored_from: 1,
            n_pooled: 0,
        });
    }
    let header_bos = ids(&golden["header"]["bos"]);
    if !header_bos.is_empty() {
        jobs.push(Encoded::Score {
            token_ids: header_bos.clone(),
            n_context: 0,
            scored_from: 1,
            n_pooled: 1,
        });
    }
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut answers = vec![None; jobs.len()];
    engine
        .run(&jobs, &settings, &mut |i, answer| answers[i] = Some(answer))
        .unwrap();

    let answers_of_bos = (!header_bos.is_empty()).then(|| answers.last().unwrap());
    if let (Some(Response::Score { logprobs, .. }), true) = (
        &answers[2 * texts.len()..].first().cloned().flatten(),
        long.is_object(),
    ) {
        let want = floats(&long["logprobs_last"]);
        for (want, got) in want.iter().rev().zip(logprobs.iter().rev()) {
            let got = f64::from(got.unwrap());
            assert!(
                (got - want).abs() < 2e-3,
                "longer than the window: want {want}, got {got}"
            );
        }
    }

    let mut worst = 0.0_f64;
    for (text, answers) in texts.iter().zip(answers.chunks(2)) {
        let lang = &text["lang"];
        let (
            Some(Response::Score {
                logprobs, pooled, ..
            }),
            Some(Response::Generate {
                token_ids: Some(token_ids),
                ..
            }),
        ) = (&answers[0], &answers[1])
        else {
            panic!("{lang}: {answers:?}")
        };
        for (i, (got, want)) in logprobs
            .iter()
            .zip(text["logprobs"].as_array().unwrap())
            .enumerate()
        {
            assert_eq!(got.is_none(), want.is_null(), "{lang}, position {i}");
            if let (Some(got), Some(want)) = (got, want.as_f64()) {
                worst = worst.max((f64::from(*got) - want).abs());
                assert!(
                    (f64::from(*got) - want).abs() < 2e-3,
                    "{lang}, position {i}: want {want}, got {got}"
                );
            }
        }
        let margins = text["margins"].as_array().cloned().unwrap_or_default();
        let clear = margins
            .iter()
            .take_while(|m| m.as_f64().unwrap() > 0.01)
            .count();
        let greedy = ids(&text["greedy"]);
        let n = clear.min(token_ids.len());
        assert_eq!(token_ids[..n], greedy[..n], "{lang}");
        let pooled = pooled.as_ref().unwrap();
        for (layer, want) in text["hidden"].as_object().into_iter().flatten() {
            let layer: usize = layer.parse().unwrap();
            check_state(
                &format!("{lang}, last of block {layer}"),
                &pooled.last[layer],
                &want["last"],
                d_model,
            );
            // Our mean leaves out the BOS, the golden's does not.
            let mut mean = pooled.mean[layer].clone();
            if let Some(Some(Response::Score {
                pooled: Some(bos), ..
            })) = answers_of_bos
            {
                let n = text["ids"].as_array().unwrap().len() as f32;
                for (mean, bos) in mean.iter_mut().zip(&bos.last[layer]) {
                    *mean = (*mean * (n - 1.0) + bos) / n;
                }
            }
            check_state(
                &format!("{lang}, mean of block {layer}"),
                &mean,
                &want["mean"],
                d_model,
            );
        }
    }
    // 6.7e-5 and 1.2e-4 when this was written: only the order of sums differs.
    assert!(worst < 5e-4, "largest difference {worst:.2e}");
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

/// The golden holds the norm and every (d / 16)-th coordinate.
#[track_caller]
fn check_state(what: &str, got: &[f32], want: &Value, d_model: usize) {
    let norm = got
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    let want_norm = want["norm"].as_f64().unwrap();
    assert!(
        (norm / want_norm - 1.0).abs() < 1e-3,
        "{what}: norm {norm}, want {want_norm}"
    );
    for (i, want) in want["at"].as_array().unwrap().iter().enumerate() {
        let (got, want) = (f64::from(got[i * d_model / 16]), want.as_f64().unwrap());
        assert!(
            (got - want).abs() < 1e-3 * want_norm,
            "{what}, coordinate {i}: {got}, want {want}"
        );
    }
}
