//! `isogloss score`: log-probabilities of given texts.

use std::sync::atomic::AtomicBool;

use isogloss_eval::primitive;

use crate::args::{Compute, Lines};
use crate::error::Result;
use crate::{lines, model};

/// Log-probabilities of given texts, per token
///
/// Reads {"id","text"}, {"id","context","continuation"} or {"id","token_ids"} per line and writes
/// {"id","token_ids","logprobs","n_context_tokens","loglikelihood","greedy","bits_per_byte"}.
/// Log-probabilities are natural logarithms; null where nothing precedes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"id\": 1, \"text\": \"Kaixo, mundua\"}' | isogloss score smollm2-135m
  isogloss score ./my-model --input texts.jsonl --output scores.jsonl")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`) or a short name (`smollm2-135m`)
    model: String,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    let engine = model::open(&args.model, &args.compute, false)?;
    let settings = args.compute.run_settings(stop);
    lines::write(&args.lines, |sink| {
        primitive::score::score(&engine, &input, &name, &settings, sink)
    })?;
    Ok(())
}
