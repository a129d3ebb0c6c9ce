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
    /// Arithmetic of the products with the weights: f32 is the reference, int8 is two to three times
    /// as fast on models stored in 4 to 8 bits, bf16 lies between
    #[arg(long = "compute", value_name = "KIND", default_value = "f32", value_parser = ["f32", "bf16", "int8"])]
    arithmetic: String,

    /// Threads to use [default: all processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Sequences per batch; more needs more memory
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,

    /// Compute every sequence alone instead of sharing common beginnings (slower, same bytes)
    #[arg(long, hide = true)]
    no_prefix_sharing: bool,
}

impl Compute {
    pub(crate) fn n_threads(&self) -> usize {
        self.threads
            .map_or_else(crate::machine::n_cpus, usize::from)
    }

    pub(crate) fn engine_options(&self) -> EngineOptions {
        let compute = model::Compute::ALL
            .into_iter()
            .find(|compute| compute.name() == self.arithmetic);
        EngineOptions {
            compute: compute.unwrap_or_default(),
            threads: NonZeroUsize::new(self.n_threads()),
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
