//! Sentence vectors against sentence-transformers (`golden/encoders/sentences.json`), in folders of
//! its layout.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::write::safetensors;
use isogloss_model::encoder::{EmbedOptions, Normalization, Pooling, SentenceEncoder, TokenText};
use isogloss_model::engine::{EngineError, EngineOptions};
use isogloss_model::ports::Embedder;
use isogloss_record::Explain;
use isogloss_record::files::{create_dir_all, write_atomic};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::encoders::{settings, weights};
use crate::families::Stored;

/// Largest allowed difference of a vector's element.
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    tensors: BTreeMap<String, Stored>,
    files: BTreeMap<String, Value>,
    own: BTreeMap<String, BTreeMap<String, Stored>>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    ids: Vec<u32>,
    #[serde(default)]
    types: Vec<u32>,
    vector: Vec<f64>,
}

fn goldens() -> Vec<Case> {
    let json = include_str!("../../../../golden/encoders/sentences.json");
    serde_json::from_str::<Goldens>(json).unwrap().cases
}

fn golden(name: &str) -> Case {
    let mut cases = goldens().into_iter();
    cases.find(|case| case.name == name).unwrap()
}

/// The case as a folder.
fn folder(case: &Case) -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        create_dir_all(path.parent().unwrap()).unwrap();
        write_atomic(&path, bytes).unwrap();
    };
    write("config.json", case.config.to_string().as_bytes());
    write("model.safetensors", &safetensors(&weights(&case.tensors)));
    for (name, json) in &case.files {
        write(name, json.to_string().as_bytes());
    }
    for (name, tensors) in &case.own {
        let name = format!("{name}/model.safetensors");
        write(&name, &safetensors(&weights(tensors)));
    }
    folder
}

fn open(path: &Path, how: EmbedOptions) -> Result<SentenceEncoder, EngineError> {
    SentenceEncoder::open(path, "tiny", how, &EngineOptions::default())
}

fn texts(case: &Case) -> Vec<TokenText> {
    let texts = case.texts.iter().map(|text| TokenText {
        ids: text.ids.clone(),
        types: text.types.clone(),
    });
    texts.collect()
}

fn run(model: &SentenceEncoder, texts: &[TokenText], batch_size: usize) -> Vec<Vec<f32>> {
    let cancel = AtomicBool::new(false);
    let mut all = Vec::new();
    let usage = model.embed(texts, &settings(&cancel, batch_size), &mut |i, vector| {
        assert_eq!(i, all.len(), "in order");
        assert_eq!(vector.len(), model.n_dims());
        all.push(vector);
    });
    usage.unwrap();
    all
}

