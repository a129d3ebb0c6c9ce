//! `isogloss survey validate planted`: how often intervals hold what was planted.

use isogloss_record::Seed;
use isogloss_survey::validate::planted::{Coverage, coverage};

use crate::error::{CliError, Result};
use crate::output;

/// Draw outcomes from known chances and count how often the interval of each measure holds them.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss survey validate planted --seeds 1000")]
pub(crate) struct Args {
    /// Draws per line of the table
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    seeds: u64,

    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let lines = coverage(args.seeds, Seed(args.seed));
    if args.json {
        let json = serde_json::to_string_pretty(&lines).expect("results are plain values");
        output::data(&json)?;
    } else {
        let header = ["measure", "n", "planted", "covered", "as wanted"].map(str::to_owned);
        let rows: Vec<Vec<String>> = (lines.iter())
            .map(|line| {
                vec![
                    line.measure.clone(),
                    line.n.to_string(),
                    format!("{:.2}", line.planted),
                    (line.covered).map_or("-".to_owned(), |c| format!("{:.1} %", 100.0 * c.value)),
                    if line.holds() { "yes" } else { "NO" }.to_owned(),
                ]
            })
            .collect();
        output::data(&output::table(&header, &rows))?;
    }
    let wrong = lines.iter().filter(|line| !Coverage::holds(line)).count();
    if wrong > 0 {
        return Err(CliError::new(format!(
            "{wrong} of {} intervals are too narrow or too wide",
            lines.len()
        ))
        .hint("wanted: 93 % and more; from n = 100 at most 97 %"));
    }
    Ok(())
}
