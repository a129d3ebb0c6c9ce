//! `isogloss languages`: which languages there is text for, and what is known of them.

use isogloss_lang::registry;
use isogloss_survey::text;

use crate::error::Result;
use crate::output;

/// List the languages that can be surveyed, with what is known of them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  isogloss languages                       all languages with text
  isogloss languages --langs script:Deva   those written in Devanagari
  isogloss languages --langs family:turkic --json")]
pub(crate) struct Args {
    /// Which: codes or names by commas, `all`, `script:Deva`, `family:turkic`
    #[arg(long, value_name = "LIST", default_value = "all")]
    langs: String,

    /// JSON lines instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let registry = registry();
    let selected = registry.select(&args.langs, &text::languages())?;
    let available = text::available();
    let mut rows = Vec::new();
    for lang in selected {
        let Some(facts) = registry.facts(lang, None) else {
            continue;
        };
        let at_hand = available
            .iter()
            .find(|at_hand| registry.is_same(at_hand.lang, lang));
        let (n_documents, n_words) =
            at_hand.map_or((0, 0), |found| (found.n_documents, found.n_words));
        if args.json {
            output::data(
                &serde_json::json!({
                    "lang": lang,
                    "facts": facts,
                    "n_documents": n_documents,
                    "n_words": n_words,
                })
                .to_string(),
            )?;
        } else {
            let speakers = facts
                .speakers
                .map_or(String::new(), |speakers| speakers.count.to_string());
            rows.push(vec![
                lang.to_string(),
                facts.name,
                facts.endonym.unwrap_or_default(),
                facts.script.to_string(),
                facts.family.first().cloned().unwrap_or_default(),
                speakers,
                n_documents.to_string(),
                n_words.to_string(),
            ]);
        }
    }
    if args.json {
        return Ok(());
    }
    let header = [
        "code", "name", "endonym", "script", "family", "speakers", "texts", "words",
    ];
    output::data(&output::table(&header.map(str::to_owned), &rows))
}
