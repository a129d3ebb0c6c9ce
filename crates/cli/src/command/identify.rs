//! `isogloss identify`: the language of texts.

use isogloss_eval::primitive;

use crate::args::Lines;
use crate::error::Result;
use crate::lines;

/// The language of texts, or null where it cannot be told
///
/// Reads {"id","text"} per line and writes {"id","lang","score","second"}; the score is the
/// probability that `lang` is right, calibrated by length.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  echo '{\"id\": 1, \"text\": \"Gizon-emakume guztiak aske jaiotzen dira\"}' | isogloss identify")]
pub(crate) struct Args {
    #[command(flatten)]
    lines: Lines,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    lines::write(&args.lines, |sink| {
        primitive::identify::identify(&input, &name, sink)
    })
    .map(|_| ())
}
