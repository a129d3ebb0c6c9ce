//! Training: log-probabilities forward, gradients backward, weights updated in place; f32.
//!
//! ```text
//! sequences -> Trainee::forward -> log-probability of every scored token
//!           -> (an objective)   -> derivative of its loss by each of them
//!           -> Trainee::backward -> gradients by tensor name -> Trainee::update (AdamW)
//! ```
//! The passes are written out, there is no tape: `block` goes down what it went up. A frozen
//! tensor has no gradient buffer and costs no product, and backward stops below the lowest block
//! that is trained. An objective never sees logits: whatever it is made of, its derivative by the
//! log-probability of each token is all that backward needs.
//!
//! Where the derivatives are known beforehand (a weighted sum of log-probabilities),
//! [`Trainee::forward_backward`] does both and computes the output layer once instead of twice.
//! [`Lora`] trains low-rank changes over a model that stays as it is.
//!
//! Every sum has one order: the same bytes for any number of threads, and whether blocks are kept
//! or computed again ([`Keep`]).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use isogloss_model::checkpoint::Checkpoint;
//! use isogloss_model::train::{AdamW, Sequence, TrainOptions, Trainee};
//!
//! let checkpoint = Checkpoint::open("smollm2".as_ref())?;
//! let is_trainable = |name: &str| name.contains("mlp");
//! let options = TrainOptions::default();
//! let mut trainee = Trainee::load(&checkpoint.config, &checkpoint, is_trainable, &options)?;
//! let adamw = AdamW { learning_rate: 1e-4, ..AdamW::default() };
//! let logprobs = trainee.forward(&[Sequence::whole(vec![1, 17, 4, 9])])?;
//! // The loss is −mean log p: its derivative by each of the three is −1/3.
//! let derivatives: Vec<_> = logprobs.iter().map(|l| vec![-1.0 / 3.0; l.len()]).collect();
//! trainee.backward(&derivatives)?;
//! trainee.update(&adamw);
//! # Ok(())
//! # }
//! ```

mod adamw;
mod attention;
mod batch;
mod block;
mod embedding;
mod fresh;
mod gradients;
mod head;
mod lora;
mod norm;
mod parameters;
mod pass;
mod passes;
mod rows;
mod snapshot;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use isogloss_record::Explain;
use isogloss_record::files::FileError;

pub use adamw::AdamW;
pub use batch::Sequence;
pub use fresh::{Shape, write_untrained};
pub use lora::Lora;

use crate::arch::{ModelError, Rope, TensorSource, alibi};
use crate::checkpoint::{Config, Positions};
use crate::kernel::product::Numbers;
use crate::kernel::{Isa, Rows};
use adamw::Moments;
use batch::Packed;
use block::{Kept, Scratch};
use gradients::Gradients;
use head::Head;
use parameters::{Layout, Parameters};
use pass::Pass;

/// What forward keeps of each block for backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// All that took a product or attention to compute: with heads as wide as the model and a third
    /// of them keys, about `5 d_model + 2 d_ff` floats a token and block.
    #[default]
    All,
    /// The block's input: `d_model` floats a token and block; the rest is computed a second time,
    /// with the same bytes, but for the last projection. Costs about a fifth of the speed.
    BlockInputs,
}

/// Numbers of the products with weights, forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// Both factors rounded to bfloat16, sums in f32: about 1.6 times as fast where the processor has
    /// such products (AVX-512 BF16), slower elsewhere. The gradient's length was .17 % off on a step of
    /// SmolLM2-135M; within 5 % in whole gradients of tiny models.
    Bf16,
}

/// How a trainee computes.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrainOptions {
    /// Threads; `None`: one a processor. The result does not depend on it.
    pub threads: Option<NonZeroUsize>,
    /// Memory against time.
    pub keep: Keep,
    /// Instruction set; `None`: the best there is. The result does not depend on it.
    pub isa: Option<Isa>,
    /// Numbers of the products with weights; weights, sums, gradients and the optimizer stay `f32`.
    pub precision: Precision,
    /// Whether backward goes down to the inputs: [`Trainee::input_gradients`].
    pub input_gradients: bool,
}

