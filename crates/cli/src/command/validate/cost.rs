//! `isogloss survey validate cost`: our token premiums beside a published table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use isogloss_lang::registry;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::{Lang, Seed, files};
use isogloss_survey::tokens::{Counter, Prices, TokensInput, USUAL_CHAT, tokens};
use isogloss_survey::validate::cost::{agreement, published};

use crate::error::Result;
use crate::job::{self, Texts};
use crate::{model, output};

/// Compare token premiums of a model's tokenizer with a published table over the same text.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss survey validate cost smollm2-135m --text flores200/dev \\
      --table flores200/tokenization_lengths.csv --names flores200/language_map.csv --column GPT-2")]
pub(crate) struct Args {
    /// A model with a tokenizer: a path, a hub id or a short name
    model: String,

    /// The text that the table was made from: a folder of aligned line files, or a TSV file
    #[arg(long, value_name = "PATH")]
    text: PathBuf,

    /// The table: token counts by language and tokenizer
    #[arg(long, value_name = "FILE")]
    table: PathBuf,

    /// Codes of the table's language names
    #[arg(long, value_name = "FILE")]
    names: PathBuf,

    /// The table's column
    #[arg(long, value_name = "NAME")]
    column: String,

    /// Print the results as JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let reference: Lang = registry().resolve("eng")?;
    let texts = Texts::gather(Some(&args.text))?;
    let languages = job::with(&texts.languages(), reference);
    let theirs = published(
        &files::read_to_string(&args.table)?,
        &files::read_to_string(&args.names)?,
        &args.column,
        reference,
    )?;
    let found = model::locate(&args.model, args.json)?;
    let tokenizer = Tokenizer::open(&found.path)?;
    let report = tokens(&TokensInput {
        models: &[Counter {
            name: &found.name,
            tokenizer_hash: tokenizer.fingerprint(),
            vocabulary_size: tokenizer.n_vocab(),
            context_length: tokenizer.context_length(),
            count: &|text: &str| Ok(tokenizer.tokenize(text).len()),
        }],
        languages: &job::facts(&languages)?,
        texts: &texts.of(&languages),
        reference,
        chat: USUAL_CHAT,
        prices: &Prices::default(),
        seed: Seed(0),
        version: env!("CARGO_PKG_VERSION"),
    })?;
    let ours: BTreeMap<Lang, f64> = (report.models[0].languages.iter())
        .map(|(&lang, row)| (lang, row.premium.value))
        .collect();
    let study = agreement(&args.column, &ours, &theirs);
    if args.json {
        let json = serde_json::to_string_pretty(&study).expect("results are plain values");
        return output::data(&json);
    }
    let header = ["languages", "n", "Pearson's r"].map(str::to_owned);
    let mut rows = Vec::new();
    let all = study.all.map(|r| ("all".to_owned(), r));
    for (what, r) in all.into_iter().chain(study.within) {
        rows.push(vec![what, r.n.to_string(), super::interval(Some(r))]);
    }
    output::data(&output::table(&header, &rows))
}
