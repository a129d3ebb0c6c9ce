//! What changed between two atlases, as a page, as Markdown and as a table for the terminal.

use std::fmt::Write as _;

use isogloss_record::Estimate;
use isogloss_record::diff::{
    AtlasDiff, Intervals, LanguageDiff, MeasureDiff, Movement, OnlyOne, PairDiff,
};
use isogloss_record::number::{decimal, interval};
use isogloss_record::survey::Verdict;
use serde::Serialize;

use crate::escape;
use crate::marks;
use crate::measure::Measure;
use crate::page;
use crate::run::ReportError;
use crate::table::Table;

/// What overlapping intervals do not show; printed wherever they are.
const WHAT_INTERVALS_SAY: &str = "A change is told by 95 % intervals: “apart” where they do not meet. \
    Intervals that overlap do not show that nothing changed.";

/// How the two surveys are called on the page: usually their folders.
#[derive(Debug, Clone, Copy)]
pub struct DiffTitles<'a> {
    /// The first survey.
    pub before: &'a str,
    /// The second survey.
    pub after: &'a str,
}

#[derive(Serialize)]
struct Context<'a> {
    style: &'static str,
    script: &'static str,
    shapes: &'static str,
    version: &'a str,
    before: &'a str,
    after: &'a str,
    /// Names of what differs and decides; empty where the surveys are alike.
    decides: String,
    differences: Vec<DifferenceRow<'a>>,
    how_to_rerun: &'a str,
    what_intervals_say: &'static str,
    pairs: Vec<PairView<'a>>,
    models_only_before: &'a [String],
    models_only_after: &'a [String],
}

#[derive(Serialize)]
struct DifferenceRow<'a> {
    what: &'a str,
    before: &'a str,
    after: &'a str,
    decides: bool,
}

#[derive(Serialize)]
struct PairView<'a> {
    index: usize,
    before: &'a str,
    after: &'a str,
    is_same_name: bool,
    is_same_model: bool,
    line: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
    only_before: Vec<OnlyView>,
    only_after: Vec<OnlyView>,
}

#[derive(Serialize)]
struct Column {
    title: &'static str,
    unit: &'static str,
}

#[derive(Serialize)]
struct Row {
    code: String,
    name: String,
    movement: &'static str,
    rank: u8,
    moved: bool,
    before: VerdictMark,
    after: VerdictMark,
    reason: String,
    cells: Vec<Option<Cell>>,
}

#[derive(Serialize)]
struct VerdictMark {
    word: &'static str,
    mark: String,
}

#[derive(Serialize)]
struct Cell {
    sort: Option<f64>,
    values: String,
    intervals: String,
    /// "apart: higher", "apart: lower", "overlap"; empty where one is missing.
    says: &'static str,
    apart: bool,
}

#[derive(Serialize)]
struct OnlyView {
    code: String,
    name: String,
    mark: VerdictMark,
}

/// The diff as one HTML file; `how_to_rerun` stands beside differences that decide.
pub fn diff_html(
    diff: &AtlasDiff,
    titles: DiffTitles,
    how_to_rerun: &str,
    version: &str,
) -> Result<String, ReportError> {
    let context = Context {
        style: page::STYLE,
        script: page::SCRIPT,
        shapes: marks::SHAPES,
        version,
        before: titles.before,
        after: titles.after,
        decides: deciding(diff),
        differences: diff
            .differences
            .iter()
            .map(|difference| DifferenceRow {
                what: &difference.what,
                before: &difference.before,
                after: &difference.after,
                decides: difference.decides,
            })
            .collect(),
        how_to_rerun,
        what_intervals_say: WHAT_INTERVALS_SAY,
        pairs: diff
            .pairs
            .iter()
            .enumerate()
            .map(|(index, pair)| pair_view(index, pair))
            .collect(),
        models_only_before: &diff.models_only_before,
        models_only_after: &diff.models_only_after,
    };
    Ok(page::render("diff.html", context)?)
}

