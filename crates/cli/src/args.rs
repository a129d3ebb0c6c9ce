//! Arguments that several commands share.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use isogloss_eval::jsonl::Line;
use isogloss_eval::primitive::Input;
use isogloss_model::engine::EngineOptions;
use isogloss_model::truncate::Truncate;
use isogloss_model::{self as model, RunSettings};

/// How the work is computed and spread. Only `--compute` changes a number.
#[derive(Args)]
pub(crate) struct Compute {
    /// Arithmetic of the products with the weights: f32 is the reference; bf16 is nearly twice as
    /// fast and keeps a survey's verdicts (83 of 84); int8, for models stored in 4 to 8 bits, is two
    /// to three times as fast but moves one verdict in ten
    #[arg(long = "compute", value_name = "KIND", default_value = "f32", value_parser = ["f32", "bf16", "int8"])]
    arithmetic: String,

    /// Threads to use [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Sequences per batch; more needs more memory
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,

    /// Memory that the whole program may take, such as 800MB or 2GB: fewer common beginnings are
    /// kept and fewer tokens go together, or it is refused before any work
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_max: Option<u64>,

    /// Compute every sequence alone instead of sharing common beginnings (slower, same bytes)
    #[arg(long, hide = true)]
    no_prefix_sharing: bool,
}

impl Compute {
    pub(crate) fn n_threads(&self) -> usize {
        self.threads
            .map_or_else(crate::machine::n_cpus, usize::from)
    }

    /// Bytes that the program may take.
    pub(crate) fn memory_max(&self) -> Option<u64> {
        self.memory_max
    }

    pub(crate) fn engine_options(&self) -> EngineOptions {
        self.engine_options_of(1)
    }

    /// For the first of `n_models` that are still to be opened.
    pub(crate) fn engine_options_of(&self, n_models: usize) -> EngineOptions {
        let compute = model::Compute::ALL
            .into_iter()
            .find(|compute| compute.name() == self.arithmetic);
        let taken = crate::machine::memory_bytes().unwrap_or(0) + RESERVE_BYTES;
        let share = |max: u64| max.saturating_sub(taken) / n_models.max(1) as u64;
        EngineOptions {
            compute: compute.expect("no other name passes the argument parser"),
            threads: NonZeroUsize::new(self.n_threads()),
            memory_max: self.memory_max.map(share),
            ..EngineOptions::default()
        }
    }

    pub(crate) fn batch_size(&self) -> usize {
        usize::from(self.batch_size)
    }

    pub(crate) fn run_settings<'a>(&self, stop: &'a AtomicBool) -> RunSettings<'a> {
        RunSettings {
            batch_size: self.batch_size(),
            share_prefixes: !self.no_prefix_sharing,
            cancel: stop,
        }
    }
}

/// Memory of everything but engines: answers, the store, reports.
const RESERVE_BYTES: u64 = 48_000_000;

/// `2GB`, `1.5GiB`, `800MB`.
fn size(text: &str) -> std::result::Result<u64, String> {
    let at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        _ => return Err("expected a number and MB, GB, MiB or GiB, such as 2GB".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 => Ok((number * factor) as u64),
        _ => Err("expected a number above 0 and a unit, such as 1.5GB".to_owned()),
    }
}

/// What is done with a text that is longer than the model's context.
#[derive(Args)]
pub(crate) struct Fit {
    /// What to do with a text that is longer than the model's context
    ///
    /// It is refused before any work, or its tokens are cut, on the left or on the right. What is asked
    /// about (a continuation, the room for new tokens up to half the context) is never cut, and a
    /// begin-of-sequence token stays.
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = TruncateName::Refuse)]
    truncate: TruncateName,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TruncateName {
    /// Refuse it
    Refuse,
    /// Cut its first tokens
    Left,
    /// Cut its last tokens
    Right,
}

impl Fit {
    pub(crate) fn of<'a>(&self, lines: &'a [Line], file: &'a str) -> Input<'a> {
        Input {
            lines,
            file,
            truncate: self.truncate(),
        }
    }

    pub(crate) fn truncate(&self) -> Truncate {
        match self.truncate {
            TruncateName::Refuse => Truncate::Refuse,
            TruncateName::Left => Truncate::Left,
            TruncateName::Right => Truncate::Right,
        }
    }
}

/// Where JSON lines come from and go to.
#[derive(Args)]
pub(crate) struct Lines {
    /// File of JSON lines to read; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) input: PathBuf,

    /// File to write; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
}
