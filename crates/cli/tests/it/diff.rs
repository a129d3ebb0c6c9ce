//! `report --against`: what changed between two runs.

use std::path::Path;

use serde_json::Value;

use crate::planted::survey;
use crate::{run, text};

#[test]
fn what_changed_between_two_runs_is_said_with_what_was_done_differently() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let extra = ["--items", "24"];
    survey(
        "scripted:knows:fra=0,hin=1,other=1",
        "fra,hin",
        &at("old"),
        &extra,
    );
    survey(
        "scripted:knows:fra=1,hin=1,other=1",
        "fra,hin,tha",
        &at("new"),
        &extra,
    );
    let name = |path: &Path| path.display().to_string();
    let output = run(&[
        "report",
        &name(&at("new")),
        "--against",
        &name(&at("old")),
        "--json",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let diff: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pair = &diff["pairs"][0];
    assert_eq!(
        pair["languages"][0]["lang"], "fra",
        "what moved stands first: {pair}"
    );
    assert_eq!(pair["languages"][0]["before"], "not-served");
    let comprehension = &pair["languages"][0]["measures"][0];
    assert_eq!(comprehension["intervals"], "higher", "{comprehension}");
    assert_eq!(pair["only_after"][0]["lang"], "tha");
    let talk = String::from_utf8_lossy(&output.stderr);
    // Other languages are other texts; the rest is alike.
    assert!(
        !talk.contains("policy") && talk.contains("diff.html"),
        "{talk}"
    );
    assert!(text(&at("new").join("diff.md")).contains("| French (fra) |"));

    let new = at("new").join("results.json");
    let edited = text(&new).replacen("\"edited\": false", "\"edited\": true", 1);
    isogloss_record::files::write_atomic(&new, edited.as_bytes()).unwrap();
    let output = run(&["report", &name(&at("new")), "--against", &name(&at("old"))]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(
        talk.contains("warning:") && talk.contains("policy") && talk.contains("hint:"),
        "{talk}"
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("French (fra)") && shown.contains("apart: higher"),
        "{shown}"
    );

    let output = run(&[
        "report",
        &name(&at("new")),
        "--against",
        &name(folder.path()),
    ]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && talk.contains("results.json"),
        "{talk}"
    );
}
