//! `isogloss survey validate ladder`: models that saw more of a language must come out higher.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use isogloss_lang::registry;
use isogloss_record::{Lang, Seed, files};
use isogloss_report::read_run;
use isogloss_survey::validate::ladder::{
    LadderResults, LadderSettings, climb, exposure, folders, order,
};
use isogloss_survey::{ItemCount, Policy, Settings};

use crate::args::Compute;
use crate::error::{CliError, Result};
use crate::job::{self, Job, Texts};
use crate::progress::{self, Unit};
use crate::{interrupt, output};

/// Train small models that saw 0 to 10⁷ tokens of each language, and see whether the survey puts them
/// in that order.
///
/// Trains as many models as there are rungs, each with every language at another rung, on most of the
/// given lines, and surveys them on lines that none has seen. Running the same command again resumes,
/// in the middle of a model too.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss survey validate ladder --text office-help --langs eus,ell,rus --out ladder")]
pub(crate) struct Args {
    /// Aligned lines to learn from and to ask about: a TSV file, or a folder of line files
    #[arg(long, value_name = "PATH")]
    text: PathBuf,

    /// Languages by commas, at most as many as rungs
    #[arg(long, value_name = "LIST")]
    langs: String,

    /// Folder of the models and of their survey; created if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Language whose texts are the other side of every pair
    #[arg(long, value_name = "LANG", default_value = "eng")]
    reference: String,

    /// Tokens of a language at each rung, by commas, from the lowest
    #[arg(long, value_name = "LIST", value_delimiter = ',', num_args = 1..)]
    rungs: Option<Vec<u64>>,

    /// Tokens of the reference language that every model sees [default: 4000000]
    #[arg(long, value_name = "N")]
    reference_tokens: Option<u64>,

    /// Text items per language that the survey asks
    #[arg(long, value_name = "N", default_value_t = 100)]
    items: usize,

    /// Seed of weights, order and the choice of held-out lines
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

pub(super) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let reference: Lang = registry().resolve(&args.reference)?;
    let texts = Texts::gather(Some(&args.text))?;
    let languages = registry().select(&args.langs, &texts.languages())?;
    let mut settings = LadderSettings::new(languages.clone(), Seed(args.seed));
    if let Some(rungs) = &args.rungs {
        settings.rungs.clone_from(rungs);
    }
    settings.n_reference = args.reference_tokens.unwrap_or(settings.n_reference);
    let of_languages = texts.of(&job::with(&languages, reference));
    let (corpus, held_out) = exposure::split(&of_languages, reference, settings.seed);

    interrupt::watch();
    let bar = progress::bar(0, Unit::Sequences, args.json);
    let threads = std::num::NonZeroUsize::new(args.compute.n_threads());
    let is_done = climb(
        &args.out,
        &corpus,
        &settings,
        threads,
        stop,
        &mut |model, now| {
            bar.set_message(format!("model {model} · loss {:.3}", now.loss));
            bar.set_length(now.n as u64);
            bar.set_position(now.n_done as u64);
        },
    )?;
    bar.finish_and_clear();
    if !is_done {
        return Err(CliError::interrupted(
            "run the same command again: it goes on where it stopped",
        ));
    }

    let models: Vec<String> = (folders(&args.out, &settings).iter())
        .map(|folder| folder.display().to_string())
        .collect();
    let survey = args.out.join("survey");
    job::run(
        &Job {
            command: "validate ladder",
            models: &models,
            languages: &languages,
            texts: &Texts::given(held_out),
            settings: &Settings {
                reference,
                n_items: ItemCount::First(args.items),
                n_words: args.items,
                n_continuations: args.items.div_ceil(4),
                complete: true,
                seed: settings.seed,
                ..Settings::full()
            },
            policy: &Policy::shipped(),
            out: &survey,
            samples: false,
            json: args.json,
            prints: false,
            compute: &args.compute,
        },
        stop,
    )?;
    let results = read_run(&survey)?;
    let ladder = order(&settings, &results);
    let json = serde_json::to_string_pretty(&ladder).expect("results are plain values");
    files::write_atomic(&args.out.join("order.json"), format!("{json}\n").as_bytes())?;
    if args.json {
        output::data(&json)
    } else {
        let (header, rows) = table(&ladder);
        output::data(&output::table(&header, &rows))
    }
}

fn table(results: &LadderResults) -> (Vec<String>, Vec<Vec<String>>) {
    let mut header = vec!["language".to_owned(), "measure".to_owned()];
    let mut rungs = results.settings.rungs.clone();
    rungs.sort_unstable();
    header.extend(rungs.iter().map(u64::to_string));
    header.extend(["wrong pairs", "ends apart", "tau"].map(str::to_owned));
    let rows = results.ladders.iter().map(|ladder| {
        let mut row = vec![ladder.lang.to_string(), ladder.measure.clone()];
        row.extend(ladder.rungs.iter().map(|rung| super::interval(rung.value)));
        row.push(format!("{} of {}", ladder.n_wrong, ladder.n_pairs));
        row.push(if ladder.ends_apart { "yes" } else { "no" }.to_owned());
        row.push((ladder.tau).map_or("-".to_owned(), |tau| format!("{tau:.2}")));
        row
    });
    (header, rows.collect())
}
