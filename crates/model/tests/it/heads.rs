//! Classification and reward heads on decoders against transformers (`golden/encoders/heads.json`).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::write::safetensors;
use isogloss_model::classify::Classifier;
use isogloss_model::encoder::{Problem, TokenText};
use isogloss_model::engine::{EngineError, EngineOptions};
use isogloss_model::ports::TextScorer;
use isogloss_record::Explain;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::encoders::{settings, weights};
use crate::families::{Stored, TOLERANCE};

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    tensors: BTreeMap<String, Stored>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    ids: Vec<u32>,
    logits: Vec<f64>,
}

fn goldens() -> Vec<Case> {
    let json = include_str!("../../../../golden/encoders/heads.json");
    serde_json::from_str::<Goldens>(json).unwrap().cases
}

fn golden(name: &str) -> Case {
    let mut cases = goldens().into_iter();
    cases.find(|case| case.name == name).unwrap()
}

fn open(case: &Case, options: &EngineOptions) -> Result<Classifier, EngineError> {
    let bytes = safetensors(&weights(&case.tensors));
    Classifier::of_safetensors_bytes(&case.config, bytes, &case.name, options)
}

fn run(model: &Classifier, texts: &[TokenText], batch_size: usize) -> Vec<Vec<f32>> {
    let cancel = AtomicBool::new(false);
    let mut all = Vec::new();
    let usage = model.score(texts, &settings(&cancel, batch_size), &mut |i, logits| {
        assert_eq!(i, all.len(), "in order");
        all.push(logits);
    });
    usage.unwrap();
    all
}

fn texts(case: &Case) -> Vec<TokenText> {
    let texts = case.texts.iter().map(|text| text.ids.clone().into());
    texts.collect()
}

fn compare(case: &Case) -> f64 {
    let model = open(case, &EngineOptions::default()).unwrap();
    let found = run(&model, &texts(case), 8);
    let mut worst = 0.0;
    for (text, found) in case.texts.iter().zip(found) {
        assert_eq!(text.logits.len(), found.len());
        for (want, found) in text.logits.iter().zip(found) {
            worst = f64::max(worst, (want - f64::from(found)).abs());
        }
    }
    worst
}

#[test]
fn every_head_agrees_with_transformers() {
    let cases = goldens();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        let difference = compare(case);
        assert!(difference < TOLERANCE, "{}: {difference:.2e}", case.name);
    }
}

/// What looks like padding at the end of a text is padding, as in transformers.
#[test]
fn another_padding_token_is_seen() {
    let mut case = golden("llama_reward");
    case.config["pad_token_id"] = json!(null);
    assert!(compare(&case) > TOLERANCE);
}

#[test]
fn labels_and_what_they_mean_are_read() {
    let of = |name: &str| {
        let model = open(&golden(name), &EngineOptions::default()).unwrap();
        (model.labels().join(" "), model.problem())
    };
    assert_eq!(of("llama_reward"), ("LABEL_0".into(), Problem::Value));
    let three = "contradiction neutral entailment";
    assert_eq!(of("llama_classes"), (three.into(), Problem::OneOf));
    assert_eq!(of("mistral_classes"), (three.into(), Problem::EachOf));
}

#[test]
fn an_answer_depends_on_its_text_alone() {
    let case = golden("gemma3_classes");
    let mut texts = texts(&case);
    for i in 0..20_u32 {
        let ids = (0..=i % 9).map(|j| 1 + (i + 5 * j) % 39);
        texts.push(ids.collect::<Vec<_>>().into());
    }
    let alone = open(&case, &EngineOptions::default()).unwrap();
    let want: Vec<_> = (texts.iter())
        .map(|text| run(&alone, std::slice::from_ref(text), 1).remove(0))
        .collect();
    for (threads, batch_size) in [(1, 64), (3, 4)] {
        let options = EngineOptions {
            threads: NonZeroUsize::new(threads),
            ..EngineOptions::default()
        };
        assert_eq!(
            run(&open(&case, &options).unwrap(), &texts, batch_size),
            want
        );
    }
}

#[test]
fn what_is_no_classifier_is_refused() {
    let refused = |name: &str, change: &dyn Fn(&mut Case)| {
        let mut case = golden(name);
        change(&mut case);
        let error = open(&case, &EngineOptions::default())
            .err()
            .expect("refused");
        assert!(error.hint().is_some(), "{error}");
        let source = std::error::Error::source(&error);
        source.map_or(error.to_string(), |source| format!("{error}: {source}"))
    };
    for (found, want) in [
        (
            refused("llama_reward", &|case| {
                case.config["architectures"] = json!(["LlamaForCausalLM"]);
            }),
            "has the architecture `LlamaForCausalLM`, which is not known",
        ),
        (
            refused("llama_reward", &|case| {
                case.tensors.remove("score.weight");
            }),
            "the checkpoint has no tensor `score.weight`",
        ),
        (
            refused("llama_reward", &|case| {
                case.config["id2label"] = json!({"0": "a", "1": "b"});
            }),
            "tensor `score.weight` has shape [1, 32], the model expects [2, 32]",
        ),
        (
            refused("llama_reward", &|case| {
                case.tensors.get_mut("score.weight").unwrap().offset = f32::NAN;
            }),
            "tensor `score.weight` holds a value that is not finite",
        ),
    ] {
        assert!(found.contains(want), "{found}\nwant: {want}");
    }
    let model = open(&golden("llama_reward"), &EngineOptions::default()).unwrap();
    let cancel = AtomicBool::new(false);
    let score = |ids: Vec<u32>| {
        let texts = [TokenText::from(ids)];
        let error = model.score(&texts, &settings(&cancel, 8), &mut |_, _| ());
        error.unwrap_err().to_string()
    };
    let empty = "a text of no tokens has no states in `llama_reward`";
    assert_eq!(score(vec![]), empty);
    let long = "the text has 65 tokens, `llama_reward` can hold 64";
    assert_eq!(score(vec![3; 65]), long);
    assert_eq!(
        model.encode("text", None).unwrap_err().to_string(),
        "`llama_reward` cannot encode text: it has no tokenizer"
    );
}
