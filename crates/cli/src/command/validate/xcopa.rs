//! `isogloss survey validate xcopa`: a public benchmark's accuracy beside comprehension.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use isogloss_eval::run::Runner;
use isogloss_lang::registry;
use isogloss_record::{Lang, Seed, Store, files};
use isogloss_report::read_run;
use isogloss_survey::validate::xcopa::{Item, LANGUAGES, accuracy, beside, items};
use isogloss_survey::{Policy, Settings};

use crate::args::Compute;
use crate::error::{CliError, Result};
use crate::job::{self, Job, Texts};
use crate::model::{self, Retries};
use crate::progress::{self, Unit};
use crate::{interrupt, output};

/// Ask a public benchmark of cause and effect in eleven languages (XCOPA), survey the same languages,
/// and correlate the two.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss survey validate xcopa smollm2-135m gemma3-270m --data xcopa --out xcopa-run")]
pub(crate) struct Args {
    /// Models, as `isogloss survey` takes them
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,

    /// Folder of the benchmark's `test.et.jsonl`, `test.sw.jsonl`…
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Folder of the answers and of the survey
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Your own pairs for the survey: a TSV file, or a folder of aligned line files
    #[arg(long, value_name = "PATH")]
    text: Option<PathBuf>,

    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

pub(super) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let reference: Lang = registry().resolve("eng")?;
    let texts = Texts::gather(args.text.as_deref())?;
    let at_hand = texts.languages();
    let mut data: BTreeMap<Lang, Vec<Item>> = BTreeMap::new();
    for (code, lang, ..) in LANGUAGES {
        let path = args.data.join(format!("test.{code}.jsonl"));
        if !path.is_file() {
            output::talk(&format!("not asked: there is no `{}`", path.display()));
            continue;
        }
        let lang = registry().select(lang, &at_hand)?[0];
        let text = files::read_to_string(&path)?;
        let read = items(&text).map_err(|(line, error)| {
            CliError::new(format!("line {line} of `{}`: {error}", path.display()))
                .hint("the files are those of XCOPA 1.0: one JSON object a line")
        })?;
        data.insert(lang, read);
    }
    if data.is_empty() {
        return Err(CliError::new(format!(
            "`{}` holds no files of the benchmark",
            args.data.display()
        ))
        .hint("expected test.et.jsonl, test.ht.jsonl…"));
    }
    files::create_dir_all(&args.out)?;
    interrupt::watch();
    let mut accuracies = Vec::new();
    for name in &args.models {
        let options = args.compute.engine_options();
        let retries = Retries::default();
        let model = model::open(name, &options, reference, Vec::new, &retries, args.json)?;
        let mut store = Store::open(&args.out.join("answers.zst"))?;
        let mut runner = Runner::new(&*model, &mut store, args.compute.run_settings(stop));
        let bar = progress::bar(0, Unit::Tokens, args.json);
        bar.set_message(format!("{name} · xcopa"));
        accuracies.push(accuracy(&mut runner, &data, &mut |now| {
            bar.set_length(now.n_tokens);
            bar.set_position(now.n_tokens_done);
        })?);
        bar.finish_and_clear();
        store.commit()?;
    }
    let languages: Vec<Lang> = data.keys().copied().collect();
    let survey = args.out.join("survey");
    job::run(
        &Job {
            command: "validate xcopa",
            models: &args.models,
            languages: &languages,
            texts: &texts,
            settings: &Settings {
                complete: true,
                seed: Seed(0),
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
    let studies = beside(&read_run(&survey)?, &accuracies);
    let json = serde_json::to_string_pretty(&studies).expect("results are plain values");
    files::write_atomic(&args.out.join("xcopa.json"), format!("{json}\n").as_bytes())?;
    if args.json {
        return output::data(&json);
    }
    let header = [
        "model",
        "language",
        "XCOPA accuracy",
        "comprehension κ",
        "G",
    ];
    let mut rows = Vec::new();
    for study in &studies {
        for (lang, row) in &study.languages {
            rows.push(vec![
                study.model.clone(),
                lang.to_string(),
                super::interval(Some(row.accuracy)),
                super::interval(Some(row.kappa)),
                super::interval(row.gain),
            ]);
        }
    }
    output::data(&output::table(&header.map(str::to_owned), &rows))?;
    for study in &studies {
        output::talk(&format!(
            "{}: Spearman of G and accuracy {}, of κ and accuracy {}; Kendall of G {}; languages {}",
            study.model,
            super::interval(study.spearman_gain),
            super::interval(study.spearman_kappa),
            super::interval(study.kendall_gain),
            study.languages.len(),
        ));
    }
    Ok(())
}
