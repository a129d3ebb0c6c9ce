//! The shape of a decoder, whatever file it came from.

use std::path::Path;

use super::CheckpointError;

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
    /// How rotary frequencies of full-attention layers are stretched (never those of local layers).
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
    /// Begin-of-sequence token, whether or not the tokenizer adds it.
    pub bos_id: Option<u32>,
    /// Tokens that end a generation, ascending; may be empty.
    pub eos_ids: Vec<u32>,
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

impl Family {
    /// Lower-case name (`gemma3`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }
}

impl Config {
    /// Sizes that fit each other; both formats are checked by it.
    pub(crate) fn check(&self, path: &Path) -> Result<(), CheckpointError> {
        let setting = |key: &str, expected: String, found: usize| CheckpointError::Setting {
            path: path.to_owned(),
            key: key.to_owned(),
            expected,
            found: found.to_string(),
        };
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let expected = format!("a divisor of the {} query heads", self.n_heads);
            return Err(setting("key and value heads", expected, self.n_kv_heads));
        }
        if self.d_head == 0 || !self.d_head.is_multiple_of(2) {
            return Err(setting("head width", "an even number".into(), self.d_head));
        }
        if let RopeScaling::Factors(factors) = &self.rope_scaling {
            let n = self.d_head / 2;
            if factors.len() != n {
                let expected = format!("{n} factors");
                return Err(setting("rope_freqs.weight", expected, factors.len()));
            }
            let is_factor = |factor: &f32| factor.is_finite() && *factor > 0.0;
            if let Some(bad) = factors.iter().position(|factor| !is_factor(factor)) {
                let expected = "factors above 0, one is not: its index".into();
                return Err(setting("rope_freqs.weight", expected, bad));
            }
        }
        Ok(())
    }

    /// Whether layer `layer` attends to a window only.
    pub fn is_sliding(&self, layer: usize) -> bool {
        self.sliding_window.is_some() && self.sliding_layers.get(layer).copied().unwrap_or(false)
    }
}
