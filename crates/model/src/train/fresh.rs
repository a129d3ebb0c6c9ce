//! New models: a small Llama with random weights, to be trained from nothing.

use std::path::Path;

use isogloss_record::Seed;
use rand_chacha::rand_core::Rng;
use serde_json::json;

use super::TrainError;
use crate::checkpoint::write::{OwnedTensor, hf_folder, quantize};
use crate::checkpoint::{Dtype, config_of_json, expected_tensors};

/// The size of a new model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Tokens of the vocabulary; id 0 begins a text.
    pub vocab_size: usize,
    /// Width of the residual stream; a multiple of twice `n_heads`.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width between a block's gate and its way down.
    pub d_ff: usize,
    /// Longest sequence in tokens.
    pub context_length: usize,
}

impl Shape {
    /// The `config.json` of a Llama of this size; the output layer is the embedding.
    fn settings(&self) -> serde_json::Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
            "vocab_size": self.vocab_size, "hidden_size": self.d_model,
            "num_hidden_layers": self.n_layers, "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_heads, "intermediate_size": self.d_ff,
            "max_position_embeddings": self.context_length, "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0, "hidden_act": "silu", "tie_word_embeddings": true,
            "attention_bias": false, "mlp_bias": false, "bos_token_id": 0,
        })
    }
}

/// Standard deviation of new weights.
const SPREAD: f64 = 0.02;

/// Writes `config.json` and `model.safetensors` of a model with random weights: norms are 1, matrices
/// uniform with a standard deviation of .02, those that write to the residual stream of less
/// (.02 / √(2 · layers)), as GPT-2's. The seed and a tensor's name decide its values.
///
/// # Errors
/// [`TrainError::Fresh`] for a size that no model has, [`TrainError::File`].
pub fn write_untrained(folder: &Path, shape: &Shape, seed: Seed) -> Result<(), TrainError> {
    let settings = shape.settings();
    let wrong = |what: String| TrainError::Fresh { what };
    if shape.n_heads == 0 || !shape.d_model.is_multiple_of(2 * shape.n_heads) {
        return Err(wrong(format!(
            "a width of {} is no multiple of twice {} heads",
            shape.d_model, shape.n_heads
        )));
    }
    let config = config_of_json(Path::new("config.json"), &settings, usize::MAX)
        .map_err(|error| wrong(error.to_string()))?;
    let to_residual = SPREAD / (2.0 * shape.n_layers.max(1) as f64).sqrt();
    let tensors = expected_tensors(&config)
        .into_iter()
        .map(|(name, shape)| {
            let n = shape.iter().product();
            let values: Vec<f32> = if name.ends_with("norm.weight") {
                vec![1.0; n]
            } else {
                let writes = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
                let spread = if writes { to_residual } else { SPREAD };
                // A uniform draw from −1 to 1 has a standard deviation of 1/√3.
                let scale = spread * 3.0_f64.sqrt() / f64::from(1_u32 << 31);
                let mut rng = seed.rng(&format!("weights {name}"), 0);
                (0..n)
                    .map(|_| (f64::from(rng.next_u32() as i32) * scale) as f32)
                    .collect()
            };
            let tensor = OwnedTensor {
                shape,
                dtype: Dtype::F32,
                bytes: quantize(Dtype::F32, &values),
            };
            (name, tensor)
        })
        .collect();
    Ok(hf_folder(folder, &settings, &tensors)?)
}
