//! The weights of a T5, checked against its shape and packed for the kernels.

use std::sync::Arc;

use super::config::{Seq2SeqConfig, Seq2SeqFamily};
use crate::arch::read::Reader;
use crate::arch::{Linear, ModelError, Norm, TensorSource};
use crate::checkpoint::folder::Folder;
use crate::engine::{EngineError, LoadError};
use crate::kernel::{Compute, Packed};

/// One block; each branch is normed before, added after.
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    /// Queries, keys, values, one below the other: `[3 · n_heads · d_head, d_model]`.
    pub(crate) qkv: Linear,
    /// `[d_model, n_heads · d_head]`.
    pub(crate) out: Linear,
    /// How a decoder looks at the source.
    pub(crate) cross: Option<Cross>,
    pub(crate) ff_norm: Norm,
    /// Gates, then ups: `[2 · d_ff, d_model]`; without gates `[d_ff, d_model]`.
    pub(crate) up: Linear,
    /// `[d_model, d_ff]`.
    pub(crate) down: Linear,
}

/// Attention of the decoder to the encoder's output.
pub(crate) struct Cross {
    pub(crate) norm: Norm,
    pub(crate) query: Linear,
    /// Keys, values: `[2 · n_heads · d_head, d_model]`.
    pub(crate) kv: Linear,
    pub(crate) out: Linear,
}

/// An encoder or a decoder.
pub(crate) struct Stack {
    pub(crate) blocks: Vec<Block>,
    /// `[n_buckets][n_heads]`: one for all blocks, or one for each.
    pub(crate) biases: Vec<Vec<f32>>,
    pub(crate) final_norm: Norm,
}

/// All weights. Embeddings stay in their file.
pub(crate) struct Weights {
    source: Arc<dyn TensorSource>,
    embedding: &'static str,
    pub(crate) encoder: Stack,
    /// `None` for an encoder alone.
    pub(crate) decoder: Option<Decoder>,
}

/// What follows the encoder.
pub(crate) struct Decoder {
    pub(crate) stack: Stack,
    /// `[vocab_size, d_model]`.
    pub(crate) output: Packed,
}

/// The embedding under the names that files have it; equal where several are stored.
const EMBEDDINGS: [&str; 3] = [
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
];

impl Weights {
    /// Reads, checks and packs every tensor of a folder, on the current thread pool.
    pub(crate) fn load(
        c: &Seq2SeqConfig,
        folder: Arc<Folder>,
        name: &str,
        compute: Compute,
    ) -> Result<Self, EngineError> {
        let read = Reader::new(&*folder, compute);
        let failed = |source: ModelError| EngineError::Load {
            name: name.to_owned(),
            source: LoadError::Model(source),
        };
        let embedding = EMBEDDINGS.into_iter().find(|name| folder.has(name));
        let embedding = embedding.unwrap_or(EMBEDDINGS[0]);
        read.table(embedding, [c.vocab_size, c.d_model])
            .map_err(failed)?;
        let encoder = stack(c, &read, Side::Encoder).map_err(failed)?;
        let decoder = match c.n_decoder_layers {
            0 => None,
            _ => Some(decoder(c, &read, embedding).map_err(failed)?),
        };
        for name in folder.tensor_names() {
            let is_unused = match c.n_decoder_layers {
                0 => name.starts_with("decoder.") || name.starts_with("lm_head."),
                _ => name.ends_with("EncDecAttention.relative_attention_bias.weight"),
            };
            if is_unused || EMBEDDINGS.contains(&name) {
                read.skip(name);
            }
        }
        let used = read.into_used();
        folder.check_all_used(&used)?;
        Ok(Self {
            source: folder,
            embedding,
            encoder,
            decoder,
        })
    }

    /// The embedding of a token, straight from the file.
    pub(crate) fn embedding(&self, id: u32, row: &mut [f32]) {
        let table = self.source.tensor(self.embedding);
        let table = table.expect("checked when the weights were loaded");
        table.dequantize_row(id as usize, row);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Encoder,
    Decoder,
}

fn decoder(c: &Seq2SeqConfig, read: &Reader<'_>, embedding: &str) -> Result<Decoder, ModelError> {
    let own = "lm_head.weight";
    let output = if read.has(own) { own } else { embedding };
    Ok(Decoder {
        stack: stack(c, read, Side::Decoder)?,
        output: read.packed(output, c.vocab_size, c.d_model)?,
    })
}

fn stack(c: &Seq2SeqConfig, read: &Reader<'_>, side: Side) -> Result<Stack, ModelError> {
    let (name, n_layers) = match side {
        Side::Encoder => ("encoder", c.n_encoder_layers),
        Side::Decoder => ("decoder", c.n_decoder_layers),
    };
    let blocks = (0..n_layers).map(|layer| block(c, read, side, &format!("{name}.block.{layer}")));
    let blocks = blocks.collect::<Result<_, _>>()?;
    let n_tables = match c.family {
        Seq2SeqFamily::T5 | Seq2SeqFamily::Mt5 => 1,
        Seq2SeqFamily::Umt5 => n_layers,
    };
    let biases = (0..n_tables).map(|layer| {
        let part = "layer.0.SelfAttention.relative_attention_bias.weight";
        let table = format!("{name}.block.{layer}.{part}");
        read.values(&table, &[c.n_buckets, c.n_heads])
    });
    Ok(Stack {
        blocks,
        biases: biases.collect::<Result<_, _>>()?,
        final_norm: read.rms_norm(&format!("{name}.final_layer_norm"), c.d_model)?,
    })
}

fn block(
    c: &Seq2SeqConfig,
    read: &Reader<'_>,
    side: Side,
    name: &str,
) -> Result<Block, ModelError> {
    let (d, d_heads) = (c.d_model, c.n_heads * c.d_head);
    let ff = match side {
        Side::Encoder => format!("{name}.layer.1"),
        Side::Decoder => format!("{name}.layer.2"),
    };
    let part = |layer: usize, attention: &str, parts: &[&str]| -> Vec<String> {
        let full = |part: &&str| format!("{name}.layer.{layer}.{attention}.{part}");
        parts.iter().map(full).collect()
    };
    let own = |parts: &[&str]| part(0, "SelfAttention", parts);
    let other = |parts: &[&str]| part(1, "EncDecAttention", parts);
    let ups = if c.gated {
        vec![
            format!("{ff}.DenseReluDense.wi_0"),
            format!("{ff}.DenseReluDense.wi_1"),
        ]
    } else {
        vec![format!("{ff}.DenseReluDense.wi")]
    };
    let cross = match side {
        Side::Encoder => None,
        Side::Decoder => Some(Cross {
            norm: read.rms_norm(&format!("{name}.layer.1.layer_norm"), d)?,
            query: read.projections(&other(&["q"]), d_heads, d)?,
            kv: read.projections(&other(&["k", "v"]), d_heads, d)?,
            out: read.projections(&other(&["o"]), d, d_heads)?,
        }),
    };
    Ok(Block {
        attention_norm: read.rms_norm(&format!("{name}.layer.0.layer_norm"), d)?,
        qkv: read.projections(&own(&["q", "k", "v"]), d_heads, d)?,
        out: read.projections(&own(&["o"]), d, d_heads)?,
        cross,
        ff_norm: read.rms_norm(&format!("{ff}.layer_norm"), d)?,
        up: read.projections(&ups, c.d_ff, d)?,
        down: read.projections(&[format!("{ff}.DenseReluDense.wo")], d, c.d_ff)?,
    })
}
