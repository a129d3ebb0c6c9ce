//! `isogloss survey validate`: does the survey see what is there, and nothing else?

mod ladder;

use std::sync::atomic::AtomicBool;

use crate::error::Result;

/// The studies behind `docs/validation.md`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show that the survey sees what it claims to see, and nothing else
    #[command(subcommand)]
    Validate(Study),
}

/// One study.
#[derive(clap::Subcommand)]
pub(crate) enum Study {
    Ladder(ladder::Args),
}

pub(crate) fn run(command: &Command, stop: &AtomicBool) -> Result<()> {
    let Command::Validate(study) = command;
    match study {
        Study::Ladder(args) => ladder::run(args, stop),
    }
}
