//! Which tensors an architecture has, and their shapes: the check that settings and weights fit.

use super::config::{Config, Family};
use super::{Checkpoint, CheckpointError};

/// Every tensor is there with the right shape, and none that would change the model is left over.
pub(crate) fn check(checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let expected = expected(&checkpoint.config);
    for (name, shape) in &expected {
        let tensor = checkpoint.tensor(name)?;
        if tensor.shape != *shape {
            return Err(CheckpointError::Shape {
                path: checkpoint.path().to_owned(),
                name: name.clone(),
                expected: shape.clone(),
                found: tensor.shape,
            });
        }
    }
    if expected.len() < checkpoint.tensors.len() {
        let known: std::collections::BTreeSet<&str> =
            expected.iter().map(|(name, _)| name.as_str()).collect();
        for name in checkpoint.tensor_names() {
            // Some tied models store the output layer too; the embedding is used for both.
            let ignored = checkpoint.config.tied_embeddings && name == "lm_head.weight";
            if !known.contains(name) && !ignored {
                return Err(CheckpointError::UnexpectedTensor {
                    path: checkpoint.path().to_owned(),
                    name: name.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Names and shapes by the settings, in the order of the forward pass.
pub(crate) fn expected(config: &Config) -> Vec<(String, Vec<usize>)> {
    let d_model = config.d_model;
    let (d_q, d_kv) = (
        config.n_heads * config.d_head,
        config.n_kv_heads * config.d_head,
    );
    let mut tensors = vec![(
        "model.embed_tokens.weight".to_owned(),
        vec![config.vocab_size, d_model],
    )];
    for layer in 0..config.n_layers {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        add("input_layernorm.weight", &[d_model]);
        for (projection, d_out) in [("q_proj", d_q), ("k_proj", d_kv), ("v_proj", d_kv)] {
            add(&format!("self_attn.{projection}.weight"), &[d_out, d_model]);
            if config.qkv_bias {
                add(&format!("self_attn.{projection}.bias"), &[d_out]);
            }
        }
        if config.qk_norm {
            add("self_attn.q_norm.weight", &[config.d_head]);
            add("self_attn.k_norm.weight", &[config.d_head]);
        }
        add("self_attn.o_proj.weight", &[d_model, d_q]);
        add("post_attention_layernorm.weight", &[d_model]);
        if config.post_norms {
            add("pre_feedforward_layernorm.weight", &[d_model]);
            add("post_feedforward_layernorm.weight", &[d_model]);
        }
        add("mlp.gate_proj.weight", &[config.d_ff, d_model]);
        add("mlp.up_proj.weight", &[config.d_ff, d_model]);
        add("mlp.down_proj.weight", &[d_model, config.d_ff]);
    }
    tensors.push(("model.norm.weight".into(), vec![d_model]));
    if !config.tied_embeddings {
        tensors.push(("lm_head.weight".into(), vec![config.vocab_size, d_model]));
    }
    tensors
}

/// The Hugging Face name of a GGUF tensor; `None` for one that is not known.
pub(crate) fn hf_name(gguf_name: &str, family: Family) -> Option<String> {
    let name = match gguf_name {
        "token_embd.weight" => "model.embed_tokens.weight",
        "output_norm.weight" => "model.norm.weight",
        "output.weight" => "lm_head.weight",
        _ => {
            let (layer, part) = gguf_name.strip_prefix("blk.")?.split_once('.')?;
            let layer: usize = layer.parse().ok()?;
            let (part, kind) = part.rsplit_once('.')?;
            let part = hf_part(part, family)?;
            return Some(format!("model.layers.{layer}.{part}.{kind}"));
        }
    };
    Some(name.to_owned())
}

/// A part of a block. Gemma's norm before the feed-forward layer is `ffn_norm` in GGUF as the
/// others' is, but has another name in Hugging Face layout.
fn hf_part(gguf_part: &str, family: Family) -> Option<&'static str> {
    Some(match (gguf_part, family) {
        ("attn_norm", _) => "input_layernorm",
        ("attn_q", _) => "self_attn.q_proj",
        ("attn_k", _) => "self_attn.k_proj",
        ("attn_v", _) => "self_attn.v_proj",
        ("attn_output", _) => "self_attn.o_proj",
        ("attn_q_norm", _) => "self_attn.q_norm",
        ("attn_k_norm", _) => "self_attn.k_norm",
        ("ffn_gate", _) => "mlp.gate_proj",
        ("ffn_up", _) => "mlp.up_proj",
        ("ffn_down", _) => "mlp.down_proj",
        ("ffn_norm", Family::Gemma3) => "pre_feedforward_layernorm",
        ("ffn_norm", _) | ("post_attention_norm", Family::Gemma3) => "post_attention_layernorm",
        ("post_ffw_norm", Family::Gemma3) => "post_feedforward_layernorm",
        _ => return None,
    })
}
