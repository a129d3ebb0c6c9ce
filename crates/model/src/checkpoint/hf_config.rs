//! From a Hugging Face folder's `config.json` to [`Config`], in old and new spellings.
//!
//! Spellings that changed over time or differ from family to family (`n_embd`, `hidden_size`;
//! `sliding_window_pattern`, `layer_types`) are read alike. What would change a number and is not
//! computed is refused by name.
//!
//! Source: the families' `configuration_*.py` of transformers 5.23.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_record::files;
use serde_json::Value;

use super::config::{Activation, Config, Family, HeadNorm, Residual};
use super::gguf_config::sliding_pattern;
use super::hf_rope::rope;
use super::mapped::MappedFile;
use super::settings::Settings;
use super::{Checkpoint, CheckpointError, commonest_dtype, family, safetensors};

/// Files beside the weights that are part of the model, if they are there.
pub(super) const SETTINGS_FILES: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
];

/// Opens a folder. Shapes are not yet compared with the settings.
pub(crate) fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    let json = read_json(&folder.join("config.json"))?;
    let path = folder.join("config.json");
    let generation = folder.join("generation_config.json");
    let generation = if generation.is_file() {
        Some(read_json(&generation)?)
    } else {
        None
    };
    let mut weights = Vec::new();
    for file in safetensors::weight_files(folder)? {
        weights.push(MappedFile::open(&file)?);
    }
    let mut checkpoint = of_files(folder, &path, &json, generation.as_ref(), weights)?;
    checkpoint.license = license(folder);
    for name in SETTINGS_FILES {
        let path = folder.join(name);
        if path.is_file() {
            checkpoint.files.push(MappedFile::open(&path)?);
        }
    }
    Ok(checkpoint)
}

/// Settings and weights; `path` is that of the settings, for messages.
pub(crate) fn of_files(
    folder: &Path,
    path: &Path,
    json: &Value,
    generation: Option<&Value>,
    files: Vec<MappedFile>,
) -> Result<Checkpoint, CheckpointError> {
    of_renamed(folder, path, json, generation, files, &tensor_name)
}

/// The same with other names than [`tensor_name`]'s.
pub(super) fn of_renamed(
    folder: &Path,
    path: &Path,
    json: &Value,
    generation: Option<&Value>,
    files: Vec<MappedFile>,
    rename: &impl Fn(&str) -> Option<String>,
) -> Result<Checkpoint, CheckpointError> {
    let mut stored = BTreeMap::new();
    for (file_idx, file) in files.iter().enumerate() {
        safetensors::add_tensors(file, file_idx, rename, &mut stored)?;
    }
    let config = parse(path, json, generation, stored.len())?;
    let tensors = family::arrange(folder, &config, stored)?;
    Ok(Checkpoint {
        config,
        license: None,
        path: folder.to_owned(),
        quantization: commonest_dtype(&tensors),
        files,
        tensors,
        overlay: None,
    })
}

/// Text part of a tensor's name; `None` for what the text model does not use.
pub(crate) fn tensor_name(name: &str) -> Option<String> {
    // Gemma3ForConditionalGeneration nests its text model, before and since transformers 4.52.
    let text = name
        .strip_prefix("language_model.model.")
        .or_else(|| name.strip_prefix("model.language_model."));
    if let Some(text) = text {
        return Some(format!("model.{text}"));
    }
    if let Some(head) = name.strip_prefix("language_model.lm_head.") {
        return Some(format!("lm_head.{head}"));
    }
    let is_vision = |part: &str| {
        name.starts_with(part)
            || name
                .strip_prefix("model.")
                .is_some_and(|n| n.starts_with(part))
    };
    if is_vision("vision_tower.") || is_vision("multi_modal_projector.") {
        return None;
    }
    // Old Llama files store the rotary frequencies, which follow from the settings.
    if name.ends_with("rotary_emb.inv_freq") {
        return None;
    }
    Some(name.to_owned())
}

