//! Scripted models by name: what is planted is what the survey says.

use std::path::Path;

use serde_json::Value;

use crate::{run, run_on_lines, text};

#[track_caller]
pub(crate) fn survey(model: &str, langs: &str, out: &Path, extra: &[&str]) -> Value {
    let out_name = out.display().to_string();
    let mut arguments = vec!["survey", model, "--langs", langs, "--out", &out_name];
    arguments.extend(extra);
    let output = run(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text(&out.join("results.json"))).unwrap()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

#[test]
fn what_is_planted_lies_in_the_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let model = "scripted:knows:fra=.9,hin=.3/.8/1,tha=0,arb=.6,other=1,seed=3";
    let all = ["--items", "all", "--complete"];
    let results = survey(
        model,
        "fra,hin,tha,arb,cmn_Hans,spa",
        &folder.path().join("run"),
        &all,
    );
    // By its whole name, with ISO 639-3 codes as the results have them.
    let surveyed = &results["models"][0];
    assert_eq!(
        surveyed["name"],
        "scripted:knows:arb=0.6,fra=0.9,hin=0.3/0.8/1,tha=0,other=1,seed=3"
    );
    for (code, comprehension, production) in [
        ("fra", 0.9, 0.9),
        ("hin", 0.3, 0.8),
        ("tha", 0.0, 0.0),
        ("arb", 0.6, 0.6),
        ("cmn_Hans", 1.0, 1.0),
        ("spa", 1.0, 1.0),
    ] {
        let language = &surveyed["languages"][code];
        for (measure, planted) in [("comprehension", comprehension), ("production", production)] {
            let found = &language[measure];
            let (low, high) = (number(found, "low"), number(found, "high"));
            assert!(
                low <= planted && planted <= high,
                "{measure} of {code}: {planted} is not within {low} to {high}"
            );
            // Names alone give nothing away to a model that knows whole texts: chance, ± .11.
            assert!(number(found, "floor") < 0.4, "{measure} of {code}: {found}");
        }
    }
    let comprehension = |code: &str| number(&surveyed["languages"][code]["comprehension"], "value");
    assert!(comprehension("spa") > comprehension("hin") + 0.3);
}

#[test]
fn models_that_only_seem_to_know_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    for variant in ["ignores-context", "position"] {
        let model = format!("scripted:{variant}:other=1");
        let results = survey(
            &model,
            "fra,tha",
            &folder.path().join(variant),
            &["--fast", "--complete"],
        );
        for code in ["fra", "tha"] {
            let language = &results["models"][0]["languages"][code];
            let kappa = &language["comprehension"];
            assert!(number(kappa, "low") <= 0.0, "{variant} {code}: {kappa}");
            assert_ne!(language["verdict"], "served", "{variant} {code}");
        }
    }
}

#[test]
fn two_runs_and_a_run_beside_another_model_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = "scripted:knows:fra=.7,other=.2";
    survey(model, "fr,sw", &at("one"), &["--threads", "1"]);
    survey(model, "fr,sw", &at("two"), &["--threads", "2"]);
    let bytes = |name: &str| text(&at(name).join("results.json"));
    assert_eq!(bytes("one"), bytes("two"));
    // The same command again changes nothing; another truth is another configuration.
    survey(model, "fr,sw", &at("one"), &[]);
    assert_eq!(bytes("one"), bytes("two"));
    let out = at("one").display().to_string();
    let other = run(&[
        "survey",
        "scripted:knows:fra=.8,other=.2",
        "--langs",
        "fr,sw",
        "--out",
        &out,
    ]);
    assert!(!other.status.success());
    assert_eq!(bytes("one"), bytes("two"));
}

