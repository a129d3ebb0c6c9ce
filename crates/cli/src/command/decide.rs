//! `isogloss decide`: which of several surveyed models to take, and how sure that is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isogloss_client::Builtin;
use isogloss_lang::registry;
use isogloss_record::tokens::ChatSize;
use isogloss_record::{RunInfo, files};
use isogloss_report::{decision_html, decision_lines, decision_table, read_run};
use isogloss_survey::compare::{Run, merge};
use isogloss_survey::decide::{Needs, Question, decide};
use isogloss_survey::tokens::Prices;

use super::tokens::chat_size;
use crate::error::Result;
use crate::output;

/// Decide between surveyed models: which one for your languages, how sure, at what price?
///
/// Reads finished surveys (no model is asked). Of the models that meet your conditions it names the
/// one that is worth most in the languages that you need, with the probability that it is the best;
/// the runner-up, prices, licences, what was not measured, and what would settle an open question.
/// Runs with other texts, settings, seed, policy or version are refused, never compared silently.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  isogloss survey smollm2-135m gemma3-270m --langs ha,sw,fr --out my-run
  isogloss decide my-run
  isogloss decide my-run other-run --need langs.toml --price prices.toml --out decision.html

langs.toml, what is needed (without it: every language of the runs alike):
  price_max = 2.5            # most that 1,000 chats may cost
  [languages]
  swahili = 3                # a weight
  hau = { weight = 2, minimum = \"served\" }
  fr = { role = \"read\" }     # understood, not answered in

prices.toml, per million tokens; a licence where the model's files state none:
  [gemma3-270m]
  input = 0.10
  output = 0.40
  currency = \"USD\"
  license = \"Gemma Terms of Use\"")]
pub(crate) struct Args {
    /// Folders that `isogloss survey … --out` wrote
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,

    /// Languages that you need, with weights and conditions, as TOML
    #[arg(long, value_name = "FILE")]
    need: Option<PathBuf>,

    /// Prices per million tokens, a TOML table per model, as for `tokens`
    #[arg(long, value_name = "FILE")]
    price: Option<PathBuf>,

    /// Tokens of one chat in the reference language, in and out
    #[arg(long, value_name = "IN,OUT", value_parser = chat_size, default_value = "300,200")]
    chat: ChatSize,

    /// Also write the decision as a page
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let runs = args
        .runs
        .iter()
        .map(|folder| {
            Ok(Run {
                name: folder.display().to_string(),
                results: read_run(folder)?,
                config: config(folder),
            })
        })
        .collect::<Result<Vec<Run>>>()?;
    let results = merge(&runs)?;
    let needs = match &args.need {
        None => None,
        Some(path) => {
            let text = files::read_to_string(path)?;
            let file = path.display().to_string();
            Some(Needs::parse(&file, &text, registry())?)
        }
    };
    let prices = match &args.price {
        None => Prices::default(),
        Some(path) => Prices::parse(&path.display().to_string(), &files::read_to_string(path)?)?,
    };
    let licenses: BTreeMap<String, String> = (Builtin::all().iter())
        .map(|model| (model.name.clone(), model.license.clone()))
        .collect();
    let decision = decide(&Question {
        results: &results,
        needs: needs.as_ref(),
        prices: &prices,
        chat: args.chat,
        licenses: &licenses,
        version: env!("CARGO_PKG_VERSION"),
    })?;
    if args.json {
        let json = serde_json::to_string_pretty(&decision).expect("a decision is plain values");
        output::data(&json)?;
    } else {
        let table = decision_table(&decision);
        output::data(&output::table(&table.header, &table.rows))?;
        output::data("")?;
        for line in decision_lines(&decision) {
            output::data(&line)?;
        }
    }
    if let Some(path) = &args.out {
        files::write_atomic(path, decision_html(&decision)?.as_bytes())?;
        output::talk(&format!("decision: {}", path.display()));
    }
    Ok(())
}

/// The configuration of a run, where its folder has it: only ever used to say how to repeat it.
fn config(folder: &Path) -> Option<serde_json::Value> {
    let path = folder.join("run.json");
    let info: RunInfo = serde_json::from_str(&files::read_to_string(&path).ok()?).ok()?;
    Some(info.config)
}
