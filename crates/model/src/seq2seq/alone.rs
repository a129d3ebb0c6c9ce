//! The encoder of a T5 without its decoder: what sentence encoders of that family are.

use std::ops::Range;
use std::sync::atomic::Ordering;

use isogloss_record::{Fingerprint, Usage};

use super::config::{self, Seq2SeqConfig};
use super::loaded::Loaded;
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::folder::Folder;
use crate::encoder::TokenText;
use crate::encoder::network::{batch_len, check_ids, is_finite};
use crate::engine::{EngineError, EngineOptions};
use crate::kernel::{Isa, Rows};

/// The encoder of a T5 in memory.
pub(crate) struct T5Encoder(Loaded);

impl T5Encoder {
    pub(crate) fn of_folder(
        folder: Folder,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let mut config = config::parse(&folder.settings(), folder.n_tensors())?;
        config.n_decoder_layers = 0;
        Loaded::new(folder, config, name, options).map(Self)
    }

    pub(crate) fn config(&self) -> &Seq2SeqConfig {
        &self.0.model.config
    }

    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.0.fingerprint
    }

    pub(crate) fn isa(&self) -> Isa {
        self.0.model.isa
    }

    /// Runs `f` on the threads of this network.
    pub(crate) fn install<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.0.pool.install(f)
    }

    /// Computes the texts batch by batch; `f` sees each once, with its rows of the states.
    pub(crate) fn for_each(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        f: &mut dyn FnMut(usize, Range<usize>, &Rows),
    ) -> Result<Usage, BackendError> {
        let c = &self.0.model.config;
        let name = &self.0.fingerprint.name;
        for text in texts {
            check_ids(name, &text.ids, c.vocab_size, c.context_length)?;
        }
        let mut buffers = self.0.buffers();
        let buffers = &mut *buffers;
        let mut usage = Usage::default();
        let mut first = 0;
        while first < texts.len() {
            if settings.cancel.load(Ordering::Relaxed) {
                return Err(BackendError::Canceled);
            }
            let n = batch_len(&texts[first..], settings.batch_size, |text| text.ids.len());
            let batch: Vec<&[u32]> = texts[first..first + n].iter().map(|t| &t.ids[..]).collect();
            let spans = self.0.pool.install(|| self.0.model.encode(&batch, buffers));
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
