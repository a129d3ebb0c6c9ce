//! From GGUF metadata to [`Config`], and from GGUF tensor names to those of Hugging Face.
//!
//! What differs from a Hugging Face folder: query and key rows of the Llama family are permuted
//! so that neighbors rotate together; Gemma's norm weights hold w + 1; stretched rotary
//! frequencies are a tensor (`rope_freqs.weight`).

use std::collections::BTreeMap;
use std::path::Path;

use super::config::{
    Activation, Config, Family, HeadNorm, NormKind, Positions, Residual, RopePairing, RopeScaling,
};
use super::gguf::{self, Gguf, TensorInfo, Value};
use super::mapped::MappedFile;
use super::tensor::View;
use super::{Checkpoint, CheckpointError, Entry, commonest_dtype, layout, quant};

/// Opens a GGUF file. Shapes are not yet compared with the settings.
pub(crate) fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    of_file(MappedFile::open(path)?)
}

pub(crate) fn of_file(file: MappedFile) -> Result<Checkpoint, CheckpointError> {
    let path = file.path.as_path();
    let gguf = gguf::parse(file.bytes(), path)?;
    let metadata = Metadata {
        path,
        values: &gguf.metadata,
    };
    let config = config(&metadata, &gguf, file.bytes())?;
    let mut tensors = BTreeMap::new();
    for tensor in &gguf.tensors {
        if tensor.name == "rope_freqs.weight" {
            continue; // part of the settings
        }
        let name = layout::hf_name(&tensor.name, config.family).ok_or_else(|| {
            CheckpointError::UnexpectedTensor {
                path: path.to_owned(),
                name: tensor.name.clone(),
            }
        })?;
        let entry = Entry {
            file: 0,
            range: tensor.range.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            view: View::Whole,
        };
        tensors.insert(name, entry);
    }
    let license = match gguf.metadata.get("general.license") {
        Some(Value::String(license)) => Some(license.clone()),
        _ => None,
    };
    let quantization = match gguf.metadata.get("general.file_type") {
        Some(Value::Int(id)) => file_type_name(*id).map(str::to_owned),
        _ => None,
    };
    Ok(Checkpoint {
        config,
        license,
        path: path.to_owned(),
        quantization: quantization.unwrap_or_else(|| commonest_dtype(&tensors)),
        files: vec![file],
        tensors,
    })
}

fn config(metadata: &Metadata<'_>, gguf: &Gguf, bytes: &[u8]) -> Result<Config, CheckpointError> {
    let architecture = metadata.string("general.architecture")?;
    let family = match architecture {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "gemma3" => Family::Gemma3,
        _ => {
            return Err(CheckpointError::Architecture {
                path: metadata.path.to_owned(),
                found: architecture.to_owned(),
            });
        }
    };
    let key = |name: &str| format!("{architecture}.{name}");
    if metadata.int(&key("expert_count"))?.unwrap_or(0) > 0 {
        return Err(CheckpointError::Unsupported {
            path: metadata.path.to_owned(),
            what: "a mixture of experts".into(),
        });
    }
    let d_model = metadata.size(&key("embedding_length"))?;
    let n_heads = metadata.size(&key("attention.head_count"))?;
    let n_kv_heads = metadata
        .optional_size(&key("attention.head_count_kv"))?
        .unwrap_or(n_heads);
    let d_head = match metadata.optional_size(&key("attention.key_length"))? {
        Some(d_head) => d_head,
        None => d_model / n_heads,
    };
    if let Some(n) = metadata.optional_size(&key("rope.dimension_count"))?
        && n != d_head
    {
        return Err(CheckpointError::Unsupported {
            path: metadata.path.to_owned(),
            what: format!("rotation of {n} of {d_head} dimensions of a head"),
        });
    }
    let n_layers = metadata.size(&key("block_count"))?;
    if n_layers > gguf.tensors.len() {
        let expected = format!("at most {}, the number of tensors", gguf.tensors.len());
        return Err(metadata.wrong(
            &key("block_count"),
            &expected,
            &Value::Int(n_layers as i128),
        ));
    }
    let vocab_size = vocab_size(metadata, gguf)?;
    let sliding = sliding(metadata, family, n_layers, &key)?;
    let config = Config {
        family,
        n_layers,
        d_model,
        n_heads,
        n_kv_heads,
        d_head,
        d_ff: metadata.size(&key("feed_forward_length"))?,
        vocab_size,
        context_length: metadata.size(&key("context_length"))?,
        norm: NormKind::Rms,
        norm_bias: false,
        norm_eps: metadata.float(&key("attention.layer_norm_rms_epsilon"))? as f32,
        norm_offset: 0.0,
        positions: Positions::Rotary,
        d_rotary: d_head,
        rope_theta: metadata
            .optional_float(&key("rope.freq_base"))?
            .unwrap_or(10_000.0),
        rope_scaling: rope_scaling(metadata, gguf, bytes, &key)?,
        rope_magnitude: 1.0,
        rope_theta_local: match family {
            Family::Gemma3 => Some(
                metadata
                    .optional_float(&key("rope.freq_base_swa"))?
                    .unwrap_or(10_000.0),
            ),
            _ => None,
        },
        rope_pairing: match family {
            Family::Llama => RopePairing::Neighbors,
            _ => RopePairing::Halves,
        },
        sliding_window: sliding.0,
        sliding_layers: sliding.1,
        attention_scale: attention_scale(family, n_layers, d_model, n_heads, d_head),
        attention_softcap: None,
        embedding_scale: match family {
            Family::Gemma3 => (d_model as f32).sqrt(),
            _ => 1.0,
        },
        embedding_norm: false,
        qkv_bias: gguf.tensors.iter().any(|t| t.name == "blk.0.attn_q.bias"),
        out_bias: false,
        ff_bias: false,
        head_norm: match family {
            Family::Qwen3 | Family::Gemma3 => HeadNorm::Shared,
            _ => HeadNorm::None,
        },
        pre_norms: true,
        post_norms: family == Family::Gemma3,
        residual: Residual::Sequential,
        activation: match family {
            Family::Gemma3 => Activation::GeluTanh,
            _ => Activation::Silu,
        },
        gated: true,
        logit_scale: 1.0,
        logit_softcap: None,
        tied_embeddings: !gguf.tensors.iter().any(|t| t.name == "output.weight"),
        bos_id: metadata.token_id("tokenizer.ggml.bos_token_id", vocab_size)?,
        eos_ids: eos_ids(metadata, vocab_size)?,
    };
    config.check(metadata.path)?;
    Ok(config)
}

