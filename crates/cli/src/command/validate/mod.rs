//! `isogloss survey validate`: does the survey see what is there, and nothing else?

mod controls;
mod cost;
mod ladder;
mod planted;
mod xcopa;

use std::sync::atomic::AtomicBool;

use isogloss_record::Estimate;

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
    Cost(cost::Args),
    Planted(planted::Args),
    Xcopa(xcopa::Args),
    Controls(controls::Args),
}

pub(crate) fn run(command: &Command, stop: &AtomicBool) -> Result<()> {
    let Command::Validate(study) = command;
    match study {
        Study::Ladder(args) => ladder::run(args, stop),
        Study::Cost(args) => cost::run(args),
        Study::Planted(args) => planted::run(args),
        Study::Xcopa(args) => xcopa::run(args, stop),
        Study::Controls(args) => controls::run(args, stop),
    }
}

/// A value with its interval, or that there is none.
fn interval(value: Option<Estimate>) -> String {
    value.map_or_else(
        || "not measured".to_owned(),
        |v| format!("{:.2} [{:.2}, {:.2}]", v.value, v.low, v.high),
    )
}
