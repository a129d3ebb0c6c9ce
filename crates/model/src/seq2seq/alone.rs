//! The encoder of a T5 without its decoder: what sentence encoders of that family are.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use isogloss_record::{Fingerprint, Usage};

use super::config::{self, Seq2SeqConfig};
use super::forward::{Buffers, Model};
use super::weights::Weights;
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::folder::Folder;
use crate::encoder::TokenText;
use crate::encoder::network::{batch_len, check_ids, is_finite, threads};
use crate::engine::{EngineError, EngineOptions};
use crate::kernel::{Isa, Rows};

/// The encoder of a T5 in memory.
pub(crate) struct T5Encoder {
    model: Model,
    fingerprint: Fingerprint,
    pool: rayon::ThreadPool,
    buffers: Mutex<Buffers>,
}

impl T5Encoder {
    pub(crate) fn of_folder(
        folder: Folder,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let mut config = config::parse(&folder.settings(), folder.n_tensors())?;
        config.n_decoder_layers = 0;
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

    pub(crate) fn config(&self) -> &Seq2SeqConfig {
        &self.model.config
    }

    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(crate) fn isa(&self) -> Isa {
        self.model.isa
    }

    /// Runs `f` on the threads of this network.
    pub(crate) fn install<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.pool.install(f)
    }

    /// Computes the texts batch by batch; `f` sees each once, with its rows of the states.
    pub(crate) fn for_each(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        f: &mut dyn FnMut(usize, Range<usize>, &Rows),
    ) -> Result<Usage, BackendError> {
        let c = &self.model.config;
        let name = &self.fingerprint.name;
        for text in texts {
            check_ids(name, &text.ids, c.vocab_size, c.context_length)?;
        }
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let buffers = &mut *buffers;
        let mut usage = Usage::default();
        let mut first = 0;
        while first < texts.len() {
            if settings.cancel.load(Ordering::Relaxed) {
                return Err(BackendError::Canceled);
            }
            let n = batch_len(&texts[first..], settings.batch_size, |text| text.ids.len());
            let batch: Vec<&[u32]> = texts[first..first + n].iter().map(|t| &t.ids[..]).collect();
            let spans = self.pool.install(|| self.model.encode(&batch, buffers));
            usage.n_tokens_requested += buffers.x.n_rows() as u64;
            usage.n_tokens_computed += buffers.x.n_rows() as u64;
            for (i, rows) in spans.into_iter().enumerate() {
                if !rows.clone().all(|row| is_finite(buffers.x.row(row))) {
                    return Err(BackendError::NotFinite {
                        model: name.clone(),
                        place: "the last block".into(),
                    });
                }
                f(first + i, rows, &buffers.x);
            }
            first += n;
        }
        Ok(usage)
    }
}
