//! `isogloss generate`: continuations of prompts and answers to dialogues.

use std::sync::atomic::AtomicBool;

use isogloss_eval::primitive;
use isogloss_record::Sampling;

use crate::args::{Compute, Fit, Lines};
use crate::error::{CliError, Result};
use crate::{interrupt, lines, model};

/// Continue prompts, or answer dialogues through the model's chat template
///
/// Reads {"id","prompt"} or {"id","messages"} per line and writes
/// {"id","text","token_ids","logprobs","finish_reason"}: the new tokens only.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"id\": 1, \"prompt\": \"The capital of France is\"}' | isogloss generate smollm2-135m --max-tokens 8
  isogloss generate smollm2-135m --input prompts.jsonl --max-tokens 64 --temperature 0.7 --seed 1")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`), a short name (`smollm2-135m`) or a server
    /// (`http://127.0.0.1:8377/v1#model`, its key in ISOGLOSS_API_KEY);
    /// `MODEL+DIR` adds a PEFT adapter
    model: String,

    /// At most so many new tokens per line
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,

    /// 0 takes the most probable token; higher is more varied
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,

    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Text that ends the answer and is not part of it; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    fit: Fit,

    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    if !(args.temperature.is_finite() && args.temperature >= 0.0) {
        return Err(CliError::new(format!(
            "the temperature {} is not a number from 0 up",
            args.temperature
        ))
        .hint("0 takes the most probable token, 1 draws from the model's own distribution"));
    }
    let (input, name) = lines::read(&args.lines)?;
    let model = model::open_for_lines(&args.model, &args.compute.engine_options())?;
    let settings = args.compute.run_settings(stop);
    let sampling = Sampling {
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        seed: args.seed,
        stop: args.stop.clone(),
    };
    interrupt::watch();
    let input = args.fit.of(&input, &name);
    let usage = lines::write(&args.lines, |sink| {
        primitive::generate::generate(&*model, &input, &sampling, &settings, sink)
            .map_err(lines::ended)
    })?;
    lines::tell_cut(usage);
    Ok(())
}