/// Why training cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The weights do not fit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The threads could not be started.
    #[error("cannot start the threads of the trainer")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// No tensor is trainable.
    #[error("none of the model's {n_tensors} tensors is to be trained")]
    AllFrozen {
        /// Tensors of the model.
        n_tensors: usize,
    },
    /// A sequence cannot be computed.
    #[error("sequence {index} of the batch: {what}")]
    Sequence {
        /// Its place in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        what: String,
    },
    /// Adapters that the model cannot have.
    #[error("low-rank adapters: {what}")]
    Lora {
        /// What does not fit.
        what: String,
    },
    /// A size that no model has.
    #[error("a new model: {what}")]
    Fresh {
        /// What does not fit.
        what: String,
    },
    /// A saved state that is not one of this training.
    #[error("`{}` is no state of this training: {what}", .path.display())]
    State {
        /// The file.
        path: std::path::PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Values that are not those of a tensor.
    #[error("`{name}` {what}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What does not fit.
        what: String,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No token of a batch counts.
    #[error("no token of the batch is scored: there is nothing to learn from")]
    NothingScored,
    /// Derivatives that do not belong to the last forward pass.
    #[error("backward needs {expected}, found {found}")]
    Derivatives {
        /// What the last forward pass asks for.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A value that is infinite or not a number.
    #[error("{what} is not finite")]
    NotFinite {
        /// Which value.
        what: String,
    },
}

impl Explain for TrainError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Model(_) => {
                "the files may be damaged: fetch them again and compare their hashes".into()
            }
            Self::Threads(_) => "ask for fewer threads".into(),
            Self::AllFrozen { .. } => {
                "name tensors as Hugging Face's Llama does: `model.layers.0.mlp.up_proj.weight`"
                    .into()
            }
            Self::Sequence { .. } | Self::NothingScored => {
                "check how the training texts are cut and which of their tokens count".into()
            }
            Self::Lora { .. } => {
                "targets are ends of module names, as `q_proj` or `mlp.down_proj`; the rank is 1 or more"
                    .into()
            }
            Self::Tensor { .. } => "compare with the names and shapes of `weights`".into(),
            Self::File(error) => return error.hint(),
            Self::Fresh { .. } => "choose widths that the heads divide".into(),
            Self::State { .. } => "delete the file to train from the beginning".into(),
            Self::Derivatives { .. } => return None,
            Self::NotFinite { .. } => {
                "lower the learning rate, or leave out the text at fault".into()
            }
        })
    }
}

/// A tensor's values or gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// As in the checkpoint, in Hugging Face layout.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// Activations of the last forward pass, and buffers.
struct State {
    /// Embeddings before their norm.
    raw: Rows,
    /// Input of each block, and what comes out of the last.
    xs: Vec<Rows>,
    /// Of the first block that is trained and those behind it, from index 1; 0 serves all others.
    kept: Vec<Kept>,
    /// Output of a block that is computed a second time.
    again: Rows,
    scratch: Scratch,
    head: Head,
    dx: Rows,
}

/// A model whose weights change.
pub struct Trainee {
    config: Config,
    parameters: Parameters,
    layout: Layout,
    gradients: Gradients,
    moments: Moments,
    /// First block that gradients must reach; 0 where the embedding is trained.
    lowest: usize,
    reaches_embedding: bool,
    wants_inputs: bool,
    /// Whether `state.dx` holds the gradients of the last batch's inputs.
    has_inputs: bool,
    lora: Option<Lora>,
    slopes: Vec<f32>,
    global_rope: Rope,
    local_rope: Rope,
    isa: Isa,
    keep: Keep,
    numbers: Numbers,
    pool: rayon::ThreadPool,
    batch: Packed,
    /// Whether a forward pass waits for its backward pass.
    is_open: bool,
    state: State,
}

impl Trainee {
    /// Reads all weights as f32. `is_trainable` says by name (Hugging Face layout of Llama, as
    /// [`crate::checkpoint::Checkpoint::tensor_names`] gives them) which are trained; where the
    /// output layer is the embedding, that is one tensor and gets the gradients of both uses.
    ///
    /// # Errors
    /// [`TrainError::Model`], [`TrainError::Threads`], [`TrainError::AllFrozen`].
    pub fn load(
        config: &Config,
        source: &dyn TensorSource,
        is_trainable: impl Fn(&str) -> bool,
        options: &TrainOptions,
    ) -> Result<Self, TrainError> {
        let pool = threads(options)?;
        let parameters = pool.install(|| Parameters::load(config, source))?;
        Self::new(config, parameters, None, is_trainable, options, pool)
    }

