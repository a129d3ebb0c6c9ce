//! Tables: a column per language, separated by tabs.

use isogloss_lang::registry;

use super::{Column, Own, TextError, assemble, code, utf8};

/// A table from its bytes; the pure part of reading a file.
pub fn from_table(name: &str, bytes: &[u8]) -> Result<Own, TextError> {
    let text = utf8(name, bytes)?;
    let rows: Vec<(usize, Vec<&str>)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| (i + 1, line.split('\t').collect()))
        .collect();
    let Some((_, first)) = rows.first() else {
        return Err(TextError::Empty {
            name: name.to_owned(),
        });
    };
    let n_columns = first.len();
    for (line, row) in &rows {
        if row.len() != n_columns {
            return Err(TextError::Columns {
                name: name.to_owned(),
                line: *line,
                expected: n_columns,
                found: row.len(),
            });
        }
    }
    let layout = layout(name, &rows)?;
    let body = &rows[usize::from(layout.has_header)..];
    let ids = layout.id.map(|at| {
        body.iter()
            .map(|(_, row)| row[at].trim().to_owned())
            .collect()
    });
    let columns = layout
        .columns
        .into_iter()
        .map(|(at, label, (lang, names_script))| Column {
            name: format!("column {label} of {name}"),
            lang,
            names_script,
            texts: body.iter().map(|(_, row)| row[at].to_owned()).collect(),
        })
        .collect();
    assemble(name, columns, ids, Vec::new())
}

/// Which column is what.
struct Layout {
    has_header: bool,
    /// Column that names the documents.
    id: Option<usize>,
    /// Index, label and language of each column of text.
    columns: Vec<(usize, String, (isogloss_record::Lang, bool))>,
}

fn layout(name: &str, rows: &[(usize, Vec<&str>)]) -> Result<Layout, TextError> {
    let first: Vec<&str> = rows[0].1.iter().map(|cell| cell.trim()).collect();
    // A header: every cell is a language, or `id` in the first column. `id` is also the code of
    // Indonesian: it names the documents where two other languages follow.
    let known = first.iter().filter(|cell| code(cell).is_some()).count();
    let id = (first[0].eq_ignore_ascii_case("id") && first.len() > 2).then_some(0);
    if known > 0 && known == first.len() {
        let columns = first.iter().enumerate().filter(|(at, _)| Some(*at) != id);
        return Ok(Layout {
            has_header: true,
            id,
            columns: columns
                .filter_map(|(at, cell)| Some((at, (*cell).to_owned(), code(cell)?)))
                .collect(),
        });
    }

    // Languages in the name of the file; Tatoeba puts an id before each text.
    let from_name = languages_of_name(name);
    let is_number = |at: usize| {
        rows.iter()
            .all(|(_, row)| row[at].trim().bytes().all(|b| b.is_ascii_digit()))
    };
    let at: Vec<usize> = match (first.len(), from_name.len()) {
        (4, 2) if is_number(0) && is_number(2) => vec![1, 3],
        (n, m) if n == m => (0..n).collect(),
        _ => return Err(no_languages(name, &first, known > 0)),
    };
    Ok(Layout {
        has_header: false,
        id: None,
        columns: at
            .into_iter()
            .zip(from_name)
            .map(|(at, (label, lang))| (at, label, lang))
            .collect(),
    })
}

/// The languages that a file is named after: `eng-hau.tsv`, `Sentence pairs in English-Hausa - 2026-11-24.tsv`.
/// Empty where the name is not made of languages.
fn languages_of_name(name: &str) -> Vec<(String, (isogloss_record::Lang, bool))> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = stem.strip_prefix("Sentence pairs in ").unwrap_or(stem);
    let stem = stem.split(" - ").next().unwrap_or(stem);
    let parts: Vec<&str> = stem.split('-').map(str::trim).collect();
    let found: Vec<_> = parts
        .iter()
        .filter_map(|part| Some(((*part).to_owned(), code(part)?)))
        .collect();
    if found.len() == parts.len() && found.len() > 1 {
        found
    } else {
        Vec::new()
    }
}

/// The error for a table whose languages are not said: where part of a header is known, the first
/// cell that is not.
fn no_languages(name: &str, first: &[&str], looks_like_header: bool) -> TextError {
    let unknown = looks_like_header
        .then(|| first.iter().find_map(|cell| registry().resolve(cell).err()))
        .flatten();
    match unknown {
        Some(source) => TextError::Language {
            name: format!("column {} of {name}", source.found),
            source,
        },
        _ => TextError::NoLanguages {
            name: name.to_owned(),
        },
    }
}
