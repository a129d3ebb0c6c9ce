//! The atlas without a browser: the line in words, a table for the terminal, Markdown and CSV.

use std::fmt::Write as _;

use isogloss_record::people::sources_of_speakers;
use isogloss_record::survey::{ModelResults, SurveyResults, Verdict};

use crate::escape;
use crate::filter::people_rows;
use crate::marks::{self, VERDICTS};
use crate::measure::{Measure, pooled};
use crate::order::reading_order;
use crate::table::Table;
use isogloss_record::number::{count, decimal, interval};

/// Languages per verdict.
pub(crate) struct Counts<'a>(&'a ModelResults);

impl<'a> Counts<'a> {
    pub(crate) fn of(model: &'a ModelResults) -> Self {
        Self(model)
    }

    pub(crate) fn of_verdict(&self, verdict: Verdict) -> usize {
        self.0
            .languages
            .values()
            .filter(|language| language.verdict == verdict)
            .count()
    }
}

/// The line of one model: "serves 4 of 20 languages, 3 partly, 9 not; 4 cannot be told".
///
/// The reference language is not counted: it is what the others are measured against.
pub fn line_in_words(model: &ModelResults) -> String {
    let counts = Counts::of(model);
    let total = model.languages.len() - counts.of_verdict(Verdict::Reference);
    let languages = if total == 1 { "language" } else { "languages" };
    let mut line = format!(
        "serves {} of {total} {languages}",
        counts.of_verdict(Verdict::Served)
    );
    for (verdict, words) in [(Verdict::Partly, "partly"), (Verdict::NotServed, "not")] {
        let n = counts.of_verdict(verdict);
        if n > 0 {
            write!(line, ", {n} {words}").expect("writing to a string");
        }
    }
    let unknown = counts.of_verdict(Verdict::CannotSay);
    if unknown > 0 {
        write!(line, "; {unknown} cannot be told").expect("writing to a string");
    }
    let provisional = model
        .languages
        .values()
        .filter(|language| language.provisional && language.verdict != Verdict::Reference)
        .count();
    match provisional {
        0 => {}
        n if n >= total => line.push_str(" (all provisional)"),
        n => write!(line, " ({n} provisional)").expect("writing to a string"),
    }
    line
}

/// One row per model and language, for the terminal: verdict, deciding numbers, reason.
pub fn summary_table(results: &SurveyResults) -> Table {
    let mut table = Table::new([
        "language",
        "model",
        "verdict",
        "comprehension",
        "production",
        "lexicon",
        "fidelity",
        "premium",
        "reason",
    ]);
    if results.models.len() < 2 {
        table.header.remove(1);
    }
    for lang in reading_order(results) {
        let name = results
            .languages
            .get(&lang)
            .map_or_else(|| lang.to_string(), |facts| facts.name.clone());
        for model in &results.models {
            let Some(result) = model.languages.get(&lang) else {
                continue;
            };
            let all = pooled(result);
            let short = |measure: Measure| {
                measure.read(&all).map_or_else(
                    || "–".to_owned(),
                    |reading| {
                        format!(
                            "{} [{}]",
                            decimal(reading.value, 2),
                            interval(reading.low, reading.high, 2)
                        )
                    },
                )
            };
            let provisional = if result.provisional {
                ", provisional"
            } else {
                ""
            };
            let mut row = vec![
                format!("{name} ({lang})"),
                model.name.clone(),
                format!("{}{provisional}", marks::word(result.verdict)),
                short(Measure::Comprehension),
                short(Measure::Production),
                short(Measure::Lexicon),
                short(Measure::Fidelity),
                Measure::Cost
                    .read(&all)
                    .map_or_else(|| "–".to_owned(), |reading| decimal(reading.value, 2)),
                result.reason.clone(),
            ];
            if results.models.len() < 2 {
                row.remove(1);
            }
            table.rows.push(row);
        }
    }
    table
}

