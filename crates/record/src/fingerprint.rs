//! What exactly a model is, so that two runs can be compared or refused.

use serde::{Deserialize, Serialize};

/// Identity of a model as it was measured: equal fingerprints give equal numbers on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Name that the user gave or that the short name stands for; no path of this machine.
    pub name: String,
    /// Family of the architecture (`llama`, `qwen3`, `gemma3`, `scripted`…).
    pub architecture: String,
    /// Weight format as stored (`Q4_1`, `Q4_K`, `BF16`…; the commonest one of a mixed file).
    pub quantization: String,
    /// Arithmetic that produced the numbers (`f32`, `bf16`, `int8`).
    pub compute: String,
    /// Content hash of the weights, tokenizer and configuration, lower-case hex.
    pub hash: String,
    /// Parameters, embeddings included; `None` where there are none (scripted models).
    pub n_parameters: Option<u64>,
    /// Longest sequence that the model was made for, in tokens.
    pub context_length: usize,
    /// Licence as the model's own files state it.
    pub license: Option<String>,
}
