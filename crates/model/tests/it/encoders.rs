//! Encoders and their heads against transformers (`golden/encoders`): hidden states and logits at
//! every position, texts of different lengths in one batch.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::Dtype;
use isogloss_model::checkpoint::write::{OwnedTensor, safetensors};
use isogloss_model::encoder::{EncoderNetwork, Head, TokenText};
use isogloss_model::engine::{EngineError, EngineOptions};
use isogloss_model::{BackendError, Isa, RunSettings};
use isogloss_record::Explain;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::families::{Stored, values};

/// Largest allowed difference of a hidden state or a logit.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Stored>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    ids: Vec<u32>,
    #[serde(default)]
    types: Vec<u32>,
    #[serde(default)]
    states: Vec<Vec<f64>>,
    #[serde(default)]
    logits: Vec<Vec<f64>>,
}

fn goldens() -> Vec<Case> {
    let json = include_str!("../../../../golden/encoders/encoders.json");
    serde_json::from_str::<Goldens>(json).unwrap().cases
}

fn golden(name: &str) -> Case {
    let mut cases = goldens().into_iter();
    cases.find(|case| case.name == name).unwrap()
}

/// The bytes of `model.safetensors` with the values of `golden/families/make.py`.
pub(crate) fn weights(tensors: &BTreeMap<String, Stored>) -> BTreeMap<String, OwnedTensor> {
    let tensors = tensors.iter().map(|(name, stored)| {
        let values = values(name, stored);
        let tensor = OwnedTensor {
            shape: stored.shape.clone(),
            dtype: Dtype::F32,
            bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        (name.clone(), tensor)
    });
    tensors.collect()
}

fn open(case: &Case, options: &EngineOptions) -> Result<EncoderNetwork, EngineError> {
    let bytes = safetensors(&weights(&case.tensors));
    EncoderNetwork::of_safetensors_bytes(&case.config, bytes, &case.name, options)
}

pub(crate) fn settings(cancel: &AtomicBool, batch_size: usize) -> RunSettings<'_> {
    RunSettings {
        batch_size,
        share_prefixes: true,
        cancel,
    }
}

/// What the network gives for each text: states without a head, else logits at every position.
fn run(
    network: &EncoderNetwork,
    texts: &[TokenText],
    batch_size: usize,
) -> Result<Vec<Vec<Vec<f32>>>, BackendError> {
    let cancel = AtomicBool::new(false);
    let settings = settings(&cancel, batch_size);
    let mut all = vec![Vec::new(); texts.len()];
    let mut keep = |i: usize, rows: Vec<Vec<f32>>| all[i] = rows;
    match network.config().head {
        Head::None => network.hidden_states(texts, &settings, &mut keep)?,
        Head::Sequence | Head::Token => network.label_logits(texts, &settings, &mut keep)?,
        Head::MaskedLm => {
            let positions: Vec<_> = texts.iter().map(|t| (0..t.ids.len()).collect()).collect();
            network.masked_logits(texts, &positions, &settings, &mut keep)?
        }
    };
    Ok(all)
}

fn texts(case: &Case) -> Vec<TokenText> {
    let texts = case.texts.iter().map(|text| TokenText {
        ids: text.ids.clone(),
        types: text.types.clone(),
    });
    texts.collect()
}

/// Largest difference between what is found and the golden, and in which text.
fn compare(case: &Case) -> (f64, usize) {
    let network = open(case, &EngineOptions::default()).unwrap();
    let found = run(&network, &texts(case), 8).unwrap();
    let mut worst = (0.0, 0);
    for (i, (text, found)) in case.texts.iter().zip(&found).enumerate() {
        let want = if text.states.is_empty() {
            &text.logits
        } else {
            &text.states
        };
        assert_eq!(want.len(), found.len(), "{}, text {i}", case.name);
        for (want, found) in want.iter().flatten().zip(found.iter().flatten()) {
            let difference = (want - f64::from(*found)).abs();
            if difference > worst.0 {
                worst = (difference, i);
            }
        }
    }
    worst
}

#[test]
fn every_encoder_agrees_with_transformers() {
    let cases = goldens();
    assert_eq!(cases.len(), 15);
    for case in &cases {
        let (difference, text) = compare(case);
        assert!(
            difference < TOLERANCE,
            "{}: {difference:.2e} in text {text}",
            case.name
        );
    }
}

/// The goldens see what they must see: with a switch turned, the model is another one.
#[test]
fn a_turned_switch_is_seen() {
    for (name, key, value) in [
        // The padding id decides where positions begin.
        ("xlm_roberta", "pad_token_id", json!(0)),
        ("xlm_roberta", "architectures", json!(["BertModel"])),
        ("xlm_roberta", "layer_norm_eps", json!(1e-2)),
        ("bert", "num_attention_heads", json!(2)),
        ("bert_masked", "hidden_act", json!("relu")),
        ("roberta_masked", "hidden_act", json!("relu")),
        ("distilbert_masked", "activation", json!("relu")),
    ] {
        let mut case = golden(name);
        case.config[key] = value;
        let (difference, _) = compare(&case);
        assert!(difference > TOLERANCE, "{name}, {key}: {difference:.2e}");
    }
    let mut case = golden("bert");
    for text in &mut case.texts {
        text.types.clear();
    }
    assert!(compare(&case).0 > TOLERANCE);
}

