//! A decoder in memory: token ids in, answers out, no text.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isogloss_record::{Encoded, Response, Usage};

use super::core::{Core, State};
use super::generate::Stops;
use crate::arch::forward::Decoder;
use crate::arch::{ModelError, TensorSource, Weights};
use crate::backend::{BackendError, RunSettings};
use crate::checkpoint::Config;
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
    /// Instruction set; `None`: the best that the processor has.
    pub isa: Option<Isa>,
    /// Whether the last block's pooled states are taken after the final norm.
    pub pool_after_norm: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: None,
            cache_bytes: 256 << 20,
            compute: Compute::F32,
            isa: None,
            pool_after_norm: false,
        }
    }
}

/// A decoder in memory with its threads, buffers and computed prefixes: token ids in, answers out.
pub struct Network {
    core: Core,
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
        let weights = pool.install(|| Weights::load(config, source, options.compute))?;
        let isa = options
            .isa
            .filter(|isa| Isa::available().contains(isa))
            .unwrap_or_else(Isa::detect);
        let decoder = Decoder::new(config.clone(), weights, isa);
        let state = Mutex::new(State::new(&decoder));
        let core = Core {
            decoder,
            name: name.to_owned(),
            bos,
            cache_bytes: options.cache_bytes,
            pool_after_norm: options.pool_after_norm,
            pool,
        };
        Ok(Self { core, state })
    }

    /// Bytes of memory that the packed weight matrices take.
    pub fn weight_bytes(&self) -> usize {
        self.core.decoder.weights.n_bytes()
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
        self.core.run(
            &mut self.state(),
            jobs,
            settings,
            &stops,
            on_token,
            on_response,
        )
    }

    /// See [`crate::Backend::most_probable`].
    pub fn most_probable(
        &self,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        self.core
            .most_probable(&mut self.state(), token_ids, positions, n, settings)
    }

    /// What [`Network::trace`] and its like compute with.
    pub(super) fn with_core<T>(&self, f: impl FnOnce(&Core, &mut State) -> T) -> T {
        f(&self.core, &mut self.state())
    }

    /// A state that a panic left behind holds half-computed segments and is replaced.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned: PoisonError<_>| {
                let mut state = poisoned.into_inner();
                *state = State::new(&self.core.decoder);
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
    /// The threads could not be started.
    #[error("cannot start the threads of the engine")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}
