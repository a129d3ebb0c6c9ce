//! `isogloss report`: draws the atlas of a run again, from the run alone.

use std::path::PathBuf;

use isogloss_report::{AtlasOptions, read_run, summary_table, write_reports};

use crate::error::Result;
use crate::output;

/// Draw the atlas of a finished survey again, from its folder alone
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss report my-run          writes atlas.html, atlas.md and atlas.csv into the folder")]
pub(crate) struct Args {
    /// Folder that `isogloss survey … --out` wrote
    run: PathBuf,

    /// Leave the sample texts out
    #[arg(long)]
    no_samples: bool,

    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let results = read_run(&args.run)?;
    let written = write_reports(
        &args.run,
        &AtlasOptions {
            samples: !args.no_samples,
        },
    )?;
    if args.json {
        let json = serde_json::to_string(&results).expect("results are plain values");
        output::data(&json)?;
    } else {
        let table = summary_table(&results);
        output::data(&output::table(&table.header, &table.rows))?;
    }
    output::talk(&format!("atlas: {}", written.html.display()));
    Ok(())
}
