//! Which tensors an architecture has, and their shapes: the check that settings and weights fit.

use super::config::{Config, Family, HeadNorm, Positions, Residual};
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
pub(crate) fn expected(c: &Config) -> Vec<(String, Vec<usize>)> {
    let d = c.d_model;
    let (d_q, d_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    add("model.embed_tokens.weight".into(), &[c.vocab_size, d]);
    if c.positions == Positions::Learned {
        add(
            "model.embed_positions.weight".into(),
            &[c.context_length, d],
        );
    }
    let norm = |add: &mut dyn FnMut(String, &[usize]), name: &str| {
        add(format!("{name}.weight"), &[d]);
        if c.norm_bias {
            add(format!("{name}.bias"), &[d]);
        }
    };
    if c.embedding_norm {
        norm(&mut add, "model.embed_layernorm");
    }
    for layer in 0..c.n_layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let linear = |add: &mut dyn FnMut(String, &[usize]), part, n_out, n_in, bias| {
            add(name(&format!("{part}.weight")), &[n_out, n_in]);
            if bias {
                add(name(&format!("{part}.bias")), &[n_out]);
            }
        };
        if c.pre_norms {
            norm(&mut add, &name("input_layernorm"));
        }
        linear(&mut add, "self_attn.q_proj", d_q, d, c.qkv_bias);
        linear(&mut add, "self_attn.k_proj", d_kv, d, c.qkv_bias);
        linear(&mut add, "self_attn.v_proj", d_kv, d, c.qkv_bias);
        for (part, n_heads) in [("q_norm", c.n_heads), ("k_norm", c.n_kv_heads)] {
            let part = name(&format!("self_attn.{part}.weight"));
            match c.head_norm {
                HeadNorm::None => {}
                HeadNorm::Shared => add(part, &[c.d_head]),
                HeadNorm::Own => add(part, &[n_heads, c.d_head]),
                HeadNorm::Whole => add(part, &[n_heads * c.d_head]),
            }
        }
        linear(&mut add, "self_attn.o_proj", d, d_q, c.out_bias);
        if c.post_norms || c.residual != Residual::Parallel {
            norm(&mut add, &name("post_attention_layernorm"));
        }
        if c.pre_norms && c.post_norms {
            norm(&mut add, &name("pre_feedforward_layernorm"));
        }
        if c.post_norms {
            norm(&mut add, &name("post_feedforward_layernorm"));
        }
        if c.gated {
            linear(&mut add, "mlp.gate_proj", c.d_ff, d, c.ff_bias);
        }
        linear(&mut add, "mlp.up_proj", c.d_ff, d, c.ff_bias);
        linear(&mut add, "mlp.down_proj", d, c.d_ff, c.ff_bias);
    }
    norm(&mut add, "model.norm");
    if !c.tied_embeddings {
        add("lm_head.weight".into(), &[c.vocab_size, d]);
    }
    tensors
}

/// The Hugging Face name of a GGUF tensor; `None` for one that is not known.
pub(crate) fn hf_name(gguf_name: &str, family: Family) -> Option<String> {
    let name = match gguf_name {
        "token_embd.weight" => "model.embed_tokens.weight",
        "token_embd_norm.weight" => "model.embed_layernorm.weight",
        "token_embd_norm.bias" => "model.embed_layernorm.bias",
        "position_embd.weight" => "model.embed_positions.weight",
        "output_norm.weight" => "model.norm.weight",
        "output_norm.bias" => "model.norm.bias",
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

/// A part of a block. With norms behind the branches, `ffn_norm` has another name in Hugging Face
/// layout than without.
fn hf_part(gguf_part: &str, family: Family) -> Option<&'static str> {
    let has_post_norms = matches!(family, Family::Gemma2 | Family::Gemma3 | Family::Olmo2);
    Some(match gguf_part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_qkv" => "self_attn.qkv_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" if family == Family::Phi3 => "mlp.gate_up_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        "ffn_norm" if has_post_norms => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_attention_norm" if has_post_norms => "post_attention_layernorm",
        "post_ffw_norm" if has_post_norms => "post_feedforward_layernorm",
        _ => return None,
    })
}
