//! Any bytes as an adapter's settings, or as its weights: a changed model or one error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run adapter -- -max_len=65536 -max_total_time=600`

#![no_main]

use std::collections::BTreeMap;

use isogloss_model::adapter::Adapter;
use isogloss_model::checkpoint::write::{OwnedTensor, safetensors};
use isogloss_model::checkpoint::{Checkpoint, Dtype};
use libfuzzer_sys::fuzz_target;

fn tensors(list: &[(&str, &[usize])]) -> Vec<u8> {
    let tensor = |shape: &[usize]| OwnedTensor {
        shape: shape.to_vec(),
        dtype: Dtype::F32,
        bytes: vec![0; 4 * shape.iter().product::<usize>()],
    };
    let tensors = list.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape)));
    safetensors(&tensors.collect::<BTreeMap<_, _>>())
}

/// A Llama of one block and two tokens, its output layer tied.
fn model() -> Checkpoint {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 2, "intermediate_size": 2,
        "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 2,
        "max_position_embeddings": 8, "tie_word_embeddings": true,
    });
    let weights = tensors(&[
        ("model.embed_tokens.weight", &[2, 2]),
        ("model.norm.weight", &[2]),
        ("model.layers.0.input_layernorm.weight", &[2]),
        ("model.layers.0.post_attention_layernorm.weight", &[2]),
        ("model.layers.0.self_attn.q_proj.weight", &[2, 2]),
        ("model.layers.0.self_attn.k_proj.weight", &[2, 2]),
        ("model.layers.0.self_attn.v_proj.weight", &[2, 2]),
        ("model.layers.0.self_attn.o_proj.weight", &[2, 2]),
        ("model.layers.0.mlp.gate_proj.weight", &[2, 2]),
        ("model.layers.0.mlp.up_proj.weight", &[2, 2]),
        ("model.layers.0.mlp.down_proj.weight", &[2, 2]),
    ]);
    Checkpoint::of_safetensors_bytes(&config, weights).expect("a sound model")
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte says which file the others are.
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let (config, weights) = match kind % 3 {
        0 => {
            let weights = tensors(&[
                ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", &[1, 2]),
                ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", &[2, 1]),
                ("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", &[1, 2]),
            ]);
            (bytes.to_vec(), weights)
        }
        kind => {
            let settings = serde_json::json!({
                "peft_type": "LORA", "r": 1, "use_dora": kind == 2, "modules_to_save": ["lm_head"],
            });
            (settings.to_string().into_bytes(), bytes.to_vec())
        }
    };
    let Ok(adapter) = Adapter::of_bytes(config, weights) else {
        return;
    };
    let mut checkpoint = model();
    if adapter.apply(&mut checkpoint).is_ok() {
        for name in checkpoint.tensor_names() {
            let tensor = checkpoint.tensor(name).expect("a listed tensor is there");
            assert_eq!(tensor.to_f32().len(), tensor.row_len() * tensor.n_rows());
        }
    }
});