/// The licence of the model card's front matter (`license: apache-2.0`).
pub(super) fn license(folder: &Path) -> Option<String> {
    let card = files::read_to_string(&folder.join("README.md")).ok()?;
    let (front, _) = card.strip_prefix("---")?.split_once("\n---")?;
    let line = front
        .lines()
        .find_map(|line| line.strip_prefix("license:"))?;
    let license = line.trim().trim_matches(['"', '\'']);
    (!license.is_empty()).then(|| license.to_owned())
}

pub(crate) fn read_json(path: &Path) -> Result<Value, CheckpointError> {
    let text = files::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|error| CheckpointError::Damaged {
        path: path.to_owned(),
        what: "the file".into(),
        expected: "JSON".into(),
        found: error.to_string(),
    })
}

/// `config.json` as a [`Config`]; `n_tensors` bounds the number of layers.
pub(crate) fn parse(
    path: &Path,
    json: &Value,
    generation: Option<&Value>,
    n_tensors: usize,
) -> Result<Config, CheckpointError> {
    let top = Settings { path, json };
    let architecture = architecture(&top)?;
    let family = family_of(architecture).ok_or_else(|| CheckpointError::Architecture {
        path: path.to_owned(),
        found: architecture.to_owned(),
    })?;
    let settings = match json.get("text_config") {
        Some(text) if text.is_object() => Settings { path, json: text },
        _ => Settings { path, json },
    };
    refuse_what_is_not_computed(&settings, &top)?;

    let of_family = Config::of_family(family);
    // A multimodal Gemma stores only what differs from the class's defaults.
    let default = |value: usize| (family == Family::Gemma3).then_some(value);
    let size = |keys: &[&str], default| settings.size(settings.spelling(keys), default);
    let d_model = size(&["n_embd", "hidden_size"], default(2304))?;
    let n_heads = size(&["n_head", "num_attention_heads"], default(8))?;
    let n_kv_heads = size(&["num_key_value_heads"], default(4).or(Some(n_heads)))?;
    let d_head = size(
        &["head_dim"],
        Some(match family {
            Family::Gemma2 | Family::Gemma3 => 256,
            Family::Qwen3 => 128,
            _ => d_model / n_heads,
        }),
    )?;
    let n_layers = size(&["n_layer", "num_hidden_layers"], default(26))?;
    if n_layers > n_tensors {
        let key = settings.spelling(&["n_layer", "num_hidden_layers"]);
        let expected = format!("at most {n_tensors}, the number of tensors");
        return Err(settings.wrong(key, &expected, &n_layers.to_string()));
    }
    let vocab_size = settings.size("vocab_size", default(262_208))?;
    let (sliding_window, sliding_layers) = sliding(&settings, family, n_layers)?;
    let context_length = size(
        &["n_positions", "seq_length", "max_position_embeddings"],
        match family {
            Family::Bloom => Some(2048), // any length computes; what it was trained on
            _ => default(131_072),
        },
    )?;
    let rope = rope(&settings, &of_family, d_head, context_length)?;
    let is_gemma = matches!(family, Family::Gemma2 | Family::Gemma3);
    let attention_bias = settings
        .bool("attention_bias")?
        .unwrap_or(of_family.qkv_bias && family != Family::Qwen2);
    let config = Config {
        n_layers,
        d_model,
        n_heads,
        n_kv_heads,
        d_head,
        d_ff: size(
            &["n_inner", "intermediate_size"],
            match family {
                Family::Gpt2 | Family::Bloom => Some(4 * d_model),
                _ => default(9216),
            },
        )?,
        vocab_size,
        context_length: rope.context_length,
        norm_eps: settings.float(
            settings.spelling(&["layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps"]),
            Some(f64::from(of_family.norm_eps)),
        )? as f32,
        norm_offset: if is_gemma { 1.0 } else { 0.0 },
        d_rotary: rope.d_rotary,
        rope_theta: rope.theta,
        rope_scaling: rope.scaling,
        rope_magnitude: rope.magnitude,
        rope_theta_local: rope.theta_local,
        sliding_window,
        sliding_layers,
        attention_scale: (1.0
            / if is_gemma {
                settings.float("query_pre_attn_scalar", Some(256.0))?
            } else {
                d_head as f64
            }
            .sqrt()) as f32,
        attention_softcap: soft_cap(
            &settings,
            "attn_logit_softcapping",
            of_family.attention_softcap,
        )?,
        embedding_scale: if is_gemma {
            (d_model as f32).sqrt()
        } else {
            1.0
        },
        qkv_bias: attention_bias || family == Family::Qwen2,
        out_bias: attention_bias,
        ff_bias: settings.bool("mlp_bias")?.unwrap_or(of_family.ff_bias),
        head_norm: match family {
            Family::Cohere if settings.bool("use_qk_norm")?.unwrap_or(false) => HeadNorm::Own,
            _ => of_family.head_norm,
        },
        residual: match settings.bool("use_parallel_residual")? {
            Some(false) if family == Family::GptNeoX => Residual::Sequential,
            _ => of_family.residual,
        },
        activation: activation(&settings, of_family.activation)?,
        logit_scale: match family {
            Family::Cohere => {
                let default = f64::from(of_family.logit_scale);
                settings.float("logit_scale", Some(default))? as f32
            }
            _ => 1.0,
        },
        logit_softcap: soft_cap(
            &settings,
            "final_logit_softcapping",
            of_family.logit_softcap,
        )?,
        tied_embeddings: {
            let key = "tie_word_embeddings";
            let stated = settings.bool(key)?.or(top.bool(key)?);
            stated.unwrap_or(of_family.tied_embeddings)
        },
        bos_id: settings
            .token_ids("bos_token_id", vocab_size)?
            .first()
            .copied(),
        eos_ids: eos_ids(&settings, &top, generation, vocab_size)?,
        ..of_family
    };
    config.check(path)?;
    Ok(config)
}

