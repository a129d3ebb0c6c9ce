//! `isogloss classify`: labels or a reward of texts.

use std::sync::atomic::AtomicBool;

use isogloss_eval::primitive;
use isogloss_model::classify::Classifier;

use crate::args::{Compute, Lines};
use crate::error::Result;
use crate::{interrupt, lines, model};

/// Labels of texts, or a reward, by a classifier
///
/// Reads {"id","text"}, {"id","text","second"} (premise and hypothesis, question and passage) or
/// {"id","token_ids"} per line and writes {"id","label","logits","probabilities"}. Where the logits are
/// the answer (a reward, a relevance), label and probabilities are null.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"id\": 1, \"text\": \"Она поёт.\", \"second\": \"Кто-то поёт.\"}' | isogloss classify ./xlm-r-xnli
  isogloss classify ./reward-model --input answers.jsonl --output rewards.jsonl")]
pub(crate) struct Args {
    /// A path or a hub id (`org/name`) of a `…ForSequenceClassification`: an encoder or a decoder
    model: String,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    let files = model::locate_alone(&args.model)?;
    let options = args.compute.engine_options();
    let model = Classifier::open(&files.path, &files.name, &options)?;
    let settings = args.compute.run_settings(stop);
    interrupt::watch();
    lines::write(&args.lines, |sink| {
        primitive::classify::classify(&model, &input, &name, &settings, sink).map_err(lines::ended)
    })?;
    Ok(())
}
