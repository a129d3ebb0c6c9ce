//! Any bytes as `model.safetensors`: a model or one error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run safetensors -- -max_len=65536 -max_total_time=600`

#![no_main]

use isogloss_model::checkpoint::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 2, "intermediate_size": 2,
        "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 2,
        "max_position_embeddings": 8, "tie_word_embeddings": true,
    });
    if let Ok(checkpoint) = Checkpoint::of_safetensors_bytes(&config, bytes.to_vec()) {
        for name in checkpoint.tensor_names() {
            let tensor = checkpoint.tensor(name).expect("a listed tensor is there");
            assert_eq!(tensor.to_f32().len(), tensor.row_len() * tensor.n_rows());
        }
    }
});
