//! `embed` and `classify`, and what `score` and `generate` do with an encoder-decoder, on tiny models
//! with a tokenizer of a few words in six scripts.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_model::checkpoint::Dtype;
use isogloss_model::checkpoint::write::{OwnedTensor, hf_folder, quantize};
use isogloss_record::files;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{run, run_on_lines};

const D: usize = 8;
const N_WORDS: usize = WORDS.len();
const WORDS: [&str; 12] = [
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "[UNK]",
    "kaixo",
    "مرحبا",
    "नमस्ते",
    "สวัสดี",
    "世界",
    "việt",
    "mundua",
    "a",
];

/// Writes a folder: the tensors by shape, each value a small number of its own.
fn write(folder: &Path, config: &Value, shapes: &[(&str, &[usize])]) {
    let tensors: BTreeMap<String, OwnedTensor> = (shapes.iter())
        .map(|(name, shape)| {
            let n: usize = shape.iter().product();
            let seed = name.len() + n;
            let value = |i: usize| ((i * 37 + seed * 11) % 101) as f32 / 101.0 - 0.5;
            let offset = if name.ends_with("orm.weight") {
                1.0
            } else {
                0.0
            };
            let values: Vec<f32> = (0..n).map(|i| value(i) + offset).collect();
            let tensor = OwnedTensor {
                shape: shape.to_vec(),
                dtype: Dtype::F32,
                bytes: quantize(Dtype::F32, &values),
            };
            ((*name).to_owned(), tensor)
        })
        .collect();
    hf_folder(folder, config, &tensors).unwrap();
}

fn tokenizer(folder: &Path, single: &Value, pair: &Value) {
    let vocabulary: BTreeMap<&str, usize> =
        WORDS.iter().enumerate().map(|(i, w)| (*w, i)).collect();
    let special = |name: &str| json!({"id": name, "ids": [vocabulary[name]], "tokens": [name]});
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "decoder": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {"[CLS]": special("[CLS]"), "[SEP]": special("[SEP]")},
        },
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    let bytes = tokenizer.to_string().into_bytes();
    files::write_atomic(&folder.join("tokenizer.json"), &bytes).unwrap();
}

fn special(id: &str, type_id: u32) -> Value {
    json!({"SpecialToken": {"id": id, "type_id": type_id}})
}

fn sequence(id: &str, type_id: u32) -> Value {
    json!({"Sequence": {"id": id, "type_id": type_id}})
}

/// A BERT of one block: with two labels, or without a head.
fn bert(architecture: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = json!({
        "architectures": [architecture], "hidden_size": D, "intermediate_size": D,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": N_WORDS,
        "max_position_embeddings": 10, "type_vocab_size": 2,
        "id2label": {"0": "other", "1": "greeting"},
    });
    let mut shapes: Vec<(&str, &[usize])> = vec![
        ("embeddings.word_embeddings.weight", &[N_WORDS, D]),
        ("embeddings.position_embeddings.weight", &[10, D]),
        ("embeddings.token_type_embeddings.weight", &[2, D]),
        ("embeddings.LayerNorm.weight", &[D]),
        ("embeddings.LayerNorm.bias", &[D]),
        ("encoder.layer.0.attention.output.LayerNorm.weight", &[D]),
        ("encoder.layer.0.attention.output.LayerNorm.bias", &[D]),
        ("encoder.layer.0.output.LayerNorm.weight", &[D]),
        ("encoder.layer.0.output.LayerNorm.bias", &[D]),
        ("pooler.dense.weight", &[D, D]),
        ("pooler.dense.bias", &[D]),
    ];
    for name in [
        "encoder.layer.0.attention.self.query",
        "encoder.layer.0.attention.self.key",
        "encoder.layer.0.attention.self.value",
        "encoder.layer.0.attention.output.dense",
        "encoder.layer.0.intermediate.dense",
        "encoder.layer.0.output.dense",
    ] {
        shapes.push((format!("{name}.weight").leak(), &[D, D]));
        shapes.push((format!("{name}.bias").leak(), &[D]));
    }
    if architecture.ends_with("Classification") {
        shapes.push(("classifier.weight", &[2, D]));
        shapes.push(("classifier.bias", &[2]));
    }
    write(folder.path(), &config, &shapes);
    let single = json!([special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]);
    let pair = json!([
        special("[CLS]", 0),
        sequence("A", 0),
        special("[SEP]", 0),
        sequence("B", 1),
        special("[SEP]", 1),
    ]);
    tokenizer(folder.path(), &single, &pair);
    folder
}

