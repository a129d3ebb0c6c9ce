//! `--memory-max`: the same bytes within the limit, or a refusal before any work.

use serde_json::Value;

use crate::{model, run, run_on_lines, text};

/// Enough for the model's files, weights and tokenizer and some texts; less than is taken freely.
const LIMIT: u64 = 420_000_000;

#[test]
fn a_survey_within_a_limit_gives_the_same_bytes() {
    let model = model("smollm2-135m");
    let folder = tempfile::tempdir().unwrap();
    let survey = |name: &str, extra: &[&str]| -> (String, Value) {
        let out = folder.path().join(name);
        let out_name = out.display().to_string();
        let mut arguments = vec![
            "survey",
            &model,
            "--langs",
            "fra,tha",
            "--items",
            "8",
            "--words",
            "8",
            "--fast",
            "--complete",
            "--out",
            &out_name,
        ];
        arguments.extend(extra);
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let info = serde_json::from_str(&text(&out.join("run.json"))).unwrap();
        (text(&out.join("results.json")), info)
    };
    let (free, free_info) = survey("free", &[]);
    let limit = (LIMIT / 1_000_000).to_string() + "MB";
    let (tight, tight_info) = survey("tight", &["--memory-max", &limit]);
    assert!(free == tight, "the results differ");
    let peak = |info: &Value| info["peak_memory_bytes"].as_u64().unwrap();
    assert!(free_info["memory_max_bytes"].is_null());
    assert_eq!(tight_info["memory_max_bytes"], LIMIT);
    let (free, tight) = (peak(&free_info), peak(&tight_info));
    assert!(tight <= LIMIT, "{tight} bytes at the peak");
    assert!(free > LIMIT, "the limit would not be felt: {free}");
}

#[test]
fn what_cannot_fit_is_refused_with_the_numbers() {
    let model = model("smollm2-135m");
    let output = run(&["score", &model, "--memory-max", "150MB"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "MB of memory",
        "of weights",
        "text of 512 tokens",
        "--memory-max",
        " more",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for wrong in ["2", "GB", "-1GB", "0MB", "2 parsecs"] {
        let output = run(&["score", &model, &format!("--memory-max={wrong}")]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("such as"),
            "{said}"
        );
    }
    // A text that fits the context and not the memory.
    let long = serde_json::json!({"id": 1, "token_ids": vec![504; 8000]}).to_string();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("long");
    isogloss_record::files::write_atomic(&input, long.as_bytes()).unwrap();
    let input = input.display().to_string();
    let limit = (LIMIT / 1_000_000).to_string() + "MB";
    let output = run(&["score", &model, "--input", &input, "--memory-max", &limit]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("8000 tokens of one text need"), "{said}");
    let lines = run_on_lines(
        &["score", &model, "--memory-max", &limit],
        "{\"id\": 1, \"text\": \"a b\"}",
    );
    assert_eq!(lines.len(), 1);
}
