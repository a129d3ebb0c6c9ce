//! The weights of a decoder, checked against its shape and packed for the kernels.

use std::sync::Arc;

use rayon::prelude::*;

use crate::checkpoint::split::{layout, split_row};
use crate::checkpoint::{Checkpoint, Config, Dtype, HeadNorm, Positions, Residual, Tensor};
use crate::kernel::form::{Form, Grid, Quants};
use crate::kernel::{Compute, Packed, WeightRows};

/// Where tensors come from: a memory-mapped checkpoint, or a model made in memory.
pub trait TensorSource: Send + Sync {
    /// The tensor of this name (Hugging Face layout), if there is one.
    fn tensor(&self, name: &str) -> Option<Tensor<'_>>;

    /// Bytes of files that are mapped into memory.
    fn n_mapped_bytes(&self) -> u64 {
        0
    }
}

impl TensorSource for Checkpoint {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        Self::tensor(self, name).ok()
    }

    fn n_mapped_bytes(&self) -> u64 {
        Self::n_mapped_bytes(self)
    }
}

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor that the architecture needs is not in the file.
    #[error("the checkpoint has no tensor `{name}`")]
    Missing {
        /// Its name in Hugging Face layout.
        name: String,
    },
    /// A tensor does not fit the configuration.
    #[error("tensor `{name}` has shape {found:?}, the model expects {expected:?}")]
    Shape {
        /// Its name in Hugging Face layout.
        name: String,
        /// Shape that the configuration implies.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A weight that is infinite or not a number.
    #[error("tensor `{name}` holds a value that is not finite (row {row})")]
    NotFinite {
        /// Its name in Hugging Face layout.
        name: String,
        /// First row where it was seen.
        row: usize,
    },
}

/// A norm's weight and bias; without weight there is no norm, without bias none is added.
#[derive(Debug, Default)]
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// A projection: `[n_out, n_in]`, and its bias (empty where there is none).
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Packed,
    pub(crate) bias: Vec<f32>,
}

/// One block: attention and feed-forward, each with what stands before and after it.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    /// Queries, keys, values, one below the other: `[(n_heads + 2 n_kv_heads) · d_head, d_model]`.
    pub(crate) qkv: Linear,
    /// Norms of queries and keys, as [`crate::checkpoint::HeadNorm`] says; empty where there are none.
    pub(crate) q_norm: Vec<f32>,
    pub(crate) k_norm: Vec<f32>,
    /// `[d_model, n_heads · d_head]`.
    pub(crate) out: Linear,
    /// Norm of the attention's output.
    pub(crate) attention_post_norm: Norm,
    pub(crate) ff_norm: Norm,
    /// Gates, then ups: `[2 · d_ff, d_model]`; without gates `[d_ff, d_model]`.
    pub(crate) up: Linear,
    /// `[d_model, d_ff]`.
    pub(crate) down: Linear,
    /// Norm of the feed-forward output.
    pub(crate) ff_post_norm: Norm,
}

/// All weights of a decoder.
pub(crate) struct Weights {
    source: Arc<dyn TensorSource>,
    /// Norm of the embeddings (BLOOM).
    pub(crate) embedding_norm: Norm,
    /// A vector per position, `[context_length, d_model]`; empty unless positions are learned.
    pub(crate) positions: Vec<f32>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Norm,
    /// `[vocab_size, d_model]`.
    pub(crate) output: Packed,
}

const EMBEDDING: &str = "model.embed_tokens.weight";
const POSITIONS: &str = "model.embed_positions.weight";