/// A T5 of one block on each side, whose end token is `[SEP]`.
fn t5() -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = json!({
        "architectures": ["T5ForConditionalGeneration"], "d_model": D, "d_kv": 4, "d_ff": D,
        "num_layers": 1, "num_heads": 2, "vocab_size": N_WORDS, "pad_token_id": 0,
        "eos_token_id": 2, "decoder_start_token_id": 0, "n_positions": 8,
    });
    let mut shapes: Vec<(&str, &[usize])> = vec![
        ("shared.weight", &[N_WORDS, D]),
        ("encoder.final_layer_norm.weight", &[D]),
        ("decoder.final_layer_norm.weight", &[D]),
    ];
    for (side, ff) in [("encoder", 1), ("decoder", 2)] {
        let block = |rest: &str| -> &'static str { format!("{side}.block.0.layer.{rest}").leak() };
        shapes.push((
            block("0.SelfAttention.relative_attention_bias.weight"),
            &[32, 2],
        ));
        for layer in 0..=ff {
            shapes.push((block(&format!("{layer}.layer_norm.weight")), &[D]));
        }
        shapes.push((block(&format!("{ff}.DenseReluDense.wi.weight")), &[D, D]));
        shapes.push((block(&format!("{ff}.DenseReluDense.wo.weight")), &[D, D]));
        for part in ["q", "k", "v", "o"] {
            shapes.push((block(&format!("0.SelfAttention.{part}.weight")), &[D, D]));
            if side == "decoder" {
                shapes.push((block(&format!("1.EncDecAttention.{part}.weight")), &[D, D]));
            }
        }
    }
    write(folder.path(), &config, &shapes);
    let single = json!([sequence("A", 0), special("[SEP]", 0)]);
    let pair = json!([
        sequence("A", 0),
        special("[SEP]", 0),
        sequence("B", 0),
        special("[SEP]", 0)
    ]);
    tokenizer(folder.path(), &single, &pair);
    folder
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], input: &str, want: &[&str]) {
    let file = TempDir::new().unwrap();
    let at = file.path().join("in.jsonl");
    files::write_atomic(&at, input.as_bytes()).unwrap();
    let output = run(&[arguments, &["--input", at.to_str().unwrap()]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: ") && said.contains("\nhint: "),
        "{said}"
    );
    for want in want {
        assert!(said.contains(want), "{said}\nwant: {want}");
    }
    assert!(
        output.stdout.is_empty(),
        "nothing is written before an error"
    );
}

#[test]
fn texts_of_any_script_become_vectors_of_unit_length() {
    let model = bert("BertModel");
    let texts = [
        "kaixo mundua",
        "مرحبا",
        "नमस्ते",
        "สวัสดี 世界",
        "việt",
        "e\u{301}",
        "",
    ];
    let lines: Vec<String> = (texts.iter().enumerate())
        .map(|(id, text)| json!({"id": id, "text": text, "note": "kept"}).to_string())
        .collect();
    let input = lines.join("\n");
    let answers = run_on_lines(&["embed", path(&model)], &input);
    assert_eq!(answers.len(), texts.len());
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(
            (&answer["id"], &answer["note"]),
            (&json!(i), &json!("kept"))
        );
        let vector: Vec<f64> = serde_json::from_value(answer["vector"].clone()).unwrap();
        assert_eq!((vector.len(), &answer["n_dims"]), (D, &json!(D)));
        let square: f64 = vector.iter().map(|x| x * x).sum();
        assert!((square - 1.0).abs() < 1e-6, "{answer}");
    }
    // An empty text has its special tokens, `[CLS]` and `[SEP]`.
    assert_eq!(answers[6]["n_tokens"], json!(2));
    // `[CLS] kaixo mundua [SEP]`
    let ids = run_on_lines(&["embed", path(&model)], r#"{"token_ids":[1,4,10,2]}"#);
    assert_eq!(ids[0]["vector"], answers[0]["vector"]);
    let alone = ["embed", path(&model), "--batch-size", "1", "--threads", "1"];
    assert_eq!(run_on_lines(&alone, &input), answers);
    let first = run_on_lines(&["embed", path(&model), "--pool", "first"], &input);
    assert_ne!(first[0]["vector"], answers[0]["vector"]);
    let raw = run_on_lines(&["embed", path(&model), "--no-normalize"], &input);
    assert_ne!(raw[0]["vector"], answers[0]["vector"]);
}

#[test]
fn texts_and_pairs_get_labels() {
    let model = bert("BertForSequenceClassification");
    let input = r#"{"id":1,"text":"नमस्ते"}
{"id":2,"text":"नमस्ते","second":"世界"}
{"id":3,"token_ids":[1,6,2]}
"#;
    let answers = run_on_lines(&["classify", path(&model)], input);
    for answer in &answers {
        let (logits, shares) = (&answer["logits"], &answer["probabilities"]);
        let (other, greeting) = (&logits["other"], &logits["greeting"]);
        let is_greeting = greeting.as_f64() > other.as_f64();
        let label = if is_greeting { "greeting" } else { "other" };
        assert_eq!(answer["label"], label);
        let total = shares["other"].as_f64().unwrap() + shares["greeting"].as_f64().unwrap();
        assert!((total - 1.0).abs() < 1e-9, "{answer}");
    }
    assert_eq!(answers[0]["logits"], answers[2]["logits"]);
    assert_ne!(answers[0]["logits"], answers[1]["logits"]);
}

#[test]
fn an_encoder_decoder_scores_and_writes_targets() {
    let model = t5();
    let input = r#"{"id":1,"context":"kaixo mundua","continuation":"世界 a"}"#;
    let answers = run_on_lines(&["score", path(&model)], input);
    // `kaixo mundua [SEP]`, then the target, without an end token.
    assert_eq!(answers[0]["token_ids"], json!([4, 10, 2, 8, 11]));
    assert_eq!(answers[0]["n_context_tokens"], 3);
    let logprobs = answers[0]["logprobs"].as_array().unwrap();
    assert!(logprobs[..3].iter().all(Value::is_null), "{logprobs:?}");
    assert!(
        logprobs[3..].iter().all(|x| x.as_f64() < Some(0.0)),
        "{logprobs:?}"
    );
    let arguments = ["generate", path(&model), "--max-tokens", "5"];
    let answers = run_on_lines(&arguments, r#"{"id":1,"prompt":"สวัสดี"}"#);
    let ids = answers[0]["token_ids"].as_array().unwrap();
    assert!((1..=5).contains(&ids.len()), "{answers:?}");
    let text = r#"{"id":1,"text":"kaixo"}"#;
    let said = "cannot answer without a source: it is an encoder-decoder";
    fails(&["score", path(&model)], text, &[said, "line 1"]);
    let long = r#"{"context":"a a a a a a a a","continuation":"a"}"#;
    fails(
        &["score", path(&model)],
        long,
        &["the text has 9 tokens", "can hold 8", "line 1"],
    );
}

#[test]
fn lines_that_cannot_be_answered_are_named() {
    let (encoder, classifier) = (bert("BertModel"), bert("BertForSequenceClassification"));
    for (command, model) in [("embed", &encoder), ("classify", &classifier)] {
        let arguments = [command, path(model)];
        fails(
            &arguments,
            "{\"text\":\"a\"}\n{\"note\":1}",
            &["line 2: expected `text`"],
        );
        fails(
            &arguments,
            "{\"text\":3}",
            &["line 1: `text` must be a string, found a number"],
        );
        fails(
            &arguments,
            "{\"token_ids\":[]}",
            &["line 1: a text of no tokens"],
        );
        let unknown = "token id 12 is outside the vocabulary";
        fails(&arguments, "{\"token_ids\":[1,12]}", &["line 1", unknown]);
        // Eleven tokens with the two special ones; ten positions.
        let long = r#"{"text":"a a a a a a a a a"}"#;
        fails(
            &arguments,
            long,
            &["line 1: the text has 11 tokens", "can hold 10"],
        );
    }
}

#[test]
fn models_of_another_kind_are_named() {
    let (encoder, t5) = (bert("BertModel"), t5());
    let line = r#"{"text":"a"}"#;
    let no_head = "a model without a head for whole texts as a classifier is not supported";
    fails(&["classify", path(&encoder)], line, &[no_head]);
    fails(
        &["classify", path(&t5)],
        line,
        &["`T5ForConditionalGeneration`", "an encoder-decoder"],
    );
    fails(
        &["score", path(&encoder)],
        line,
        &["`BertModel`", "is an encoder: it gives vectors"],
    );
    fails(&["embed", "scripted:knows"], line, &["`scripted:knows`"]);
    fails(
        &["embed", "http://127.0.0.1:1/v1"],
        line,
        &["is a server", "give a path"],
    );
    // The encoder of a T5 is an encoder.
    assert_eq!(
        run_on_lines(&["embed", path(&t5)], line)[0]["n_dims"],
        json!(D)
    );
}
