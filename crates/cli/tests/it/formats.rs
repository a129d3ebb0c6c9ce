//! A model in another format: `MODEL@FORMAT` and `--at`.

use serde_json::Value;

use crate::{model, run, run_on_lines, text};

#[test]
fn a_format_behind_a_name_changes_the_numbers_a_little() {
    let stored = model("smollm2-135m");
    let input =
        "{\"id\":1,\"text\":\"The capital of France is Paris, and Kano lies in Nigeria.\"}\n";
    let nats = |name: &str| {
        let lines = run_on_lines(&["score", name], input);
        lines[0]["loglikelihood"].as_f64().unwrap()
    };
    let n_tokens = 14.0;
    let plain = nats(&stored);
    // Eight bits hold what four stored; K-quants of four bits on top of them do not.
    let eight = nats(&format!("{stored}@q8_0"));
    assert!((eight - plain).abs() / n_tokens < 0.1, "{eight} {plain}");
    let four = nats(&format!("{stored}@Q4_K_M"));
    assert!((four - plain).abs() > 1e-3, "{four} {plain}");
    assert!((four - plain).abs() / n_tokens < 0.5, "{four} {plain}");
    // Floats hold the same values: the same numbers.
    assert_eq!(nats(&format!("{stored}@f32")), plain);
}

#[test]
fn a_survey_lays_formats_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let name = model("smollm2-135m");
    let out_name = out.display().to_string();
    let arguments = [
        "survey",
        &name,
        "--at",
        "q8_0,q2_k",
        "--langs",
        "fra",
        "--fast",
        "--items",
        "4",
        "--registers",
        "udhr,made",
        "--out",
        &out_name,
    ];
    let output = run(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let results: Value = serde_json::from_str(&text(&out.join("results.json"))).unwrap();
    let fingerprint = |model: usize, key: &str| {
        results["models"][model]["fingerprint"][key]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(fingerprint(0, "name").ends_with("@q8_0"));
    assert!(fingerprint(1, "name").ends_with("@q2_k"));
    assert_eq!(fingerprint(0, "quantization"), "Q8_0 from Q4_1");
    assert_ne!(fingerprint(0, "hash"), fingerprint(1, "hash"));
    // Made text is a register of its own and no words were asked.
    let registers = results["models"][0]["languages"]["fra"]["registers"]
        .as_object()
        .unwrap();
    assert_eq!(registers.keys().collect::<Vec<_>>(), ["made", "udhr"]);
    assert!(registers["made"]["comprehension"]["floor"].is_number());
}

#[test]
fn what_is_no_format_or_has_no_weights_is_refused_in_one_sentence() {
    let refused = |arguments: &[&str], wants: &[&str]| {
        let output = run(arguments);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        for want in wants {
            assert!(talk.contains(want), "{want} in {talk}");
        }
        assert_eq!(talk.matches("error:").count(), 1, "{talk}");
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").display().to_string();
    let survey = |models: &[&'static str], at: &'static str| -> Vec<String> {
        let mut all = vec!["survey".to_owned()];
        all.extend(models.iter().map(|model| (*model).to_owned()));
        let rest = ["--langs", "fra", "--out", &out].map(str::to_owned);
        all.extend(rest);
        if !at.is_empty() {
            all.extend(["--at".to_owned(), at.to_owned()]);
        }
        all
    };
    let check = |arguments: Vec<String>, wants: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        refused(&arguments, wants);
    };
    let list = "expected one of f32, f16, bf16, q8_0";
    check(
        survey(&["smollm2-135m"], "q9"),
        &["`q9` is no format", list],
    );
    check(
        survey(&["smollm2-135m@q9_k"], ""),
        &["`q9_k` is no format", list],
    );
    check(
        survey(&["smollm2-135m@q8_0"], "q4_0"),
        &["names its format already", "hint:"],
    );
    check(
        survey(&["scripted:knows:fra=1@q4_0"], ""),
        &["has no weights here", "hint:"],
    );
    check(
        survey(&["http://127.0.0.1:9/v1#m"], "q4_0"),
        &["has no weights here", "hint:"],
    );
}