/// The diff as one Markdown page.
pub fn diff_markdown(diff: &AtlasDiff, titles: DiffTitles, how_to_rerun: &str) -> String {
    let mut text = String::from("# What changed between two Isogloss atlases\n\n");
    let [before, after] = [titles.before, titles.after].map(escape::markdown);
    writeln!(text, "Before: {before}. After: {after}.\n").expect("writing to a string");
    if let Some(warning) = diff_warning(diff) {
        writeln!(
            text,
            "**{}** To compare: {how_to_rerun}.\n",
            escape::markdown(&warning)
        )
        .expect("writing to a string");
    }
    if !diff.differences.is_empty() {
        let mut table = Table::new(["made differently", "before", "after", "may move a verdict"]);
        table.rows = diff
            .differences
            .iter()
            .map(|difference| {
                vec![
                    difference.what.clone(),
                    difference.before.clone(),
                    difference.after.clone(),
                    if difference.decides { "yes" } else { "no" }.to_owned(),
                ]
            })
            .collect();
        text.push_str(&table.to_markdown());
        text.push('\n');
    }
    for pair in &diff.pairs {
        writeln!(
            text,
            "## {}\n\n{}\n",
            escape::markdown(&pair_title(pair)),
            pair_line(pair)
        )
        .expect("writing to a string");
        writeln!(text, "{WHAT_INTERVALS_SAY}\n").expect("writing to a string");
        text.push_str(&language_table(&pair.languages, None).to_markdown());
        for (where_, list) in [("before", &pair.only_before), ("after", &pair.only_after)] {
            if !list.is_empty() {
                writeln!(
                    text,
                    "\nOnly {where_}: {}.",
                    escape::markdown(&only_list(list))
                )
                .expect("writing to a string");
            }
        }
        text.push('\n');
    }
    for (where_, models) in [
        ("before", &diff.models_only_before),
        ("after", &diff.models_only_after),
    ] {
        if !models.is_empty() {
            writeln!(
                text,
                "Models only {where_}: {}.\n",
                escape::markdown(&models.join(", "))
            )
            .expect("writing to a string");
        }
    }
    text
}

/// Rows for the terminal: languages whose verdict moved or of which some interval lies apart, and
/// how many are left out.
pub fn diff_table(pair: &PairDiff) -> (Table, usize) {
    let told: Vec<LanguageDiff> = pair
        .languages
        .iter()
        .filter(|language| {
            language.before != language.after || language.measures.iter().any(is_apart)
        })
        .cloned()
        .collect();
    let n_left_out = pair.languages.len() - told.len();
    let terminal = [
        Measure::Comprehension,
        Measure::Production,
        Measure::Fidelity,
        Measure::Cost,
    ];
    (language_table(&told, Some(&terminal)), n_left_out)
}

/// One sentence about one pair: how many languages moved, and which way.
pub fn pair_line(pair: &PairDiff) -> String {
    let parts: Vec<String> = [
        Movement::LeftTheLine,
        Movement::Lost,
        Movement::CrossedTheLine,
        Movement::Gained,
        Movement::NoLongerTold,
        Movement::NowTold,
        Movement::Same,
    ]
    .into_iter()
    .filter_map(|movement| {
        let n = pair
            .languages
            .iter()
            .filter(|language| language.movement == movement)
            .count();
        (n > 0).then(|| format!("{n} {}", words(movement)))
    })
    .collect();
    if parts.is_empty() {
        return "No language is in both.".into();
    }
    format!(
        "Of {} languages in both: {}.",
        pair.languages.len(),
        parts.join(", ")
    )
}

/// "A", or "A, compared with B".
pub fn pair_title(pair: &PairDiff) -> String {
    if pair.before == pair.after {
        pair.after.clone()
    } else {
        format!("{}, compared with {}", pair.after, pair.before)
    }
}

/// What a reader must know before the numbers; `None` where nothing that decides differs.
pub fn diff_warning(diff: &AtlasDiff) -> Option<String> {
    let decides = deciding(diff);
    (!decides.is_empty()).then(|| {
        format!(
            "The two surveys were not made alike ({decides}): a verdict may have moved by that alone."
        )
    })
}

