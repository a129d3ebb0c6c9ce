//! Run folders: read what a survey wrote, and write its reports beside it.

use std::path::{Path, PathBuf};

use isogloss_record::diff::AtlasDiff;
use isogloss_record::files::{self, FileError};
use isogloss_record::survey::{SCHEMA, SCHEMAS_READ, SurveyResults};
use isogloss_record::{Explain, RunInfo};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::atlas::{AtlasOptions, atlas_html};
use crate::diff::{DiffTitles, diff_html, diff_markdown};
use crate::summary::{atlas_csv, atlas_markdown};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no `results.json`.
    #[error("`{folder}` is not the folder of a finished survey: it holds no `results.json`")]
    NotARun {
        /// The folder that was named.
        folder: PathBuf,
    },
    /// Written by another version, or by something else.
    #[error("`{path}` has the schema `{found}`, expected `{SCHEMA}`")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// No JSON, or not the fields of the schema.
    #[error("`{path}` is damaged at line {line}, column {column}: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected and found.
        message: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A template of this version is wrong: a bug of Isogloss.
    #[error("the report could not be drawn: {0:#}")]
    Template(#[from] minijinja::Error),
}

impl Explain for ReportError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotARun { .. } => Some("name the folder that was given to `isogloss survey … --out`; run the same command again if it was not finished".into()),
            Self::Schema { .. } => Some("use the version of Isogloss that wrote the run, or run the survey again: finished work is kept".into()),
            Self::Damaged { .. } => Some("run the survey again with the same `--out`: the responses are kept and `results.json` is written anew".into()),
            Self::File(error) => error.hint(),
            Self::Template(_) => Some("please report this with the run's `results.json`".into()),
        }
    }
}

/// The reports of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenReports {
    /// The page that opens from disk.
    pub html: PathBuf,
    /// The same as Markdown.
    pub markdown: PathBuf,
    /// One row per model, language and measure.
    pub csv: PathBuf,
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    schema: Option<serde_json::Value>,
}

/// Reads the results of a run folder; a file of another schema or a damaged one is refused.
pub fn read_run(folder: &Path) -> Result<SurveyResults, ReportError> {
    let path = folder.join("results.json");
    if !path.is_file() {
        return Err(ReportError::NotARun {
            folder: folder.to_owned(),
        });
    }
    let text = files::read_to_string(&path)?;
    // The schema first: another version's fields would be reported as damage.
    let head: Head = parse(&path, &text)?;
    match head.schema {
        Some(serde_json::Value::String(schema)) if SCHEMAS_READ.contains(&schema.as_str()) => {
            parse(&path, &text)
        }
        found => Err(ReportError::Schema {
            path,
            found: match found {
                None => "(none)".into(),
                Some(serde_json::Value::String(schema)) => schema,
                Some(other) => other.to_string(),
            },
        }),
    }
}

/// Writes `atlas.html`, `atlas.md` and `atlas.csv` into a run folder, from what the folder holds.
///
/// Each file is replaced in one step; the same run gives the same bytes.
pub fn write_reports(folder: &Path, options: &AtlasOptions) -> Result<WrittenReports, ReportError> {
    let results = read_run(folder)?;
    let run_path = folder.join("run.json");
    let run: Option<RunInfo> = if run_path.is_file() {
        Some(parse(&run_path, &files::read_to_string(&run_path)?)?)
    } else {
        None
    };
    let written = WrittenReports {
        html: folder.join("atlas.html"),
        markdown: folder.join("atlas.md"),
        csv: folder.join("atlas.csv"),
    };
    files::write_atomic(
        &written.html,
        atlas_html(&results, run.as_ref(), options)?.as_bytes(),
    )?;
    files::write_atomic(&written.markdown, atlas_markdown(&results).as_bytes())?;
    files::write_atomic(&written.csv, atlas_csv(&results).as_bytes())?;
    Ok(written)
}

/// The pages of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenDiff {
    /// The page that opens from disk.
    pub html: PathBuf,
    /// The same as Markdown.
    pub markdown: PathBuf,
}

/// Writes `diff.html` and `diff.md` into the folder of the second survey.
pub fn write_diff(
    folder: &Path,
    diff: &AtlasDiff,
    titles: DiffTitles,
    how_to_rerun: &str,
    version: &str,
) -> Result<WrittenDiff, ReportError> {
    let written = WrittenDiff {
        html: folder.join("diff.html"),
        markdown: folder.join("diff.md"),
    };
    files::write_atomic(
        &written.html,
        diff_html(diff, titles, how_to_rerun, version)?.as_bytes(),
    )?;
    files::write_atomic(
        &written.markdown,
        diff_markdown(diff, titles, how_to_rerun).as_bytes(),
    )?;
    Ok(written)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ReportError> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let position = format!(" at line {line} column {column}");
        ReportError::Damaged {
            path: path.to_owned(),
            line,
            column,
            message: error.to_string().replace(&position, ""),
        }
    })
}