/// Batches, threads and instruction sets change no bit.
#[test]
fn an_answer_depends_on_its_text_alone() {
    for name in ["bert", "xlm_roberta_masked", "distilbert_classes"] {
        let case = golden(name);
        let mut texts = texts(&case);
        // Long and short, equal ones too, more than one batch of rows.
        for i in 0..40 {
            let n = 1 + (i * 7) % 23;
            texts.push(
                (0..n)
                    .map(|j| (i + 3 * j) as u32 % 40)
                    .collect::<Vec<_>>()
                    .into(),
            );
        }
        let alone = open(&case, &EngineOptions::default()).unwrap();
        let want: Vec<_> = (texts.iter())
            .map(|text| {
                run(&alone, std::slice::from_ref(text), 1)
                    .unwrap()
                    .remove(0)
            })
            .collect();
        for (threads, isa, batch_size) in [
            (1, Isa::Portable, 64),
            (3, Isa::detect(), 64),
            (2, Isa::detect(), 5),
        ] {
            let options = EngineOptions {
                threads: NonZeroUsize::new(threads),
                isa: Some(isa),
                ..EngineOptions::default()
            };
            let network = open(&case, &options).unwrap();
            assert_eq!(run(&network, &texts, batch_size).unwrap(), want, "{name}");
        }
    }
}

#[test]
fn texts_that_cannot_be_computed_are_refused_before_any_work() {
    let network = open(&golden("xlm_roberta"), &EngineOptions::default()).unwrap();
    let cancel = AtomicBool::new(false);
    let refused = |text: TokenText| {
        let texts = [vec![3, 4].into(), text];
        let mut no_work = |_: usize, _: Vec<Vec<f32>>| panic!("refused before any work");
        let settings = settings(&cancel, 8);
        let error = network.hidden_states(&texts, &settings, &mut no_work);
        error.unwrap_err().to_string()
    };
    assert_eq!(
        refused(vec![].into()),
        "a text of no tokens has no states in `xlm_roberta`"
    );
    // 26 rows of positions, of which the first two are never used.
    assert_eq!(
        refused(vec![5; 25].into()),
        "the text has 25 tokens, `xlm_roberta` can hold 24"
    );
    assert!(run(&network, &[vec![5; 24].into()], 1).is_ok());
    assert_eq!(
        refused(vec![5, 40].into()),
        "token id 40 is outside the vocabulary of `xlm_roberta` (ids 0 to 39)"
    );
    let with_types = |types: &[u32]| TokenText {
        ids: vec![3, 4],
        types: types.to_vec(),
    };
    assert_eq!(
        refused(with_types(&[0, 1])),
        "token type 1 is not one of the 1 of `xlm_roberta` (from 0)"
    );
    assert_eq!(
        refused(with_types(&[0])),
        "a text of 2 tokens has 1 token types"
    );
    let (network, cancel) = (&network, AtomicBool::new(false));
    let settings = settings(&cancel, 8);
    let error = network.label_logits(&[vec![3].into()], &settings, &mut |_, _| ());
    assert_eq!(
        error.unwrap_err().to_string(),
        "`xlm_roberta` cannot classify: it has no classification head"
    );
    let error = network.masked_logits(&[], &[], &settings, &mut |_, _| ());
    assert_eq!(
        error.unwrap_err().to_string(),
        "`xlm_roberta` cannot predict masked tokens: it has no language model head"
    );
}

#[test]
fn a_folder_that_contradicts_itself_is_refused() {
    let refused = |name: &str, change: &dyn Fn(&mut Case)| {
        let mut case = golden(name);
        change(&mut case);
        let error = open(&case, &EngineOptions::default());
        let error = error.err().expect("refused");
        assert!(error.hint().is_some(), "{error}");
        let source = std::error::Error::source(&error);
        source.map_or(error.to_string(), |source| format!("{error}: {source}"))
    };
    let set =
        |key: &'static str, value: Value| move |case: &mut Case| case.config[key] = value.clone();
    for (found, want) in [
        (
            refused(
                "bert",
                &set("architectures", json!(["BertForQuestionAnswering"])),
            ),
            "has the architecture `BertForQuestionAnswering`, which is not known",
        ),
        (
            refused("bert", &set("num_hidden_layers", json!(1_000_000))),
            "expected at most 39, the number of tensors",
        ),
        (
            refused("bert", &set("num_attention_heads", json!(5))),
            "expected a divisor of the width 24, found 5",
        ),
        (
            refused(
                "bert",
                &set("position_embedding_type", json!("relative_key")),
            ),
            "`position_embedding_type`: \"relative_key\" is not supported",
        ),
        (
            refused("bert", &set("is_decoder", json!(true))),
            "`is_decoder` of an encoder is not supported",
        ),
        (
            refused("bert", &set("hidden_act", json!("mish"))),
            "the activation `mish` is not supported",
        ),
        (
            refused("bert", &set("vocab_size", json!(41))),
            "tensor `embeddings.word_embeddings.weight` has shape [40, 24], the model expects [41, 24]",
        ),
        (
            refused("bert", &set("num_hidden_layers", json!(1))),
            "which its architecture does not have",
        ),
        (
            refused("xlm_roberta", &set("max_position_embeddings", json!(2))),
            "expected more than 2, where positions begin, found 2",
        ),
        (
            refused(
                "bert_classes",
                &set("id2label", json!({"0": "a", "2": "b"})),
            ),
            "expected a name for each of the ids 0 to 1, found none for 1",
        ),
        (
            refused("bert_classes", &set("problem_type", json!("ranking"))),
            "found \"ranking\"",
        ),
        (
            refused("bert", &|case| {
                case.tensors.remove("encoder.layer.1.output.dense.bias");
            }),
            "the checkpoint has no tensor `encoder.layer.1.output.dense.bias`",
        ),
        (
            refused("bert", &|case| {
                let bias = "encoder.layer.1.output.dense.bias";
                case.tensors.get_mut(bias).unwrap().offset = f32::INFINITY;
            }),
            "tensor `encoder.layer.1.output.dense.bias` holds a value that is not finite",
        ),
    ] {
        assert!(found.contains(want), "{found}\nwant: {want}");
    }
}
