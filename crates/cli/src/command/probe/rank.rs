//! `isogloss probe rank`: languages by the likeness of hidden states.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use isogloss_lang::registry;
use isogloss_model::engine::EngineOptions;
use isogloss_probe::ranker::{LayerSet, Ranked, rank, states};
use isogloss_record::survey::LanguageResults;
use isogloss_record::{Estimate, Lang, Seed};
use isogloss_report::read_run;
use isogloss_stats::correlation::spearman;
use isogloss_survey::items::normal::normalize;

use crate::args::Compute;
use crate::error::{CliError, Result};
use crate::job::{self, Texts};
use crate::{interrupt, model, output};

/// Rank languages by the cosine between hidden states of parallel texts at the last token
/// (`language-ranker`)
///
/// Reads raw texts, no prompt. A raw cosine is inflated by the geometry of the states: the floor is
/// that of texts beside other texts' translations.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss probe rank smollm2-135m --langs fr,sw,ha,hi,th --layers every:5")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`) or a short name (`smollm2-135m`); `MODEL+DIR` adds a PEFT adapter
    model: String,

    /// Languages by commas: codes or names, `all`, `script:Deva`, `family:turkic`
    #[arg(long, value_name = "LIST")]
    langs: String,

    /// Your own pairs: a TSV file, or a folder of aligned line files
    #[arg(long, value_name = "PATH")]
    text: Option<PathBuf>,

    /// Layers that the score averages: `all`, or `every:N`
    #[arg(long, value_name = "SET", default_value = "all")]
    layers: Layers,

    /// Take the last block's output before the final norm (the released code takes it after)
    #[arg(long)]
    before_norm: bool,

    /// A survey's run folder: correlate the scores with its deciding measures
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,

    /// Pairs per language at most
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pairs: usize,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone, Copy)]
struct Layers(LayerSet);

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let every = text.strip_prefix("every:").map(str::parse::<usize>);
        match (text, every) {
            ("all", _) => Ok(Self(LayerSet::All)),
            (_, Some(Ok(n))) if n > 0 => Ok(Self(LayerSet::Every(n))),
            _ => Err("expected `all` or `every:N`".to_owned()),
        }
    }
}

pub(super) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let reference: Lang = registry().resolve("eng")?;
    let texts = Texts::gather(args.text.as_deref())?;
    let languages = registry().select(&args.langs, &texts.languages())?;
    let at_hand = texts.of(&job::with(&languages, reference));
    let options = EngineOptions {
        pool_after_norm: !args.before_norm,
        ..args.compute.engine_options()
    };
    let model = model::open_for_lines(&args.model, &options)?;
    if !model.capabilities().hidden_states {
        return Err(
            CliError::new(format!("`{}` gives no hidden states", args.model))
                .hint("give the model's files: a path, a hub id or a short name"),
        );
    }
    interrupt::watch();
    let settings = args.compute.run_settings(stop);
    let mut ranked: BTreeMap<Lang, Ranked> = BTreeMap::new();
    for &lang in languages.iter().filter(|&&lang| lang != reference) {
        let source = at_hand
            .parallel
            .iter()
            .find(|s| s.documents.contains_key(&lang));
        let pairs: Vec<(String, String)> = source
            .map(|source| {
                let (own, references) =
                    (&source.documents[&lang], source.documents.get(&reference));
                let both = own
                    .iter()
                    .filter_map(|(id, text)| Some((text, references?.get(id)?)));
                both.take(args.pairs)
                    .map(|(text, reference)| (normalize(text), normalize(reference)))
                    .collect()
            })
            .unwrap_or_default();
        let side =
            |of: fn(&(String, String)) -> &str| -> Vec<&str> { pairs.iter().map(of).collect() };
        let (own, _) = states(&*model, &side(|pair| &pair.0), &settings)?;
        let (references, _) = states(&*model, &side(|pair| &pair.1), &settings)?;
        match rank(&own, &references, args.layers.0, Seed(0)) {
            Some(result) => {
                ranked.insert(lang, result);
            }
            None => output::talk(&format!("not ranked: {lang}: fewer than two pairs")),
        }
    }
    let against = args
        .against
        .as_ref()
        .map(|run| correlations(run, &model.fingerprint().name, &ranked));
    let against = against.transpose()?;
    if args.json {
        let json = serde_json::json!({"languages": ranked, "spearman": against});
        return output::data(&serde_json::to_string_pretty(&json).expect("plain values"));
    }
    let header = ["language", "score", "floor", "above it", "pairs"].map(str::to_owned);
    let mut order: Vec<_> = ranked.iter().collect();
    order.sort_by(|a, b| b.1.score.value.total_cmp(&a.1.score.value));
    let rows: Vec<Vec<String>> = (order.iter())
        .map(|(lang, r)| {
            vec![
                registry().name(**lang).clone(),
                interval(r.score),
                format!("{:.3}", r.floor),
                format!("{:.3}", r.score.value - r.floor),
                r.score.n.to_string(),
            ]
        })
        .collect();
    output::data(&output::table(&header, &rows))?;
    for (measure, r) in against.into_iter().flatten() {
        let r = r.map_or("too few languages".to_owned(), |r| {
            format!("{} (n {})", interval(r), r.n)
        });
        output::talk(&format!("Spearman with {measure}: {r}"));
    }
    Ok(())
}

fn interval(value: Estimate) -> String {
    format!("{:.3} [{:.3}, {:.3}]", value.value, value.low, value.high)
}

type Value = fn(&LanguageResults) -> Option<f64>;

/// Rank correlation of the scores above their floors with what a survey of the same model measured.
fn correlations(
    run: &std::path::Path,
    model: &str,
    ranked: &BTreeMap<Lang, Ranked>,
) -> Result<BTreeMap<&'static str, Option<Estimate>>> {
    let results = read_run(run)?;
    let Some(surveyed) = results
        .models
        .iter()
        .find(|surveyed| surveyed.name == model)
    else {
        return Err(
            CliError::new(format!("`{}` has no model `{model}`", run.display()))
                .hint("survey the same model, under the same name"),
        );
    };
    let measures: [(&'static str, Value); 5] = [
        ("comprehension κ", |r| Some(r.comprehension?.value)),
        ("comprehension G", |r| Some(r.comprehension?.gain?.value)),
        ("production κ", |r| Some(r.production?.value)),
        ("lexicon κ", |r| Some(r.lexicon?.value)),
        ("fidelity", |r| Some(r.fidelity?.value)),
    ];
    Ok(measures
        .into_iter()
        .map(|(measure, value)| {
            let both = ranked.iter().filter_map(|(lang, ranked)| {
                Some((
                    ranked.score.value - ranked.floor,
                    value(surveyed.languages.get(lang)?)?,
                ))
            });
            let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
            (measure, spearman(&a, &b))
        })
        .collect())
}
