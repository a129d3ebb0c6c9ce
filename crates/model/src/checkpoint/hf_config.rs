//! From a Hugging Face folder's `config.json` to [`Config`], in old and new spellings.
//!
//! Spellings that changed over time: `rope_scaling.type` and `rope_type`; `rope_theta` beside
//! `rope_scaling` and inside `rope_parameters` (transformers 5), there per kind of layer for
//! Gemma 3; `sliding_window_pattern` and `layer_types`. What would change a number and is not
//! computed is refused by name.
//!
//! Source: `configuration_{llama,mistral,qwen2,qwen3,gemma3}.py` of transformers 5.23.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_record::files;
use serde_json::Value;

use super::config::{Activation, Config, Family, RopePairing, RopeScaling};
use super::gguf_config::sliding_pattern;
use super::mapped::MappedFile;
use super::{Checkpoint, CheckpointError, commonest_dtype, safetensors};

/// Files beside the weights that are part of the model, if they are there.
const SETTINGS_FILES: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
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
    let mut tensors = BTreeMap::new();
    for (file_idx, file) in files.iter().enumerate() {
        safetensors::add_tensors(file, file_idx, &tensor_name, &mut tensors)?;
    }
    let config = parse(path, json, generation, tensors.len())?;
    Ok(Checkpoint {
        config,
        license: None,
        path: folder.to_owned(),
        quantization: commonest_dtype(&tensors),
        files,
        tensors,
    })
}

/// Text part of a tensor's name; `None` for what the text model does not use.
fn tensor_name(name: &str) -> Option<String> {
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
fn license(folder: &Path) -> Option<String> {
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
    let family = match architecture {
        "LlamaForCausalLM" | "MistralForCausalLM" => Family::Llama,
        "Qwen2ForCausalLM" => Family::Qwen2,
        "Qwen3ForCausalLM" => Family::Qwen3,
        "Gemma3ForCausalLM" | "Gemma3ForConditionalGeneration" => Family::Gemma3,
        _ => {
            return Err(CheckpointError::Architecture {
                path: path.to_owned(),
                found: architecture.to_owned(),
            });
        }
    };
    let settings = match json.get("text_config") {
        Some(text) if text.is_object() => Settings { path, json: text },
        _ => Settings { path, json },
    };
    refuse_what_is_not_computed(&settings, &top, family, architecture)?;

    // A multimodal Gemma stores only what differs from the class's defaults.
    let default = |value: usize| (family == Family::Gemma3).then_some(value);
    let d_model = settings.size("hidden_size", default(2304))?;
    let n_heads = settings.size("num_attention_heads", default(8))?;
    let n_kv_heads = settings.size("num_key_value_heads", default(4).or(Some(n_heads)))?;
    let d_head = match family {
        Family::Gemma3 => settings.size("head_dim", Some(256))?,
        Family::Qwen3 => settings.size("head_dim", Some(128))?,
        Family::Llama | Family::Qwen2 => settings.size("head_dim", Some(d_model / n_heads))?,
    };
    let n_layers = settings.size("num_hidden_layers", default(26))?;
    if n_layers > n_tensors {
        let expected = format!("at most {n_tensors}, the number of tensors");
        return Err(settings.wrong("num_hidden_layers", &expected, &n_layers.to_string()));
    }
    let vocab_size = settings.size("vocab_size", default(262_208))?;
    let (sliding_window, sliding_layers) = sliding(&settings, family, n_layers)?;
    let rope = rope(&settings, family)?;
    let attention_scale = match family {
        Family::Gemma3 => {
            (1.0 / settings.float("query_pre_attn_scalar", Some(256.0))?.sqrt()) as f32
        }
        _ => (1.0 / (d_head as f64).sqrt()) as f32,
    };
    let config = Config {
        family,
        n_layers,
        d_model,
        n_heads,
        n_kv_heads,
        d_head,
        d_ff: settings.size("intermediate_size", default(9216))?,
        vocab_size,
        context_length: settings.size("max_position_embeddings", default(131_072))?,
        norm_eps: settings.float("rms_norm_eps", Some(1e-6))? as f32,
        norm_offset: match family {
            Family::Gemma3 => 1.0,
            _ => 0.0,
        },
        rope_theta: rope.theta,
        rope_scaling: rope.scaling,
        rope_theta_local: rope.theta_local,
        rope_pairing: RopePairing::Halves,
        sliding_window,
        sliding_layers,
        attention_scale,
        embedding_scale: match family {
            Family::Gemma3 => (d_model as f32).sqrt(),
            _ => 1.0,
        },
        qkv_bias: family == Family::Qwen2,
        qk_norm: matches!(family, Family::Qwen3 | Family::Gemma3),
        post_norms: family == Family::Gemma3,
        activation: match family {
            Family::Gemma3 => Activation::GeluTanh,
            _ => Activation::Silu,
        },
        tied_embeddings: tied(&settings, &top, family)?,
        bos_id: settings
            .token_ids("bos_token_id", vocab_size)?
            .first()
            .copied(),
        eos_ids: eos_ids(&settings, &top, generation, vocab_size)?,
    };
    config.check(path)?;
    Ok(config)
}

fn architecture<'a>(top: &Settings<'a>) -> Result<&'a str, CheckpointError> {
    let first = top.json.get("architectures").and_then(|list| list.get(0));
    first
        .and_then(Value::as_str)
        .ok_or_else(|| top.wrong("architectures", "a list of one name", "none"))
}

