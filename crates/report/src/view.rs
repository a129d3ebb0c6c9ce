//! Results -> what the atlas's templates print: strings, signs and charts, in reading order.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::Lang;
use isogloss_record::survey::{
    LanguageFacts, LanguageResults, ModelResults, PolicyStamp, SurveyResults, Verdict,
};
use serde::Serialize;

use crate::chart;
use crate::map::{self, Place};
use crate::marks::{self, VERDICTS};
use crate::measure::{Axis, Measure, Reading, pooled};
use crate::number::{count, decimal, interval, people};
use crate::summary::{Counts, line_in_words};

/// Names that a group of languages shows before "and 43 more".
const MAX_NAMES: usize = 24;

#[derive(Serialize)]
pub(crate) struct View {
    pub(crate) question: String,
    pub(crate) n_languages: usize,
    pub(crate) models: Vec<ModelView>,
    pub(crate) columns: Vec<Column>,
    pub(crate) panel_rows: Vec<PanelRow>,
    pub(crate) languages: Vec<LanguageView>,
    pub(crate) legend: Vec<Legend>,
    pub(crate) scripts: Vec<String>,
    pub(crate) families: Vec<String>,
    pub(crate) any_provisional: bool,
    /// Languages without coordinates, by name.
    pub(crate) off_map: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct ModelView {
    index: usize,
    /// Which look it has in the charts.
    class: usize,
    name: String,
    line: String,
    groups: Vec<Group>,
    map: String,
    rows: Vec<Row>,
}

/// The languages of one verdict.
#[derive(Serialize)]
struct Group {
    id: &'static str,
    word: &'static str,
    mark: String,
    n: usize,
    names: Vec<LanguageLink>,
    n_more: usize,
}

#[derive(Serialize, Clone)]
struct LanguageLink {
    code: String,
    name: String,
}

#[derive(Serialize)]
pub(crate) struct Column {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    /// Axis of the small multiples.
    axis: String,
    deciding: bool,
}

/// One language in the table of one model.
#[derive(Serialize)]
struct Row {
    code: String,
    name: String,
    verdict: VerdictView,
    cells: Vec<Option<Cell>>,
}

#[derive(Serialize)]
struct Cell {
    sort: f64,
    value: String,
    interval: String,
    n: usize,
    title: String,
    below_floor: bool,
}

#[derive(Serialize, Clone)]
struct VerdictView {
    id: &'static str,
    word: &'static str,
    rank: u8,
    mark: String,
    provisional: bool,
}

/// One language in the small multiples: all models, one cell per measure.
#[derive(Serialize)]
pub(crate) struct PanelRow {
    code: String,
    name: String,
    marks: Vec<VerdictView>,
    cells: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct LanguageView {
    code: String,
    name: String,
    endonym: Option<String>,
    tag: String,
    dir: &'static str,
    script: String,
    family: String,
    /// What the text filter looks in.
    search: String,
    facts: Vec<Fact>,
    sample: Option<SampleView>,
    models: Vec<LanguageModel>,
    registers: Vec<String>,
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
struct LanguageModel {
    index: usize,
    name: String,
    verdict: VerdictView,
    reason: String,
    memory: Option<String>,
}

#[derive(Serialize)]
struct MeasureRows {
    id: &'static str,
    title: &'static str,
    chart: String,
    rows: Vec<ReadingRow>,
}

#[derive(Serialize)]
struct ReadingRow {
    class: usize,
    model: String,
    pooled: Option<ReadingText>,
    /// In the order of [`LanguageView::registers`].
    registers: Vec<Option<ReadingText>>,
    details: Vec<Detail>,
}

#[derive(Serialize)]
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
    measure: String,
    model: String,
    reason: String,
}

#[derive(Serialize)]
pub(crate) struct Legend {
    id: &'static str,
    word: &'static str,
    meaning: &'static str,
    mark: String,
}

/// Draws everything that the page shows.
pub(crate) fn view(results: &SurveyResults, samples: bool) -> View {
    let order = reading_order(results);
    let measures = measured(results);
    let axes: Vec<Axis> = measures
        .iter()
        .map(|measure| measure.axis(results))
        .collect();
    let thresholds: Vec<Vec<f64>> = measures
        .iter()
        .map(|measure| thresholds(*measure, &results.policy))
        .collect();
    let columns = measures
        .iter()
        .zip(&axes)
        .zip(&thresholds)
        .map(|((measure, axis), marks)| Column {
            id: measure.id(),
            title: measure.title(),
            unit: measure.unit(),
            axis: chart::header(*axis, marks),
            deciding: results
                .measures
                .iter()
                .any(|card| card.id == measure.card_id() && card.deciding),
        })
        .collect();
    let languages: Vec<LanguageView> = order
        .iter()
        .filter_map(|lang| {
            Some(language_view(
                results,
                *lang,
                results.languages.get(lang)?,
                &measures,
                &axes,
                &thresholds,
                samples,
            ))
        })
        .collect();
    let distinct = |field: fn(&LanguageView) -> &String| -> Vec<String> {
        let all: BTreeSet<&String> = languages
            .iter()
            .map(field)
            .filter(|text| !text.is_empty())
            .collect();
        all.into_iter().cloned().collect()
    };
    View {
        question: question(results),
        n_languages: results.languages.len(),
        models: results
            .models
            .iter()
            .enumerate()
            .map(|(i, model)| model_view(results, i, model, &order, &measures))
            .collect(),
        columns,
        panel_rows: order
            .iter()
            .map(|lang| panel_row(results, *lang, &measures, &axes, &thresholds))
            .collect(),
        scripts: distinct(|language| &language.script),
        families: distinct(|language| &language.family),
        legend: VERDICTS
            .into_iter()
            .map(|verdict| Legend {
                id: marks::id(verdict),
                word: marks::word(verdict),
                meaning: marks::meaning(verdict),
                mark: marks::inline(verdict, false),
            })
            .collect(),
        any_provisional: results.models.iter().any(|model| {
            model
                .languages
                .values()
                .any(|language| language.provisional)
        }),
        off_map: results
            .languages
            .values()
            .filter(|facts| home(facts).is_none())
            .map(|facts| facts.name.clone())
            .collect(),
        languages,
    }
}

fn question(results: &SurveyResults) -> String {
    match results.models.as_slice() {
        [] => "A survey without a model".into(),
        [model] => format!("Which languages does {} serve?", model.name),
        models => format!("Which languages do these {} models serve?", models.len()),
    }
}

/// Languages from the reference over served to unknown, the best understood first, by the first model.
pub(crate) fn reading_order(results: &SurveyResults) -> Vec<Lang> {
    let mut order: Vec<Lang> = results.languages.keys().copied().collect();
    let first = results.models.first();
    order.sort_by(|a, b| {
        let key = |lang: &Lang| {
            let result = first.and_then(|model| model.languages.get(lang));
            let rank = result.map_or(u8::MAX, |result| marks::rank(result.verdict));
            let understood = result
                .and_then(|result| {
                    result
                        .comprehension
                        .map(|r| r.value)
                        .or(result.lexicon.map(|r| r.value))
                })
                .unwrap_or(f64::NEG_INFINITY);
            (rank, understood)
        };
        let ((rank_a, value_a), (rank_b, value_b)) = (key(a), key(b));
        rank_a
            .cmp(&rank_b)
            .then(value_b.total_cmp(&value_a))
            .then(a.cmp(b))
    });
    order
}

/// Measures that at least one model has in at least one language.
fn measured(results: &SurveyResults) -> Vec<Measure> {
    let has = |measure: &Measure| {
        results
            .models
            .iter()
            .flat_map(|model| model.languages.values())
            .any(|language| measure.read(&pooled(language)).is_some())
    };
    Measure::ALL.into_iter().filter(has).collect()
}

/// Thresholds of the policy that lie on a measure's axis.
fn thresholds(measure: Measure, policy: &PolicyStamp) -> Vec<f64> {
    let names: &[&str] = match measure {
        Measure::Comprehension | Measure::Production => &["theta", "kappa"],
        Measure::Fidelity => &["fidelity_served", "fidelity", "fidelity_not_served"],
        _ => &[],
    };
    names
        .iter()
        .filter_map(|name| policy.thresholds.get(*name).copied())
        .collect()
}

fn home(facts: &LanguageFacts) -> Option<(f64, f64)> {
    Some((facts.latitude?, facts.longitude?))
        .filter(|(lat, lon)| lat.is_finite() && lon.is_finite())
}

fn name_of(results: &SurveyResults, lang: Lang) -> String {
    results
        .languages
        .get(&lang)
        .map_or_else(|| lang.to_string(), |facts| facts.name.clone())
}

fn verdict_view(result: &LanguageResults) -> VerdictView {
    VerdictView {
        id: marks::id(result.verdict),
        word: marks::word(result.verdict),
        rank: marks::rank(result.verdict),
        mark: marks::inline(result.verdict, result.provisional),
        provisional: result.provisional,
    }
}

fn model_view(
    results: &SurveyResults,
    index: usize,
    model: &ModelResults,
    order: &[Lang],
    measures: &[Measure],
) -> ModelView {
    let counts = Counts::of(model);
    let groups = VERDICTS
        .into_iter()
        .filter(|verdict| *verdict != Verdict::Reference && counts.of_verdict(*verdict) > 0)
        .map(|verdict| {
            let names: Vec<LanguageLink> = order
                .iter()
                .filter(|lang| {
                    model
                        .languages
                        .get(lang)
                        .is_some_and(|result| result.verdict == verdict)
                })
                .map(|lang| LanguageLink {
                    code: lang.to_string(),
                    name: name_of(results, *lang),
                })
                .collect();
            Group {
                id: marks::id(verdict),
                word: marks::word(verdict),
                mark: marks::inline(verdict, false),
                n: names.len(),
                n_more: names.len().saturating_sub(MAX_NAMES),
                names: names.into_iter().take(MAX_NAMES).collect(),
            }
        })
        .collect();
    let codes: BTreeMap<Lang, String> = model
        .languages
        .keys()
        .map(|lang| (*lang, lang.to_string()))
        .collect();
    let places: Vec<Place> = model
        .languages
        .iter()
        .filter_map(|(lang, result)| {
            let facts = results.languages.get(lang)?;
            let (latitude, longitude) = home(facts)?;
            Some(Place {
                code: &codes[lang],
                name: &facts.name,
                latitude,
                longitude,
                verdict: result.verdict,
                provisional: result.provisional,
                reason: &result.reason,
                weight: facts.speakers.as_ref().map_or(0, |speakers| speakers.count),
            })
        })
        .collect();
    let rows = order
        .iter()
        .filter_map(|lang| {
            let result = model.languages.get(lang)?;
            let all = pooled(result);
            Some(Row {
                code: lang.to_string(),
                name: name_of(results, *lang),
                verdict: verdict_view(result),
                cells: measures
                    .iter()
                    .map(|measure| {
                        measure
                            .read(&all)
                            .map(|reading| table_cell(*measure, &reading))
                    })
                    .collect(),
            })
        })
        .collect();
    ModelView {
        index,
        class: index % chart::N_MODEL_STYLES,
        line: line_in_words(model),
        groups,
        map: map::draw(&places, &format!("World map: verdicts for {}", model.name)),
        name: model.name.clone(),
        rows,
    }
}

fn table_cell(measure: Measure, reading: &Reading) -> Cell {
    let digits = measure.digits();
    let floor = reading
        .floor
        .map(|floor| format!("; copy floor {}", decimal(floor, digits)));
    Cell {
        sort: reading.value,
        value: decimal(reading.value, digits),
        interval: interval(reading.low, reading.high, digits),
        n: reading.n,
        title: format!(
            "{} {}, 95 % interval {}, {} {}{}",
            measure.title(),
            decimal(reading.value, digits),
            interval(reading.low, reading.high, digits),
            reading.n,
            measure.items(reading.n),
            floor.unwrap_or_default(),
        ),
        below_floor: reading.floor.is_some_and(|floor| reading.low <= floor),
    }
}

fn panel_row(
    results: &SurveyResults,
    lang: Lang,
    measures: &[Measure],
    axes: &[Axis],
    thresholds: &[Vec<f64>],
) -> PanelRow {
    let of_models: Vec<Option<&LanguageResults>> = results
        .models
        .iter()
        .map(|model| model.languages.get(&lang))
        .collect();
    PanelRow {
        code: lang.to_string(),
        name: name_of(results, lang),
        marks: of_models
            .iter()
            .flatten()
            .map(|result| verdict_view(result))
            .collect(),
        cells: charts(&of_models, measures, axes, thresholds),
    }
}

/// One chart per measure, a line per model.
fn charts(
    of_models: &[Option<&LanguageResults>],
    measures: &[Measure],
    axes: &[Axis],
    thresholds: &[Vec<f64>],
) -> Vec<String> {
    measures
        .iter()
        .zip(axes)
        .zip(thresholds)
        .map(|((measure, axis), marks)| {
            let readings: Vec<Option<Reading>> = of_models
                .iter()
                .map(|result| measure.read(&pooled((*result)?)))
                .collect();
            chart::cell(*axis, &readings, marks)
        })
        .collect()
}

fn language_view(
    results: &SurveyResults,
    lang: Lang,
    facts: &LanguageFacts,
    measures: &[Measure],
    axes: &[Axis],
    thresholds: &[Vec<f64>],
    samples: bool,
) -> LanguageView {
    let of_models: Vec<Option<&LanguageResults>> = results
        .models
        .iter()
        .map(|model| model.languages.get(&lang))
        .collect();
    let registers: BTreeSet<&String> = of_models
        .iter()
        .flatten()
        .flat_map(|result| result.registers.keys())
        .collect();
    // In the order of the settings; one that they do not name comes last.
    let mut registers: Vec<String> = registers.into_iter().cloned().collect();
    registers.sort_by_key(|id| {
        results
            .settings
            .registers
            .iter()
            .position(|register| register.id == *id)
            .unwrap_or(usize::MAX)
    });
    let charts = charts(&of_models, measures, axes, thresholds);
    let measure_rows = measures
        .iter()
        .zip(charts)
        .filter(|(measure, _)| {
            of_models
                .iter()
                .flatten()
                .any(|result| measure.read(&pooled(result)).is_some())
        })
        .map(|(measure, chart)| MeasureRows {
            id: measure.id(),
            title: measure.title(),
            chart,
            rows: results
                .models
                .iter()
                .zip(&of_models)
                .enumerate()
                .map(|(i, (model, result))| {
                    reading_row(*measure, i, &model.name, *result, &registers)
                })
                .collect(),
        })
        .collect();
    let mut missing: Vec<Missing> = Vec::new();
    for (model, result) in results.models.iter().zip(&of_models) {
        for (measure, reason) in result.iter().flat_map(|result| &result.not_measured) {
            let title = Measure::ALL
                .into_iter()
                .find(|m| m.id() == measure)
                .map_or_else(|| measure.clone(), |m| m.title().to_owned());
            missing.push(Missing {
                measure: title,
                model: model.name.clone(),
                reason: reason.clone(),
            });
        }
    }
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
        sample: facts.sample.as_ref().filter(|_| samples).map(|sample| {
            let reference = results.languages.get(&results.settings.reference);
            SampleView {
                text: sample.text.clone(),
                reference: sample.reference.clone(),
                reference_tag: reference.map_or_else(
                    || results.settings.reference.code().to_owned(),
                    |facts| facts.tag.clone(),
                ),
                reference_dir: reference.map_or("ltr", direction),
                register: sample.register.clone(),
            }
        }),
        models: results
            .models
            .iter()
            .enumerate()
            .zip(&of_models)
            .filter_map(|((index, model), result)| {
                let result = (*result)?;
                Some(LanguageModel {
                    index,
                    name: model.name.clone(),
                    verdict: verdict_view(result),
                    reason: result.reason.clone(),
                    memory: memory(result),
                })
            })
            .collect(),
        registers,
        measures: measure_rows,
        missing,
    }
}

fn direction(facts: &LanguageFacts) -> &'static str {
    if facts.right_to_left { "rtl" } else { "ltr" }
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
    let signs: Vec<String> = [verbatim, bits].into_iter().flatten().collect();
    Some(signs.join("; "))
}

