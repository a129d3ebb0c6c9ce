//! `isogloss tokenize`: ids and pieces of texts.

use isogloss_eval::primitive;
use isogloss_model::tokenizer::Tokenizer;

use crate::args::Lines;
use crate::error::Result;
use crate::{lines, model};

/// Token ids and pieces of texts; nothing is added to them
///
/// Reads {"id","text"} per line and writes {"id","token_ids","pieces"}.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  echo '{\"id\": 1, \"text\": \"สวัสดีชาวโลก\"}' | isogloss tokenize gemma3-270m")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`) or a short name (`smollm2-135m`)
    model: String,

    #[command(flatten)]
    lines: Lines,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    let tokenizer = Tokenizer::open(&model::locate(&args.model, false)?.path)?;
    lines::write(&args.lines, |sink| {
        primitive::tokenize::tokenize(&tokenizer, &input, &name, sink)
    })
    .map(|_| ())
}
