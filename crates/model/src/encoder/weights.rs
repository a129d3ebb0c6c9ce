//! The weights of an encoder, checked against its shape and packed for the kernels.

use std::sync::Arc;

use super::config::{Activation, EncoderConfig, EncoderFamily, Head};
use crate::arch::read::Reader;
use crate::arch::{Linear, ModelError, Norm, TensorSource};
use crate::checkpoint::folder::Folder;
use crate::engine::{EngineError, LoadError};
use crate::kernel::Compute;

/// One block: each branch, and the norm of the sum behind it.
pub(crate) struct Block {
    /// Queries, keys, values, one below the other: `[3 · d_model, d_model]`.
    pub(crate) qkv: Linear,
    pub(crate) out: Linear,
    pub(crate) attention_norm: Norm,
    /// `[d_ff, d_model]`.
    pub(crate) up: Linear,
    /// `[d_model, d_ff]`.
    pub(crate) down: Linear,
    pub(crate) ff_norm: Norm,
}

/// What turns hidden states into logits.
pub(crate) enum HeadWeights {
    None,
    /// `norm(f(dense x))`, then the vocabulary.
    MaskedLm {
        dense: Linear,
        activation: Activation,
        norm: Norm,
        output: Linear,
    },
    /// `out(f(dense x))` of the first position.
    Sequence {
        dense: Linear,
        activation: Activation,
        output: Linear,
    },
    /// `out x` at every position.
    Token {
        output: Linear,
    },
}

/// All weights of an encoder. Word embeddings stay in their file.
pub(crate) struct Weights {
    source: Arc<dyn TensorSource>,
    /// `[n_positions, d_model]`.
    pub(crate) positions: Vec<f32>,
    /// `[n_types, d_model]`; empty without types.
    pub(crate) types: Vec<f32>,
    pub(crate) embedding_norm: Norm,
    pub(crate) blocks: Vec<Block>,
    pub(crate) head: HeadWeights,
}

const WORDS: &str = "embeddings.word_embeddings.weight";

impl Weights {
    /// Reads, checks and packs every tensor of a folder, on the current thread pool.
    pub(crate) fn load(
        c: &EncoderConfig,
        folder: Arc<Folder>,
        name: &str,
        compute: Compute,
    ) -> Result<Self, EngineError> {
        let read = Reader::new(&*folder, compute);
        let failed = |source: ModelError| EngineError::Load {
            name: name.to_owned(),
            source: LoadError::Model(source),
        };
        let (positions, types, embedding_norm, blocks, head) =
            Self::parts(c, &read).map_err(failed)?;
        skip_unused(c, &read, &folder);
        let used = read.into_used();
        folder.check_all_used(&used)?;
        Ok(Self {
            source: folder,
            positions,
            types,
            embedding_norm,
            blocks,
            head,
        })
    }

    #[expect(
        clippy::type_complexity,
        reason = "the fields of the struct, taken apart"
    )]
    fn parts(
        c: &EncoderConfig,
        read: &Reader<'_>,
    ) -> Result<(Vec<f32>, Vec<f32>, Norm, Vec<Block>, HeadWeights), ModelError> {
        let d = c.d_model;
        read.table(WORDS, [c.vocab_size, d])?;
        let positions =
            read.values("embeddings.position_embeddings.weight", &[c.n_positions, d])?;
        let types = match c.n_types {
            0 => Vec::new(),
            n => read.values("embeddings.token_type_embeddings.weight", &[n, d])?,
        };
        let embedding_norm = read.norm("embeddings.LayerNorm", d)?;
        let blocks = (0..c.n_layers).map(|layer| block(c, read, layer));
        let blocks = blocks.collect::<Result<_, _>>()?;
        Ok((positions, types, embedding_norm, blocks, head(c, read)?))
    }

    /// The embedding of a token, straight from the file.
    pub(crate) fn word(&self, id: u32, row: &mut [f32]) {
        let table = self.source.tensor(WORDS);
        let table = table.expect("checked when the weights were loaded");
        table.dequantize_row(id as usize, row);
    }
}

fn block(c: &EncoderConfig, read: &Reader<'_>, layer: usize) -> Result<Block, ModelError> {
    let name = |part: &str| format!("encoder.layer.{layer}.{part}");
    let names = |part: &str| [name(part)];
    let d = c.d_model;
    let qkv = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
    Ok(Block {
        qkv: read.biased(&qkv, d, d)?,
        out: read.biased(&names("attention.output.dense"), d, d)?,
        attention_norm: read.norm(&name("attention.output.LayerNorm"), d)?,
        up: read.biased(&names("intermediate.dense"), c.d_ff, d)?,
        down: read.biased(&names("output.dense"), d, c.d_ff)?,
        ff_norm: read.norm(&name("output.LayerNorm"), d)?,
    })
}

fn head(c: &EncoderConfig, read: &Reader<'_>) -> Result<HeadWeights, ModelError> {
    let d = c.d_model;
    let linear = |name: &str, n_out: usize| read.biased(&[name.to_owned()], n_out, d);
    Ok(match c.head {
        Head::None => HeadWeights::None,
        Head::MaskedLm => {
            // A tied output layer is stored in some files and not in others, and so is its bias,
            // under one of two names or both.
            let stored = |name: &'static str, or| if read.has(name) { name } else { or };
            let output = stored("lm_head.decoder.weight", WORDS);
            let bias = stored("lm_head.decoder.bias", "lm_head.bias");
            HeadWeights::MaskedLm {
                dense: linear("lm_head.dense", d)?,
                activation: match c.family {
                    EncoderFamily::Roberta => Activation::Gelu,
                    EncoderFamily::Bert | EncoderFamily::DistilBert => c.activation,
                },
                norm: read.norm("lm_head.layer_norm", d)?,
                output: Linear {
                    weight: read.packed(output, c.vocab_size, d)?,
                    bias: read.values(bias, &[c.vocab_size])?,
                },
            }
        }
        Head::Sequence => {
            let (dense, activation) = match c.family {
                EncoderFamily::Bert => ("pooler.dense", Activation::Tanh),
                EncoderFamily::Roberta => ("classifier.dense", Activation::Tanh),
                EncoderFamily::DistilBert => ("classifier.dense", Activation::Relu),
            };
            HeadWeights::Sequence {
                dense: linear(dense, d)?,
                activation,
                output: linear("classifier.out_proj", c.labels.len())?,
            }
        }
        Head::Token => HeadWeights::Token {
            output: linear("classifier.out_proj", c.labels.len())?,
        },
    })
}

/// Heads that the file has beside the one that is computed: they change nothing.
fn skip_unused(c: &EncoderConfig, read: &Reader<'_>, folder: &Folder) {
    for name in folder.tensor_names() {
        let is_other_head = match c.head {
            Head::None => name.starts_with("pooler.") || name.starts_with("lm_head."),
            Head::MaskedLm => name.starts_with("pooler.") || name == "lm_head.bias",
            Head::Sequence | Head::Token => name.starts_with("pooler."),
        };
        if is_other_head {
            read.skip(name);
        }
    }
}
