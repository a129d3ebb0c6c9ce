//! What can be wrong with a user's text.

use isogloss_lang::UnknownLanguage;
use isogloss_record::files::FileError;
use isogloss_record::{Explain, Lang};

/// A text that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file or folder that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that is not UTF-8.
    #[error("`{name}` is not UTF-8: byte 0x{byte:02x} in line {line}")]
    NotUtf8 {
        /// Name of the file.
        name: String,
        /// Line of the first wrong byte, from 1.
        line: usize,
        /// The wrong byte.
        byte: u8,
    },
    /// A file or column whose name is no language.
    #[error("`{name}` is not named after a language")]
    Language {
        /// Name of the file or column.
        name: String,
        /// What was taken for the language.
        #[source]
        source: UnknownLanguage,
    },
    /// Files that should have a line for each text and have not.
    #[error("lines are not aligned: `{first}` has {n_first}, `{second}` has {n_second}")]
    Misaligned {
        /// A file.
        first: String,
        /// Its lines.
        n_first: usize,
        /// Another file.
        second: String,
        /// Its lines.
        n_second: usize,
    },
    /// A row of a table with too few or too many cells.
    #[error("line {line} of `{name}`: expected {expected} columns, found {found}")]
    Columns {
        /// Name of the file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Columns of the table.
        expected: usize,
        /// Columns of this line.
        found: usize,
    },
    /// A table without a header of languages, whose name does not say the languages either.
    #[error("cannot tell the languages of `{name}`")]
    NoLanguages {
        /// Name of the file.
        name: String,
    },
    /// Text in one language, where pairs are needed.
    #[error("`{name}` holds one language only{}", .lang.map(|lang| format!(": `{lang}`")).unwrap_or_default())]
    OneLanguage {
        /// Name of the file or folder.
        name: String,
        /// The language.
        lang: Option<Lang>,
    },
    /// No text at all.
    #[error("`{name}` holds no text")]
    Empty {
        /// Name of the file, folder or column.
        name: String,
    },
}

impl Explain for TextError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File(error) => return error.hint(),
            Self::Language { source, .. } => return source.hint(),
            Self::NotUtf8 { .. } => "save the file as UTF-8".into(),
            Self::Misaligned { .. } => {
                "line n of every file must be the same text; an empty line keeps the place of a missing one".into()
            }
            Self::Columns { .. } => {
                "separate texts by tabs, one row a line, and take tabs and line breaks out of the texts".into()
            }
            Self::NoLanguages { .. } => {
                "give a header row of language codes (`eng<TAB>hau`), or name the file `eng-hau.tsv`".into()
            }
            Self::OneLanguage { .. } => {
                "add the same texts in the reference language (English unless `--reference`)".into()
            }
            Self::Empty { .. } => "give one text a line".into(),
        })
    }
}