impl Weights {
    /// Reads, checks and packs every tensor, on the current thread pool.
    pub(crate) fn load(
        config: &Config,
        source: Arc<dyn TensorSource>,
        compute: Compute,
    ) -> Result<Self, ModelError> {
        let read = Reader {
            source: &*source,
            config,
            compute,
        };
        let d = config.d_model;
        read.check(EMBEDDING, &[config.vocab_size, d])?;
        let output = if config.tied_embeddings {
            EMBEDDING
        } else {
            "lm_head.weight"
        };
        let blocks = (0..config.n_layers)
            .map(|l| read.block(l))
            .collect::<Result<_, _>>()?;
        let final_norm = read.norm("model.norm", d)?;
        let embedding_norm = if config.embedding_norm {
            read.norm("model.embed_layernorm", d)?
        } else {
            Norm::default()
        };
        let positions = if config.positions == Positions::Learned {
            let table = read.check(POSITIONS, &[config.context_length, d])?;
            read.check_finite(POSITIONS)?;
            table.to_f32()
        } else {
            Vec::new()
        };
        let output = read.packed(&[(output, config.vocab_size)], d)?;
        if !config.tied_embeddings {
            read.check_finite(EMBEDDING)?;
        }
        Ok(Self {
            source,
            embedding_norm,
            positions,
            blocks,
            final_norm,
            output,
        })
    }

    /// Bytes that the packed matrices are going to take, before any is packed.
    pub(crate) fn planned_bytes(
        config: &Config,
        source: &dyn TensorSource,
        compute: Compute,
    ) -> Result<u64, ModelError> {
        let read = Reader {
            source,
            config,
            compute,
        };
        let mut n_bytes = 0;
        for (names, n_in) in matrices(config) {
            n_bytes += read.packed_bytes(&names, n_in)? as u64;
        }
        Ok(n_bytes)
    }

    /// Bytes of memory that the packed matrices take.
    pub(crate) fn n_bytes(&self) -> usize {
        let block = |b: &Block| {
            let linears = [&b.qkv, &b.out, &b.up, &b.down];
            linears.iter().map(|l| l.weight.n_bytes()).sum::<usize>()
        };
        self.output.n_bytes() + self.blocks.iter().map(block).sum::<usize>()
    }

    /// The embedding of a token, unscaled, straight from the checkpoint.
    pub(crate) fn embedding(&self, id: u32, row: &mut [f32]) {
        let tensor = self
            .source
            .tensor(EMBEDDING)
            .expect("checked when the weights were loaded");
        tensor.dequantize_row(id as usize, row);
    }
}

/// Matrices with the same inputs, one below the other.
pub(super) struct Stack<'a>(pub(super) Vec<Tensor<'a>>);

impl Stack<'_> {
    /// The matrix of a row, and its row there.
    pub(super) fn row(&self, mut i: usize) -> (&Tensor<'_>, usize) {
        let tensor = self.0.iter().find(|t| {
            let here = i < t.shape[0];
            if !here {
                i -= t.shape[0];
            }
            here
        });
        (tensor.expect("row of one of the parts"), i)
    }
}

impl WeightRows for Stack<'_> {
    fn form(&self, row: usize) -> Form {
        let tensor = self.row(row).0;
        if !tensor.has_stored_rows() {
            return Form::F32;
        }
        match (tensor.dtype, layout(tensor.dtype)) {
            (Dtype::F16, _) => Form::F16,
            (Dtype::BF16, _) => Form::Bf16,
            (_, Some(layout)) => Form::Grid(Grid {
                bits: layout.bits,
                group: layout.group,
                zero: layout.zero,
                has_minimum: layout.has_minimum,
            }),
            (_, None) => Form::F32,
        }
    }

    fn values(&self, row: usize, to: &mut [f32]) {
        let (tensor, row) = self.row(row);
        tensor.dequantize_row(row, to);
    }

    fn halves(&self, row: usize, to: &mut [u16]) {
        let (tensor, row) = self.row(row);
        let (words, _) = tensor.stored_row(row).as_chunks::<2>();
        for (word, to) in words.iter().zip(to) {
            *to = u16::from_le_bytes(*word);
        }
    }

    fn quants(&self, row: usize, to: &mut Quants) {
        let (tensor, row) = self.row(row);
        let bytes = tensor.stored_row(row);
        split_row(
            tensor.dtype,
            bytes,
            &mut to.q,
            &mut to.scales,
            &mut to.minima,
        );
    }
}

