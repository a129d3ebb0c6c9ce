//! A Llama of one block and eight tokens as a Hugging Face folder, for what can be wrong with one.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_model::checkpoint::Dtype;
use isogloss_model::checkpoint::write::{OwnedTensor, hf_folder, quantize, safetensors};
use isogloss_record::files;
use serde_json::{Value, json};

const N_TOKENS: usize = 8;
const D_MODEL: usize = 8;

pub(crate) fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": D_MODEL,
        "intermediate_size": D_MODEL,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": N_TOKENS,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
        "hidden_act": "silu",
    })
}

/// By name; every value is a small number of its own.
pub(crate) fn tensors() -> BTreeMap<String, Vec<f32>> {
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    [
        ("model.embed_tokens.weight".to_owned(), N_TOKENS * D_MODEL),
        ("model.norm.weight".to_owned(), D_MODEL),
        (layer("input_layernorm"), D_MODEL),
        (layer("post_attention_layernorm"), D_MODEL),
        (layer("self_attn.q_proj"), D_MODEL * D_MODEL),
        (layer("self_attn.k_proj"), D_MODEL * D_MODEL),
        (layer("self_attn.v_proj"), D_MODEL * D_MODEL),
        (layer("self_attn.o_proj"), D_MODEL * D_MODEL),
        (layer("mlp.gate_proj"), D_MODEL * D_MODEL),
        (layer("mlp.up_proj"), D_MODEL * D_MODEL),
        (layer("mlp.down_proj"), D_MODEL * D_MODEL),
    ]
    .into_iter()
    .map(|(name, n)| {
        let values = (0..n).map(|i| ((i * 37 + n) % 101) as f32 / 101.0 - 0.5);
        (name, values.collect())
    })
    .collect()
}

/// Writes a low-rank adapter of the query projection whose A has `n_in` inputs.
pub(crate) fn write_adapter(folder: &Path, n_in: usize) {
    let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    let tensor = |shape: [usize; 2]| OwnedTensor {
        shape: shape.to_vec(),
        dtype: Dtype::F32,
        bytes: quantize(Dtype::F32, &vec![0.5; shape[0] * shape[1]]),
    };
    let tensors = BTreeMap::from([
        (format!("{name}A.weight"), tensor([1, n_in])),
        (format!("{name}B.weight"), tensor([D_MODEL, 1])),
    ]);
    let config = json!({
        "peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["q_proj"],
        "base_model_name_or_path": "org/other",
    });
    files::create_dir_all(folder).unwrap();
    let write = |name: &str, bytes: &[u8]| files::write_atomic(&folder.join(name), bytes).unwrap();
    write("adapter_config.json", config.to_string().as_bytes());
    write("adapter_model.safetensors", &safetensors(&tensors));
}

/// Writes the folder: settings, weights, and a tokenizer of `n_tokens` letters.
pub(crate) fn write(
    folder: &Path,
    config: &Value,
    tensors: BTreeMap<String, Vec<f32>>,
    n_tokens: usize,
) {
    let tensors = tensors.into_iter().map(|(name, values)| {
        let shape = if values.len() == D_MODEL {
            vec![D_MODEL]
        } else {
            vec![values.len() / D_MODEL, D_MODEL]
        };
        let tensor = OwnedTensor {
            shape,
            dtype: Dtype::F32,
            bytes: quantize(Dtype::F32, &values),
        };
        (name, tensor)
    });
    hf_folder(folder, config, &tensors.collect()).unwrap();
    let vocabulary: BTreeMap<String, usize> = ('a'..='z')
        .take(n_tokens)
        .enumerate()
        .map(|(id, letter)| (letter.to_string(), id))
        .collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    files::write_atomic(
        &folder.join("tokenizer.json"),
        tokenizer.to_string().as_bytes(),
    )
    .unwrap();
}