fn refuse_what_is_not_computed(
    settings: &Settings<'_>,
    top: &Settings<'_>,
    family: Family,
    architecture: &str,
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
    let flags: &[&str] = match family {
        Family::Qwen2 => &["mlp_bias"],
        _ => &["mlp_bias", "attention_bias", "use_bidirectional_attention"],
    };
    for flag in flags {
        if settings.bool(flag)?.unwrap_or(false) {
            return refuse(format!("`{flag}`"));
        }
    }
    for cap in ["final_logit_softcapping", "attn_logit_softcapping"] {
        if !settings.is_null(cap) {
            return refuse(format!("`{cap}`"));
        }
    }
    if architecture == "MistralForCausalLM" && !settings.is_null("sliding_window") {
        return refuse("a Mistral model with an attention window (`sliding_window`)".into());
    }
    let (key, expected) = match family {
        Family::Gemma3 => ("hidden_activation", "gelu_pytorch_tanh"),
        _ => ("hidden_act", "silu"),
    };
    match settings.json.get(key).and_then(Value::as_str) {
        Some(found) if found != expected => refuse(format!("the activation `{found}`")),
        _ => Ok(()),
    }
}

fn tied(
    settings: &Settings<'_>,
    top: &Settings<'_>,
    family: Family,
) -> Result<bool, CheckpointError> {
    let key = "tie_word_embeddings";
    let stated = settings.bool(key)?.or(top.bool(key)?);
    Ok(stated.unwrap_or(family == Family::Gemma3))
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
        Family::Llama => false,
        Family::Qwen2 | Family::Qwen3 => settings.bool("use_sliding_window")?.unwrap_or(false),
        Family::Gemma3 => true,
    };
    let default = (family == Family::Gemma3).then_some(4096);
    if !uses_window || (settings.is_null("sliding_window") && default.is_none()) {
        return Ok((None, Vec::new()));
    }
    let window = settings.size("sliding_window", default)?;
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

struct Rope {
    theta: f64,
    theta_local: Option<f64>,
    scaling: RopeScaling,
}

