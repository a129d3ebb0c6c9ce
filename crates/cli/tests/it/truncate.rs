//! Texts longer than a model's context: refused before any work, or cut where the user says.

use serde_json::{Value, json};

use crate::{run, run_on_lines, tiny};

/// A model with room for 64 tokens, one a letter.
fn small() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), &tiny::config(), tiny::tensors(), 8);
    let name = folder.path().display().to_string();
    (folder, name)
}

/// 70 letters, `a` to `g` again and again.
fn long() -> String {
    "abcdefg".repeat(10)
}

fn ids(text: &str) -> Value {
    text.bytes().map(|b| u32::from(b - b'a')).collect()
}

#[test]
fn a_long_text_is_refused_or_cut_where_it_is_said() {
    let (_folder, model) = small();
    let text = long();
    let lines = [
        json!({"id": 1, "text": text}),
        json!({"id": 2, "context": text, "continuation": "hh"}),
        json!({"id": 3, "text": "abc"}),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n");
    let answers = |side: &str| {
        let answers = run_on_lines(&["score", &model, "--truncate", side], &lines);
        let found: Vec<_> = (answers.iter())
            .map(|line| (line["token_ids"].clone(), line["n_tokens_cut"].clone()))
            .collect();
        assert_eq!(answers[1]["n_context_tokens"], 62);
        assert_eq!(found[2], (ids("abc"), json!(0)));
        found
    };
    // 6 of 70, and 8 of the context before two that stay.
    let left = answers("left");
    assert_eq!(left[0], (ids(&text[6..]), json!(6)));
    assert_eq!(left[1], (ids(&(text[8..].to_owned() + "hh")), json!(8)));
    let right = answers("right");
    assert_eq!(right[0], (ids(&text[..64]), json!(6)));
    assert_eq!(right[1], (ids(&(text[..62].to_owned() + "hh")), json!(8)));
}

#[test]
fn the_refusal_names_line_and_lengths_and_comes_before_any_work() {
    let (folder, model) = small();
    let input = folder.path().join("lines.jsonl");
    let lines = format!(
        "{{\"id\":1,\"text\":\"abc\"}}\n{{\"id\":2,\"text\":\"{}\"}}\n",
        long()
    );
    isogloss_record::files::write_atomic(&input, lines.as_bytes()).unwrap();
    let input = input.display().to_string();
    for command in ["score", "hidden"] {
        let output = run(&[command, &model, "--input", &input]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        for part in ["line 2", "70 tokens", "can hold 64", "--truncate"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    // A continuation that does not fit by itself cannot be cut.
    let lines = json!({"id": 1, "context": "a", "continuation": long()}).to_string();
    isogloss_record::files::write_atomic(input.as_ref(), lines.as_bytes()).unwrap();
    let output = run(&["score", &model, "--input", &input, "--truncate", "left"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot be cut to fit"), "{said}");
}

#[test]
fn prompts_and_hidden_states_are_those_of_what_is_left() {
    let (_folder, model) = small();
    let text = long();
    let generate = |prompt: &str, side: &str| {
        let line = json!({"id": 1, "prompt": prompt}).to_string();
        let arguments = ["generate", &model, "--max-tokens", "4", "--truncate", side];
        run_on_lines(&arguments, &line)[0]["token_ids"].clone()
    };
    assert_eq!(generate(&text, "left"), generate(&text[10..], "refuse"));
    assert_eq!(generate(&text, "right"), generate(&text[..60], "refuse"));
    let hidden = |text: &str, side: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        let line = json!({"id": "x", "text": text}).to_string();
        isogloss_record::files::write_atomic(&input, line.as_bytes()).unwrap();
        let (input, to) = (input.display().to_string(), output.display().to_string());
        let done = run(&[
            "hidden",
            &model,
            "--truncate",
            side,
            "--input",
            &input,
            "--output",
            &to,
        ]);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(
            said.contains("6 tokens were cut"),
            side != "refuse",
            "{said}"
        );
        isogloss_record::files::read(&output).unwrap()
    };
    assert!(hidden(&text, "left") == hidden(&text[6..], "refuse"));
    assert!(hidden(&text, "right") == hidden(&text[..64], "refuse"));
}

#[test]
fn a_survey_says_first_which_languages_do_not_fit() {
    let (folder, model) = small();
    let out = folder.path().join("run");
    let out_name = out.display().to_string();
    let output = run(&[
        "survey", &model, "--langs", "fra,hau", "--fast", "--items", "4", "--out", &out_name,
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for part in [
        "texts are longer than the 64 tokens",
        "fra, hau",
        "--truncate",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("tokens/s"), "nothing was computed: {said}");
    let info: Value = serde_json::from_str(&crate::text(&out.join("run.json"))).unwrap();
    assert_eq!(info["config"]["truncate"], "refuse");
}
