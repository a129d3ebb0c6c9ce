//! Run folders: read, refused, rebuilt.

use std::path::Path;

use isogloss_record::{Explain, files};
use isogloss_report::{AtlasOptions, ReportError, read_run, write_reports};

use crate::fixture;

fn write(folder: &Path, name: &str, contents: &str) {
    files::write_atomic(&folder.join(name), contents.as_bytes()).unwrap();
}

fn survey_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let results = fixture::survey();
    write(
        folder.path(),
        "results.json",
        &serde_json::to_string_pretty(&results).unwrap(),
    );
    write(
        folder.path(),
        "run.json",
        &serde_json::to_string_pretty(&fixture::run_info(&results)).unwrap(),
    );
    folder
}

/// Leaves a page under `target/tmp/atlas`, to be opened in a browser.
pub(crate) fn keep_to_look_at(name: &str, contents: &[u8]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("atlas");
    files::create_dir_all(&folder).unwrap();
    files::write_atomic(&folder.join(name), contents).unwrap();
}

#[test]
fn a_run_is_rebuilt_to_the_same_bytes() {
    let folder = survey_folder();
    assert_eq!(
        read_run(folder.path()).unwrap(),
        fixture::survey(),
        "what was written is what is read"
    );
    let options = AtlasOptions { samples: true };
    let bytes = || {
        let written = write_reports(folder.path(), &options).unwrap();
        [written.html, written.markdown, written.csv].map(|path| files::read(&path).unwrap())
    };
    let first = bytes();
    assert!(first.iter().all(|bytes| !bytes.is_empty()));
    assert_eq!(first, bytes());
    keep_to_look_at("atlas.html", &first[0]);
    let tokens = isogloss_report::tokens_html(&fixture::tokens()).unwrap();
    keep_to_look_at("tokens.html", tokens.as_bytes());
}

#[test]
fn a_run_without_run_json_still_has_an_atlas() {
    let folder = survey_folder();
    std::fs::remove_file(folder.path().join("run.json")).unwrap();
    write_reports(folder.path(), &AtlasOptions::default()).unwrap();
}

#[test]
fn results_of_the_first_schema_are_still_read() {
    let folder = survey_folder();
    let mut old = serde_json::to_value(fixture::survey()).unwrap();
    old["schema"] = "isogloss-survey/1".into();
    for model in old["models"].as_array_mut().unwrap() {
        for language in model["languages"].as_object_mut().unwrap().values_mut() {
            for register in language["registers"].as_object_mut().unwrap().values_mut() {
                register.as_object_mut().unwrap().remove("outcomes");
            }
        }
    }
    write(folder.path(), "results.json", &old.to_string());
    let read = read_run(folder.path()).unwrap();
    assert!(read.models.iter().all(|model| {
        let registers = model.languages.values().flat_map(|l| l.registers.values());
        registers.into_iter().all(|r| r.outcomes.is_none())
    }));
    write_reports(folder.path(), &AtlasOptions::default()).unwrap();
}

#[test]
fn other_folders_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_run(folder.path()).unwrap_err();
    assert!(matches!(error, ReportError::NotARun { .. }), "{error}");
    assert!(error.to_string().contains("holds no `results.json`"));
    assert!(
        read_run(&folder.path().join("nowhere"))
            .unwrap_err()
            .hint()
            .is_some()
    );

    write(
        folder.path(),
        "results.json",
        r#"{"schema": "isogloss-survey/3", "cities": []}"#,
    );
    let error = read_run(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("has the schema `isogloss-survey/3`, expected `isogloss-survey/2`"),
        "{error}"
    );

    write(
        folder.path(),
        "results.json",
        r#"{"results": {"arc_easy": {}}}"#,
    );
    let error = read_run(folder.path()).unwrap_err().to_string();
    assert!(error.contains("`(none)`"), "{error}");
}

#[test]
fn damage_is_found_with_its_place() {
    let folder = survey_folder();
    let path = folder.path().join("results.json");
    let whole = files::read_to_string(&path).unwrap();

    write(folder.path(), "results.json", &whole[..5_000]);
    match read_run(folder.path()).unwrap_err() {
        ReportError::Damaged {
            path: at,
            line,
            message,
            ..
        } => {
            assert_eq!(at, path);
            assert_eq!(line, whole[..5_000].lines().count());
            assert!(message.contains("EOF"), "{message}");
        }
        other => panic!("{other}"),
    }

    // A field that the schema does not have, and one that is missing.
    write(
        folder.path(),
        "results.json",
        &whole.replacen("\"bits_per_byte\"", "\"bits_per_bite\"", 1),
    );
    let error = read_run(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("`bits_per_bite`") && error.contains("line "),
        "{error}"
    );

    // A torn run.json is damage too, and no report is half-written.
    write(folder.path(), "results.json", &whole);
    write(folder.path(), "run.json", "{");
    let error = write_reports(folder.path(), &AtlasOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("run.json"), "{error}");
    assert!(!folder.path().join("atlas.html").exists());
}
