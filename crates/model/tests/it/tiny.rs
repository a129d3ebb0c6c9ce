//! Small random decoders of every family, made in memory from a seed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use isogloss_model::TensorSource;
use isogloss_model::checkpoint::{
    Activation, Config, Dtype, Family, RopePairing, RopeScaling, Tensor,
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
        })
    }
}

/// Odd sizes on purpose: no panel, lane or tile is full.
pub(crate) fn config(family: Family) -> Config {
    let gemma = family == Family::Gemma3;
    Config {
        family,
        n_layers: 3,
        d_model: 40,
        n_heads: 6,
        n_kv_heads: if gemma { 1 } else { 2 },
        d_head: if gemma { 10 } else { 8 },
        d_ff: 52,
        vocab_size: 1_100,
        context_length: 200,
        norm_eps: 1e-5,
        norm_offset: if gemma { 1.0 } else { 0.0 },
        rope_theta: 10_000.0,
        rope_scaling: match family {
            Family::Llama => RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_context_length: 64,
            },
            Family::Gemma3 => RopeScaling::Linear { factor: 8.0 },
            Family::Qwen2 | Family::Qwen3 => RopeScaling::None,
        },
        rope_theta_local: gemma.then_some(100.0),
        rope_pairing: if family == Family::Llama {
            RopePairing::Neighbors
        } else {
            RopePairing::Halves
        },
        sliding_window: gemma.then_some(7),
        sliding_layers: if gemma {
            vec![true, false, true]
        } else {
            Vec::new()
        },
        attention_scale: 0.4,
        embedding_scale: if gemma { 40.0_f32.sqrt() } else { 1.0 },
        qkv_bias: family == Family::Qwen2,
        qk_norm: matches!(family, Family::Qwen3 | Family::Gemma3),
        post_norms: gemma,
        activation: if gemma {
            Activation::GeluTanh
        } else {
            Activation::Silu
        },
        tied_embeddings: family != Family::Qwen2,
        bos_id: Some(0),
        eos_ids: Vec::new(),
    }
}

pub(crate) const FAMILIES: [Family; 4] =
    [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3];

impl Tiny {
    pub(crate) fn new(family: Family, seed: u64) -> Self {
        Self::with_config(config(family), seed)
    }

    pub(crate) fn with_config(c: Config, seed: u64) -> Self {
        let mut shapes: Vec<(String, Vec<usize>)> = vec![
            (
                "model.embed_tokens.weight".into(),
                vec![c.vocab_size, c.d_model],
            ),
            ("model.norm.weight".into(), vec![c.d_model]),
        ];
        if !c.tied_embeddings {
            shapes.push(("lm_head.weight".into(), vec![c.vocab_size, c.d_model]));
        }
        let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        for layer in 0..c.n_layers {
            let mut add = |name: &str, shape: &[usize]| {
                shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            add("input_layernorm.weight", &[c.d_model]);
            add("post_attention_layernorm.weight", &[c.d_model]);
            for (part, n) in [("q", n_q), ("k", n_kv), ("v", n_kv)] {
                add(&format!("self_attn.{part}_proj.weight"), &[n, c.d_model]);
                if c.qkv_bias {
                    add(&format!("self_attn.{part}_proj.bias"), &[n]);
                }
            }
            if c.qk_norm {
                add("self_attn.q_norm.weight", &[c.d_head]);
                add("self_attn.k_norm.weight", &[c.d_head]);
            }
            if c.post_norms {
                add("pre_feedforward_layernorm.weight", &[c.d_model]);
                add("post_feedforward_layernorm.weight", &[c.d_model]);
            }
            add("self_attn.o_proj.weight", &[c.d_model, n_q]);
            add("mlp.gate_proj.weight", &[c.d_ff, c.d_model]);
            add("mlp.up_proj.weight", &[c.d_ff, c.d_model]);
            add("mlp.down_proj.weight", &[c.d_model, c.d_ff]);
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
