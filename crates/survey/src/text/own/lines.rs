//! Folders of aligned lines: a file per language.

use std::path::Path;

use isogloss_lang::registry;
use isogloss_record::files::FileError;

use super::{Column, Own, TextError, assemble, code, utf8};

/// Files that are passed over: they describe the text.
const PASSED_OVER: [&str; 4] = ["readme", "license", "licence", "notice"];

/// Endings of files that hold no aligned lines.
const OTHER_ENDINGS: [&str; 6] = ["md", "json", "csv", "toml", "yaml", "yml"];

/// Names of the files of a folder that should hold text, sorted.
pub(super) fn text_files(folder: &Path) -> Result<Vec<String>, TextError> {
    let entries = std::fs::read_dir(folder).map_err(FileError::at("list", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let lower = name.to_lowercase();
        let ending = lower.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is_text = entry.path().is_file()
            && !name.starts_with('.')
            && !OTHER_ENDINGS.contains(&ending)
            && !PASSED_OVER.iter().any(|start| lower.starts_with(start));
        if is_text {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Aligned lines from named files; the pure part of reading a folder.
pub fn from_files(name: &str, files: &[(String, Vec<u8>)]) -> Result<Own, TextError> {
    let mut columns: Vec<Column> = Vec::new();
    for (file, bytes) in files {
        let (lang, names_script) = language(file)?;
        let texts: Vec<String> = utf8(file, bytes)?.lines().map(str::to_owned).collect();
        if texts.is_empty() {
            return Err(TextError::Empty { name: file.clone() });
        }
        if let Some(first) = columns.first()
            && first.texts.len() != texts.len()
        {
            return Err(TextError::Misaligned {
                first: first.name.clone(),
                n_first: first.texts.len(),
                second: file.clone(),
                n_second: texts.len(),
            });
        }
        columns.push(Column {
            name: file.clone(),
            lang,
            names_script,
            texts,
        });
    }
    if columns.is_empty() {
        return Err(TextError::Empty {
            name: name.to_owned(),
        });
    }
    assemble(name, columns, None, Vec::new())
}

/// The language of a file: by the part before the first dot (`hau_Latn.dev`), else by the last
/// (`corpus.ha`).
fn language(file: &str) -> Result<(isogloss_record::Lang, bool), TextError> {
    let first = file.split('.').next().unwrap_or(file);
    let last = file.rsplit('.').next().unwrap_or(file);
    code(first)
        .or_else(|| (last != "txt").then(|| code(last)).flatten())
        .map_or_else(
            || {
                Err(TextError::Language {
                    name: file.to_owned(),
                    source: registry().resolve(first).err().unwrap_or_else(|| {
                        unreachable!("`code` resolves the same text and found nothing")
                    }),
                })
            },
            Ok,
        )
}
