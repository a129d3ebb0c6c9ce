//! `isogloss hidden`: pooled hidden states of texts.

use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use isogloss_eval::primitive::hidden::{self, HiddenOptions, Pool};
use isogloss_model::engine::EngineOptions;

use crate::args::{Compute, Fit, Lines};
use crate::error::Result;
use crate::{interrupt, lines, model};

/// Hidden states of texts, pooled over their positions
///
/// Reads {"id","text"} per line and writes a safetensors file with one tensor [layers, d] per id:
/// outputs of the blocks, before the final norm.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  isogloss hidden smollm2-135m --layers all --pool mean --input texts.jsonl --output states.safetensors")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`) or a short name (`smollm2-135m`); `MODEL+DIR` adds a PEFT adapter
    model: String,

    /// Blocks from 0 by commas, or `all`
    #[arg(long, value_name = "LIST", default_value = "all")]
    layers: Layers,

    /// Which vector of a text
    #[arg(long, value_enum, default_value_t = PoolName::Mean)]
    pool: PoolName,

    /// Take the last block's output after the final norm
    #[arg(long)]
    after_norm: bool,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    fit: Fit,

    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone)]
struct Layers(Option<Vec<usize>>);

#[derive(Clone, Copy, clap::ValueEnum)]
enum PoolName {
    /// The last position
    Last,
    /// The mean over the positions
    Mean,
}

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "all" {
            return Ok(Self(None));
        }
        let layers: std::result::Result<Vec<usize>, _> = text
            .split(',')
            .map(|part| part.trim().parse::<usize>())
            .collect();
        layers
            .map(|layers| Self(Some(layers)))
            .map_err(|_| "expected `all` or numbers by commas".to_owned())
    }
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let (input, name) = lines::read(&args.lines)?;
    let options = EngineOptions {
        pool_after_norm: args.after_norm,
        ..args.compute.engine_options()
    };
    let model = model::open_for_lines(&args.model, &options)?;
    let wanted = HiddenOptions {
        layers: args.layers.0.clone(),
        pool: match args.pool {
            PoolName::Last => Pool::Last,
            PoolName::Mean => Pool::Mean,
        },
    };
    interrupt::watch();
    let (bytes, usage) = hidden::hidden(
        &*model,
        &args.fit.of(&input, &name),
        &wanted,
        &args.compute.run_settings(stop),
    )
    .map_err(lines::ended)?;
    lines::write_bytes(&args.lines.output, &bytes)?;
    lines::tell_cut(Some(usage));
    Ok(())
}
