//! The user's own pairs: `--text PATH`.
//!
//! Accepted, all UTF-8 (a byte order mark and CRLF are taken off), all brought to NFC:
//!
//! | form | what it looks like |
//! |---|---|
//! | folder of aligned lines | a file per language, line n of each is the same text: `eng.txt`, `hau_Latn.dev`, `corpus.en`, `corpus.ha` |
//! | TSV with a header | `eng<TAB>hau<TAB>…`, then a text per cell; a first column `id` names the documents (Indonesian is then `ind`) |
//! | TSV named by its languages | `eng-hau.tsv` with two columns and no header |
//! | Tatoeba pairs | `id<TAB>text<TAB>id<TAB>text`, named `eng-hau.tsv` or as downloaded: `Sentence pairs in English-Hausa - 2026-11-24.tsv` |
//!
//! Two files of one language are two translations. An empty text is left out and counted. Files of
//! a folder that hold no text (`README`, `LICENSE`, `*.md`, `*.json`, `*.csv`, hidden files,
//! sub-folders) are passed over.

mod error;
mod lines;
mod table;

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_lang::{normalize, registry, script};
use isogloss_record::survey::Register;
use isogloss_record::{Lang, files};

use super::{ParallelText, Translation};

pub use error::TextError;
pub use lines::from_files;
pub use table::from_table;

/// A text that was read, with what a user should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// The text.
    pub text: ParallelText,
    /// What was left out or looks odd, one sentence each.
    pub notes: Vec<String>,
}

/// One column of text before it is checked: a file, or a column of a table.
struct Column {
    /// Name of the file or column, for messages.
    name: String,
    lang: Lang,
    /// Whether the code named the script; else the text decides between the language's scripts.
    names_script: bool,
    texts: Vec<String>,
}

/// Reads a folder of aligned lines or a table; [`self`] lists the forms.
pub fn own(path: &Path) -> Result<Own, TextError> {
    let name = path.file_name().map_or_else(
        || "text".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    if !path.is_dir() {
        return from_table(&name, &files::read(path)?);
    }
    let mut contents = Vec::new();
    for file in lines::text_files(path)? {
        let bytes = files::read(&path.join(&file))?;
        contents.push((file, bytes));
    }
    from_files(&name, &contents)
}

/// Builds the text from aligned columns of one length.
fn assemble(
    name: &str,
    columns: Vec<Column>,
    ids: Option<Vec<String>>,
    mut notes: Vec<String>,
) -> Result<Own, TextError> {
    let n = columns.first().map_or(0, |column| column.texts.len());
    let mut languages: BTreeMap<Lang, Vec<Translation>> = BTreeMap::new();
    for column in columns {
        let lang = in_its_script(&column);
        let documents: Vec<Option<String>> = column
            .texts
            .iter()
            .map(|text| text.trim())
            .map(|text| (!text.is_empty()).then(|| normalize::nfc(text).into_owned()))
            .collect();
        let empty: Vec<usize> = (1..=n).filter(|n| documents[n - 1].is_none()).collect();
        if empty.len() == n {
            return Err(TextError::Empty {
                name: column.name.clone(),
            });
        }
        if !empty.is_empty() {
            notes.push(format!(
                "{} of {n} texts in `{}` are empty and left out (the first: number {})",
                empty.len(),
                column.name,
                empty[0]
            ));
        }
        notes.extend(script_note(&column, lang));
        languages.entry(lang).or_default().push(Translation {
            label: column.name,
            is_variant: false,
            documents,
        });
    }
    if languages.len() < 2 {
        return Err(TextError::OneLanguage {
            name: name.to_owned(),
            lang: languages.into_keys().next(),
        });
    }
    let text = ParallelText {
        register: register(name, &languages),
        document_ids: ids.unwrap_or_else(|| (1..=n).map(|n| format!("line-{n}")).collect()),
        languages,
    };
    Ok(Own { text, notes })
}

/// The language with the script that its text is written in, where the code left that open.
fn in_its_script(column: &Column) -> Lang {
    let registry = registry();
    if column.names_script {
        return registry.canonical(column.lang);
    }
    let scripts = registry
        .language(column.lang)
        .map_or(&[][..], |language| &language.scripts);
    let sample: String = column.texts.iter().take(50).map(String::as_str).collect();
    let found = script::best(&sample, scripts);
    match found {
        // Which Chinese script a text is in cannot be told from Unicode's scripts.
        Some(found) if !matches!(found.code(), "Hans" | "Hant") => {
            registry.canonical(column.lang.with_script(found))
        }
        _ => registry.canonical(column.lang),
    }
}

/// A warning where most letters are in another script than the code says.
fn script_note(column: &Column, lang: Lang) -> Option<String> {
    let script = registry().script(lang)?;
    let sample: String = column.texts.iter().take(50).map(String::as_str).collect();
    let share = script::share(&sample, script)?;
    (share < 0.5).then(|| {
        format!(
            "only {:.0} % of the letters in `{}` are {}, the script of `{lang}`",
            100.0 * share,
            column.name,
            script::facts(script).map_or(script.code(), |facts| &facts.name),
        )
    })
}

/// Named after the file or folder, never by its path; the hash covers languages and texts.
fn register(name: &str, languages: &BTreeMap<Lang, Vec<Translation>>) -> Register {
    let mut hasher = blake3::Hasher::new();
    for (lang, translations) in languages {
        for document in translations.iter().flat_map(|t| &t.documents) {
            let text = document.as_deref().unwrap_or_default();
            hasher.update(format!("{lang}\t{}\n", text.len()).as_bytes());
            hasher.update(text.as_bytes());
        }
    }
    let stem = name
        .split('.')
        .next()
        .filter(|stem| !stem.is_empty())
        .unwrap_or("text");
    let id = match stem {
        "udhr" | "words" | "made" => format!("own-{stem}"),
        _ => stem.to_owned(),
    };
    Register {
        id,
        source: format!("own text `{name}`"),
        hash: hasher.finalize().to_hex().to_string(),
    }
}

/// The text of a file, without byte order mark.
fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|error| TextError::NotUtf8 {
        name: name.to_owned(),
        line: bytes[..error.valid_up_to()]
            .split(|byte| *byte == b'\n')
            .count(),
        byte: bytes[error.valid_up_to()],
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A language code as it is written in names of files and columns.
fn code(text: &str) -> Option<(Lang, bool)> {
    let lang = registry().find(text)?;
    let names_script = text
        .split(['_', '-'])
        .skip(1)
        .any(|part| part.parse::<isogloss_record::Script>().is_ok());
    Some((lang, names_script))
}
