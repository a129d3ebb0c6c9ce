//! The command line as a user meets it: the built binary, real models, real errors.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod diff;
mod encoders;
mod errors;
mod formats;
mod help;
mod memory;
mod planted;
mod primitives;
mod serve;
mod survey;
mod tiny;
mod truncate;
mod validate;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The binary with a stripped environment: nothing of the machine changes an answer.
fn isogloss() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isogloss"));
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "ISOGLOSS_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    isogloss().args(arguments).output().unwrap()
}

/// Runs a command on lines and gives back its parsed lines.
#[track_caller]
fn run_on_lines(arguments: &[&str], input: &str) -> Vec<serde_json::Value> {
    use std::io::Write;
    let mut child = isogloss()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Presses Ctrl-C.
#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(status.success());
}

/// A built-in model, in the cache before any command needs it.
fn model(name: &str) -> String {
    isogloss_testkit::model_path(name);
    name.to_owned()
}

fn text(path: &Path) -> String {
    isogloss_record::files::read_to_string(path).unwrap()
}
