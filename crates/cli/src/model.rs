//! From a name to a model that can be asked.

use std::num::NonZeroUsize;

use isogloss_client::{ModelFiles, ModelSpec, Progress, Settings};
use isogloss_model::engine::{Engine, EngineOptions};

use crate::args::Compute;
use crate::error::Result;
use crate::output;
use crate::progress::{self, Unit};

/// The files behind a name; fetched once where the name is not a path.
pub(crate) fn locate(name: &str, quiet: bool) -> Result<ModelFiles> {
    let spec = ModelSpec::parse(name)?;
    let mut bar: Option<indicatif::ProgressBar> = None;
    let files = isogloss_client::resolve(&spec, &Settings::from_env(), &mut |event| match event {
        Progress::License { name, license, url } => {
            output::talk(&format!(
                "fetching {name}, licensed under {license} ({url})"
            ));
        }
        Progress::Waiting { path } => {
            output::talk(&format!(
                "another process is fetching {}: waiting for it",
                path.display()
            ));
        }
        Progress::Bytes { what, done, total } => {
            let bar =
                bar.get_or_insert_with(|| progress::bar(total.unwrap_or(0), Unit::Bytes, quiet));
            bar.set_message(what.to_owned());
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
        }
        Progress::Retry { what, why, wait_ms } => {
            output::talk(&format!("{what}: {why}; trying again in {wait_ms} ms"));
        }
        _ => {}
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(files?)
}

/// The native engine on a model, by path or name.
pub(crate) fn open(name: &str, compute: &Compute, quiet: bool) -> Result<Engine> {
    let options = EngineOptions {
        threads: NonZeroUsize::new(compute.n_threads()),
        ..EngineOptions::default()
    };
    open_with(name, &options, quiet)
}

/// The same with options of the caller's.
pub(crate) fn open_with(name: &str, options: &EngineOptions, quiet: bool) -> Result<Engine> {
    let files = locate(name, quiet)?;
    Ok(Engine::open(&files.path, &files.name, options)?)
}