fn family_of(architecture: &str) -> Option<Family> {
    Some(match architecture {
        "LlamaForCausalLM" => Family::Llama,
        "MistralForCausalLM" => Family::Mistral,
        "Qwen2ForCausalLM" => Family::Qwen2,
        "Qwen3ForCausalLM" => Family::Qwen3,
        "Gemma2ForCausalLM" => Family::Gemma2,
        "Gemma3ForCausalLM" | "Gemma3ForConditionalGeneration" => Family::Gemma3,
        "Phi3ForCausalLM" => Family::Phi3,
        "Olmo2ForCausalLM" => Family::Olmo2,
        "CohereForCausalLM" => Family::Cohere,
        "GPT2LMHeadModel" => Family::Gpt2,
        "GPTNeoXForCausalLM" => Family::GptNeoX,
        "BloomForCausalLM" => Family::Bloom,
        _ => return None,
    })
}

pub(crate) fn architecture<'a>(top: &Settings<'a>) -> Result<&'a str, CheckpointError> {
    let first = top.json.get("architectures").and_then(|list| list.get(0));
    first
        .and_then(Value::as_str)
        .ok_or_else(|| top.wrong("architectures", "a list of one name", "none"))
}

fn refuse_what_is_not_computed(
    settings: &Settings<'_>,
    top: &Settings<'_>,
) -> Result<(), CheckpointError> {
    let refuse = |what: String| {
        Err(CheckpointError::Unsupported {
            path: settings.path.to_owned(),
            what,
        })
    };
    if !top.is_null("quantization_config") || !settings.is_null("quantization_config") {
        return refuse("a folder of quantized weights (`quantization_config`)".into());
    }
    for flag in [
        "use_bidirectional_attention",
        "scale_attn_by_inverse_layer_idx",
        "add_cross_attention",
        "apply_residual_connection_post_layernorm",
    ] {
        if settings.bool(flag)?.unwrap_or(false) {
            return refuse(format!("`{flag}`"));
        }
    }
    if settings.bool("scale_attn_weights")? == Some(false) {
        return refuse("`scale_attn_weights: false`".into());
    }
    Ok(())
}

