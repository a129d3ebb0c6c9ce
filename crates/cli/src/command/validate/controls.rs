//! `isogloss survey validate controls`: models that are broken on purpose serve no language.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use isogloss_lang::registry;
use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::checkpoint::damage::{Damage, write_damaged};
use isogloss_record::Seed;
use isogloss_record::files;
use isogloss_record::survey::Verdict;
use isogloss_report::read_run;
use isogloss_survey::{Policy, Settings};

use crate::args::Compute;
use crate::error::{CliError, Result};
use crate::job::{self, Job, Texts};
use crate::{model, output};

/// Break copies of models (every token with another's embedding; weights in random order) and see
/// that the survey calls no language of theirs served or partly served.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss survey validate controls smollm2-135m gemma3-270m --langs fr,ha,hi,ar,th,zh --out controls")]
pub(crate) struct Args {
    /// Models with files: paths, hub ids or short names
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,

    /// Languages by commas: codes or names, `all`, `script:Deva`, `family:turkic`
    #[arg(long, value_name = "LIST")]
    langs: String,

    /// Folder of the broken copies and of their survey
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Your own pairs: a TSV file, or a folder of aligned line files
    #[arg(long, value_name = "PATH")]
    text: Option<PathBuf>,

    /// Seed of the damage and of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    compute: Compute,
}

pub(super) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let texts = Texts::gather(args.text.as_deref())?;
    let languages = registry().select(&args.langs, &texts.languages())?;
    files::create_dir_all(&args.out)?;
    let mut models = Vec::new();
    let mut is_control = Vec::new();
    for name in &args.models {
        let files = model::locate_alone(name)?;
        let checkpoint = Checkpoint::open(&files.path)?;
        models.push(name.clone());
        is_control.push(false);
        for damage in Damage::ALL {
            let stem = files.name.replace(['/', '\\'], "-");
            let mut path = args.out.join(format!("{stem}-{}", damage.id()));
            if files.path.is_file() {
                path.set_extension("gguf");
            }
            if !path.exists() {
                write_damaged(&checkpoint, damage, Seed(args.seed), &path)?;
            }
            models.push(path.display().to_string());
            is_control.push(true);
        }
    }
    let survey = args.out.join("survey");
    job::run(
        &Job {
            command: "validate controls",
            models: &models,
            languages: &languages,
            texts: &texts,
            settings: &Settings {
                seed: Seed(args.seed),
                ..Settings::full()
            },
            policy: &Policy::shipped(),
            out: &survey,
            samples: false,
            json: false,
            prints: false,
            compute: &args.compute,
        },
        stop,
    )?;
    let results = read_run(&survey)?;
    let header = [
        "model",
        "control",
        "served",
        "partly",
        "not served",
        "cannot say",
    ];
    let mut wrong = 0;
    let mut rows = Vec::new();
    for (model, is_control) in results.models.iter().zip(is_control) {
        let of = |verdict: Verdict| {
            let verdicts = model.languages.values().filter(|l| l.verdict == verdict);
            verdicts.count()
        };
        if is_control {
            wrong += of(Verdict::Served) + of(Verdict::Partly);
        }
        let counts = [
            Verdict::Served,
            Verdict::Partly,
            Verdict::NotServed,
            Verdict::CannotSay,
        ];
        let mut row = vec![
            model.name.clone(),
            if is_control { "yes" } else { "no" }.to_owned(),
        ];
        row.extend(counts.map(|verdict| of(verdict).to_string()));
        rows.push(row);
    }
    output::data(&output::table(&header.map(str::to_owned), &rows))?;
    if wrong > 0 {
        return Err(CliError::new(format!(
            "{wrong} languages of broken models come out served or partly served"
        ))
        .hint("the survey's page says for each of them which numbers decided"));
    }
    Ok(())
}