/// One row per model, language and measure, by RFC 4180; a measure that is missing has its reason.
///
/// Numbers are written in full, with a point; empty where there is none.
pub fn atlas_csv(results: &SurveyResults) -> String {
    let mut table = Table::new([
        "model",
        "language",
        "name",
        "measure",
        "value",
        "low",
        "high",
        "n",
        "floor",
        "verdict",
        "provisional",
        "not_measured",
    ]);
    for model in &results.models {
        for (lang, result) in &model.languages {
            let name = results
                .languages
                .get(lang)
                .map_or("", |facts| facts.name.as_str());
            let all = pooled(result);
            for measure in Measure::ALL {
                let reading = measure.read(&all);
                let reason = if reading.is_none() {
                    result.not_measured.get(measure.card_id())
                } else {
                    None
                };
                let number = |pick: fn(&crate::measure::Reading) -> f64| {
                    reading
                        .as_ref()
                        .map_or_else(String::new, |r| pick(r).to_string())
                };
                table.rows.push(vec![
                    model.name.clone(),
                    lang.to_string(),
                    name.to_owned(),
                    measure.id().to_owned(),
                    number(|r| r.value),
                    number(|r| r.low),
                    number(|r| r.high),
                    reading
                        .as_ref()
                        .map_or_else(String::new, |r| r.n.to_string()),
                    reading
                        .as_ref()
                        .and_then(|r| r.floor)
                        .map_or_else(String::new, |floor| floor.to_string()),
                    marks::id(result.verdict).to_owned(),
                    result.provisional.to_string(),
                    reason.cloned().unwrap_or_default(),
                ]);
            }
        }
    }
    table.to_csv()
}

/// The atlas as one Markdown page: the line, a table per model, definitions, settings, models.
pub fn atlas_markdown(results: &SurveyResults) -> String {
    let mut text = String::from("# Isogloss atlas\n\n");
    for model in &results.models {
        writeln!(
            text,
            "**{}** {}.\n",
            escape::markdown(&model.name),
            line_in_words(model)
        )
        .expect("writing to a string");
    }
    if results.models.is_empty() {
        text.push_str("No model was measured.\n\n");
    }
    for failed in &results.failed {
        let (name, reason) = (&failed.name, &failed.reason);
        let (name, reason) = (escape::markdown(name), escape::markdown(reason));
        writeln!(
            text,
            "**{name}** failed half-way and has no results here: {reason}\n"
        )
        .expect("writing to a string");
    }
    for model in &results.models {
        writeln!(text, "## {}\n", escape::markdown(&model.name)).expect("writing to a string");
        text.push_str("Value, 95 % interval in brackets, number of items in parentheses.\n\n");
        text.push_str(&model_table(results, model).to_markdown());
        text.push('\n');
        text.push_str(&people_table(results, model).to_markdown());
        text.push('\n');
    }
    if !results.models.is_empty() {
        writeln!(text, "{}\n", escape::markdown(&speakers_note(results)))
            .expect("writing to a string");
    }
    text.push_str("## What the measures mean\n\n");
    for card in &results.measures {
        let deciding = if card.deciding {
            "A verdict may rest on it."
        } else {
            "Diagnostic: it decides nothing."
        };
        writeln!(
            text,
            "- **{}** (`{}`): {} Range: {}. {} Pitfalls: {}",
            escape::markdown(&card.title),
            escape::markdown(&card.id),
            escape::markdown(&card.definition),
            escape::markdown(card.range.trim_end_matches('.')),
            deciding,
            escape::markdown(&card.pitfalls),
        )
        .expect("writing to a string");
    }
    text.push_str("\n## What the verdicts mean\n\n");
    for verdict in VERDICTS {
        writeln!(
            text,
            "- **{}**: {}",
            marks::word(verdict),
            marks::meaning(verdict)
        )
        .expect("writing to a string");
    }
    text.push_str(
        "- **provisional**: the verdict rests on one register only.\n\n## How it was measured\n\n",
    );
    let mut settings = Table::new(["what", "value"]);
    settings.rows = settings_rows(results);
    text.push_str(&settings.to_markdown());
    text
}

/// Speakers by verdict; a dash where no language of a verdict has a count.
fn people_table(results: &SurveyResults, model: &ModelResults) -> Table {
    let mut table = Table::new([
        "verdict",
        "languages",
        "speakers, summed",
        "languages without a count",
    ]);
    for row in people_rows(results, model) {
        if row.n_languages > 0 {
            table.rows.push(vec![
                row.word.to_owned(),
                row.n_languages.to_string(),
                row.speakers,
                row.n_without_count.to_string(),
            ]);
        }
    }
    table
}

