//! `isogloss tour`: the whole thing in minutes.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogloss_lang::registry;
use isogloss_survey::{Policy, Settings, TOUR_LANGUAGES};

use crate::args::Compute;
use crate::error::Result;
use crate::job::{self, Job, Texts};
use crate::output;

const MODEL: &str = "smollm2-135m";
const OUT: &str = "isogloss-tour";

/// See the whole thing in minutes: a small real model, twenty languages, an atlas
///
/// Fetches a 98 MB model once, surveys twenty languages of ten scripts, and writes the atlas to
/// `isogloss-tour/` in the working folder.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss tour")]
pub(crate) struct Args {
    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let texts = Texts::gather(None)?;
    let languages = registry().select(&TOUR_LANGUAGES.join(","), &texts.languages())?;
    let atlas = job::run(
        &Job {
            command: "tour",
            models: &[MODEL.to_owned()],
            languages: &languages,
            texts: &texts,
            settings: &Settings::tour(),
            policy: &Policy::shipped(),
            out: Path::new(OUT),
            samples: true,
            json: args.json,
            prints: true,
            compute: &args.compute,
        },
        stop,
    )?;
    output::talk(&format!(
        "
What to try next:
  your own model      isogloss survey PATH --langs ha,eu,or --out my-run
  two models          isogloss survey {MODEL} gemma3-270m --langs ha,eu,sw --out two
  your own texts      isogloss survey {MODEL} --langs ha --text pairs.tsv --out own
  what it would cost  isogloss tokens {MODEL} gemma3-270m --langs ha,eu,or

Open the atlas in a browser: {}",
        atlas.display()
    ));
    Ok(())
}