fn deciding(diff: &AtlasDiff) -> String {
    diff.differences
        .iter()
        .filter(|difference| difference.decides)
        .map(|difference| difference.what.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn words(movement: Movement) -> &'static str {
    match movement {
        Movement::LeftTheLine => "no longer served",
        Movement::Lost => "lost",
        Movement::CrossedTheLine => "now served",
        Movement::Gained => "gained",
        Movement::NoLongerTold => "can no longer be told",
        Movement::NowTold => "can now be told",
        Movement::Same => "the same",
    }
}

fn is_apart(measure: &MeasureDiff) -> bool {
    matches!(
        measure.intervals,
        Some(Intervals::Higher | Intervals::Lower)
    )
}

/// Measures that some language of the pair has, in reading order.
fn measured(languages: &[LanguageDiff]) -> Vec<Measure> {
    Measure::ALL
        .into_iter()
        .filter(|measure| {
            languages
                .iter()
                .any(|language| find(language, *measure).is_some())
        })
        .collect()
}

fn find(language: &LanguageDiff, measure: Measure) -> Option<&MeasureDiff> {
    language
        .measures
        .iter()
        .find(|found| found.id == measure.id())
}

fn pair_view(index: usize, pair: &PairDiff) -> PairView<'_> {
    let measures = measured(&pair.languages);
    PairView {
        index,
        before: &pair.before,
        after: &pair.after,
        is_same_name: pair.before == pair.after,
        is_same_model: pair.is_same_model,
        line: pair_line(pair),
        columns: measures
            .iter()
            .map(|measure| Column {
                title: measure.title(),
                unit: measure.unit(),
            })
            .collect(),
        rows: pair
            .languages
            .iter()
            .map(|language| Row {
                code: language.lang.to_string(),
                name: language.name.clone(),
                movement: words(language.movement),
                rank: language.movement as u8,
                moved: language.movement != Movement::Same,
                before: mark(language.before),
                after: mark(language.after),
                reason: language.reason.clone(),
                cells: measures
                    .iter()
                    .map(|measure| find(language, *measure).map(|found| cell(*measure, found)))
                    .collect(),
            })
            .collect(),
        only_before: pair.only_before.iter().map(only_view).collect(),
        only_after: pair.only_after.iter().map(only_view).collect(),
    }
}

fn mark(verdict: Verdict) -> VerdictMark {
    VerdictMark {
        word: marks::word(verdict),
        mark: marks::inline(verdict, false),
    }
}

fn only_view(only: &OnlyOne) -> OnlyView {
    OnlyView {
        code: only.lang.to_string(),
        name: only.name.clone(),
        mark: mark(only.verdict),
    }
}

fn only_list(list: &[OnlyOne]) -> String {
    list.iter()
        .map(|only| {
            format!(
                "{} ({}, {})",
                only.name,
                only.lang,
                marks::word(only.verdict)
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

fn says(measure: &MeasureDiff) -> &'static str {
    match measure.intervals {
        Some(Intervals::Higher) => "apart: higher",
        Some(Intervals::Lower) => "apart: lower",
        Some(Intervals::Overlap) => "overlap",
        None => "",
    }
}

fn cell(measure: Measure, found: &MeasureDiff) -> Cell {
    let digits = measure.digits();
    let value = |estimate: Option<Estimate>| {
        estimate.map_or_else(|| "–".to_owned(), |e| decimal(e.value, digits))
    };
    let range = |estimate: Option<Estimate>| {
        estimate.map_or_else(|| "–".to_owned(), |e| interval(e.low, e.high, digits))
    };
    Cell {
        sort: found.change,
        values: format!("{} → {}", value(found.before), value(found.after)),
        intervals: format!("{} → {}", range(found.before), range(found.after)),
        says: says(found),
        apart: is_apart(found),
    }
}

/// A row per language: verdicts, and the measures as values with their intervals.
fn language_table(languages: &[LanguageDiff], only: Option<&[Measure]>) -> Table {
    let measures: Vec<Measure> = measured(languages)
        .into_iter()
        .filter(|measure| only.is_none_or(|only| only.contains(measure)))
        .collect();
    let mut table = Table::new(["language", "moved", "before", "after"]);
    table.header.extend(
        measures
            .iter()
            .map(|measure| measure.title().to_lowercase()),
    );
    table.rows = languages
        .iter()
        .map(|language| {
            let mut row = vec![
                format!("{} ({})", language.name, language.lang),
                words(language.movement).to_owned(),
                marks::word(language.before).to_owned(),
                marks::word(language.after).to_owned(),
            ];
            row.extend(measures.iter().map(|measure| {
                find(language, *measure).map_or_else(
                    || "–".to_owned(),
                    |found| {
                        let cell = cell(*measure, found);
                        let says = if cell.says.is_empty() {
                            String::new()
                        } else {
                            format!(", {}", cell.says)
                        };
                        format!("{} [{}]{says}", cell.values, cell.intervals)
                    },
                )
            }));
            row
        })
        .collect();
    table
}
