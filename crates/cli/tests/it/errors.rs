//! Bad input gives one clear error: one line that begins with `error:`, details, at most one hint,
//! an exit status that is not 0, and never a panic.

use std::process::Output;

use crate::{isogloss, run};

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
    assert!(
        stderr
            .lines()
            .filter(|line| line.starts_with("hint:"))
            .count()
            <= 1,
        "{stderr}"
    );
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
        isogloss_record::files::write_atomic(&path, bytes).unwrap();
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
        isogloss_record::files::write_atomic(&folder.path().join(name), bytes).unwrap();
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
    isogloss_record::files::write_atomic(
        &folder.path().join("results.json"),
        b"{\"schema\":\"x\"}",
    )
    .unwrap();
    check(&run(&["report", &name]), &["isogloss-survey/1"]);
}
