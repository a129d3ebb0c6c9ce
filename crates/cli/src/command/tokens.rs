//! `isogloss tokens`: what the same content costs in each language, from tokenizers alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use isogloss_lang::registry;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::tokens::ChatSize;
use isogloss_record::{Seed, files};
use isogloss_report::{tokens_csv, tokens_html, tokens_markdown, tokens_table};
use isogloss_survey::tokens::{Counter, Prices, TokensInput, USUAL_CHAT, tokens};

use crate::error::Result;
use crate::job::{self, Texts};
use crate::{model, output};

/// What each tokenizer makes your languages cost: seconds, no weights
///
/// Tokens per token of the reference language for the same content, split into what the writing
/// costs (bytes) and what the tokenizer costs (tokens per byte); the price of 1,000 chats; how much
/// content the context holds.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  isogloss tokens smollm2-135m gemma3-270m --langs ha,or,eu
  isogloss tokens ./my-model --langs all --html tokens.html
  isogloss tokens gemma3-270m --langs am,ta --price prices.toml --chat 500,300

prices.toml, per million tokens:
  [gemma3-270m]
  input = 0.10
  output = 0.40
  currency = \"USD\"")]
pub(crate) struct Args {
    /// Models: paths, hub ids (`org/name`) or short names (`smollm2-135m`)
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,

    /// Languages by commas: codes or names, `all`, `script:Deva`, `family:turkic`
    #[arg(long, value_name = "LIST")]
    langs: String,

    /// Language that the others are compared with
    #[arg(long, value_name = "LANG", default_value = "eng")]
    reference: String,

    /// Your own pairs instead of the embedded texts, as for `survey`
    #[arg(long, value_name = "PATH")]
    text: Option<PathBuf>,

    /// Prices per million tokens, a TOML table per model
    #[arg(long, value_name = "FILE")]
    price: Option<PathBuf>,

    /// Tokens of one chat in the reference language, in and out
    #[arg(long, value_name = "IN,OUT", value_parser = chat_size, default_value = "300,200")]
    chat: ChatSize,

    /// Seed of the bootstrap intervals
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Also write the tables as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Also write them as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Also write them as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn chat_size(text: &str) -> std::result::Result<ChatSize, String> {
    let parse = || {
        let (n_in, n_out) = text.split_once(',')?;
        Some(ChatSize {
            n_tokens_in: n_in.trim().parse().ok()?,
            n_tokens_out: n_out.trim().parse().ok()?,
        })
    };
    parse().ok_or_else(|| {
        format!(
            "expected two numbers, for example `{},{}`",
            USUAL_CHAT.n_tokens_in, USUAL_CHAT.n_tokens_out
        )
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let registry = registry();
    let reference = registry.resolve(&args.reference)?;
    let texts = Texts::gather(args.text.as_deref())?;
    let selected = registry.select(&args.langs, &texts.languages())?;
    let languages = job::with(&selected, reference);
    let prices = match &args.price {
        None => Prices::default(),
        Some(path) => Prices::parse(&path.display().to_string(), &files::read_to_string(path)?)?,
    };
    let mut tokenizers = BTreeMap::new();
    let mut names = Vec::new();
    for given in &args.models {
        let files = model::locate(given, args.json)?;
        let tokenizer = Tokenizer::open(&files.path)?;
        names.push(files.name.clone());
        tokenizers.insert(files.name, tokenizer);
    }
    let counts: Vec<_> = names
        .iter()
        .map(|name| {
            let tokenizer = &tokenizers[name];
            move |text: &str| Ok(tokenizer.tokenize(text).len())
        })
        .collect();
    let counters: Vec<Counter<'_>> = names
        .iter()
        .zip(&counts)
        .map(|(name, count)| {
            let tokenizer = &tokenizers[name];
            Counter {
                name,
                tokenizer_hash: tokenizer.fingerprint(),
                vocabulary_size: tokenizer.n_vocab(),
                context_length: tokenizer.context_length(),
                count,
            }
        })
        .collect();
    let report = tokens(&TokensInput {
        models: &counters,
        languages: &job::facts(&languages)?,
        texts: &texts.of(&languages),
        reference,
        chat: args.chat,
        prices: &prices,
        seed: Seed(args.seed),
        version: env!("CARGO_PKG_VERSION"),
    })?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).expect("a report is plain values");
        output::data(&json)?;
    } else {
        let table = tokens_table(&report);
        output::data(&output::table(&table.header, &table.rows))?;
    }
    let not_measured: BTreeMap<_, _> = report
        .models
        .iter()
        .flat_map(|model| &model.not_measured)
        .collect();
    for (lang, reason) in not_measured {
        output::talk(&format!(
            "not measured: {} ({lang}): {reason}",
            registry.name(*lang)
        ));
    }
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> Result<String>| -> Result<()> {
        match path {
            None => Ok(()),
            Some(path) => Ok(files::write_atomic(path, text()?.as_bytes())?),
        }
    };
    write(&args.html, &|| Ok(tokens_html(&report)?))?;
    write(&args.markdown, &|| Ok(tokens_markdown(&report)))?;
    write(&args.csv, &|| Ok(tokens_csv(&report)))
}
