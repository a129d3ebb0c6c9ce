//! Atlases and tables from results: the last stage of a run, and the only one that draws.
//!
//! ```text
//! SurveyResults (+ RunInfo) -> view (strings, layout) -> templates -> atlas.html
//!                           -> summary, Markdown, CSV
//! TokensReport              -> view                   -> tokens.html, Markdown, CSV
//! Decision                  -> view                   -> one page, lines for the terminal
//! AtlasDiff                 -> view                   -> diff.html, Markdown
//! ```
//!
//! No number is made here: every figure is one of the results, formatted, and every position is
//! layout. All text of a run is untrusted: templates escape it, and so do the charts.

mod atlas;
mod card;
mod chart;
mod compare;
mod decision;
mod diff;
mod escape;
mod filter;
mod map;
mod marks;
mod measure;
mod order;
mod page;
mod place;
mod run;
mod section;
mod summary;
mod table;
mod tokens;
mod view;

pub use atlas::{AtlasOptions, atlas_html};
pub use compare::comparison_table;
pub use decision::{
    calibration_markdown, calibration_table, decision_html, decision_lines, decision_table,
};
pub use diff::{
    DiffTitles, diff_html, diff_markdown, diff_table, diff_warning, pair_line, pair_title,
};
pub use run::{ReportError, WrittenDiff, WrittenReports, read_run, write_diff, write_reports};
pub use summary::{atlas_csv, atlas_markdown, line_in_words, summary_table};
pub use table::Table;
pub use tokens::{tokens_csv, tokens_html, tokens_markdown, tokens_table};
