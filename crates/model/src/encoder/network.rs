//! An encoder in memory: token ids in, hidden states or logits out, no text.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use isogloss_record::{Fingerprint, Usage};

use super::config::{self, EncoderConfig, Head};
use super::forward::{self, Buffers, TokenText};
use super::weights::Weights;
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::folder::Folder;
use crate::engine::{EngineError, EngineOptions, LoadError};
use crate::kernel::{Isa, Rows};

/// Tokens that go through the network together; a longer text goes alone.
pub(crate) const BATCH_ROWS: usize = 512;
/// Rows whose logits over the vocabulary exist at once.
const LOGIT_ROWS: usize = 64;

/// Hears of each text: its index, and its rows of the hidden states.
type OnStates<'a> = dyn FnMut(usize, Range<usize>, &Rows) -> Result<(), BackendError> + 'a;

/// An encoder in memory with its threads and buffers.
///
/// The answer for a text depends on its token ids alone: not on the other texts of a call, their
/// number, or the threads.
pub struct EncoderNetwork {
    config: EncoderConfig,
    weights: Weights,
    isa: Isa,
    fingerprint: Fingerprint,
    pool: rayon::ThreadPool,
    buffers: Mutex<Buffers>,
}

impl EncoderNetwork {
    /// Opens a Hugging Face folder; `name` is what the user calls the model.
    ///
    /// # Errors
    /// One error that says what, where, expected and found.
    pub fn open(path: &Path, name: &str, options: &EngineOptions) -> Result<Self, EngineError> {
        let folder = Folder::open(path, &config::canonical)?;
        Self::of_folder(folder, name, options)
    }

    /// The contents of `model.safetensors` that are in memory, with their `config.json`.
    ///
    /// # Errors
    /// As [`EncoderNetwork::open`].
    pub fn of_safetensors_bytes(
        config: &serde_json::Value,
        bytes: Vec<u8>,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let folder = Folder::of_safetensors_bytes(config, bytes, &config::canonical)?;
        Self::of_folder(folder, name, options)
    }

    pub(crate) fn of_folder(
        folder: Folder,
        name: &str,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let config = config::parse(&folder.settings(), folder.n_tensors())?;
        let folder = Arc::new(folder);
        let (pool, isa) = threads(name, options)?;
        let weights =
            pool.install(|| Weights::load(&config, folder.clone(), name, options.compute))?;
        let (family, limit) = (config.family.name(), config.context_length());
        let fingerprint = pool.install(|| folder.fingerprint(name, family, limit, options.compute));
        Ok(Self {
            buffers: Mutex::new(Buffers::new(&config)),
            config,
            weights,
            isa,
            fingerprint,
            pool,
        })
    }