    /// Reads all weights, frozen, and puts new low-rank adapters over them, which are trained:
    /// `lora_A` drawn from the seed, `lora_B` 0, so that the model is at first what it was.
    ///
    /// # Errors
    /// [`TrainError::Model`], [`TrainError::Threads`], [`TrainError::Lora`].
    pub fn load_lora(
        config: &Config,
        source: &dyn TensorSource,
        lora: &Lora,
        options: &TrainOptions,
    ) -> Result<Self, TrainError> {
        let pool = threads(options)?;
        let mut parameters = pool.install(|| Parameters::load(config, source))?;
        lora.add_to(config, &mut parameters)?;
        let lora = Some(lora.clone());
        Self::new(config, parameters, lora, lora::is_adapter, options, pool)
    }

    fn new(
        config: &Config,
        parameters: Parameters,
        lora: Option<Lora>,
        is_trainable: impl Fn(&str) -> bool,
        options: &TrainOptions,
        pool: rayon::ThreadPool,
    ) -> Result<Self, TrainError> {
        let scale = lora.as_ref().map_or(0.0, Lora::scale);
        let layout = Layout::new(config, &parameters.names, scale);
        let trained = |prefix: &str| {
            (parameters.names.iter()).any(|name| name.starts_with(prefix) && is_trainable(name))
        };
        if !trained("") && !options.input_gradients {
            return Err(TrainError::AllFrozen {
                n_tensors: parameters.names.len(),
            });
        }
        let reaches_embedding = options.input_gradients || trained("model.embed");
        let lowest = (0..config.n_layers)
            .find(|layer| reaches_embedding || trained(&format!("model.layers.{layer}.")))
            .unwrap_or(config.n_layers);
        Ok(Self {
            gradients: Gradients::new(&parameters, &is_trainable),
            moments: Moments::default(),
            parameters,
            layout,
            lowest,
            reaches_embedding,
            wants_inputs: options.input_gradients,
            has_inputs: false,
            lora,
            slopes: match config.positions {
                Positions::Alibi => alibi::slopes(config.n_heads),
                Positions::Rotary | Positions::Learned => Vec::new(),
            },
            global_rope: Rope::global(config),
            local_rope: Rope::local(config),
            isa: options
                .isa
                .filter(|isa| Isa::available().contains(isa))
                .unwrap_or_else(Isa::detect),
            keep: options.keep,
            numbers: match options.precision {
                Precision::F32 => Numbers::F32,
                Precision::Bf16 => Numbers::Bf16,
            },
            config: config.clone(),
            pool,
            batch: Packed::default(),
            is_open: false,
            state: State::new(config, options.keep, lowest),
        })
    }

    /// Starts new sums of gradients.
    pub fn clear_gradients(&mut self) {
        self.gradients.clear();
    }

    /// Multiplies all gradients by one factor where their length exceeds `max_norm`, so that it does
    /// not any more; returns the length that it was.
    pub fn clip_gradients(&mut self, max_norm: f64) -> f64 {
        let norm = self.gradient_norm();
        if norm > max_norm {
            let (isa, gradients) = (self.isa, &mut self.gradients);
            self.pool
                .install(|| gradients.scale(isa, (max_norm / norm) as f32));
        }
        norm
    }

    /// Bytes of all gradient buffers: 0 before the first backward pass, and never any for a frozen
    /// tensor.
    pub fn gradient_bytes(&self) -> usize {
        self.gradients.bytes()
    }

    /// Gradients by the embeddings of the last backward pass, where [`TrainOptions`] asked for them:
    /// by sequence and token `d_model` values. They are those of the rows of the embedding table as it
    /// is stored: before a scale, positions, or a norm of embeddings. Tokens behind the last scored
    /// one have none.
    pub fn input_gradients(&self) -> Option<Vec<Vec<Vec<f32>>>> {
        let scale = self.config.embedding_scale;
        let row = |i: usize| self.state.dx.row(i).iter().map(|x| x * scale).collect();
        let spans = self.batch.spans.iter();
        (self.has_inputs).then(|| spans.map(|span| span.clone().map(row).collect()).collect())
    }

