//! `isogloss report`: draws the atlas of a run again, from the run alone, or what changed between two.

use std::path::{Path, PathBuf};

use isogloss_report::{
    AtlasOptions, DiffTitles, diff_table, diff_warning, pair_line, pair_title, read_run,
    summary_table, write_diff, write_reports,
};
use isogloss_survey::{atlas_diff, comparable};

use crate::error::Result;
use crate::output;

/// Draw the atlas of a finished survey again, from its folder alone, or what changed since another
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  isogloss report my-run                    writes atlas.html, atlas.md and atlas.csv into the folder
  isogloss report my-run --against old-run  also writes diff.html and diff.md: what changed since old-run")]
pub(crate) struct Args {
    /// Folder that `isogloss survey … --out` wrote
    run: PathBuf,

    /// Say what changed since this run: verdicts that moved first, measures by their intervals, and
    /// what was done differently. Models are paired by name; one model each are a pair
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,

    /// Leave the sample texts out
    #[arg(long)]
    no_samples: bool,

    /// Print the results (with --against: what changed) as JSON instead of a table
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
    if let Some(before) = &args.against {
        against(args, before)?;
    } else if args.json {
        let json = serde_json::to_string(&results).expect("results are plain values");
        output::data(&json)?;
    } else {
        let table = summary_table(&results);
        output::data(&output::table(&table.header, &table.rows))?;
    }
    output::talk(&format!("atlas: {}", written.html.display()));
    Ok(())
}

fn against(args: &Args, before: &Path) -> Result<()> {
    let diff = atlas_diff(&read_run(before)?, &read_run(&args.run)?)?;
    let [old, new] = [before, &args.run].map(|folder| folder.display().to_string());
    let titles = DiffTitles {
        before: &old,
        after: &new,
    };
    let written = write_diff(
        &args.run,
        &diff,
        titles,
        comparable::HOW_TO_RERUN,
        env!("CARGO_PKG_VERSION"),
    )?;
    if args.json {
        let json = serde_json::to_string(&diff).expect("a diff is plain values");
        output::data(&json)?;
    } else {
        for pair in &diff.pairs {
            output::data(&format!("{}\n{}\n", pair_title(pair), pair_line(pair)))?;
            let (table, n_left_out) = diff_table(pair);
            if !table.rows.is_empty() {
                output::data(&output::table(&table.header, &table.rows))?;
            }
            if n_left_out > 0 {
                output::data(&format!(
                    "not shown: {n_left_out} with the same verdict and overlapping intervals\n"
                ))?;
            }
        }
    }
    if let Some(warning) = diff_warning(&diff) {
        output::talk(&format!("warning: {warning}"));
        for difference in diff
            .differences
            .iter()
            .filter(|difference| difference.decides)
        {
            output::talk(&format!(
                "  {}: {} -> {}",
                difference.what, difference.before, difference.after
            ));
        }
        output::talk(&format!("hint: {}", comparable::HOW_TO_RERUN));
    }
    output::talk(&format!("diff: {}", written.html.display()));
    Ok(())
}
