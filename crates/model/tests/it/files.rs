//! Tiny models on disk, and the golden folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isogloss_model::checkpoint::Dtype;
use isogloss_model::checkpoint::write::{GgufWriter, OwnedTensor, quantize};
use serde_json::{Value, json};

/// JSON of a golden file, by its path below `golden/`.
pub(crate) fn golden(name: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    let text = isogloss_record::files::read_to_string(&root.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// As [`golden`], of a compressed file.
pub(crate) fn golden_zst(name: &str) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    let bytes = isogloss_record::files::read(&root.join(name)).unwrap();
    serde_json::from_slice(&zstd::decode_all(&bytes[..]).unwrap()).unwrap()
}

/// Sizes of the tiny Llama below.
pub(crate) const VOCAB: usize = 64;
pub(crate) const D_MODEL: usize = 32;
const D_FF: usize = 64;

/// `config.json` of a Llama of one block.
pub(crate) fn llama_config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": D_MODEL,
        "intermediate_size": D_FF,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCAB,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": [2, 3],
    })
}

/// Names in both layouts, and shapes.
const TENSORS: [(&str, &str, &[usize]); 11] = [
    (
        "model.embed_tokens.weight",
        "token_embd.weight",
        &[VOCAB, D_MODEL],
    ),
    ("model.norm.weight", "output_norm.weight", &[D_MODEL]),
    (
        "model.layers.0.input_layernorm.weight",
        "blk.0.attn_norm.weight",
        &[D_MODEL],
    ),
    (
        "model.layers.0.post_attention_layernorm.weight",
        "blk.0.ffn_norm.weight",
        &[D_MODEL],
    ),
    (
        "model.layers.0.self_attn.q_proj.weight",
        "blk.0.attn_q.weight",
        &[D_MODEL, D_MODEL],
    ),
    (
        "model.layers.0.self_attn.k_proj.weight",
        "blk.0.attn_k.weight",
        &[16, D_MODEL],
    ),
    (
        "model.layers.0.self_attn.v_proj.weight",
        "blk.0.attn_v.weight",
        &[16, D_MODEL],
    ),
    (
        "model.layers.0.self_attn.o_proj.weight",
        "blk.0.attn_output.weight",
        &[D_MODEL, D_MODEL],
    ),
    (
        "model.layers.0.mlp.gate_proj.weight",
        "blk.0.ffn_gate.weight",
        &[D_FF, D_MODEL],
    ),
    (
        "model.layers.0.mlp.up_proj.weight",
        "blk.0.ffn_up.weight",
        &[D_FF, D_MODEL],
    ),
    (
        "model.layers.0.mlp.down_proj.weight",
        "blk.0.ffn_down.weight",
        &[D_MODEL, D_FF],
    ),
];

/// Deterministic values in [−0.5, 0.5).
fn values(n: usize, seed: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((i * 37 + seed * 101) % 256) as f32 / 256.0 - 0.5)
        .collect()
}

/// The tiny Llama's tensors by Hugging Face name.
pub(crate) fn llama_tensors(dtype: Dtype) -> BTreeMap<String, OwnedTensor> {
    let tensors = TENSORS.iter().enumerate().map(|(seed, (name, _, shape))| {
        let tensor = OwnedTensor {
            shape: shape.to_vec(),
            dtype,
            bytes: quantize(dtype, &values(shape.iter().product(), seed)),
        };
        ((*name).to_owned(), tensor)
    });
    tensors.collect()
}

/// The tiny Llama's settings and tensors as GGUF, without a tokenizer.
pub(crate) fn llama_gguf(dtype: Dtype) -> GgufWriter {
    let mut gguf = llama_gguf_settings();
    for (seed, (_, name, shape)) in TENSORS.iter().enumerate() {
        let bytes = quantize(dtype, &values(shape.iter().product(), seed));
        gguf.tensor(name, shape, dtype, bytes);
    }
    gguf
}

/// The settings alone.
pub(crate) fn llama_gguf_settings() -> GgufWriter {
    let mut gguf = GgufWriter::new("llama");
    for (key, value) in [
        ("block_count", 1),
        ("embedding_length", D_MODEL as u32),
        ("feed_forward_length", D_FF as u32),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("context_length", 128),
    ] {
        gguf.u32(&format!("llama.{key}"), value);
    }
    gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    gguf
}

/// Bytes as a file in a folder of its own, which lives as long as the returned handle.
pub(crate) fn on_disk(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    isogloss_record::files::write_atomic(&path, bytes).unwrap();
    (folder, path)
}
