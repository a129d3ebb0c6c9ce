//! A survey on a real model: the same bytes whatever the machine does.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::{isogloss, model, run, text};

/// A small survey that touches every measure.
fn arguments<'a>(model: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "survey",
        model,
        "--langs",
        "eng,fra,hin,tha",
        "--items",
        "4",
        "--words",
        "8",
        "--continuations",
        "1",
        "--out",
        out,
    ]
}

#[track_caller]
fn results(extra: &[&str], model: &str, out: &Path) -> String {
    let out_name = out.display().to_string();
    let mut arguments = arguments(model, &out_name);
    arguments.extend(extra);
    let output = run(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text(&out.join("results.json"))
}

#[test]
fn results_are_the_same_bytes_for_threads_batches_sharing_and_after_kills() {
    let model = model("smollm2-135m");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let straight = results(&["--threads", "2"], &model, &at("straight"));
    for name in [
        "run.json",
        "responses.zst",
        "atlas.html",
        "atlas.md",
        "atlas.csv",
    ] {
        assert!(at("straight").join(name).is_file(), "{name} is missing");
    }
    assert_eq!(results(&["--threads", "1"], &model, &at("one")), straight);
    assert_eq!(
        results(&["--batch-size", "1"], &model, &at("single")),
        straight
    );
    assert_eq!(
        results(
            &["--batch-size", "8", "--no-prefix-sharing"],
            &model,
            &at("alone")
        ),
        straight
    );

    // Killed at five points, each further than the last, then left to end.
    let out = at("killed");
    let out_name = out.display().to_string();
    for i in 1..=5_u64 {
        let mut child = isogloss()
            .args(arguments(&model, &out_name))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Not a wait for a result: any moment is as good as another.
        std::thread::sleep(Duration::from_millis(700 + 400 * i));
        let _ = child.kill();
        let _ = child.wait();
    }
    assert_eq!(results(&[], &model, &out), straight);

    #[cfg(unix)]
    an_interrupt_keeps_what_is_finished(&model, &at("interrupted"), &straight);
}

/// Ctrl-C in the middle: exit status 130, one error, and the answers are there for the next run.
#[cfg(unix)]
fn an_interrupt_keeps_what_is_finished(model: &str, out: &Path, straight: &str) {
    let out_name = out.display().to_string();
    let mut child = isogloss()
        .args(arguments(model, &out_name))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As soon as something is finished.
    let store = out.join("responses.zst");
    while !store.metadata().is_ok_and(|file| file.len() > 0) {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    crate::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert_eq!(stderr.matches("error: interrupted").count(), 1, "{stderr}");
    assert_eq!(stderr.matches("\nhint: ").count(), 1, "{stderr}");
    assert!(!out.join("results.json").exists());
    assert_eq!(results(&[], model, out), straight);
    let info: serde_json::Value = serde_json::from_str(&text(&out.join("run.json"))).unwrap();
    assert!(
        info["usage"][0]["n_tokens_stored"].as_u64().unwrap() > 0,
        "{info}"
    );
}

#[test]
fn another_configuration_does_not_touch_a_run() {
    let model = model("smollm2-135m");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let before = results(&["--fast"], &model, &out);
    let out_name = out.display().to_string();
    let mut other = arguments(&model, &out_name);
    other.extend(["--fast", "--seed", "1"]);
    let output = run(&other);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("seed"));
    assert_eq!(text(&out.join("results.json")), before);
}