/// Where the counts of speakers are from, and what their sums are not.
pub(crate) fn speakers_note(results: &SurveyResults) -> String {
    let sources: Vec<String> = sources_of_speakers(results)
        .into_iter()
        .map(|(source, year)| format!("{source} ({year})"))
        .collect();
    let from = if sources.is_empty() {
        String::new()
    } else {
        format!(
            "Speakers of a first or later language, by {}. ",
            sources.join("; ")
        )
    };
    format!(
        "{from}A sum of speakers is no number of people: whoever speaks three languages is in the \
         sums three times, often under different verdicts. A language whose speakers nobody has \
         counted is not zero: it stands in the last column. A language with texts in two scripts is \
         in a sum once."
    )
}

fn model_table(results: &SurveyResults, model: &ModelResults) -> Table {
    let mut table = Table::new(["language", "verdict"]);
    let measures: Vec<Measure> = Measure::ALL
        .into_iter()
        .filter(|measure| {
            model
                .languages
                .values()
                .any(|result| measure.read(&pooled(result)).is_some())
        })
        .collect();
    table.header.extend(
        measures
            .iter()
            .map(|measure| measure.title().to_lowercase()),
    );
    table.header.push("reason".into());
    for lang in reading_order(results) {
        let Some(result) = model.languages.get(&lang) else {
            continue;
        };
        let all = pooled(result);
        let name = results.languages.get(&lang).map_or_else(
            || lang.to_string(),
            |facts| format!("{} ({lang})", facts.name),
        );
        let provisional = if result.provisional {
            ", provisional"
        } else {
            ""
        };
        let mut row = vec![
            name,
            format!("{}{provisional}", marks::word(result.verdict)),
        ];
        row.extend(measures.iter().map(|measure| {
            measure.read(&all).map_or_else(
                || "–".to_owned(),
                |reading| {
                    let digits = measure.digits();
                    format!(
                        "{} [{}] ({})",
                        decimal(reading.value, digits),
                        interval(reading.low, reading.high, digits),
                        reading.n
                    )
                },
            )
        }));
        row.push(result.reason.clone());
        table.rows.push(row);
    }
    table
}

/// Settings, policy, texts and models as label and value; the HTML atlas prints the same rows.
pub(crate) fn settings_rows(results: &SurveyResults) -> Vec<Vec<String>> {
    let settings = &results.settings;
    let mut rows: Vec<(String, String)> = vec![
        ("Isogloss".into(), results.version.clone()),
        ("schema".into(), results.schema.clone()),
        ("reference language".into(), settings.reference.to_string()),
        (
            "text items per language and register".into(),
            settings.n_items.to_string(),
        ),
        ("words per language".into(), settings.n_words.to_string()),
        (
            "continuations per language and register".into(),
            format!(
                "{} of {} tokens",
                settings.n_continuations, settings.n_continuation_tokens
            ),
        ),
        ("measures asked for".into(), settings.measures.join(", ")),
        (
            "languages at their floor".into(),
            if settings.complete {
                "measured to the end"
            } else {
                "not pursued"
            }
            .into(),
        ),
        ("seed".into(), settings.seed.0.to_string()),
        (
            "policy".into(),
            format!(
                "{} version {}{}",
                results.policy.id,
                results.policy.version,
                if results.policy.edited {
                    ", EDITED: not the thresholds that Isogloss ships"
                } else {
                    ""
                },
            ),
        ),
    ];
    for (name, value) in &results.policy.thresholds {
        rows.push((format!("threshold: {name}"), value.to_string()));
    }
    for register in &settings.registers {
        rows.push((
            format!("text: {}", register.id),
            format!("{} (hash {})", register.source, register.hash),
        ));
    }
    for model in &results.models {
        let print = &model.fingerprint;
        rows.push((
            format!("model: {}", model.name),
            format!(
                "{}, {}{}, context {}, licence {}, hash {}",
                print.architecture,
                print.quantization,
                print
                    .n_parameters
                    .map_or_else(String::new, |n| format!(", {} parameters", count(n))),
                count(print.context_length as u64),
                print.license.as_deref().unwrap_or("not stated"),
                print.hash,
            ),
        ));
    }
    rows.into_iter()
        .map(|(label, value)| vec![label, value])
        .collect()
}