/// Rows of the embedding: what the engine looks ids up in.
fn vocab_size(metadata: &Metadata<'_>, gguf: &Gguf) -> Result<usize, CheckpointError> {
    let embedding = gguf.tensors.iter().find(|t| t.name == "token_embd.weight");
    let rows = embedding.and_then(|tensor| tensor.shape.first());
    rows.copied().ok_or_else(|| CheckpointError::MissingTensor {
        path: metadata.path.to_owned(),
        name: "model.embed_tokens.weight".into(),
    })
}

/// Window and which layers use it. Gemma 3: five local layers, then a global one.
fn sliding(
    metadata: &Metadata<'_>,
    family: Family,
    n_layers: usize,
    key: &impl Fn(&str) -> String,
) -> Result<(Option<usize>, Vec<bool>), CheckpointError> {
    let window = metadata.optional_size(&key("attention.sliding_window"))?;
    match (family, window) {
        (Family::Gemma3, Some(window)) => {
            let pattern_key = key("attention.sliding_window_pattern");
            let layers = match metadata.values.get(&pattern_key) {
                Some(Value::Bools(layers)) if layers.len() == n_layers => layers.clone(),
                _ => {
                    let period = metadata.optional_size(&pattern_key)?.unwrap_or(6);
                    sliding_pattern(n_layers, period)
                }
            };
            Ok((Some(window), layers))
        }
        (Family::Gemma3, None) => {
            Err(metadata.missing(&key("attention.sliding_window"), "a window"))
        }
        (_, Some(window)) => Err(CheckpointError::Unsupported {
            path: metadata.path.to_owned(),
            what: format!("an attention window of {window} in this family"),
        }),
        (_, None) => Ok((None, Vec::new())),
    }
}

/// Every `period`-th layer is a full one, the others slide.
pub(crate) fn sliding_pattern(n_layers: usize, period: usize) -> Vec<bool> {
    (1..=n_layers).map(|n| !n.is_multiple_of(period)).collect()
}

/// 1 / √d_head, but Gemma 3 27B (the one with 62 blocks) divides by √(d_model / n_heads).
/// Source: llama.cpp, `llama-model.cpp`, `LLM_ARCH_GEMMA3`.
fn attention_scale(
    family: Family,
    n_layers: usize,
    d_model: usize,
    n_heads: usize,
    d_head: usize,
) -> f32 {
    let d = match (family, n_layers) {
        (Family::Gemma3, 62) => d_model / n_heads,
        _ => d_head,
    };
    (1.0 / (d as f64).sqrt()) as f32
}

