//! What the atlas says about one language: sample, facts, every reading of every model and register.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::Lang;
use isogloss_record::survey::{LanguageFacts, LanguageResults, SurveyResults};
use serde::Serialize;

use crate::chart;
use crate::marks;
use crate::measure::{Measure, Reading, pooled};
use crate::view::{Drawn, VerdictView, charts, home, verdict_view};
use isogloss_record::number::{decimal, interval, people};

#[derive(Serialize)]
pub(crate) struct LanguageView {
    code: String,
    name: String,
    endonym: Option<String>,
    tag: String,
    dir: &'static str,
    pub(crate) script: String,
    pub(crate) family: String,
    /// Names of continents and their parts between bars: `|Africa|Western Africa|`.
    regions: String,
    speakers: Option<u64>,
    /// The code without script: a language in two scripts has its speakers once.
    iso: String,
    /// What the text filter looks in.
    search: String,
    facts: Vec<Fact>,
    sample: Option<SampleView>,
    /// Index and verdict of each model, for the filter.
    verdicts: Vec<(usize, &'static str)>,
    reasons: Vec<Reason>,
    measures: Vec<MeasureRows>,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
struct Fact {
    label: &'static str,
    text: String,
}

#[derive(Serialize)]
struct SampleView {
    text: String,
    reference: String,
    reference_tag: String,
    reference_dir: &'static str,
    register: String,
}

#[derive(Serialize)]
struct Reason {
    verdict: VerdictView,
    /// Models that it holds for, as "A and B"; empty where it holds for all.
    by: String,
    sentence: String,
    memory: Option<String>,
}

#[derive(Serialize)]
struct MeasureRows {
    title: &'static str,
    chart: String,
    rows: Vec<ReadingRow>,
}

#[derive(Serialize)]
struct ReadingRow {
    class: usize,
    model: String,
    pooled: Option<ReadingText>,
    registers: Vec<OfRegister>,
    details: Vec<Detail>,
}

/// A register's part in a value; no reading where it is the whole of it.
#[derive(Serialize)]
struct OfRegister {
    id: String,
    reading: Option<ReadingText>,
}

#[derive(Serialize, PartialEq)]
struct ReadingText {
    value: String,
    interval: String,
    n: usize,
    items: &'static str,
}

#[derive(Serialize)]
struct Detail {
    label: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Missing {
    /// Titles of the measures, as "A, B and C".
    measures: String,
    /// As in [`Reason::by`].
    by: String,
    reason: String,
}

/// Everything about one language; its text only where `samples` may be shown.
pub(crate) fn language_view(
    results: &SurveyResults,
    lang: Lang,
    facts: &LanguageFacts,
    drawn: Drawn,
    samples: bool,
) -> LanguageView {
    let of_models: Vec<Option<&LanguageResults>> = results
        .models
        .iter()
        .map(|model| model.languages.get(&lang))
        .collect();
    LanguageView {
        code: lang.to_string(),
        name: facts.name.clone(),
        endonym: facts
            .endonym
            .clone()
            .filter(|endonym| *endonym != facts.name),
        tag: facts.tag.clone(),
        dir: direction(facts),
        script: facts.script.to_string(),
        family: facts.family.first().cloned().unwrap_or_default(),
        regions: facts
            .regions
            .iter()
            .fold("|".to_owned(), |list, region| list + &region.name + "|"),
        speakers: facts.speakers.as_ref().map(|speakers| speakers.count),
        iso: lang.without_script().to_string(),
        search: [
            lang.to_string(),
            facts.name.clone(),
            facts.endonym.clone().unwrap_or_default(),
            facts.tag.clone(),
            facts.family.join(" "),
        ]
        .join(" ")
        .to_lowercase(),
        facts: fact_list(lang, facts),
        sample: if samples {
            sample(results, facts)
        } else {
            None
        },
        verdicts: of_models
            .iter()
            .enumerate()
            .filter_map(|(index, result)| Some((index, marks::id((*result)?.verdict))))
            .collect(),
        reasons: reasons(results, &of_models),
        measures: measure_rows(results, &of_models, drawn),
        missing: missing(results, &of_models),
    }
}

fn sample(results: &SurveyResults, facts: &LanguageFacts) -> Option<SampleView> {
    let sample = facts.sample.as_ref()?;
    let reference = results.languages.get(&results.settings.reference);
    Some(SampleView {
        text: sample.text.clone(),
        reference: sample.reference.clone(),
        reference_tag: reference.map_or_else(
            || results.settings.reference.code().to_owned(),
            |facts| facts.tag.clone(),
        ),
        reference_dir: reference.map_or("ltr", direction),
        register: sample.register.clone(),
    })
}

fn direction(facts: &LanguageFacts) -> &'static str {
    if facts.right_to_left { "rtl" } else { "ltr" }
}

fn fact_list(lang: Lang, facts: &LanguageFacts) -> Vec<Fact> {
    let fact = |label, text: Option<String>| Some(Fact { label, text: text? });
    let code = lang.to_string();
    let direction = if facts.right_to_left {
        ", right to left"
    } else {
        ""
    };
    let speakers = facts.speakers.as_ref().map_or_else(
        || "not known".into(),
        |speakers| {
            format!(
                "{} ({}, {})",
                people(speakers.count),
                speakers.source,
                speakers.year
            )
        },
    );
    let place = home(facts).map(|(latitude, longitude)| {
        format!(
            "{}° {}, {}° {}",
            decimal(latitude.abs(), 1),
            if latitude < 0.0 { "S" } else { "N" },
            decimal(longitude.abs(), 1),
            if longitude < 0.0 { "W" } else { "E" },
        )
    });
    [
        fact(
            "Code",
            Some(if facts.tag == code {
                code
            } else {
                format!("{code} · {}", facts.tag)
            }),
        ),
        fact("Script", Some(format!("{}{direction}", facts.script))),
        fact(
            "Family",
            (!facts.family.is_empty()).then(|| facts.family.join(" › ")),
        ),
        fact("Speakers", Some(speakers)),
        fact("Where", region_list(facts)),
        fact("Resources", facts.resource_class.clone()),
        fact("Place", place),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// "Northern Africa 56 %, Western Asia 39 %"; continents where a language has no narrower home.
fn region_list(facts: &LanguageFacts) -> Option<String> {
    let narrow = facts
        .regions
        .iter()
        .any(|region| region.continent.is_some());
    let regions: Vec<String> = facts
        .regions
        .iter()
        .filter(|region| region.continent.is_some() == narrow)
        .map(|region| match region.share {
            Some(share) => format!("{} {} %", region.name, decimal(share * 100.0, 0)),
            None => region.name.clone(),
        })
        .collect();
    (!regions.is_empty()).then(|| regions.join(", "))
}

/// One sentence per distinct verdict and reason, with the models that share it.
fn reasons(results: &SurveyResults, of_models: &[Option<&LanguageResults>]) -> Vec<Reason> {
    let mut shared: Vec<(&LanguageResults, Vec<&str>)> = Vec::new();
    for (model, result) in results.models.iter().zip(of_models) {
        let Some(result) = result else { continue };
        let same = |other: &LanguageResults| {
            (
                other.verdict,
                other.provisional,
                &other.reason,
                other.memory,
            ) == (
                result.verdict,
                result.provisional,
                &result.reason,
                result.memory,
            )
        };
        match shared.iter_mut().find(|(other, _)| same(other)) {
            Some((_, names)) => names.push(&model.name),
            None => shared.push((result, vec![&model.name])),
        }
    }
    shared
        .into_iter()
        .map(|(result, names)| Reason {
            verdict: verdict_view(result),
            by: list_unless_all(&names, results.models.len()),
            sentence: result.reason.clone(),
            memory: memory(result),
        })
        .collect()
}

fn memory(result: &LanguageResults) -> Option<String> {
    let memory = result.memory.filter(|memory| memory.flagged)?;
    let verbatim = memory.verbatim.map(|share| {
        format!(
            "{} of {} continuations repeat the text word for word (95 % interval {})",
            decimal(share.value, 2),
            share.n,
            interval(share.low, share.high, 2)
        )
    });
    let bits = memory
        .bits_per_byte
        .map(|bits| format!("{} bits per byte", decimal(bits, 2)));
    Some(
        [verbatim, bits]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; "),
    )
}

/// What is missing, one line per reason.
fn missing(results: &SurveyResults, of_models: &[Option<&LanguageResults>]) -> Vec<Missing> {
    let mut lines: Vec<(&String, Vec<String>, Vec<&str>)> = Vec::new();
    for (model, result) in results.models.iter().zip(of_models) {
        let mut by_reason: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for (measure, reason) in result.iter().flat_map(|result| &result.not_measured) {
            let known = Measure::ALL.into_iter().find(|known| known.id() == measure);
            let title = known.map_or_else(|| measure.clone(), |known| known.title().to_lowercase());
            by_reason.entry(reason).or_default().push(title);
        }
        for (reason, measures) in by_reason {
            match lines
                .iter_mut()
                .find(|(r, m, _)| *r == reason && *m == measures)
            {
                Some((_, _, names)) => names.push(&model.name),
                None => lines.push((reason, measures, vec![&model.name])),
            }
        }
    }
    lines
        .into_iter()
        .map(|(reason, measures, names)| Missing {
            measures: list(&measures.iter().map(String::as_str).collect::<Vec<_>>()),
            by: list_unless_all(&names, results.models.len()),
            reason: reason.clone(),
        })
        .collect()
}

/// "A, B and C"; empty where all are named.
fn list_unless_all(names: &[&str], n_all: usize) -> String {
    if names.len() == n_all {
        String::new()
    } else {
        list(names)
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Every measure that some model has in this language, a row per model.
fn measure_rows(
    results: &SurveyResults,
    of_models: &[Option<&LanguageResults>],
    drawn: Drawn,
) -> Vec<MeasureRows> {
    let registers: BTreeSet<&String> = of_models
        .iter()
        .flatten()
        .flat_map(|result| result.registers.keys())
        .collect();
    let mut registers: Vec<&String> = registers.into_iter().collect();
    // In the order of the settings; one that they do not name comes last.
    registers.sort_by_key(|id| {
        results
            .settings
            .registers
            .iter()
            .position(|register| register.id == **id)
            .unwrap_or(usize::MAX)
    });
    drawn
        .measures
        .iter()
        .zip(charts(results, of_models, drawn, false))
        .filter(|(measure, _)| {
            of_models
                .iter()
                .flatten()
                .any(|result| measure.read(&pooled(result)).is_some())
        })
        .map(|(measure, chart)| MeasureRows {
            title: measure.title(),
            chart,
            rows: results
                .models
                .iter()
                .zip(of_models)
                .enumerate()
                .map(|(i, (model, result))| {
                    reading_row(*measure, i, &model.name, *result, &registers)
                })
                .collect(),
        })
        .collect()
}

fn reading_row(
    measure: Measure,
    index: usize,
    model: &str,
    result: Option<&LanguageResults>,
    registers: &[&String],
) -> ReadingRow {
    let reading = result.and_then(|result| measure.read(&pooled(result)));
    let pooled = reading
        .as_ref()
        .map(|reading| reading_text(measure, reading));
    let registers = registers
        .iter()
        .filter_map(|id| {
            let reading = measure.read(result?.registers.get(*id)?)?;
            let part = reading_text(measure, &reading);
            let is_whole = pooled.as_ref() == Some(&part);
            Some(OfRegister {
                id: (*id).clone(),
                reading: (!is_whole).then_some(part),
            })
        })
        .collect();
    let details = reading.map(|reading| reading.details).unwrap_or_default();
    ReadingRow {
        class: index % chart::N_MODEL_STYLES,
        model: model.to_owned(),
        pooled,
        registers,
        details: details
            .into_iter()
            .map(|(label, text)| Detail { label, text })
            .collect(),
    }
}

fn reading_text(measure: Measure, reading: &Reading) -> ReadingText {
    let digits = measure.digits();
    ReadingText {
        value: decimal(reading.value, digits),
        interval: interval(reading.low, reading.high, digits),
        n: reading.n,
        items: measure.items(reading.n),
    }
}
