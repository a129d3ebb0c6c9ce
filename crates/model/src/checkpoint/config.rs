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
    /// Which norm.
    pub norm: NormKind,
    /// Whether norms have a bias.
    pub norm_bias: bool,
    /// ε of the norms.
    pub norm_eps: f32,
    /// Added to every norm weight: 1 for Gemma in Hugging Face layout, else 0 (GGUF stores w + 1).
    pub norm_offset: f32,
    /// How a token knows its position.
    pub positions: Positions,
    /// First dimensions of a head that rotate, an even number; the rest stand still.
    pub d_rotary: usize,
    /// Base of the rotary embedding of full-attention layers.
    pub rope_theta: f64,
    /// How rotary frequencies of full-attention layers are stretched (never those of local layers).
    pub rope_scaling: RopeScaling,
    /// Multiplies cosines and sines of full-attention layers (`YaRN`, `LongRoPE`); else 1.
    pub rope_magnitude: f32,
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
    /// Scores s become c · tanh(s / c) before the softmax (Gemma 2).
    pub attention_softcap: Option<f32>,
    /// Multiplies embeddings after the look-up (Gemma: √d_model, in the checkpoint's own precision).
    pub embedding_scale: f32,
    /// Whether embeddings are normed after the look-up (BLOOM).
    pub embedding_norm: bool,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the projection after attention has a bias.
    pub out_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub ff_bias: bool,
    /// How queries and keys are normed.
    pub head_norm: HeadNorm,
    /// Whether the inputs of attention and feed-forward are normed (all but OLMo 2).
    pub pre_norms: bool,
    /// Whether their outputs are normed before they are added (Gemma 2 and 3, OLMo 2).
    pub post_norms: bool,
    /// How attention and feed-forward are added to the residual stream.
    pub residual: Residual,
    /// Non-linearity of the feed-forward layer.
    pub activation: Activation,
    /// Whether the feed-forward layer has a gate: `down(f(gate x) · up x)`, else `down(f(up x))`.
    pub gated: bool,
    /// Multiplies the logits (Cohere).
    pub logit_scale: f32,
    /// Logits l become c · tanh(l / c) (Gemma 2).
    pub logit_softcap: Option<f32>,
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
    /// Mistral: Llama with an attention window.
    Mistral,
    /// Qwen 2 and 2.5: Llama with biases.
    Qwen2,
    /// Qwen 3: Llama with normed heads.
    Qwen3,
    /// Gemma 2: post norms, windows in turn, soft caps.
    Gemma2,
    /// Gemma 3, text part: normed heads, two rotary bases.
    Gemma3,
    /// Phi-3 and 3.5: Llama with fused projections.
    Phi3,
    /// OLMo 2: post norms only, queries and keys normed as a whole.
    Olmo2,
    /// Cohere Command R: attention and feed-forward side by side, layer norms, scaled logits.
    Cohere,
    /// GPT-2: learned positions.
    Gpt2,
    /// GPT-NeoX, Pythia: side by side with two norms, part of a head rotates.
    GptNeoX,
    /// BLOOM: ALiBi.
    Bloom,
}

/// Which norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// x / √(mean x² + ε) · w.
    Rms,
    /// (x − mean x) / √(var x + ε) · w (+ b).
    Layer,
}

/// How a token knows its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Queries and keys are rotated.
    Rotary,
    /// A vector per position is added to the embedding (`model.embed_positions.weight`).
    Learned,
    /// Scores sink with the distance, at a slope per head. Source: Press et al. 2021,
    /// arXiv:2108.12409.
    Alibi,
}

/// How queries and keys are normed before they are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadNorm {
    /// Not at all.
    None,
    /// Each head, one weight for all heads (`[d_head]`).
    Shared,
    /// Each head with a weight of its own (`[n_heads, d_head]`).
    Own,
    /// All heads together (`[n_heads · d_head]`).
    Whole,
}

/// How a block adds its two branches to the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// x += attention(norm x); x += feed_forward(norm x).
    Sequential,
    /// n = norm x; x += attention(n) + feed_forward(n).
    Parallel,
    /// x += attention(norm₁ x) + feed_forward(norm₂ x).
    ParallelTwoNorms,
}

