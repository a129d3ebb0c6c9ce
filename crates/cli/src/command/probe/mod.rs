//! `isogloss probe`: looking into a model.

mod rank;

use std::sync::atomic::AtomicBool;

use crate::error::Result;

/// Look into a model: what its hidden states say of languages
#[derive(clap::Subcommand)]
pub(crate) enum Probe {
    Rank(rank::Args),
}

pub(crate) fn run(probe: &Probe, stop: &AtomicBool) -> Result<()> {
    match probe {
        Probe::Rank(args) => rank::run(args, stop),
    }
}