fn rope(settings: &Settings<'_>, family: Family) -> Result<Rope, CheckpointError> {
    let nested = |parent: Option<&'_ Value>, key: &str| -> Option<Value> {
        parent
            .and_then(|v| v.get(key))
            .filter(|v| !v.is_null())
            .cloned()
    };
    let parameters = settings.json.get("rope_parameters");
    // Gemma 3 has one set per kind of layer.
    let full = nested(parameters, "full_attention");
    let local = nested(parameters, "sliding_attention");
    let empty = Value::Object(serde_json::Map::new());
    let full = full.as_ref().or(parameters).unwrap_or(&empty);
    let full = Settings {
        path: settings.path,
        json: full,
    };
    let default_theta = match family {
        Family::Gemma3 => 1_000_000.0,
        _ => 10_000.0,
    };
    let theta = if full.is_null("rope_theta") {
        settings.float("rope_theta", Some(default_theta))?
    } else {
        full.float("rope_theta", None)?
    };
    let theta_local = match (family, local) {
        (Family::Gemma3, Some(json)) => {
            let local = Settings {
                path: settings.path,
                json: &json,
            };
            Some(local.float("rope_theta", Some(10_000.0))?)
        }
        (Family::Gemma3, None) => Some(settings.float("rope_local_base_freq", Some(10_000.0))?),
        _ => None,
    };
    let scaling = match settings.json.get("rope_scaling") {
        Some(json) if !json.is_null() => scaling(
            &Settings {
                path: settings.path,
                json,
            },
            settings,
        )?,
        _ => scaling(&full, settings)?,
    };
    Ok(Rope {
        theta,
        theta_local,
        scaling,
    })
}

fn scaling(rope: &Settings<'_>, settings: &Settings<'_>) -> Result<RopeScaling, CheckpointError> {
    let kind = rope.json.get("rope_type").or_else(|| rope.json.get("type"));
    match kind.and_then(Value::as_str).unwrap_or("default") {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear {
            factor: rope.float("factor", None)?,
        }),
        "llama3" => {
            let (low, high) = (
                rope.float("low_freq_factor", None)?,
                rope.float("high_freq_factor", None)?,
            );
            if low >= high {
                let expected = format!("more than low_freq_factor, {low}");
                return Err(rope.wrong("high_freq_factor", &expected, &high.to_string()));
            }
            Ok(RopeScaling::Llama3 {
                factor: rope.float("factor", None)?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_context_length: rope.size("original_max_position_embeddings", None)?,
            })
        }
        other => Err(CheckpointError::Unsupported {
            path: settings.path.to_owned(),
            what: format!("rotary scaling `{other}`"),
        }),
    }
}

/// Typed access to JSON settings; errors name the key.
struct Settings<'a> {
    path: &'a Path,
    json: &'a Value,
}

impl Settings<'_> {
    fn wrong(&self, key: &str, expected: &str, found: &str) -> CheckpointError {
        CheckpointError::Setting {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    fn is_null(&self, key: &str) -> bool {
        self.json.get(key).is_none_or(Value::is_null)
    }

    /// From 1 to 2³¹ − 1.
    fn size(&self, key: &str, default: Option<usize>) -> Result<usize, CheckpointError> {
        let expected = "a size from 1 to 2147483647";
        match (self.json.get(key), default) {
            (None | Some(Value::Null), Some(default)) => Ok(default),
            (None | Some(Value::Null), None) => Err(self.wrong(key, expected, "nothing")),
            (Some(value), _) => match value.as_u64() {
                Some(n) if (1..=i32::MAX as u64).contains(&n) => Ok(n as usize),
                _ => Err(self.wrong(key, expected, &value.to_string())),
            },
        }
    }

    fn float(&self, key: &str, default: Option<f64>) -> Result<f64, CheckpointError> {
        let expected = "a number above 0";
        match (self.json.get(key), default) {
            (None | Some(Value::Null), Some(default)) => Ok(default),
            (None | Some(Value::Null), None) => Err(self.wrong(key, expected, "nothing")),
            (Some(value), _) => match value.as_f64() {
                Some(x) if x.is_finite() && x > 0.0 => Ok(x),
                _ => Err(self.wrong(key, expected, &value.to_string())),
            },
        }
    }

    fn bool(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(value) => Err(self.wrong(key, "true or false", &value.to_string())),
        }
    }

    /// One id or a list of them; nothing is an empty list.
    fn token_ids(&self, key: &str, vocab_size: usize) -> Result<Vec<u32>, CheckpointError> {
        let wrong = |value: &Value| {
            let expected = format!("token ids below {vocab_size}");
            self.wrong(key, &expected, &value.to_string())
        };
        let id = |value: &Value| match value.as_u64() {
            Some(id) if id < vocab_size as u64 => Ok(id as u32),
            _ => Err(wrong(value)),
        };
        match self.json.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(id).collect(),
            Some(value) => Ok(vec![id(value)?]),
        }
    }
}