/// Non-linearity of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(x).
    Silu,
    /// GELU, tanh approximation.
    GeluTanh,
    /// GELU, exact: x · Φ(x).
    Gelu,
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
    /// `YaRN`: fast pairs keep their frequency, slow ones are divided, a ramp between. Source: Peng et al. 2023, arXiv:2309.00071.
    Yarn {
        /// Divides slow frequencies.
        factor: f64,
        /// Turns within the original context above which a pair is kept.
        beta_fast: f64,
        /// Turns below which it is divided.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded to whole pairs.
        truncate: bool,
        /// Context length before stretching.
        original_context_length: usize,
    },
    /// Divisors per frequency, as GGUF's `rope_freqs.weight` and `LongRoPE` (Phi-3) give them.
    Factors(Vec<f32>),
}

impl Family {
    /// Lower-case name (`gemma3`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::Phi3 => "phi3",
            Self::Olmo2 => "olmo2",
            Self::Cohere => "cohere",
            Self::Gpt2 => "gpt2",
            Self::GptNeoX => "gpt_neox",
            Self::Bloom => "bloom",
        }
    }
}

impl Config {
    /// What all models of a family share; sizes are 0, settings what the family's class assumes.
    pub(crate) fn of_family(family: Family) -> Self {
        use Family::{
            Bloom, Cohere, Gemma2, Gemma3, Gpt2, GptNeoX, Llama, Mistral, Olmo2, Phi3, Qwen2, Qwen3,
        };
        let has_layer_norm = matches!(family, Cohere | Gpt2 | GptNeoX | Bloom);
        let is_plain = matches!(family, Gpt2 | GptNeoX | Bloom);
        let is_gemma = matches!(family, Gemma2 | Gemma3);
        Self {
            family,
            n_layers: 0,
            d_model: 0,
            n_heads: 0,
            n_kv_heads: 0,
            d_head: 0,
            d_ff: 0,
            vocab_size: 0,
            context_length: 0,
            norm: if has_layer_norm {
                NormKind::Layer
            } else {
                NormKind::Rms
            },
            norm_bias: is_plain,
            norm_eps: match family {
                _ if has_layer_norm || matches!(family, Phi3 | Olmo2) => 1e-5,
                _ => 1e-6,
            },
            norm_offset: 0.0,
            positions: match family {
                Gpt2 => Positions::Learned,
                Bloom => Positions::Alibi,
                Llama | Mistral | Qwen2 | Qwen3 | Gemma2 | Gemma3 | Phi3 | Olmo2 | Cohere
                | GptNeoX => Positions::Rotary,
            },
            d_rotary: 0,
            rope_theta: match family {
                Gemma3 => 1_000_000.0,
                Cohere => 500_000.0,
                _ => 10_000.0,
            },
            rope_scaling: RopeScaling::None,
            rope_magnitude: 1.0,
            rope_theta_local: (family == Gemma3).then_some(10_000.0),
            rope_pairing: match family {
                Cohere => RopePairing::Neighbors,
                _ => RopePairing::Halves,
            },
            sliding_window: None,
            sliding_layers: Vec::new(),
            attention_scale: 0.0,
            attention_softcap: (family == Gemma2).then_some(50.0),
            embedding_scale: 1.0,
            embedding_norm: family == Bloom,
            qkv_bias: is_plain || family == Qwen2,
            out_bias: is_plain,
            ff_bias: is_plain,
            head_norm: match family {
                Qwen3 | Gemma3 => HeadNorm::Shared,
                Olmo2 => HeadNorm::Whole,
                _ => HeadNorm::None,
            },
            pre_norms: family != Olmo2,
            post_norms: is_gemma || family == Olmo2,
            residual: match family {
                Cohere => Residual::Parallel,
                GptNeoX => Residual::ParallelTwoNorms,
                _ => Residual::Sequential,
            },
            activation: match family {
                Gemma2 | Gemma3 | Gpt2 | Bloom => Activation::GeluTanh,
                GptNeoX => Activation::Gelu,
                _ => Activation::Silu,
            },
            gated: !is_plain,
            logit_scale: if family == Cohere { 0.0625 } else { 1.0 },
            logit_softcap: (family == Gemma2).then_some(30.0),
            tied_embeddings: is_gemma || matches!(family, Cohere | Gpt2 | Bloom),
            bos_id: None,
            eos_ids: Vec::new(),
        }
    }

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
        let rotates = self.positions == Positions::Rotary;
        if self.d_head == 0 || (rotates && !self.d_rotary.is_multiple_of(2)) {
            return Err(setting(
                "head width",
                "an even number".into(),
                self.d_rotary,
            ));
        }
        if self.d_rotary > self.d_head {
            let expected = format!("at most {}, the head width", self.d_head);
            return Err(setting("rotated dimensions", expected, self.d_rotary));
        }
        if let RopeScaling::Factors(factors) = &self.rope_scaling {
            let n = self.d_rotary / 2;
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
