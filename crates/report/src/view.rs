//! Results -> what the atlas's templates print: strings, signs and charts, in reading order.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::Lang;
use isogloss_record::survey::{
    LanguageFacts, LanguageResults, ModelResults, PolicyStamp, SurveyResults, Verdict,
};
use serde::Serialize;

use crate::chart;
use crate::filter::{Continent, PeopleRow, continents, people_rows};
use crate::map::{self, Place};
use crate::marks::{self, VERDICTS};
use crate::measure::{Axis, Measure, Reading, pooled};
use crate::order::reading_order;
use crate::section::{LanguageView, language_view};
use crate::summary::{Counts, line_in_words, speakers_note};
use isogloss_record::number::{decimal, interval};

/// Names that a group of languages shows before "and 43 more".
const MAX_NAMES: usize = 24;

#[derive(Serialize)]
pub(crate) struct View {
    pub(crate) question: String,
    pub(crate) n_languages: usize,
    pub(crate) models: Vec<ModelView>,
    pub(crate) columns: Vec<Column>,
    /// Lines behind the charts, a definition per column.
    grids: String,
    pub(crate) panel_rows: Vec<PanelRow>,
    pub(crate) languages: Vec<LanguageView>,
    pub(crate) legend: Vec<Legend>,
    pub(crate) scripts: Vec<String>,
    pub(crate) families: Vec<String>,
    /// Continents with the parts of them that some language is spoken in.
    pub(crate) regions: Vec<Continent>,
    /// Whether some language has a count of speakers.
    pub(crate) any_speakers: bool,
    /// Where the counts of speakers are from, and what their sums are not.
    pub(crate) speakers_note: String,
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
    people: Vec<PeopleRow>,
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
    /// The title, shorter, where the column before it says the rest.
    short: &'static str,
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
pub(crate) struct VerdictView {
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
pub(crate) struct Legend {
    id: &'static str,
    word: &'static str,
    meaning: &'static str,
    mark: String,
}

/// The measures that a page draws, each with its axis.
#[derive(Clone, Copy)]
pub(crate) struct Drawn<'a> {
    pub(crate) measures: &'a [Measure],
    pub(crate) axes: &'a [Axis],
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
            short: measure.short_title(),
            unit: measure.unit(),
            axis: chart::header(*axis, marks),
            deciding: results
                .measures
                .iter()
                .any(|card| card.id == measure.card_id() && card.deciding),
        })
        .collect();
    let drawn = Drawn {
        measures: &measures,
        axes: &axes,
    };
    let languages: Vec<LanguageView> = order
        .iter()
        .filter_map(|lang| {
            Some(language_view(
                results,
                *lang,
                results.languages.get(lang)?,
                drawn,
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
        grids: chart::grids(&axes, &thresholds, results.models.len()),
        panel_rows: order
            .iter()
            .map(|lang| panel_row(results, *lang, drawn))
            .collect(),
        scripts: distinct(|language| &language.script),
        families: distinct(|language| &language.family),
        regions: continents(results),
        any_speakers: results
            .languages
            .values()
            .any(|facts| facts.speakers.is_some()),
        speakers_note: speakers_note(results),
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
            .filter(|facts| on_map(facts).is_none())
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

/// Thresholds of the policy that lie on a measure's axis, by their names in `packs/policies`.
fn thresholds(measure: Measure, policy: &PolicyStamp) -> Vec<f64> {
    let names: &[&str] = match measure {
        Measure::Comprehension | Measure::Production => &["kappa"],
        Measure::Fidelity => &["fidelity", "fidelity_not_served"],
        _ => &[],
    };
    names
        .iter()
        .filter_map(|name| policy.thresholds.get(*name).copied())
        .collect()
}

pub(crate) fn home(facts: &LanguageFacts) -> Option<(f64, f64)> {
    Some((facts.latitude?, facts.longitude?))
        .filter(|(lat, lon)| lat.is_finite() && lon.is_finite())
}

/// Where its sign goes; the map ends before the poles (the registry puts Ido at 75° S).
fn on_map(facts: &LanguageFacts) -> Option<(f64, f64)> {
    home(facts).filter(|(latitude, _)| map::shows(*latitude))
}

fn name_of(results: &SurveyResults, lang: Lang) -> String {
    results
        .languages
        .get(&lang)
        .map_or_else(|| lang.to_string(), |facts| facts.name.clone())
}

pub(crate) fn verdict_view(result: &LanguageResults) -> VerdictView {
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
            let mut langs: Vec<Lang> = order
                .iter()
                .copied()
                .filter(|lang| {
                    model
                        .languages
                        .get(lang)
                        .is_some_and(|result| result.verdict == verdict)
                })
                .collect();
            // A long list is cut: the languages with the most speakers stay.
            let speakers = |lang: &Lang| {
                results
                    .languages
                    .get(lang)?
                    .speakers
                    .as_ref()
                    .map(|speakers| speakers.count)
            };
            langs.sort_by_key(|lang| std::cmp::Reverse(speakers(lang)));
            let names: Vec<LanguageLink> = langs
                .into_iter()
                .map(|lang| LanguageLink {
                    code: lang.to_string(),
                    name: name_of(results, lang),
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
            let (latitude, longitude) = on_map(facts)?;
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
        people: people_rows(results, model),
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

fn panel_row(results: &SurveyResults, lang: Lang, drawn: Drawn) -> PanelRow {
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
        cells: charts(results, &of_models, drawn, true),
    }
}

/// One chart per measure, a line per model; with its numbers as text for those who do not see it
/// where they do not stand beside it (`labelled`).
pub(crate) fn charts(
    results: &SurveyResults,
    of_models: &[Option<&LanguageResults>],
    drawn: Drawn,
    labelled: bool,
) -> Vec<String> {
    let Drawn { measures, axes } = drawn;
    measures
        .iter()
        .zip(axes)
        .enumerate()
        .map(|(column, (measure, axis))| {
            let readings: Vec<Option<Reading>> = of_models
                .iter()
                .map(|result| measure.read(&pooled((*result)?)))
                .collect();
            let label = labelled.then(|| chart_label(results, *measure, &readings));
            chart::cell(column, *axis, &readings, label.as_deref())
        })
        .collect()
}

/// "0.71 (0.60–0.80)", behind the model's name where there are several.
fn chart_label(results: &SurveyResults, measure: Measure, readings: &[Option<Reading>]) -> String {
    let digits = measure.digits();
    let parts: Vec<String> = results
        .models
        .iter()
        .zip(readings)
        .map(|(model, reading)| {
            let text = reading.as_ref().map_or_else(
                || "not measured".to_owned(),
                |reading| {
                    format!(
                        "{} ({})",
                        decimal(reading.value, digits),
                        interval(reading.low, reading.high, digits)
                    )
                },
            );
            if results.models.len() > 1 {
                format!("{}: {text}", model.name)
            } else {
                text
            }
        })
        .collect();
    parts.join("; ")
}