/// Names and rows of the parts of each packed matrix, and its inputs.
fn matrices(c: &Config) -> Vec<(Vec<(String, usize)>, usize)> {
    let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
    let mut all = Vec::new();
    for layer in 0..c.n_layers {
        let part = |rest: &str, n: usize| (format!("model.layers.{layer}.{rest}.weight"), n);
        let qkv = [("q_proj", n_q), ("k_proj", n_kv), ("v_proj", n_kv)];
        let qkv = qkv.map(|(name, n)| part(&format!("self_attn.{name}"), n));
        all.push((qkv.to_vec(), c.d_model));
        all.push((vec![part("self_attn.o_proj", c.d_model)], n_q));
        let mut up = vec![part("mlp.up_proj", c.d_ff)];
        if c.gated {
            up.insert(0, part("mlp.gate_proj", c.d_ff));
        }
        all.push((up, c.d_model));
        all.push((vec![part("mlp.down_proj", c.d_model)], c.d_ff));
    }
    let output = if c.tied_embeddings {
        EMBEDDING
    } else {
        "lm_head.weight"
    };
    all.push((vec![(output.to_owned(), c.vocab_size)], c.d_model));
    all
}

struct Reader<'a> {
    source: &'a dyn TensorSource,
    config: &'a Config,
    compute: Compute,
}

