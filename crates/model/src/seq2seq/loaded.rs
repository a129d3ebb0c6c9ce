//! What every use of a T5 holds: its weights, its threads, its buffers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isogloss_record::Fingerprint;

use super::config::Seq2SeqConfig;
use super::forward::{Buffers, Model};
use super::weights::Weights;
use crate::checkpoint::folder::Folder;
use crate::encoder::network::threads;
use crate::engine::{EngineError, EngineOptions};

pub(super) struct Loaded {
    pub(super) model: Model,
    pub(super) fingerprint: Fingerprint,
    pub(super) pool: rayon::ThreadPool,
    buffers: Mutex<Buffers>,
}

impl Loaded {
    /// Packs the weights of a folder whose configuration was read.
    pub(super) fn new(
        folder: Folder,
        config: Seq2SeqConfig,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let (pool, isa) = threads(name, options)?;
        let folder = Arc::new(folder);
        let weights =
            pool.install(|| Weights::load(&config, folder.clone(), name, options.compute))?;
        let (family, limit) = (config.family.name(), config.context_length);
        let fingerprint = pool.install(|| folder.fingerprint(name, family, limit, options.compute));
        let buffers = Mutex::new(Buffers::new(&config));
        Ok(Self {
            model: Model {
                config,
                weights,
                isa,
            },
            fingerprint,
            pool,
            buffers,
        })
    }

    /// The buffers; what a panic left in them is overwritten.
    pub(super) fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
