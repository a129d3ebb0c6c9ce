//! From GGUF metadata to [`Config`], and from GGUF tensor names to those of Hugging Face.
//!
//! What differs from a Hugging Face folder: query and key rows of the Llama family are permuted
//! so that neighbors rotate together; Gemma's norm weights hold w + 1; stretched rotary
//! frequencies are a tensor (`rope_freqs.weight`).

use std::collections::BTreeMap;
use std::path::Path;

use super::config::{Config, Family, HeadNorm, NormKind, Residual, RopePairing, RopeScaling};
use super::gguf::{self, Gguf, TensorInfo, Value};
use super::mapped::MappedFile;
use super::tensor::View;
use super::{Checkpoint, CheckpointError, Entry, commonest_dtype, family, layout, quant};

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
    let mut stored = BTreeMap::new();
    for tensor in &gguf.tensors {
        // Part of the settings.
        if tensor.name.starts_with("rope_freqs.") || tensor.name.starts_with("rope_factors_") {
            continue;
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
        stored.insert(name, entry);
    }
    let tensors = family::split_fused(path, &config, stored)?;
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
        overlay: None,
    })
}

fn config(metadata: &Metadata<'_>, gguf: &Gguf, bytes: &[u8]) -> Result<Config, CheckpointError> {
    let architecture = metadata.string("general.architecture")?;
    let family = match architecture {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "gemma2" => Family::Gemma2,
        "gemma3" => Family::Gemma3,
        "phi3" => Family::Phi3,
        "olmo2" => Family::Olmo2,
        "command-r" => Family::Cohere,
        "gpt2" => Family::Gpt2,
        "gptneox" => Family::GptNeoX,
        "bloom" => Family::Bloom,
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
    let context_length = metadata.size(&key("context_length"))?;
    let rope = rope(metadata, gguf, bytes, &key, context_length)?;
    let of_family = Config::of_family(family);
    let has = |name: &str| gguf.tensors.iter().any(|tensor| tensor.name == name);
    let norm_eps = match of_family.norm {
        NormKind::Rms => "attention.layer_norm_rms_epsilon",
        NormKind::Layer => "attention.layer_norm_epsilon",
    };
    let soft_cap = |name: &str, default: Option<f32>| {
        let stated = metadata.optional_float(&key(name))?;
        Ok::<_, CheckpointError>(stated.map(|cap| cap as f32).or(default))
    };
    let config = Config {
        n_layers,
        d_model,
        n_heads,
        n_kv_heads,
        d_head,
        d_ff: metadata.size(&key("feed_forward_length"))?,
        vocab_size,
        context_length: rope.context_length,
        norm_eps: metadata.float(&key(norm_eps))? as f32,
        d_rotary: metadata
            .optional_size(&key("rope.dimension_count"))?
            .unwrap_or(d_head),
        // What llama.cpp takes where the file says nothing, whatever the family.
        rope_theta: metadata
            .optional_float(&key("rope.freq_base"))?
            .unwrap_or(10_000.0),
        rope_scaling: rope.scaling,
        rope_magnitude: rope.magnitude,
        rope_theta_local: match of_family.rope_theta_local {
            None => None,
            default => metadata
                .optional_float(&key("rope.freq_base_swa"))?
                .or(default),
        },
        rope_pairing: match family {
            Family::Llama => RopePairing::Neighbors,
            _ => of_family.rope_pairing,
        },
        sliding_window: sliding.0,
        sliding_layers: sliding.1,
        attention_scale: attention_scale(family, n_layers, d_model, n_heads, d_head),
        attention_softcap: soft_cap("attn_logit_softcapping", of_family.attention_softcap)?,
        embedding_scale: match family {
            Family::Gemma2 | Family::Gemma3 => (d_model as f32).sqrt(),
            _ => 1.0,
        },
        qkv_bias: has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias"),
        out_bias: has("blk.0.attn_output.bias"),
        ff_bias: has("blk.0.ffn_up.bias"),
        head_norm: match family {
            Family::Cohere if has("blk.0.attn_q_norm.weight") => HeadNorm::Own,
            _ => of_family.head_norm,
        },
        residual: match metadata.bool(&key("use_parallel_residual"))? {
            Some(false) if family == Family::GptNeoX => Residual::Sequential,
            _ => of_family.residual,
        },
        logit_scale: metadata
            .optional_float(&key("logit_scale"))?
            .map_or(of_family.logit_scale, |scale| scale as f32),
        logit_softcap: soft_cap("final_logit_softcapping", of_family.logit_softcap)?,
        tied_embeddings: !has("output.weight"),
        bos_id: metadata.token_id("tokenizer.ggml.bos_token_id", vocab_size)?,
        eos_ids: eos_ids(metadata, vocab_size)?,
        ..of_family
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
    let pattern_key = key("attention.sliding_window_pattern");
    match (family, window) {
        (Family::Gemma2 | Family::Gemma3, Some(window)) => {
            let layers = match metadata.values.get(&pattern_key) {
                Some(Value::Bools(layers)) if layers.len() == n_layers => layers.clone(),
                _ => {
                    let default = if family == Family::Gemma2 { 2 } else { 6 };
                    let period = metadata.optional_size(&pattern_key)?.unwrap_or(default);
                    sliding_pattern(n_layers, period)
                }
            };
            Ok((Some(window), layers))
        }
        (Family::Gemma2 | Family::Gemma3, None) => {
            Err(metadata.missing(&key("attention.sliding_window"), "a window"))
        }
        (Family::Llama | Family::Phi3, Some(window)) => Ok((Some(window), vec![true; n_layers])),
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

/// 1 / √d_head, but the 27B models of Gemma 2 and 3 (46 and 62 blocks) divide by
/// √(d_model / n_heads). Source: llama.cpp, `llama-model.cpp`, `LLM_ARCH_GEMMA2`, `LLM_ARCH_GEMMA3`.
fn attention_scale(
    family: Family,
    n_layers: usize,
    d_model: usize,
    n_heads: usize,
    d_head: usize,
) -> f32 {
    let d = match (family, n_layers) {
        (Family::Gemma2, 46) | (Family::Gemma3, 62) => d_model / n_heads,
        _ => d_head,
    };
    (1.0 / (d as f64).sqrt()) as f32
}

/// How rotary frequencies are stretched, and up to which length that holds.
struct Rope {
    scaling: RopeScaling,
    magnitude: f32,
    context_length: usize,
}

/// Stretching as llama.cpp reads it, but where a file states `yarn_beta_fast`, `yarn_beta_slow` or
/// `yarn_attn_factor` it is taken as its converter and transformers mean it (`attention_factor` is
/// the whole magnitude); llama.cpp reads them in some architectures only.
fn rope(
    metadata: &Metadata<'_>,
    gguf: &Gguf,
    bytes: &[u8],
    key: &impl Fn(&str) -> String,
    context_length: usize,
) -> Result<Rope, CheckpointError> {
    // llama.cpp multiplies by it whatever the kind.
    let attn_factor = metadata.optional_float(&key("rope.scaling.attn_factor"))?;
    let with_factor = |magnitude: f64, scaling| Rope {
        scaling,
        magnitude: (magnitude * attn_factor.unwrap_or(1.0)) as f32,
        context_length,
    };
    let factors = |name: &str| {
        let tensor: &TensorInfo = gguf.tensors.iter().find(|tensor| tensor.name == name)?;
        let mut factors = vec![0.0; tensor.shape.iter().product()];
        quant::dequantize_row(tensor.dtype, &bytes[tensor.range.clone()], &mut factors);
        Some(RopeScaling::Factors(factors))
    };
    if let Some(scaling) = factors("rope_freqs.weight") {
        return Ok(with_factor(1.0, scaling));
    }
    let original = metadata.optional_size(&key("rope.scaling.original_context_length"))?;
    // LongRoPE: which factors hold depends on the length of the text; see `hf_rope`.
    if let Some(scaling) = factors("rope_factors_short.weight") {
        return Ok(Rope {
            context_length: original.map_or(context_length, |n| n.min(context_length)),
            ..with_factor(1.0, scaling)
        });
    }
    let kind = match metadata.values.get(&key("rope.scaling.type")) {
        None => "none",
        Some(Value::String(kind)) => kind,
        Some(value) => return Err(metadata.wrong(&key("rope.scaling.type"), "a name", value)),
    };
    match kind {
        "none" => Ok(with_factor(1.0, RopeScaling::None)),
        "linear" => {
            let factor = metadata.float(&key("rope.scaling.factor"))?;
            Ok(with_factor(1.0, RopeScaling::Linear { factor }))
        }
        "yarn" => {
            for (name, only) in [("yarn_ext_factor", 1.0), ("yarn_log_multiplier", 0.0)] {
                let key = key(&format!("rope.scaling.{name}"));
                match metadata.values.get(&key) {
                    Some(Value::Float(x)) if *x == only => {}
                    None => {}
                    Some(value) => return Err(metadata.wrong(&key, &only.to_string(), value)),
                }
            }
            let stated =
                |name: &str| metadata.optional_float(&key(&format!("rope.scaling.{name}")));
            let factor = metadata.float(&key("rope.scaling.factor"))?;
            let scaling = RopeScaling::Yarn {
                factor,
                beta_fast: stated("yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: stated("yarn_beta_slow")?.unwrap_or(1.0),
                truncate: true,
                original_context_length: original.unwrap_or(context_length),
            };
            let magnitude = 1.0 + 0.1 * factor.max(1.0).ln();
            let magnitude = stated("yarn_attn_factor")?.unwrap_or(magnitude);
            Ok(with_factor(magnitude, scaling))
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
        10 => "Q2_K",
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        21 => "Q2_K_S",
        25 => "IQ4_NL",
        30 => "IQ4_XS",
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