fn worst(case: &Case, found: &[Vec<f32>]) -> f64 {
    let pairs = case.texts.iter().zip(found);
    let elements = pairs.flat_map(|(text, found)| text.vector.iter().zip(found));
    elements
        .map(|(want, found)| (want - f64::from(*found)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn vectors_agree_with_sentence_transformers() {
    let cases = goldens();
    assert_eq!(cases.len(), 9);
    for case in &cases {
        let folder = folder(case);
        let model = open(folder.path(), EmbedOptions::default()).unwrap();
        let found = run(&model, &texts(case), 8);
        assert_eq!(found[0].len(), case.texts[0].vector.len());
        let difference = worst(case, &found);
        // Vectors that are not normalized are larger than 1.
        let scale = found
            .iter()
            .flatten()
            .fold(1.0_f32, |max, x| max.max(x.abs()));
        let tolerance = TOLERANCE * f64::from(scale);
        assert!(difference < tolerance, "{}: {difference:.2e}", case.name);
    }
}

#[test]
fn another_pooling_is_another_vector() {
    let case = golden("bert_mean");
    let folder = folder(&case);
    for pooling in [Pooling::First, Pooling::Max, Pooling::Last] {
        let how = EmbedOptions {
            pooling: Some(pooling),
            normalization: None,
        };
        let model = open(folder.path(), how).unwrap();
        assert_eq!(model.pooling(), pooling);
        assert!(worst(&case, &run(&model, &texts(&case), 8)) > TOLERANCE);
    }
    // A folder that says nothing: the mean, of unit length, which is what this one says.
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    let model = open(folder.path(), EmbedOptions::default()).unwrap();
    assert!(worst(&case, &run(&model, &texts(&case), 8)) < TOLERANCE);
    let how = EmbedOptions {
        pooling: None,
        normalization: Some(Normalization::AsIs),
    };
    let found = run(&open(folder.path(), how).unwrap(), &texts(&case), 8);
    assert!(worst(&case, &found) > TOLERANCE);
}

#[test]
fn a_vector_depends_on_its_text_alone() {
    for name in ["xlm_roberta_dense", "umt5_last", "qwen3_last"] {
        let case = golden(name);
        let folder = folder(&case);
        let mut texts = texts(&case);
        for i in 0..20_u32 {
            let ids = (0..=i % 9).map(|j| 3 + (i + 5 * j) % 37);
            texts.push(ids.collect::<Vec<_>>().into());
        }
        let alone = open(folder.path(), EmbedOptions::default()).unwrap();
        let want: Vec<_> = (texts.iter())
            .map(|text| run(&alone, std::slice::from_ref(text), 1).remove(0))
            .collect();
        for (threads, batch_size) in [(1, 64), (3, 4)] {
            let options = EngineOptions {
                threads: NonZeroUsize::new(threads),
                ..EngineOptions::default()
            };
            let how = EmbedOptions::default();
            let model = SentenceEncoder::open(folder.path(), "tiny", how, &options).unwrap();
            assert_eq!(run(&model, &texts, batch_size), want, "{name}");
            assert_eq!(model.fingerprint(), alone.fingerprint());
        }
    }
}

/// Everything in the folder that changes a vector changes the fingerprint.
#[test]
fn the_layout_is_part_of_what_the_model_is() {
    for name in ["xlm_roberta_dense", "qwen3_last"] {
        let mut case = golden(name);
        let hash = |case: &Case| {
            let folder = folder(case);
            let model = open(folder.path(), EmbedOptions::default()).unwrap();
            model.fingerprint().hash.clone()
        };
        let before = hash(&case);
        assert_eq!(before, hash(&case));
        let modules = case.files.get_mut("modules.json").unwrap();
        modules.as_array_mut().unwrap().pop();
        assert_ne!(before, hash(&case), "{name}");
    }
}

#[test]
fn layouts_that_cannot_be_followed_are_refused() {
    let refused = |name: &str, file: &str, change: &dyn Fn(&mut Value)| {
        let mut case = golden(name);
        change(case.files.get_mut(file).unwrap());
        let folder = folder(&case);
        let error = open(folder.path(), EmbedOptions::default()).err();
        let error = error.expect("refused");
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    let (modules, pooling) = ("modules.json", "1_Pooling/config.json");
    for (found, want) in [
        (
            refused("bert_mean", modules, &|json| *json = json!({})),
            "the file: expected a list, found none",
        ),
        (
            refused("bert_mean", modules, &|json| {
                json[1]["path"] = json!("../x");
            }),
            "module 1: expected a folder inside this one, found ../x",
        ),
        (
            refused("bert_mean", modules, &|json| {
                json[2]["type"] = json!("a.CNN");
            }),
            "`a.CNN` as module 2 of a sentence encoder is not supported",
        ),
        (
            refused("bert_mean", modules, &|json| {
                json.as_array_mut().unwrap().truncate(1);
            }),
            "expected a transformer and a pooling module, found 1",
        ),
        (
            refused("bert_mean", pooling, &|json| {
                json["pooling_mode"] = json!("weightedmean");
            }),
            "pooling by `weightedmean` is not supported",
        ),
        (
            refused("bert_mean", pooling, &|json| {
                json["pooling_mode"] = json!(["cls", "mean"]);
            }),
            "expected one way of pooling, found 2 (cls, mean)",
        ),
        (
            refused("bert_mean", pooling, &|json| {
                json["include_prompt"] = json!(false);
            }),
            "pooling without the prompt (`include_prompt: false`) is not supported",
        ),
        (
            refused("xlm_roberta_first", pooling, &|json| {
                json["pooling_mode_cls_token"] = json!(false);
            }),
            "expected one way of pooling, found 0",
        ),
        (
            refused("bert_mean", "sentence_bert_config.json", &|json| {
                json["do_lower_case"] = json!(true);
            }),
            "`do_lower_case` outside the tokenizer is not supported",
        ),
        (
            refused("xlm_roberta_dense", "2_Dense/config.json", &|json| {
                json["in_features"] = json!(23);
            }),
            "expected 24, the length of the vectors before, found 23",
        ),
        (
            refused("xlm_roberta_dense", "2_Dense/config.json", &|json| {
                json["module_input_name"] = json!("token_embeddings");
            }),
            "expected `sentence_embedding`, found \"token_embeddings\"",
        ),
        (
            refused("xlm_roberta_dense", "2_Dense/config.json", &|json| {
                json["activation_function"] = json!("torch.nn.Softsign");
            }),
            "the activation `torch.nn.Softsign` is not supported",
        ),
    ] {
        assert!(found.contains(want), "{found}\nwant: {want}");
    }
}

#[test]
fn texts_that_have_no_vector_are_refused() {
    let folder = folder(&golden("qwen3_last"));
    let model = open(folder.path(), EmbedOptions::default()).unwrap();
    let cancel = AtomicBool::new(false);
    let refused = |model: &SentenceEncoder, ids: Vec<u32>| {
        let texts = [vec![5].into(), TokenText::from(ids)];
        let mut no_work = |_: usize, _: Vec<f32>| panic!("refused before any work");
        let error = model.embed(&texts, &settings(&cancel, 8), &mut no_work);
        error.unwrap_err().to_string()
    };
    assert_eq!(model.limit(), 20);
    assert_eq!(
        refused(&model, vec![3; 21]),
        "the text has 21 tokens, `tiny` can hold 20"
    );
    assert_eq!(
        refused(&model, vec![]),
        "a text of no tokens has no states in `tiny`"
    );
    assert_eq!(
        refused(&model, vec![48]),
        "token id 48 is outside the vocabulary of `tiny` (ids 0 to 47)"
    );
    assert_eq!(
        model.encode("text").unwrap_err().to_string(),
        "`tiny` cannot encode text: it has no tokenizer"
    );
    let how = EmbedOptions {
        pooling: Some(Pooling::First),
        normalization: None,
    };
    let model = open(folder.path(), how).unwrap();
    assert_eq!(
        refused(&model, vec![3]),
        "`tiny` cannot pool by the first token or the maximum: it is a decoder"
    );
}