impl<'a> Reader<'a> {
    fn check(&self, name: &str, expected: &[usize]) -> Result<Tensor<'a>, ModelError> {
        let tensor = self
            .source
            .tensor(name)
            .ok_or_else(|| ModelError::Missing {
                name: name.to_owned(),
            })?;
        if tensor.shape != expected {
            let (name, found) = (name.to_owned(), tensor.shape);
            return Err(ModelError::Shape {
                name,
                expected: expected.to_vec(),
                found,
            });
        }
        Ok(tensor)
    }

    fn check_finite(&self, name: &str) -> Result<(), ModelError> {
        let Some(tensor) = self.source.tensor(name) else {
            return Ok(());
        };
        let width = tensor.shape[1];
        (0..tensor.shape[0])
            .into_par_iter()
            .with_min_len(256)
            .try_for_each_init(
                || vec![0.0; width],
                |row, i| {
                    tensor.dequantize_row(i, row);
                    let finite = row.iter().all(|x| x.is_finite());
                    finite.then_some(()).ok_or_else(|| ModelError::NotFinite {
                        name: name.to_owned(),
                        row: i,
                    })
                },
            )
    }

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.check(name, shape)?;
        let row = tensor.to_f32();
        if !row.iter().all(|x| x.is_finite()) {
            return Err(ModelError::NotFinite {
                name: name.to_owned(),
                row: 0,
            });
        }
        Ok(row)
    }

    /// The norm of that name.
    fn norm(&self, name: &str, n: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            weight: self.norm_weight(&format!("{name}.weight"), &[n])?,
            bias: if self.config.norm_bias {
                self.vector(&format!("{name}.bias"), &[n])?
            } else {
                Vec::new()
            },
        })
    }

    fn norm_weight(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let offset = self.config.norm_offset;
        let weights = self.vector(name, shape)?;
        Ok(weights.into_iter().map(|w| w + offset).collect())
    }

    /// Projections with the same inputs, one below the other, with their biases.
    fn linear(
        &self,
        parts: &[(String, usize)],
        n_in: usize,
        has_bias: bool,
    ) -> Result<Linear, ModelError> {
        let names: Vec<(String, usize)> = (parts.iter())
            .map(|(name, n)| (format!("{name}.weight"), *n))
            .collect();
        let names: Vec<(&str, usize)> = names.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        let weight = self.packed(&names, n_in)?;
        let mut bias = Vec::new();
        for (name, n) in parts.iter().filter(|_| has_bias) {
            bias.extend(self.vector(&format!("{name}.bias"), &[*n])?);
        }
        Ok(Linear { weight, bias })
    }

    /// Matrices with the same inputs, one below the other.
    fn packed(&self, parts: &[(&str, usize)], n_in: usize) -> Result<Packed, ModelError> {
        let stack = Stack(
            parts
                .iter()
                .map(|(name, n)| self.check(name, &[*n, n_in]))
                .collect::<Result<_, _>>()?,
        );
        let n_out = parts.iter().map(|(_, n)| n).sum();
        Packed::of_rows(n_out, n_in, self.compute, &stack).map_err(|i| {
            let (tensor, row) = stack.row(i);
            ModelError::NotFinite {
                name: tensor.name.clone().into_owned(),
                row,
            }
        })
    }

    /// Bytes that [`Reader::packed`] takes for the same.
    fn packed_bytes(&self, parts: &[(String, usize)], n_in: usize) -> Result<usize, ModelError> {
        let stack = Stack(
            parts
                .iter()
                .map(|(name, n)| self.check(name, &[*n, n_in]))
                .collect::<Result<_, _>>()?,
        );
        let n_out = parts.iter().map(|(_, n)| n).sum();
        Ok(Packed::bytes_of(n_out, n_in, self.compute, &stack))
    }

    fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let c = self.config;
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        let norm = |wanted: bool, rest: &str| {
            if wanted {
                self.norm(&name(rest), c.d_model)
            } else {
                Ok(Norm::default())
            }
        };
        let head_norm = |rest: &str, n_heads: usize| {
            let shape = match c.head_norm {
                HeadNorm::None => return Ok(Vec::new()),
                HeadNorm::Shared => vec![c.d_head],
                HeadNorm::Own => vec![n_heads, c.d_head],
                HeadNorm::Whole => vec![n_heads * c.d_head],
            };
            self.norm_weight(&name(&format!("self_attn.{rest}.weight")), &shape)
        };
        let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        let mut up = vec![(name("mlp.up_proj"), c.d_ff)];
        if c.gated {
            up.insert(0, (name("mlp.gate_proj"), c.d_ff));
        }
        let qkv = [
            (name("self_attn.q_proj"), n_q),
            (name("self_attn.k_proj"), n_kv),
            (name("self_attn.v_proj"), n_kv),
        ];
        // With norms behind the branches, "post attention" is what comes after it; else what comes
        // before the feed-forward layer.
        let ff_norm = if c.post_norms {
            "pre_feedforward_layernorm"
        } else {
            "post_attention_layernorm"
        };
        let has_ff_norm = c.pre_norms && c.residual != Residual::Parallel;
        Ok(Block {
            attention_norm: norm(c.pre_norms, "input_layernorm")?,
            qkv: self.linear(&qkv, c.d_model, c.qkv_bias)?,
            q_norm: head_norm("q_norm", c.n_heads)?,
            k_norm: head_norm("k_norm", c.n_kv_heads)?,
            out: self.linear(&[(name("self_attn.o_proj"), c.d_model)], n_q, c.out_bias)?,
            attention_post_norm: norm(c.post_norms, "post_attention_layernorm")?,
            ff_norm: norm(has_ff_norm, ff_norm)?,
            up: self.linear(&up, c.d_model, c.ff_bias)?,
            down: self.linear(&[(name("mlp.down_proj"), c.d_model)], c.d_ff, c.ff_bias)?,
            ff_post_norm: norm(c.post_norms, "post_feedforward_layernorm")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    /// A plan of memory must not be another than what is loaded.
    #[test]
    fn the_planned_bytes_are_those_that_are_packed() {
        {
            let name = "smollm2-135m";
            let checkpoint =
                Arc::new(Checkpoint::open(&isogloss_testkit::model_path(name)).unwrap());
            let config = checkpoint.config.clone();
            for compute in Compute::ALL {
                let planned = Weights::planned_bytes(&config, &*checkpoint, compute).unwrap();
                let weights = Weights::load(&config, checkpoint.clone(), compute).unwrap();
                assert_eq!(weights.n_bytes() as u64, planned, "{compute:?}");
                assert!(planned > 50_000_000);
            }
        }
    }
}
