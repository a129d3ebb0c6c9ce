//! The weights of a decoder, checked against its shape and packed for the kernels.

use std::sync::Arc;

use rayon::prelude::*;

use crate::checkpoint::{Checkpoint, Config, Tensor, quant};
use crate::kernel::Packed;

/// Where tensors come from: a memory-mapped checkpoint, or a model made in memory.
pub trait TensorSource: Send + Sync {
    /// The tensor of this name (Hugging Face layout), if there is one.
    fn tensor(&self, name: &str) -> Option<Tensor<'_>>;
}

impl TensorSource for Checkpoint {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        Self::tensor(self, name).ok()
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

/// One block: `x += attention(norm(x)); x += feed_forward(norm(x))`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Vec<f32>,
    /// Queries, keys, values, one below the other: `[(n_heads + 2 n_kv_heads) · d_head, d_model]`.
    pub(crate) qkv: Packed,
    /// Biases of the same rows; empty where there are none.
    pub(crate) qkv_bias: Vec<f32>,
    /// Norms of each query and key head; empty where there are none.
    pub(crate) q_norm: Vec<f32>,
    pub(crate) k_norm: Vec<f32>,
    /// `[d_model, n_heads · d_head]`.
    pub(crate) out: Packed,
    /// Norm of the attention's output; empty where there is none.
    pub(crate) attention_post_norm: Vec<f32>,
    pub(crate) ff_norm: Vec<f32>,
    /// Gates, then ups: `[2 · d_ff, d_model]`.
    pub(crate) gate_up: Packed,
    /// `[d_model, d_ff]`.
    pub(crate) down: Packed,
    /// Norm of the feed-forward output; empty where there is none.
    pub(crate) ff_post_norm: Vec<f32>,
}

/// All weights of a decoder.
pub(crate) struct Weights {
    source: Arc<dyn TensorSource>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Vec<f32>,
    /// `[vocab_size, d_model]`.
    pub(crate) output: Packed,
}

const EMBEDDING: &str = "model.embed_tokens.weight";

impl Weights {
    /// Reads, checks and packs every tensor, on the current thread pool.
    pub(crate) fn load(config: &Config, source: Arc<dyn TensorSource>) -> Result<Self, ModelError> {
        let read = Reader {
            source: &*source,
            config,
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
        let final_norm = read.norm("model.norm.weight", d)?;
        let output = read.packed(&[(output, config.vocab_size)], d)?;
        if !config.tied_embeddings {
            read.check_finite(EMBEDDING)?;
        }
        Ok(Self {
            source,
            blocks,
            final_norm,
            output,
        })
    }

    /// The embedding of a token, unscaled, straight from the checkpoint.
    pub(crate) fn embedding(&self, id: u32, row: &mut [f32]) {
        let tensor = self
            .source
            .tensor(EMBEDDING)
            .expect("checked when the weights were loaded");
        read_row(&tensor, id as usize, row);
    }
}

/// Dequantizes one row of a matrix.
fn read_row(tensor: &Tensor<'_>, i: usize, row: &mut [f32]) {
    let n_bytes = tensor.bytes.len() / tensor.shape[0];
    quant::dequantize_row(
        tensor.dtype,
        &tensor.bytes[i * n_bytes..(i + 1) * n_bytes],
        row,
    );
}

struct Reader<'a> {
    source: &'a dyn TensorSource,
    config: &'a Config,
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
                    read_row(&tensor, i, row);
                    let finite = row.iter().all(|x| x.is_finite());
                    finite.then_some(()).ok_or_else(|| ModelError::NotFinite {
                        name: name.to_owned(),
                        row: i,
                    })
                },
            )
    }

    fn vector(&self, name: &str, n: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.check(name, &[n])?;
        let mut row = vec![0.0; n];
        quant::dequantize_row(tensor.dtype, tensor.bytes, &mut row);
        if !row.iter().all(|x| x.is_finite()) {
            return Err(ModelError::NotFinite {
                name: name.to_owned(),
                row: 0,
            });
        }
        Ok(row)
    }

    fn norm(&self, name: &str, n: usize) -> Result<Vec<f32>, ModelError> {
        let weights = self.vector(name, n)?;
        Ok(weights
            .into_iter()
            .map(|w| w + self.config.norm_offset)
            .collect())
    }

    /// Matrices with the same inputs, one below the other.
    fn packed(&self, parts: &[(&str, usize)], n_in: usize) -> Result<Packed, ModelError> {
        let tensors: Vec<_> = parts
            .iter()
            .map(|(name, n)| self.check(name, &[*n, n_in]))
            .collect::<Result<_, _>>()?;
        let n_out = parts.iter().map(|(_, n)| n).sum();
        let part_of = |mut i: usize| {
            let part = tensors.iter().position(|t| {
                let here = i < t.shape[0];
                if !here {
                    i -= t.shape[0];
                }
                here
            });
            (part.expect("row of one of the parts"), i)
        };
        Packed::new(n_out, n_in, |i, row| {
            let (part, i) = part_of(i);
            read_row(&tensors[part], i, row);
        })
        .map_err(|i| {
            let (part, row) = part_of(i);
            ModelError::NotFinite {
                name: parts[part].0.to_owned(),
                row,
            }
        })
    }

    fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let c = self.config;
        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
        let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        let (q, k, v) = (
            name("self_attn.q_proj"),
            name("self_attn.k_proj"),
            name("self_attn.v_proj"),
        );
        let mut qkv_bias = Vec::new();
        if c.qkv_bias {
            for (part, n) in [(&q, n_q), (&k, n_kv), (&v, n_kv)] {
                qkv_bias.extend(self.vector(&format!("{part}.bias"), n)?);
            }
        }
        let [q, k, v] = [q, k, v].map(|part| format!("{part}.weight"));
        let optional = |wanted: bool, rest: &str, n: usize| {
            if wanted {
                self.norm(&name(rest), n)
            } else {
                Ok(Vec::new())
            }
        };
        // Gemma 3 calls "post attention" what comes after it; the others what comes before the
        // feed-forward layer.
        let ff_norm = if c.post_norms {
            "pre_feedforward_layernorm.weight"
        } else {
            "post_attention_layernorm.weight"
        };
        Ok(Block {
            attention_norm: self.norm(&name("input_layernorm.weight"), c.d_model)?,
            qkv: self.packed(&[(&q, n_q), (&k, n_kv), (&v, n_kv)], c.d_model)?,
            qkv_bias,
            q_norm: optional(c.qk_norm, "self_attn.q_norm.weight", c.d_head)?,
            k_norm: optional(c.qk_norm, "self_attn.k_norm.weight", c.d_head)?,
            out: self.packed(&[(&name("self_attn.o_proj.weight"), c.d_model)], n_q)?,
            attention_post_norm: optional(
                c.post_norms,
                "post_attention_layernorm.weight",
                c.d_model,
            )?,
            ff_norm: self.norm(&name(ff_norm), c.d_model)?,
            gate_up: self.packed(
                &[
                    (&name("mlp.gate_proj.weight"), c.d_ff),
                    (&name("mlp.up_proj.weight"), c.d_ff),
                ],
                c.d_model,
            )?,
            down: self.packed(&[(&name("mlp.down_proj.weight"), c.d_model)], c.d_ff)?,
            ff_post_norm: optional(c.post_norms, "post_feedforward_layernorm.weight", c.d_model)?,
        })
    }
}
