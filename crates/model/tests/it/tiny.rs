//! Small random decoders of every family, made in memory from a seed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use isogloss_model::TensorSource;
use isogloss_model::checkpoint::{
    Activation, Config, Dtype, Family, HeadNorm, NormKind, Positions, Residual, RopePairing,
    RopeScaling, Tensor, View,
};
use isogloss_record::Seed;
use rand_chacha::rand_core::Rng;

/// A decoder's weights by name.
pub(crate) struct Tiny {
    pub(crate) config: Config,
    pub(crate) tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    bytes: BTreeMap<String, Vec<u8>>,
}

impl TensorSource for Tiny {
    fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let (name, (shape, _)) = self.tensors.get_key_value(name)?;
        Some(Tensor {
            name: Cow::Borrowed(name),
            shape: shape.clone(),
            dtype: Dtype::F32,
            bytes: &self.bytes[name],
            view: View::Whole,
            change: None,
        })
    }
}

/// Odd sizes on purpose: no panel, lane or tile is full.
pub(crate) fn config(family: Family) -> Config {
    let llama = Config {
        family,
        n_layers: 3,
        d_model: 40,
        n_heads: 6,
        n_kv_heads: 2,
        d_head: 8,
        d_ff: 52,
        vocab_size: 1_100,
        context_length: 200,
        norm: NormKind::Rms,
        norm_bias: false,
        norm_eps: 1e-5,
        norm_offset: 0.0,
        positions: Positions::Rotary,
        d_rotary: 8,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        rope_magnitude: 1.0,
        rope_theta_local: None,
        rope_pairing: RopePairing::Halves,
        sliding_window: None,
        sliding_layers: Vec::new(),
        attention_scale: 0.4,
        attention_softcap: None,
        embedding_scale: 1.0,
        embedding_norm: false,
        qkv_bias: false,
        out_bias: false,
        ff_bias: false,
        head_norm: HeadNorm::None,
        pre_norms: true,
        post_norms: false,
        residual: Residual::Sequential,
        activation: Activation::Silu,
        gated: true,
        logit_scale: 1.0,
        logit_softcap: None,
        tied_embeddings: true,
        bos_id: Some(0),
        eos_ids: Vec::new(),
    };
    let layer_norms = Config {
        norm: NormKind::Layer,
        norm_bias: true,
        n_kv_heads: 6,
        qkv_bias: true,
        out_bias: true,
        ff_bias: true,
        gated: false,
        activation: Activation::GeluTanh,
        ..llama.clone()
    };
    let gemma = Config {
        n_kv_heads: 1,
        d_head: 10,
        d_rotary: 10,
        norm_offset: 1.0,
        sliding_window: Some(7),
        sliding_layers: vec![true, false, true],
        embedding_scale: 40.0_f32.sqrt(),
        post_norms: true,
        activation: Activation::GeluTanh,
        ..llama.clone()
    };
    match family {
        Family::Llama => Config {
            rope_scaling: RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_context_length: 64,
            },
            rope_pairing: RopePairing::Neighbors,
            ..llama
        },
        Family::Mistral => Config {
            sliding_window: Some(9),
            sliding_layers: vec![true; 3],
            ..llama
        },
        Family::Qwen2 => Config {
            qkv_bias: true,
            tied_embeddings: false,
            ..llama
        },
        Family::Qwen3 => Config {
            head_norm: HeadNorm::Shared,
            ..llama
        },
        Family::Gemma2 => Config {
            attention_softcap: Some(3.0),
            logit_softcap: Some(5.0),
            ..gemma
        },
        Family::Gemma3 => Config {
            head_norm: HeadNorm::Shared,
            rope_scaling: RopeScaling::Linear { factor: 8.0 },
            rope_theta_local: Some(100.0),
            ..gemma
        },
        Family::Phi3 => Config {
            d_rotary: 6,
            rope_scaling: RopeScaling::Factors(vec![1.0, 1.5, 4.0]),
            rope_magnitude: 1.2,
            ..llama
        },
        Family::Olmo2 => Config {
            head_norm: HeadNorm::Whole,
            pre_norms: false,
            post_norms: true,
            rope_scaling: RopeScaling::Yarn {
                factor: 4.0,
                beta_fast: 32.0,
                beta_slow: 1.0,
                truncate: true,
                original_context_length: 50,
            },
            rope_magnitude: 1.1,
            ..llama
        },
        Family::Cohere => Config {
            norm: NormKind::Layer,
            head_norm: HeadNorm::Own,
            residual: Residual::Parallel,
            logit_scale: 0.5,
            rope_pairing: RopePairing::Neighbors,
            ..llama
        },
        Family::Gpt2 => Config {
            positions: Positions::Learned,
            ..layer_norms
        },
        Family::GptNeoX => Config {
            d_rotary: 2,
            residual: Residual::ParallelTwoNorms,
            activation: Activation::Gelu,
            tied_embeddings: false,
            ..layer_norms
        },
        Family::Bloom => Config {
            positions: Positions::Alibi,
            embedding_norm: true,
            ..layer_norms
        },
    }
}