#[test]
fn lines_are_answered_in_numbers_that_read_back() {
    let lines = run_on_lines(
        &["score", "scripted:ignores-context"],
        r#"{"id":1,"context":"a","continuation":"\n\nb"}"#,
    );
    // A BOS, then a letter alone, a blank line that carries nothing at ln p = -0.1 f32, a letter.
    let logprobs = lines[0]["logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), 5);
    assert_eq!(logprobs[2].to_string(), "-0.1");
    assert_eq!(logprobs[3].to_string(), "-0.1");
    let lines = run_on_lines(
        &["generate", "scripted:knows", "--max-tokens", "2"],
        r#"{"id":1,"prompt":"Everyone"}"#,
    );
    assert_eq!(lines[0]["logprobs"].to_string(), "[-0.1,-0.1]");
}

#[test]
fn a_model_that_fails_leaves_the_others_results_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = "scripted:knows:fra=.7,other=.2";
    survey(whole, "fr,sw", &at("alone"), &["--fast"]);
    let out = at("both").display().to_string();
    let both = [
        "survey",
        "scripted:knows:fra=.9,fails=100",
        whole,
        "--langs",
        "fr,sw",
        "--fast",
        "--out",
        &out,
    ];
    let output = run(&both);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: 1 of 2 models failed"), "{stderr}");
    assert!(stderr.contains("as it was told to"), "{stderr}");
    let results = |name: &str| -> Value {
        serde_json::from_str(&text(&at(name).join("results.json"))).unwrap()
    };
    assert_eq!(results("both")["models"], results("alone")["models"]);
    assert_eq!(
        results("both")["failed"][0]["name"],
        "scripted:knows:fra=0.9,fails=100"
    );
    assert!(text(&at("both").join("atlas.html")).contains("failed half-way"));
    // What was answered is kept: sooner or later the run is whole.
    let n_more = (0..20).take_while(|_| !run(&both).status.success()).count();
    assert!(n_more < 20);
    assert_eq!(results("both")["models"].as_array().unwrap().len(), 2);
    assert!(results("both").get("failed").is_none());
}

/// A survey of several models that know what their names say.
#[track_caller]
fn survey_all(models: &[&str], langs: &str, out: &Path, extra: &[&str]) {
    let out_name = out.display().to_string();
    let mut arguments = vec!["survey"];
    arguments.extend(models);
    arguments.extend(["--langs", langs, "--out", &out_name]);
    arguments.extend(["--words", "8", "--continuations", "1", "--items", "12"]);
    arguments.extend(extra);
    let output = run(&arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[test]
fn a_decision_follows_the_needs_and_refuses_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (reads, speaks) = ("scripted:knows:fra=1,swh=.1", "scripted:knows:fra=.1,swh=1");
    survey_all(&[reads], "fr,sw", Path::new(&at("one")), &[]);
    survey_all(&[speaks], "fr,sw", Path::new(&at("two")), &[]);
    survey_all(
        &[speaks],
        "fr,sw",
        Path::new(&at("other")),
        &["--seed", "1"],
    );
    let write = |name: &str, contents: &str| {
        isogloss_record::files::write_atomic(Path::new(&at(name)), contents.as_bytes()).unwrap();
    };
    let decide = |runs: &[&str], needs: &str| {
        write("needs.toml", needs);
        let runs: Vec<String> = runs.iter().map(|name| at(name)).collect();
        let (needs, page) = (at("needs.toml"), at("page.html"));
        let mut arguments = vec!["decide"];
        arguments.extend(runs.iter().map(String::as_str));
        arguments.extend(["--need", &needs, "--out", &page]);
        arguments.push("--json");
        run(&arguments)
    };
    for (needs, choice) in [
        (
            "[languages]\nfrench = 5\nsw = 1",
            "scripted:knows:fra=1,swh=0.1",
        ),
        (
            "[languages]\nfr = 1\nswahili = 5",
            "scripted:knows:fra=0.1,swh=1",
        ),
    ] {
        let output = decide(&["one", "two"], needs);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let decision: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(decision["choice"], choice, "{}", decision["sentence"]);
        assert!(
            number(&decision, "probability") > 0.95,
            "{}",
            decision["sentence"]
        );
        assert!(text(Path::new(&at("page.html"))).contains("What was not measured"));
    }
    // Another seed draws other items: refused, with the command that fits.
    let output = decide(&["one", "other"], "[languages]\nfr = 1");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("the setting `seed` differs, found 1, expected 0"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: run again: isogloss survey"),
        "{stderr}"
    );
    for (needs, sentence, hint) in [
        (
            "[languages]\nfrensh = 1",
            "`frensh`, which is not known",
            "did you mean",
        ),
        (
            "[languages]\nfr = { wight = 1 }",
            "the key `wight`",
            "did you mean `weight`",
        ),
        (
            "[languages]\nyo = 1",
            "`yor` is needed and was surveyed in none",
            "--langs yor",
        ),
    ] {
        let output = decide(&["one", "two"], needs);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        assert!(
            stderr.contains(sentence) && stderr.contains(hint),
            "{stderr}"
        );
    }
}
