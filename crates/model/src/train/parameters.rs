//! The weights in training by their names, and where each stands in the network.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::arch::forward::each_row;
use crate::arch::{ModelError, TensorSource};
use crate::checkpoint::{Config, expected_tensors};
use crate::kernel::Rows;

/// Index of a tensor among the parameters.
pub(super) type Id = usize;

/// All tensors of a model, in the order of the forward pass.
pub(super) struct Parameters {
    /// Names in Hugging Face layout.
    pub(super) names: Vec<String>,
    pub(super) shapes: Vec<Vec<usize>>,
    /// A matrix row by row; a vector, or norm weights of several heads, as one row.
    pub(super) values: Vec<Rows>,
}

impl Parameters {
    /// Reads and checks every tensor that the settings ask for.
    pub(super) fn load(config: &Config, source: &dyn TensorSource) -> Result<Self, ModelError> {
        let (names, shapes): (Vec<_>, Vec<_>) = expected_tensors(config).into_iter().unzip();
        let values = (names.iter().zip(&shapes))
            .map(|(name, shape)| read(source, name, shape))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            names,
            shapes,
            values,
        })
    }
}

/// Rows and their width in memory.
pub(super) fn size(name: &str, shape: &[usize]) -> (usize, usize) {
    match shape {
        [n_out, n_in] if !name.ends_with("norm.weight") => (*n_out, *n_in),
        shape => (1, shape.iter().product()),
    }
}

fn read(source: &dyn TensorSource, name: &str, shape: &[usize]) -> Result<Rows, ModelError> {
    let tensor = source.tensor(name).ok_or_else(|| ModelError::Missing {
        name: name.to_owned(),
    })?;
    if tensor.shape != shape {
        return Err(ModelError::Shape {
            name: name.to_owned(),
            expected: shape.to_vec(),
            found: tensor.shape,
        });
    }
    let (n_rows, width) = size(name, shape);
    let mut rows = Rows::new(width);
    rows.set_rows(n_rows);
    if n_rows == 1 {
        rows.row_mut(0).copy_from_slice(&tensor.to_f32());
    } else {
        each_row(&mut rows, |i, row| tensor.dequantize_row(i, row));
    }
    let bad = (0..n_rows).find(|i| !rows.row(*i).iter().all(|x| x.is_finite()));
    match bad {
        None => Ok(rows),
        Some(row) => Err(ModelError::NotFinite {
            name: name.to_owned(),
            row,
        }),
    }
}

/// A norm's tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormIds {
    pub(super) weight: Id,
    pub(super) bias: Option<Id>,
}

/// A projection's tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearIds {
    pub(super) weight: Id,
    pub(super) bias: Option<Id>,
    pub(super) low_rank: Option<LowRankIds>,
}

/// A projection's adapter: `scale · B · A` is added to its weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct LowRankIds {
    /// `[rank, n_in]`.
    pub(super) a: Id,
    /// `[n_out, rank]`.
    pub(super) b: Id,
    pub(super) scale: f32,
}

/// The tensors of one block; `None` for what the family does not have.
#[derive(Debug)]
pub(super) struct BlockIds {
    pub(super) attention_norm: Option<NormIds>,
    pub(super) q: LinearIds,
    pub(super) k: LinearIds,
    pub(super) v: LinearIds,
    pub(super) q_norm: Option<NormIds>,
    pub(super) k_norm: Option<NormIds>,
    pub(super) out: LinearIds,
    pub(super) attention_post_norm: Option<NormIds>,
    pub(super) ff_norm: Option<NormIds>,
    pub(super) gate: Option<LinearIds>,
    pub(super) up: LinearIds,
    pub(super) down: LinearIds,
    pub(super) ff_post_norm: Option<NormIds>,
}

/// Where each tensor stands.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) embedding: Id,
    pub(super) positions: Option<Id>,
    pub(super) embedding_norm: Option<NormIds>,
    pub(super) blocks: Vec<BlockIds>,
    pub(super) final_norm: NormIds,
    /// The embedding where they are tied.
    pub(super) output: Id,
}

impl Layout {
    pub(super) fn new(config: &Config, names: &[String], adapter_scale: f32) -> Self {
        let ids: BTreeMap<&str, Id> = (names.iter().enumerate())
            .map(|(id, name)| (name.as_str(), id))
            .collect();
        let id = |name: &str| ids.get(name).copied();
        let norm = |name: &str| {
            Some(NormIds {
                weight: id(&format!("{name}.weight"))?,
                bias: id(&format!("{name}.bias")),
            })
        };
        let embedding = id("model.embed_tokens.weight").expect("every model has embeddings");
        let block = |layer: usize| {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let norm = |part: &str| norm(&name(part));
            let linear = |part: &str| LinearIds {
                weight: id(&name(&format!("{part}.weight"))).expect("every block has it"),
                bias: id(&name(&format!("{part}.bias"))),
                low_rank: id(&name(&format!("{part}.lora_A.weight")))
                    .zip(id(&name(&format!("{part}.lora_B.weight"))))
                    .map(|(a, b)| LowRankIds {
                        a,
                        b,
                        scale: adapter_scale,
                    }),
            };
            // What stands behind the branches where there are norms behind them, else before the
            // feed-forward layer: see `arch::weights`.
            let (after, before) = if config.post_norms {
                (
                    norm("post_attention_layernorm"),
                    norm("pre_feedforward_layernorm"),
                )
            } else {
                (None, norm("post_attention_layernorm"))
            };
            BlockIds {
                attention_norm: norm("input_layernorm"),
                q: linear("self_attn.q_proj"),
                k: linear("self_attn.k_proj"),
                v: linear("self_attn.v_proj"),
                q_norm: norm("self_attn.q_norm"),
                k_norm: norm("self_attn.k_norm"),
                out: linear("self_attn.o_proj"),
                attention_post_norm: after,
                ff_norm: before,
                gate: config.gated.then(|| linear("mlp.gate_proj")),
                up: linear("mlp.up_proj"),
                down: linear("mlp.down_proj"),
                ff_post_norm: norm("post_feedforward_layernorm"),
            }
        };
        Self {
            embedding,
            positions: id("model.embed_positions.weight"),
            embedding_norm: norm("model.embed_layernorm"),
            blocks: (0..config.n_layers).map(block).collect(),
            final_norm: norm("model.norm").expect("every model has a last norm"),
            output: id("lm_head.weight").unwrap_or(embedding),
        }
    }
}

/// A norm's weight as the norm uses it: Gemma stores it less 1.
pub(super) fn gain<'a>(config: &Config, value: &'a Rows) -> Cow<'a, [f32]> {
    match config.norm_offset {
        0.0 => Cow::Borrowed(value.row(0)),
        offset => Cow::Owned(value.row(0).iter().map(|w| w + offset).collect()),
    }
}
