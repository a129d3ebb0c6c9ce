//! A decoder in memory: token ids in, answers out, no text.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isogloss_record::{Encoded, Response, Usage};

use super::core::{Core, State};
use super::flow::{NetworkFlow, TextOf};
use super::generate::{Listener, Stops};
use super::memory::{self, MemoryError};
use super::top::Asked;
use crate::adapter::{Adapter, AdapterError};
use crate::arch::forward::Decoder;
use crate::arch::{ModelError, TensorSource, Weights};
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::{Checkpoint, Config, Format};
use crate::kernel::{Compute, Isa};

/// How an engine uses the machine and computes, and what its hidden states are.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Threads; `None`: as many as the machine has processors.
    pub threads: Option<NonZeroUsize>,
    /// Bytes of computed prefixes that are kept from call to call.
    pub cache_bytes: usize,
    /// In what numbers the products with the weights are computed. Unlike everything else here it
    /// changes scores, by its rounding.
    pub compute: Compute,
    /// Bytes of memory that the engine may take; `None`: as many as are of use. Long texts may be
    /// refused, nothing else changes.
    pub memory_max: Option<u64>,
    /// Instruction set; `None`: the best that the processor has.
    pub isa: Option<Isa>,
    /// Whether the last block's pooled states are taken after the final norm.
    pub pool_after_norm: bool,
    /// Format that the weights are brought to before they are loaded; `None`: as they are stored.
    pub at: Option<Format>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: None,
            cache_bytes: 256 << 20,
            compute: Compute::F32,
            memory_max: None,
            isa: None,
            pool_after_norm: false,
            at: None,
        }
    }
}

/// A decoder in memory with its threads, buffers and computed prefixes: token ids in, answers out.
pub struct Network {
    pub(super) core: Core,
    state: Mutex<State>,
}

impl Network {
    /// Packs the weights of `source`.
    ///
    /// `bos` is the id that the tokenizer puts first: it is left out of pooled means.
    pub fn load(
        config: &Config,
        source: Arc<dyn TensorSource>,
        name: &str,
        bos: Option<u32>,
        options: &EngineOptions,
    ) -> Result<Self, LoadError> {
        let n_threads = options.threads.map_or(0, NonZeroUsize::get);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|i| format!("engine-{i}"))
            .build()?;
        let plan = memory::plan(
            config,
            source.n_mapped_bytes(),
            Weights::planned_bytes(config, &*source, options.compute)?,
            pool.current_num_threads(),
            options.cache_bytes,
            options.memory_max,
        )?;
        let weights = pool.install(|| Weights::load(config, source, options.compute))?;
        let isa = options
            .isa
            .filter(|isa| Isa::available().contains(isa))
            .unwrap_or_else(Isa::detect);
        let decoder = Decoder::new(config.clone(), weights, isa);
        let state = Mutex::new(State::new(&decoder, 0));
        let core = Core {
            decoder,
            name: name.to_owned(),
            bos,
            cache_bytes: plan.cache_bytes,
            tree_bytes_max: plan.tree_bytes_max,
            batch_rows: plan.batch_rows,
            pool_after_norm: options.pool_after_norm,
            pool,
        };
        Ok(Self { core, state })
    }

    /// Bytes of memory that the packed weight matrices take.
    pub fn weight_bytes(&self) -> usize {
        self.core.decoder.weights.n_bytes()
    }

    /// Lays an adapter beside the weights, which are those of `checkpoint`; jobs of a
    /// [`NetworkFlow`] choose it by its number, which is given back (from 1).
    ///
    /// # Errors
    /// [`AdapterError`] where it does not fit the model, or is more than low-rank changes of the
    /// blocks' projections.
    pub fn add_adapter(
        &mut self,
        adapter: &Adapter,
        checkpoint: &Checkpoint,
    ) -> Result<usize, AdapterError> {
        let adapters = &mut self.core.decoder.adapters;
        adapters.push(adapter.beside(checkpoint)?);
        Ok(adapters.len())
    }

    /// Runs `f` on the threads of this network.
    pub(crate) fn install<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.core.pool.install(f)
    }

    /// Answers jobs in token ids; see [`crate::Backend::run`].
    ///
    /// `eos` are the ids that end a generation, `text_of` turns generated ids into text.
    pub fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        eos: &[u32],
        text_of: &dyn Fn(&[u32]) -> String,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        self.run_streaming(
            jobs,
            settings,
            eos,
            text_of,
            &mut |_, _, _| true,
            on_response,
        )
    }

    /// As [`Network::run`]; see [`crate::Backend::run_streaming`].
    pub fn run_streaming(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        eos: &[u32],
        text_of: &dyn Fn(&[u32]) -> String,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let stops = Stops { eos, text_of };
        let mut listener = Listener {
            on_token,
            on_response,
        };
        self.core
            .run(&mut self.state(), jobs, 0, settings, &stops, &mut listener)
    }

    /// A batch that jobs may join while it runs; `eos` and `text_of` as in [`Network::run`].
    pub fn flow<'a>(&'a self, eos: &'a [u32], text_of: TextOf<'a>) -> NetworkFlow<'a> {
        NetworkFlow::new(self, eos, text_of)
    }

    /// See [`crate::Backend::most_probable`].
    pub fn most_probable(
        &self,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        let asked = Asked {
            token_ids,
            adapter: 0,
            positions,
            n,
            reserved: 0,
        };
        self.core.most_probable(&mut self.state(), &asked, settings)
    }

    /// What [`Network::trace`] and its like compute with.
    pub(super) fn with_core<T>(&self, f: impl FnOnce(&Core, &mut State) -> T) -> T {
        f(&self.core, &mut self.state())
    }

    /// A state that a panic left behind holds half-computed segments and is replaced.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned: PoisonError<_>| {
                let mut state = poisoned.into_inner();
                *state = State::new(&self.core.decoder, state.epoch + 1);
                self.state.clear_poison();
                state
            })
    }
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The weights do not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It does not fit the memory that it may take.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The threads could not be started.
    #[error("cannot start the threads of the engine")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}