pub(crate) const FAMILIES: [Family; 12] = [
    Family::Llama,
    Family::Mistral,
    Family::Qwen2,
    Family::Qwen3,
    Family::Gemma2,
    Family::Gemma3,
    Family::Phi3,
    Family::Olmo2,
    Family::Cohere,
    Family::Gpt2,
    Family::GptNeoX,
    Family::Bloom,
];

impl Tiny {
    pub(crate) fn new(family: Family, seed: u64) -> Self {
        Self::with_config(config(family), seed)
    }

    pub(crate) fn with_config(c: Config, seed: u64) -> Self {
        let d = c.d_model;
        let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
        let mut add = |name: String, shape: Vec<usize>| shapes.push((name, shape));
        add("model.embed_tokens.weight".into(), vec![c.vocab_size, d]);
        if c.positions == Positions::Learned {
            add(
                "model.embed_positions.weight".into(),
                vec![c.context_length, d],
            );
        }
        if !c.tied_embeddings {
            add("lm_head.weight".into(), vec![c.vocab_size, d]);
        }
        let mut norms = vec!["model.norm".to_owned()];
        if c.embedding_norm {
            norms.push("model.embed_layernorm".into());
        }
        let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        for layer in 0..c.n_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            if c.pre_norms {
                norms.push(name("input_layernorm"));
            }
            if c.post_norms || c.residual != Residual::Parallel {
                norms.push(name("post_attention_layernorm"));
            }
            if c.post_norms {
                norms.push(name("post_feedforward_layernorm"));
                if c.pre_norms {
                    norms.push(name("pre_feedforward_layernorm"));
                }
            }
            for (part, n, n_in, bias) in [
                ("self_attn.q_proj", n_q, d, c.qkv_bias),
                ("self_attn.k_proj", n_kv, d, c.qkv_bias),
                ("self_attn.v_proj", n_kv, d, c.qkv_bias),
                ("self_attn.o_proj", d, n_q, c.out_bias),
                ("mlp.gate_proj", c.d_ff, d, c.ff_bias),
                ("mlp.up_proj", c.d_ff, d, c.ff_bias),
                ("mlp.down_proj", d, c.d_ff, c.ff_bias),
            ] {
                if part == "mlp.gate_proj" && !c.gated {
                    continue;
                }
                add(name(&format!("{part}.weight")), vec![n, n_in]);
                if bias {
                    add(name(&format!("{part}.bias")), vec![n]);
                }
            }
            for (part, n_heads) in [("q_norm", c.n_heads), ("k_norm", c.n_kv_heads)] {
                let part = name(&format!("self_attn.{part}.weight"));
                match c.head_norm {
                    HeadNorm::None => {}
                    HeadNorm::Shared => add(part, vec![c.d_head]),
                    HeadNorm::Own => add(part, vec![n_heads, c.d_head]),
                    HeadNorm::Whole => add(part, vec![n_heads * c.d_head]),
                }
            }
        }
        for name in norms {
            add(format!("{name}.weight"), vec![d]);
            if c.norm_bias {
                add(format!("{name}.bias"), vec![d]);
            }
        }
        let offset = c.norm_offset;
        let tensors = shapes.into_iter().map(|(name, shape)| {
            let mut rng = Seed(seed).rng(&name, 0);
            let n: usize = shape.iter().product();
            let is_norm = name.ends_with("norm.weight");
            let values = (0..n)
                .map(|_| {
                    let uniform = rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0;
                    if is_norm {
                        1.0 - offset + 0.3 * uniform
                    } else {
                        0.3 * uniform
                    }
                })
                .collect();
            (name, (shape, values))
        });
        Self::from_tensors(c, tensors.collect())
    }

    pub(crate) fn from_tensors(
        config: Config,
        tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    ) -> Self {
        let bytes = tensors.iter().map(|(name, (_, values))| {
            (
                name.clone(),
                values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            )
        });
        Self {
            bytes: bytes.collect(),
            config,
            tensors,
        }
    }
}

/// Token ids from a seed.
pub(crate) fn ids(seed: u64, n: usize, vocab_size: usize) -> Vec<u32> {
    let mut rng = Seed(seed).rng("ids", n as u64);
    (0..n).map(|_| rng.next_u32() % vocab_size as u32).collect()
}