/// Non-linearity of the feed-forward layer, by the names that transformers gives it.
fn activation(settings: &Settings<'_>, default: Activation) -> Result<Activation, CheckpointError> {
    let key = settings.spelling(&["hidden_activation", "activation_function", "hidden_act"]);
    match settings.json.get(key).and_then(Value::as_str) {
        None => Ok(default),
        Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
        Some("gelu") => Ok(Activation::Gelu),
        Some(found) => Err(CheckpointError::Unsupported {
            path: settings.path.to_owned(),
            what: format!("the activation `{found}`"),
        }),
    }
}

/// A soft cap; `null` is none.
fn soft_cap(
    settings: &Settings<'_>,
    key: &str,
    default: Option<f32>,
) -> Result<Option<f32>, CheckpointError> {
    match settings.json.get(key) {
        Some(Value::Null) => Ok(None),
        None => Ok(default),
        Some(_) => Ok(Some(settings.float(key, None)? as f32)),
    }
}

/// End tokens of `generation_config.json`, which chat models complete, and of the settings.
fn eos_ids(
    settings: &Settings<'_>,
    top: &Settings<'_>,
    generation: Option<&Value>,
    vocab_size: usize,
) -> Result<Vec<u32>, CheckpointError> {
    let key = "eos_token_id";
    let mut ids = settings.token_ids(key, vocab_size)?;
    ids.extend(top.token_ids(key, vocab_size)?);
    if let Some(json) = generation {
        let generation = Settings {
            path: settings.path,
            json,
        };
        ids.extend(generation.token_ids(key, vocab_size)?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Window and which layers use it.
fn sliding(
    settings: &Settings<'_>,
    family: Family,
    n_layers: usize,
) -> Result<(Option<usize>, Vec<bool>), CheckpointError> {
    let uses_window = match family {
        Family::Qwen2 | Family::Qwen3 => settings.bool("use_sliding_window")?.unwrap_or(false),
        Family::Mistral | Family::Gemma2 | Family::Gemma3 | Family::Phi3 => true,
        _ => false,
    };
    // These have a window unless it is `null`; the others have one where it is given.
    let default = match family {
        Family::Mistral | Family::Gemma2 | Family::Gemma3 => Some(4096),
        _ => None,
    };
    let window = match settings.json.get("sliding_window") {
        _ if !uses_window => None,
        None => default,
        Some(Value::Null) if matches!(family, Family::Gemma2 | Family::Gemma3) => default,
        Some(Value::Null) => None,
        Some(_) => Some(settings.size("sliding_window", None)?),
    };
    let Some(window) = window else {
        return Ok((None, Vec::new()));
    };
    let layers = match settings.json.get("layer_types") {
        Some(Value::Array(types)) if types.len() == n_layers => types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("sliding_attention") => Ok(true),
                Some("full_attention") => Ok(false),
                _ => Err(settings.wrong(
                    "layer_types",
                    "`sliding_attention` or `full_attention`",
                    &kind.to_string(),
                )),
            })
            .collect::<Result<_, _>>()?,
        None | Some(Value::Null) if family == Family::Gemma3 => {
            sliding_pattern(n_layers, settings.size("sliding_window_pattern", Some(6))?)
        }
        None | Some(Value::Null) if family == Family::Gemma2 => sliding_pattern(n_layers, 2),
        _ if matches!(family, Family::Mistral | Family::Phi3) => vec![true; n_layers],
        None | Some(Value::Null) => {
            let n_full = settings.size("max_window_layers", Some(28))?;
            (0..n_layers).map(|layer| layer >= n_full).collect()
        }
        Some(other) => {
            let expected = format!("a list of {n_layers} kinds");
            return Err(settings.wrong("layer_types", &expected, &other.to_string()));
        }
    };
    Ok((Some(window), layers))
}
