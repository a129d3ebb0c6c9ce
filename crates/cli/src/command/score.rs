//! `isogloss score`: log-probabilities of given texts.

use std::sync::atomic::AtomicBool;

use isogloss_eval::primitive;

use crate::args::{Compute, Fit, Lines};
use crate::error::Result;
use crate::{interrupt, lines, model};

/// Log-probabilities of given texts, per token
///
/// Reads {"id","text"}, {"id","context","continuation"} or {"id","token_ids"} per line and writes
/// {"id","token_ids","logprobs","n_context_tokens","loglikelihood","greedy","bits_per_byte"}.
/// Log-probabilities are natural logarithms; null where nothing precedes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"id\": 1, \"text\": \"Kaixo, mundua\"}' | isogloss score smollm2-135m
  isogloss score ./my-model --input texts.jsonl --output scores.jsonl
  isogloss score ./my-model+./my-lora --input texts.jsonl --output tuned.jsonl")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`), a short name (`smollm2-135m`) or a server
    /// (`http://127.0.0.1:8377/v1#model`, its key in ISOGLOSS_API_KEY);
    /// `MODEL+DIR` adds a PEFT adapter
    model: String,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    fit: Fit,

    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    let model = model::open_for_lines(&args.model, &args.compute.engine_options())?;
    let settings = args.compute.run_settings(stop);
    interrupt::watch();
    let input = args.fit.of(&input, &name);
    let usage = lines::write(&args.lines, |sink| {
        primitive::score::score(&*model, &input, &settings, sink).map_err(lines::ended)
    })?;
    lines::tell_cut(usage);
    Ok(())
}
