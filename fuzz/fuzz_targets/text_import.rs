//! Any bytes as `--text` (a table, aligned files, names of files): a text or one error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run text_import -- -max_len=65536 -max_total_time=600`

#![no_main]

use isogloss_survey::text::own::{Own, from_files, from_table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for name in [
        "pairs.tsv",
        "eng-hau.tsv",
        "Sentence pairs in English-Hausa - 2026-11-24.tsv",
    ] {
        if let Ok(own) = from_table(name, data) {
            check(&own);
        }
    }
    // The first zero byte parts two files.
    let at = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len() / 2);
    let (first, second) = data.split_at(at);
    let files = [
        ("eng.txt".to_owned(), first.to_vec()),
        ("srp".to_owned(), second.to_vec()),
    ];
    if let Ok(own) = from_files("folder", &files) {
        check(&own);
    }
    // The first line as the name of a file.
    let name = data.split(|byte| *byte == b'\n').next().unwrap_or(data);
    let name = String::from_utf8_lossy(name).into_owned();
    let files = [
        ("eng.txt".to_owned(), b"One.".to_vec()),
        (name, b"Two.".to_vec()),
    ];
    if let Ok(own) = from_files("folder", &files) {
        check(&own);
    }
});

/// Every translation is aligned, and no document is empty.
fn check(own: &Own) {
    assert!(own.text.languages.len() >= 2);
    for translation in own.text.languages.values().flatten() {
        assert_eq!(translation.documents.len(), own.text.document_ids.len());
        assert!(
            translation
                .documents
                .iter()
                .flatten()
                .all(|document| !document.trim().is_empty())
        );
    }
}