fn fact_list(lang: Lang, facts: &LanguageFacts) -> Vec<Fact> {
    let fact = |label, text: Option<String>| Some(Fact { label, text: text? });
    let codes = if facts.tag == lang.to_string() {
        lang.to_string()
    } else {
        format!("{lang} · {}", facts.tag)
    };
    [
        fact("Code", Some(codes)),
        fact(
            "Script",
            Some(format!(
                "{}{}",
                facts.script,
                if facts.right_to_left {
                    ", right to left"
                } else {
                    ""
                }
            )),
        ),
        fact(
            "Family",
            (!facts.family.is_empty()).then(|| facts.family.join(" › ")),
        ),
        fact(
            "Speakers",
            Some(facts.speakers.as_ref().map_or_else(
                || "not known".into(),
                |speakers| {
                    format!(
                        "{} ({}, {})",
                        people(speakers.count),
                        speakers.source,
                        speakers.year
                    )
                },
            )),
        ),
        fact("Resources", facts.resource_class.clone()),
        fact(
            "Place",
            home(facts).map(|(lat, lon)| {
                format!(
                    "{}° {}, {}° {}",
                    decimal(lat.abs(), 1),
                    if lat < 0.0 { "S" } else { "N" },
                    decimal(lon.abs(), 1),
                    if lon < 0.0 { "W" } else { "E" },
                )
            }),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn reading_row(
    measure: Measure,
    index: usize,
    model: &str,
    result: Option<&LanguageResults>,
    registers: &[String],
) -> ReadingRow {
    let reading = result.and_then(|result| measure.read(&pooled(result)));
    ReadingRow {
        class: index % chart::N_MODEL_STYLES,
        model: model.to_owned(),
        registers: registers
            .iter()
            .map(|id| {
                measure
                    .read(result?.registers.get(id)?)
                    .map(|reading| reading_text(measure, &reading))
            })
            .collect(),
        pooled: reading
            .as_ref()
            .map(|reading| reading_text(measure, reading)),
        details: reading
            .map(|reading| {
                reading
                    .details
                    .into_iter()
                    .map(|(label, text)| Detail { label, text })
                    .collect()
            })
            .unwrap_or_default(),
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

/// Facts about the models for the last section.
#[derive(Serialize)]
pub(crate) struct ModelCard {
    name: String,
    architecture: String,
    weights: String,
    parameters: String,
    context: String,
    license: String,
    hash: String,
}

/// What exactly was measured.
pub(crate) fn model_cards(results: &SurveyResults) -> Vec<ModelCard> {
    results
        .models
        .iter()
        .map(|model| ModelCard {
            name: model.name.clone(),
            architecture: model.fingerprint.architecture.clone(),
            weights: format!(
                "{}, computed in {}",
                model.fingerprint.quantization, model.fingerprint.compute
            ),
            parameters: model
                .fingerprint
                .n_parameters
                .map_or_else(|| "–".into(), count),
            context: count(model.fingerprint.context_length as u64),
            license: model
                .fingerprint
                .license
                .clone()
                .unwrap_or_else(|| "not stated".into()),
            hash: model.fingerprint.hash.clone(),
        })
        .collect()
}