    /// Gives a tensor other values, row-major.
    ///
    /// # Errors
    /// [`TrainError::Tensor`]: there is none of this name, or not of so many values.
    pub fn set_weight(&mut self, name: &str, values: &[f32]) -> Result<(), TrainError> {
        let wrong = |what: String| TrainError::Tensor {
            name: name.to_owned(),
            what,
        };
        let id = (self.parameters.names.iter().position(|known| known == name))
            .ok_or_else(|| wrong("is no tensor of this model".into()))?;
        let rows = &mut self.parameters.values[id];
        let n = rows.n_rows() * rows.width();
        if values.len() != n {
            return Err(wrong(format!("has {n} values, not {}", values.len())));
        }
        self.is_open = false;
        for (i, row) in values.chunks_exact(rows.width()).enumerate() {
            rows.row_mut(i).copy_from_slice(row);
        }
        Ok(())
    }

    /// Length of the gradient over all trained tensors: √Σg²; 0 before a backward pass.
    pub fn gradient_norm(&self) -> f64 {
        self.pool.install(|| self.gradients.norm())
    }

    /// The gradient of every trained tensor since the last [`Trainee::clear_gradients`]; empty
    /// before a backward pass.
    pub fn gradients(&self) -> BTreeMap<String, Values> {
        (0..self.parameters.names.len())
            .filter_map(|id| {
                let gradient = self.gradients.of(id)?;
                Some((self.parameters.names[id].clone(), self.values(id, gradient)))
            })
            .collect()
    }

    /// The weights as they are now, all or only those that are trained.
    pub fn weights(&self, only_trained: bool) -> BTreeMap<String, Values> {
        (0..self.parameters.names.len())
            .filter(|id| !only_trained || self.gradients.wants(*id))
            .map(|id| {
                let values = self.values(id, &self.parameters.values[id]);
                (self.parameters.names[id].clone(), values)
            })
            .collect()
    }

    /// One step of the optimizer with the gradients so far, which are cleared.
    pub fn update(&mut self, adamw: &AdamW) {
        self.is_open = false;
        let (isa, values, gradients) = (self.isa, &mut self.parameters.values, &self.gradients);
        let moments = &mut self.moments;
        self.pool
            .install(|| moments.step(isa, adamw, values, gradients));
        self.gradients.clear();
    }

    fn values(&self, id: usize, rows: &Rows) -> Values {
        Values {
            shape: self.parameters.shapes[id].clone(),
            values: (0..rows.n_rows())
                .flat_map(|i| rows.row(i))
                .copied()
                .collect(),
        }
    }

    /// What a pass reads, what it changes, and the threads.
    fn parts(&mut self) -> (Pass<'_>, &mut State, &mut Gradients, &rayon::ThreadPool) {
        let pass = Pass {
            config: &self.config,
            isa: self.isa,
            numbers: self.numbers,
            layout: &self.layout,
            values: &self.parameters.values,
            global_rope: &self.global_rope,
            local_rope: &self.local_rope,
            slopes: &self.slopes,
            batch: &self.batch,
        };
        (pass, &mut self.state, &mut self.gradients, &self.pool)
    }
}

impl State {
    fn new(config: &Config, keep: Keep, lowest: usize) -> Self {
        let n_kept = match keep {
            Keep::All => config.n_layers - lowest + 1,
            Keep::BlockInputs => 1,
        };
        let d = || Rows::new(config.d_model);
        Self {
            raw: d(),
            xs: (0..=config.n_layers).map(|_| d()).collect(),
            kept: (0..n_kept).map(|_| Kept::new(config)).collect(),
            again: d(),
            scratch: Scratch::new(config),
            head: Head::new(config),
            dx: d(),
        }
    }
}

fn threads(options: &TrainOptions) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.map_or(0, NonZeroUsize::get))
        .thread_name(|i| format!("train-{i}"))
        .build()
}

/// Index of what forward keeps of a block.
fn kept_at(keep: Keep, lowest: usize, layer: usize) -> usize {
    match keep {
        Keep::All if layer >= lowest => layer - lowest + 1,
        Keep::All | Keep::BlockInputs => 0,
    }
}