fn rope_scaling(
    metadata: &Metadata<'_>,
    gguf: &Gguf,
    bytes: &[u8],
    key: &impl Fn(&str) -> String,
) -> Result<RopeScaling, CheckpointError> {
    let is_factors = |tensor: &&TensorInfo| tensor.name == "rope_freqs.weight";
    if let Some(tensor) = gguf.tensors.iter().find(is_factors) {
        let n_values = tensor.shape.iter().product();
        let mut factors = vec![0.0; n_values];
        quant::dequantize_row(tensor.dtype, &bytes[tensor.range.clone()], &mut factors);
        return Ok(RopeScaling::Factors(factors));
    }
    let kind = match metadata.values.get(&key("rope.scaling.type")) {
        None => "none",
        Some(Value::String(kind)) => kind,
        Some(value) => return Err(metadata.wrong(&key("rope.scaling.type"), "a name", value)),
    };
    match kind {
        "none" => Ok(RopeScaling::None),
        "linear" => {
            let factor = metadata.float(&key("rope.scaling.factor"))?;
            Ok(RopeScaling::Linear { factor })
        }
        _ => Err(CheckpointError::Unsupported {
            path: metadata.path.to_owned(),
            what: format!("rotary scaling `{kind}`"),
        }),
    }
}

/// Texts of control tokens that end a turn in the families' chat formats.
const END_OF_TURN: [&str; 6] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
];

/// The declared end tokens and, as llama.cpp does, control tokens known to end a turn.
pub(crate) fn eos_ids(
    metadata: &Metadata<'_>,
    vocab_size: usize,
) -> Result<Vec<u32>, CheckpointError> {
    let mut ids = Vec::new();
    for name in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        ids.extend(metadata.token_id(&format!("tokenizer.ggml.{name}"), vocab_size)?);
    }
    let tokens = metadata.values.get("tokenizer.ggml.tokens");
    let types = metadata.values.get("tokenizer.ggml.token_type");
    if let (Some(Value::Strings(tokens)), Some(Value::Ints(types))) = (tokens, types) {
        const CONTROL: i64 = 3;
        for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
            if *kind == CONTROL && END_OF_TURN.contains(&token.as_str()) && id < vocab_size {
                ids.push(id as u32);
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Names of `general.file_type` for the formats that are read. Source: `llama_ftype` of llama.cpp.
fn file_type_name(id: i128) -> Option<&'static str> {
    Some(match id {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        32 => "BF16",
        _ => return None,
    })
}

/// Typed access to metadata; errors name the key.
pub(crate) struct Metadata<'a> {
    pub(crate) path: &'a Path,
    pub(crate) values: &'a BTreeMap<String, Value>,
}

impl<'a> Metadata<'a> {
    pub(crate) fn wrong(&self, key: &str, expected: &str, found: &Value) -> CheckpointError {
        CheckpointError::Setting {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.describe(),
        }
    }

    pub(crate) fn missing(&self, key: &str, expected: &str) -> CheckpointError {
        CheckpointError::Setting {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: "nothing".into(),
        }
    }

    pub(crate) fn string(&self, key: &str) -> Result<&'a str, CheckpointError> {
        match self.values.get(key) {
            Some(Value::String(text)) => Ok(text),
            Some(value) => Err(self.wrong(key, "a name", value)),
            None => Err(self.missing(key, "a name")),
        }
    }

    pub(crate) fn int(&self, key: &str) -> Result<Option<i128>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Int(n)) => Ok(Some(*n)),
            // Per-layer values (head counts): only where all layers agree.
            Some(Value::Ints(values)) if values.windows(2).all(|v| v[0] == v[1]) => {
                Ok(values.first().map(|n| i128::from(*n)))
            }
            Some(value) => Err(self.wrong(key, "a whole number", value)),
        }
    }

    /// A size: from 1 to 2³¹ − 1.
    pub(crate) fn optional_size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        match self.int(key)? {
            None => Ok(None),
            Some(n) if (1..=i128::from(i32::MAX)).contains(&n) => Ok(Some(n as usize)),
            Some(n) => Err(self.wrong(key, "a size from 1 to 2147483647", &Value::Int(n))),
        }
    }

    pub(crate) fn size(&self, key: &str) -> Result<usize, CheckpointError> {
        self.optional_size(key)?
            .ok_or_else(|| self.missing(key, "a size"))
    }

    pub(crate) fn optional_float(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Float(x)) if x.is_finite() && *x > 0.0 => Ok(Some(*x)),
            Some(value) => Err(self.wrong(key, "a number above 0", value)),
        }
    }

    pub(crate) fn float(&self, key: &str) -> Result<f64, CheckpointError> {
        self.optional_float(key)?
            .ok_or_else(|| self.missing(key, "a number above 0"))
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(value) => Err(self.wrong(key, "true or false", value)),
        }
    }

    /// An id below `n_tokens`.
    pub(crate) fn token_id(
        &self,
        key: &str,
        n_tokens: usize,
    ) -> Result<Option<u32>, CheckpointError> {
        match self.int(key)? {
            None => Ok(None),
            Some(id) if (0..n_tokens as i128).contains(&id) => Ok(Some(id as u32)),
            Some(id) => Err(self.wrong(
                key,
                &format!("a token id below {n_tokens}"),
                &Value::Int(id),
            )),
        }
    }
}
