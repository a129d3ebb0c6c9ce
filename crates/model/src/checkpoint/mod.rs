//! Model files: what is in a checkpoint, whatever its format.
//!
//! ```text
//! folder or .gguf -> Checkpoint { config, tensors (memory-mapped), tokenizer files } -> engine
//! ```

use std::borrow::Cow;

/// A decoder's shape, from `config.json` or GGUF metadata: everything the forward pass needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which family of architectures.
    pub family: Family,
    /// Blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of one head (not always `d_model / n_heads`).
    pub d_head: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence.
    pub context_length: usize,
    /// ε of the RMS norms.
    pub norm_eps: f32,
    /// Added to every norm weight: 1 for Gemma in Hugging Face layout, else 0 (GGUF stores w + 1).
    pub norm_offset: f32,
    /// Base of the rotary embedding of full-attention layers.
    pub rope_theta: f64,
    /// How rotary frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// Base in sliding-window layers where it differs (Gemma 3).
    pub rope_theta_local: Option<f64>,
    /// How a head's dimensions are paired for rotation.
    pub rope_pairing: RopePairing,
    /// Window of sliding layers, in positions, the current one included; `None`: all layers are full.
    pub sliding_window: Option<usize>,
    /// Per layer whether it is a sliding one; empty where `sliding_window` is `None`.
    pub sliding_layers: Vec<bool>,
    /// Multiplies query · key.
    pub attention_scale: f32,
    /// Multiplies embeddings after the look-up (Gemma: √d_model, in the checkpoint's own precision).
    pub embedding_scale: f32,
    /// Whether query, key and value projections have biases (Qwen 2).
    pub qkv_bias: bool,
    /// Whether queries and keys are RMS-normed per head (Qwen 3, Gemma 3).
    pub qk_norm: bool,
    /// Whether attention and feed-forward outputs are normed before they are added (Gemma 3).
    pub post_norms: bool,
    /// Gate of the feed-forward layer.
    pub activation: Activation,
    /// Whether the output layer is the embedding.
    pub tied_embeddings: bool,
}

/// A family that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3, SmolLM2, and whoever took their shape.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3.
    Qwen3,
    /// Gemma 3, text part.
    Gemma3,
}

/// Gate of a gated feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(x).
    Silu,
    /// GELU, tanh approximation.
    GeluTanh,
}

/// Which two dimensions of a head rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// i and i + d/2: Hugging Face layout.
    Halves,
    /// 2i and 2i + 1: Llama-family rows as GGUF permutes them.
    Neighbors,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided, high ones kept, smooth between.
    Llama3 {
        /// Divides low frequencies.
        factor: f64,
        /// Below `original / low_freq_factor` wavelengths are kept.
        low_freq_factor: f64,
        /// Above `original / high_freq_factor` … see the source.
        high_freq_factor: f64,
        /// Context length before stretching.
        original_context_length: usize,
    },
    /// Divisors per frequency, as GGUF's `rope_freqs.weight` gives them.
    Factors(Vec<f32>),
}

/// Storage format of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(non_camel_case_types, reason = "the formats' own names")]
#[allow(missing_docs, reason = "the formats' own names")]
pub enum Dtype {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// A tensor as it lies in the file.
#[derive(Debug, Clone)]
pub struct Tensor<'a> {
    /// Name in Hugging Face layout (`model.layers.0.self_attn.q_proj.weight`), whatever the file's.
    pub name: Cow<'a, str>,
    /// Row-major: `[n_out, n_in]` for a projection; the last axis is contiguous (and blocked).
    pub shape: Vec<usize>,
    /// Storage format.
    pub dtype: Dtype,
    /// The memory-mapped bytes, exactly as many as shape and format need.
    pub bytes: &'a [u8],
}
