//! `isogloss embed`: texts as vectors.

use std::sync::atomic::AtomicBool;

use isogloss_eval::primitive;
use isogloss_model::encoder::{EmbedOptions, Normalization, Pooling, SentenceEncoder};

use crate::args::{Compute, Lines};
use crate::error::Result;
use crate::{interrupt, lines, model};

/// Texts as vectors, by a sentence encoder
///
/// Reads {"id","text"} or {"id","token_ids"} per line and writes {"id","n_tokens","n_dims","vector"}.
/// How the states of the tokens become one is what the model's own folder says (sentence-transformers'
/// `modules.json`); without it their mean (of a decoder, the last one), of unit length. A prefix that a
/// model expects (`query: `) belongs into the text.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo '{\"id\": 1, \"text\": \"query: Kaixo, mundua\"}' | isogloss embed ./multilingual-e5-small
  isogloss embed ./LaBSE --input texts.jsonl --output vectors.jsonl")]
pub(crate) struct Args {
    /// A path or a hub id (`org/name`) of a BERT, RoBERTa, XLM-R, DistilBERT, T5 or decoder
    model: String,

    /// Take the states of the tokens together in another way than the model's folder says
    #[arg(long, value_enum)]
    pool: Option<PoolName>,

    /// Leave the length of the vectors as it is
    #[arg(long)]
    no_normalize: bool,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PoolName {
    /// The first token's (`[CLS]`)
    First,
    /// Their mean
    Mean,
    /// Of each dimension the largest
    Max,
    /// The last token's
    Last,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    let files = model::locate_alone(&args.model)?;
    let how = EmbedOptions {
        pooling: args.pool.map(|name| match name {
            PoolName::First => Pooling::First,
            PoolName::Mean => Pooling::Mean,
            PoolName::Max => Pooling::Max,
            PoolName::Last => Pooling::Last,
        }),
        normalization: args.no_normalize.then_some(Normalization::AsIs),
    };
    let options = args.compute.engine_options();
    let model = SentenceEncoder::open(&files.path, &files.name, how, &options)?;
    let settings = args.compute.run_settings(stop);
    interrupt::watch();
    lines::write(&args.lines, |sink| {
        primitive::embed::embed(&model, &input, &name, &settings, sink).map_err(lines::ended)
    })?;
    Ok(())
}