    /// Shape and settings of the model.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// What exactly this model is.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Runs `f` on the threads of this network.
    pub(crate) fn install<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.pool.install(f)
    }

    /// Hidden states after the last block, `[n_tokens][d_model]`, of each text.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] and [`BackendError::TooLong`] before any work, for the first text
    /// that cannot be computed.
    pub fn hidden_states(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_states: &mut dyn FnMut(usize, Vec<Vec<f32>>),
    ) -> Result<Usage, BackendError> {
        self.for_each(texts, settings, &mut |i, rows, x| {
            on_states(i, rows.map(|row| x.row(row).to_vec()).collect());
            Ok(())
        })
    }

    /// Logits over labels: one row for a text, or one for each of its tokens, as the head says.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] without such a head; else as [`EncoderNetwork::hidden_states`].
    pub fn label_logits(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_logits: &mut dyn FnMut(usize, Vec<Vec<f32>>),
    ) -> Result<Usage, BackendError> {
        let n_rows = |rows: Range<usize>| match self.config.head {
            Head::Sequence => rows.start..rows.start + 1,
            _ => rows,
        };
        if !matches!(self.config.head, Head::Sequence | Head::Token) {
            return Err(self.cannot("classify: it has no classification head"));
        }
        self.for_each(texts, settings, &mut |i, rows, x| {
            on_logits(i, self.logits(x, n_rows(rows))?);
            Ok(())
        })
    }

    /// Logits over the vocabulary at chosen positions of each text (`positions[i]` of `texts[i]`),
    /// as its masked language model gives them. What is to be predicted must already be masked.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] without such a head; else as [`EncoderNetwork::hidden_states`].
    pub fn masked_logits(
        &self,
        texts: &[TokenText],
        positions: &[Vec<usize>],
        settings: &RunSettings<'_>,
        on_logits: &mut dyn FnMut(usize, Vec<Vec<f32>>),
    ) -> Result<Usage, BackendError> {
        if self.config.head != Head::MaskedLm {
            return Err(self.cannot("predict masked tokens: it has no language model head"));
        }
        for (text, positions) in texts.iter().zip(positions) {
            if let Some(at) = positions.iter().find(|at| **at >= text.ids.len()) {
                return Err(BackendError::Invalid(format!(
                    "position {at} of a text of {} tokens does not exist",
                    text.ids.len()
                )));
            }
        }
        self.for_each(texts, settings, &mut |i, rows, x| {
            let wanted = positions.get(i).into_iter().flatten();
            on_logits(i, self.logits(x, wanted.map(|at| rows.start + at))?);
            Ok(())
        })
    }

    /// Logits of chosen rows of the hidden states.
    fn logits(
        &self,
        x: &Rows,
        rows: impl Iterator<Item = usize>,
    ) -> Result<Vec<Vec<f32>>, BackendError> {
        let rows: Vec<usize> = rows.collect();
        let mut all = Vec::with_capacity(rows.len());
        let mut chosen = Rows::new(self.config.d_model);
        for rows in rows.chunks(LOGIT_ROWS) {
            chosen.set_rows(rows.len());
            for (i, row) in rows.iter().enumerate() {
                chosen.row_mut(i).copy_from_slice(x.row(*row));
            }
            let head = &self.weights.head;
            let logits =
                (self.pool).install(|| forward::logits(self.isa, &self.config, head, &chosen));
            for i in 0..logits.n_rows() {
                if !is_finite(logits.row(i)) {
                    return Err(self.not_finite("the logits"));
                }
                all.push(logits.row(i).to_vec());
            }
        }
        Ok(all)
    }

    /// Computes the texts batch by batch; `f` sees each once, with its rows of the hidden states.
    pub(crate) fn for_each(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        f: &mut OnStates<'_>,
    ) -> Result<Usage, BackendError> {
        for text in texts {
            self.check(text)?;
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
            let batch: Vec<&TokenText> = texts[first..first + n].iter().collect();
            let spans = self.pool.install(|| {
                forward::forward(self.isa, &self.config, &self.weights, &batch, buffers)
            });
            usage.n_tokens_requested += buffers.x.n_rows() as u64;
            usage.n_tokens_computed += buffers.x.n_rows() as u64;
            for (i, rows) in spans.into_iter().enumerate() {
                if !rows.clone().all(|row| is_finite(buffers.x.row(row))) {
                    return Err(self.not_finite("the last block"));
                }
                f(first + i, rows, &buffers.x)?;
            }
            first += n;
        }
        Ok(usage)
    }

    /// Refuses what cannot be computed.
    pub(crate) fn check(&self, text: &TokenText) -> Result<(), BackendError> {
        let c = &self.config;
        let name = &self.fingerprint.name;
        check_ids(name, &text.ids, c.vocab_size, c.context_length())?;
        if !text.types.is_empty() && text.types.len() != text.ids.len() {
            return Err(BackendError::Invalid(format!(
                "a text of {} tokens has {} token types",
                text.ids.len(),
                text.types.len()
            )));
        }
        let n_types = c.n_types.max(1);
        match text.types.iter().find(|kind| **kind as usize >= n_types) {
            None => Ok(()),
            Some(kind) => Err(BackendError::Invalid(format!(
                "token type {kind} is not one of the {n_types} of `{name}` (from 0)"
            ))),
        }
    }

    fn cannot(&self, what: &str) -> BackendError {
        BackendError::Unsupported {
            model: self.fingerprint.name.clone(),
            what: what.to_owned(),
        }
    }

    fn not_finite(&self, place: &str) -> BackendError {
        BackendError::NotFinite {
            model: self.fingerprint.name.clone(),
            place: place.to_owned(),
        }
    }
}

/// Threads of a network, and the instruction set it uses.
pub(crate) fn threads(
    name: &str,
    options: &EngineOptions,
) -> Result<(rayon::ThreadPool, Isa), EngineError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.map_or(0, NonZeroUsize::get))
        .thread_name(|i| format!("encoder-{i}"))
        .build()
        .map_err(|error| EngineError::Load {
            name: name.to_owned(),
            source: LoadError::Threads(error),
        })?;
    Ok((pool, isa(options)))
}

/// The instruction set that options ask for, if the processor has it; else the best.
pub(crate) fn isa(options: &EngineOptions) -> Isa {
    let wanted = options.isa.filter(|isa| Isa::available().contains(isa));
    wanted.unwrap_or_else(Isa::detect)
}

/// How many of these go through the network together: at least one, no more than `batch_size` and
/// [`BATCH_ROWS`] tokens.
pub(crate) fn batch_len<T>(
    items: &[T],
    batch_size: usize,
    n_tokens: impl Fn(&T) -> usize,
) -> usize {
    let mut n_rows = 0;
    let fits = items.iter().take(batch_size.max(1)).take_while(|item| {
        n_rows += n_tokens(item);
        n_rows <= BATCH_ROWS
    });
    fits.count().max(1)
}

/// Refuses a sequence that is empty, too long, or has ids that the embedding does not have.
pub(crate) fn check_ids(
    name: &str,
    ids: &[u32],
    vocab_size: usize,
    limit: usize,
) -> Result<(), BackendError> {
    if ids.is_empty() {
        return Err(BackendError::Invalid(format!(
            "a text of no tokens has no states in `{name}`"
        )));
    }
    if let Some(id) = ids.iter().find(|id| **id as usize >= vocab_size) {
        return Err(BackendError::Invalid(format!(
            "token id {id} is outside the vocabulary of `{name}` (ids 0 to {})",
            vocab_size - 1
        )));
    }
    if ids.len() > limit {
        return Err(BackendError::TooLong {
            model: name.to_owned(),
            found: ids.len(),
            limit,
        });
    }
    Ok(())
}

pub(crate) fn is_finite(row: &[f32]) -> bool {
    row.iter().map(|x| x * 0.0).sum::<f32>() == 0.0
}
