//! Any bytes as JSON lines for `score` and `generate`: an answer for every line, in order, or one
//! error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run jsonl -- -max_len=65536 -max_total_time=600`

#![no_main]

use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use isogloss_eval::jsonl::{self, Line};
use isogloss_eval::primitive::{Input, generate::generate, score::score};
use isogloss_model::RunSettings;
use isogloss_model::scripted::ScriptedModel;
use isogloss_model::truncate::Truncate;
use isogloss_record::Sampling;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// A model that answers at once: one token a character.
static MODEL: LazyLock<ScriptedModel> = LazyLock::new(|| {
    let spec = "scripted:knows:fra=1".parse().expect("a valid name");
    ScriptedModel::new(&spec, &[])
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(lines) = jsonl::read(bytes, "fuzz.jsonl") else {
        return;
    };
    // Lines are numbered upward, and none is invented.
    assert!(lines.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert!(lines.len() <= bytes.split(|byte| *byte == b'\n').count());

    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 4,
        share_prefixes: true,
        cancel: &cancel,
    };
    let input = Input {
        lines: &lines,
        file: "fuzz.jsonl",
        truncate: Truncate::Refuse,
    };
    let mut answers = Vec::new();
    let result = score(&*MODEL, &input, &settings, &mut |answer| {
        answers.push(answer);
        Ok(())
    });
    if result.is_ok() {
        check(&lines, &answers);
        for answer in &answers {
            let n = |name: &str| answer[name].as_array().map(Vec::len);
            assert_eq!(n("token_ids"), n("logprobs"));
            assert!(answer["loglikelihood"].is_number());
        }
    }

    let sampling = Sampling {
        max_tokens: 2,
        temperature: 0.0,
        seed: 0,
        stop: Vec::new(),
    };
    let mut answers = Vec::new();
    let result = generate(
        &*MODEL,
        &input,
        &sampling,
        &settings,
        &mut |answer| {
            answers.push(answer);
            Ok(())
        },
    );
    if result.is_ok() {
        check(&lines, &answers);
    }
});

/// One answer a line, with the line's own id; what is written is read back as it was.
fn check(lines: &[Line], answers: &[Map<String, Value>]) {
    assert_eq!(lines.len(), answers.len());
    let mut written = Vec::new();
    for (line, answer) in lines.iter().zip(answers) {
        assert_eq!(answer["id"], line.id());
        jsonl::write(&mut written, answer, "out.jsonl").expect("memory is written");
    }
    let read = jsonl::read(&written[..], "out.jsonl").expect("an answer is a line");
    assert!(read.iter().map(|line| &line.fields).eq(answers));
}
