//! The atlas: one HTML file that opens from disk, needs no network and works without scripts.

use isogloss_record::RunInfo;
use isogloss_record::survey::{FailedModel, MeasureCard, Register, SurveyResults};
use serde::Serialize;

use crate::card::{ModelCard, model_cards};
use crate::compare::{PairView, pairs};
use crate::map;
use crate::marks;
use crate::page;
use crate::run::ReportError;
use crate::summary::settings_rows;
use crate::view::{View, view};
use isogloss_record::number::{count, duration};

/// What an atlas shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtlasOptions {
    /// Whether a sentence of each language is printed (not for texts that may not be passed on).
    pub samples: bool,
}

impl Default for AtlasOptions {
    fn default() -> Self {
        Self { samples: true }
    }
}

#[derive(Serialize)]
struct Context<'a> {
    style: &'static str,
    script: &'static str,
    shapes: &'static str,
    land: String,
    view: View,
    cards: &'a [MeasureCard],
    registers: &'a [Register],
    policy: Policy<'a>,
    settings: Vec<Vec<String>>,
    model_cards: Vec<ModelCard>,
    run: Vec<[String; 2]>,
    incomplete: bool,
    failed: &'a [FailedModel],
    pairs: Vec<PairView>,
    version: &'a str,
    samples: bool,
}

#[derive(Serialize)]
struct Policy<'a> {
    id: &'a str,
    version: u32,
    edited: bool,
    thresholds: Vec<(&'a String, f64)>,
}

/// Draws the atlas of a survey; `run` adds machine, time and tokens where they are known.
pub fn atlas_html(
    results: &SurveyResults,
    run: Option<&RunInfo>,
    options: &AtlasOptions,
) -> Result<String, ReportError> {
    let context = Context {
        style: page::STYLE,
        script: page::SCRIPT,
        shapes: marks::SHAPES,
        land: map::background(),
        view: view(results, options.samples),
        cards: &results.measures,
        registers: &results.settings.registers,
        policy: Policy {
            id: &results.policy.id,
            version: results.policy.version,
            edited: results.policy.edited,
            thresholds: results
                .policy
                .thresholds
                .iter()
                .map(|(name, value)| (name, *value))
                .collect(),
        },
        // Policy, texts and models have tables of their own on the page.
        settings: settings_rows(results)
            .into_iter()
            .filter(|row| {
                !["policy", "threshold", "text: ", "model: "]
                    .iter()
                    .any(|start| row[0].starts_with(start))
            })
            .collect(),
        model_cards: model_cards(results),
        run: run.map(run_rows).unwrap_or_default(),
        incomplete: run.is_some_and(|run| !run.complete) && results.failed.is_empty(),
        failed: &results.failed,
        pairs: pairs(&results.comparisons, &results.languages),
        version: &results.version,
        samples: options.samples,
    };
    Ok(page::render("atlas.html", context)?)
}

fn run_rows(run: &RunInfo) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["Command".into(), run.command.clone()],
        [
            "Machine".into(),
            format!(
                "{}, {} ({} logical processors)",
                run.machine.processor, run.machine.platform, run.machine.n_cpus
            ),
        ],
        [
            "Threads, batch".into(),
            format!(
                "{} threads, {} sequences a batch",
                run.n_threads, run.batch_size
            ),
        ],
        ["Time".into(), duration(run.seconds)],
        [
            "Peak memory".into(),
            format!("{:.2} GB", run.peak_memory_bytes as f64 / 1e9),
        ],
    ];
    for (model, usage) in run.models.iter().zip(&run.usage) {
        rows.push([
            format!("Tokens, {}", model.name),
            format!(
                "{} computed, {} shared, {} saved",
                count(usage.n_tokens_computed),
                count(usage.n_tokens_shared),
                count(usage.n_tokens_stored)
            ),
        ]);
    }
    rows
}
