//! The primitives on a real model: contracts of their input and output lines.

use serde_json::{Value, json};

use crate::{model, run_on_lines};

#[test]
fn score_keeps_order_and_unknown_fields_and_splits_context_from_continuation() {
    let model = model("smollm2-135m");
    let input = r#"{"id":"b","text":"The capital of France is Paris.","note":"kept"}
{"id":"a","context":"The capital of France is ","continuation":"Paris."}
{"id":3,"token_ids":[504,3575,282]}
"#;
    let lines = run_on_lines(&["score", &model], input);
    assert_eq!(
        lines
            .iter()
            .map(|line| line["id"].clone())
            .collect::<Vec<_>>(),
        [json!("b"), json!("a"), json!(3)]
    );
    assert_eq!(lines[0]["note"], "kept");
    let logprobs = |line: &Value| line["logprobs"].as_array().unwrap().clone();
    for line in &lines {
        assert_eq!(
            logprobs(line).len(),
            line["token_ids"].as_array().unwrap().len()
        );
        assert_eq!(
            logprobs(line)[0],
            Value::Null,
            "nothing precedes the first token"
        );
        let n_context = line["n_context_tokens"].as_u64().unwrap() as usize;
        let sum: f64 = logprobs(line)[n_context..]
            .iter()
            .filter_map(Value::as_f64)
            .sum();
        assert!((line["loglikelihood"].as_f64().unwrap() - sum).abs() < 1e-4);
    }
    // The same text, whole or as context and continuation (the space moves to the continuation).
    assert_eq!(lines[0]["token_ids"], lines[1]["token_ids"]);
    assert_eq!(lines[0]["logprobs"], lines[1]["logprobs"]);
    assert_eq!(lines[1]["n_context_tokens"], 5);
    assert_eq!(lines[2]["token_ids"], json!([504, 3575, 282]));
    assert_eq!(lines[2]["bits_per_byte"], Value::Null);
    let bits = -lines[0]["loglikelihood"].as_f64().unwrap() / std::f64::consts::LN_2;
    let n_bytes = "The capital of France is Paris.".len() as f64;
    assert!((lines[0]["bits_per_byte"].as_f64().unwrap() - bits / n_bytes).abs() < 1e-9);
}

#[test]
fn generate_answers_prompts_and_dialogues_with_new_ids_only() {
    let model = model("smollm2-135m");
    let input = r#"{"id":1,"prompt":"The capital of France is"}
{"id":2,"messages":[{"role":"user","content":"What is the capital of France?"}]}
"#;
    let arguments = ["generate", &model, "--max-tokens", "8"];
    let lines = run_on_lines(&arguments, input);
    assert!(
        lines[0]["text"].as_str().unwrap().contains("Paris"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1]["text"].as_str().unwrap().contains("Paris"),
        "{}",
        lines[1]
    );
    assert!(lines[0]["token_ids"].as_array().unwrap().len() <= 8);
    let seeded = |seed: &str| {
        run_on_lines(
            &[
                "generate",
                &model,
                "--max-tokens",
                "8",
                "--temperature",
                "1",
                "--seed",
                seed,
            ],
            input,
        )
    };
    assert_eq!(seeded("7"), seeded("7"));
    assert_ne!(seeded("7"), seeded("8"));
}

#[test]
fn tokenize_round_trips_in_many_scripts() {
    for name in ["smollm2-135m", "gemma3-270m"] {
        let model = model(name);
        let texts = [
            "Kaixo, mundua",
            "مرحبا بالعالم",
            "नमस्ते दुनिया",
            "สวัสดีชาวโลก",
            "世界您好",
            "Việt Nam",
            "አማርኛ",
        ];
        let lines: Vec<String> = texts
            .iter()
            .map(|text| json!({ "id": text, "text": text }).to_string())
            .collect();
        let input = lines.join(
            "
",
        );
        for (line, text) in run_on_lines(&["tokenize", &model], &input)
            .iter()
            .zip(texts)
        {
            let ids = line["token_ids"].as_array().unwrap();
            assert_eq!(
                ids.len(),
                line["pieces"].as_array().unwrap().len(),
                "{text}"
            );
            assert!(!ids.is_empty());
        }
    }
}

#[test]
fn identify_names_languages_and_abstains() {
    let input = r#"{"id":"eus","text":"Gizon-emakume guztiak aske jaiotzen dira, duintasun eta eskubide berberak dituztela"}
{"id":"arb","text":"يولد جميع الناس أحرارا متساوين في الكرامة والحقوق"}
{"id":"tha","text":"มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ"}
{"id":null,"text":"12345 67890 --- !!!"}
"#;
    for line in run_on_lines(&["identify"], input) {
        assert_eq!(line["lang"], line["id"], "{line}");
        let score = line["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score));
    }
}

#[test]
fn hidden_states_come_as_safetensors() {
    let model = model("smollm2-135m");
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    let output = folder.path().join("out.safetensors");
    isogloss_record::files::write_atomic(
        &input,
        b"{\"id\":\"a\",\"text\":\"hello\"}\n{\"id\":\"b\",\"text\":\"kaixo\"}\n",
    )
    .unwrap();
    let done = crate::isogloss()
        .args([
            "hidden", &model, "--layers", "0,29", "--pool", "last", "--input",
        ])
        .arg(&input)
        .arg("--output")
        .arg(&output)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let bytes = isogloss_record::files::read(&output).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("a").unwrap().shape(), [2, 576]);
    assert_ne!(
        tensors.tensor("a").unwrap().data(),
        tensors.tensor("b").unwrap().data()
    );
}
