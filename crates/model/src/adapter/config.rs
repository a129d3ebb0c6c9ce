//! `adapter_config.json`: how the tensors of an adapter are to be read.
//!
//! What would change a number and is not computed is refused by name; so is every setting that is
//! not known and says something.
//!
//! Source: `LoraConfig`, `TrainableTokensConfig` and `get_pattern_key` of PEFT 0.21.

use std::path::Path;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::AdapterError;

/// Settings that change nothing when an adapter is used, or that speak of its training.
const WITHOUT_EFFECT: [&str; 22] = [
    "auto_mapping",
    "bias", // the biases themselves are stored
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out", // both ways are stored alike
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "unsloth_fixed",
    "unsloth_version",
    "init_weights",
];

/// Settings that are read.
const READ: [&str; 15] = [
    "peft_type",
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "target_modules",
    "modules_to_save",
    "trainable_token_indices",
    "token_indices",
    "layers_to_transform",
    "ensure_weight_tying",
    "init_lora_weights",
    "lora_bias",
];

/// Patterns of ranks and alphas: at most so many.
const MAX_PATTERNS: usize = 10_000;
/// Bytes of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 64 << 10;

/// Which rows of which embedding are trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenRows {
    /// End of the module's name; `None`: the embedding, whatever its name.
    pub(super) module: Option<String>,
    /// In the order of the stored rows.
    pub(super) ids: Vec<usize>,
}

/// Which modules have low-rank changes.
#[derive(Debug)]
pub(super) enum Targets {
    Any,
    /// Names, or ends of names.
    Names(Vec<String>),
    /// A pattern for whole names.
    Pattern(Regex),
}

/// An adapter's settings.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    rank: usize,
    alpha: f64,
    rank_pattern: Vec<(Regex, usize)>,
    alpha_pattern: Vec<(Regex, f64)>,
    rs: bool,
    pub(super) dora: bool,
    pub(super) targets: Targets,
    /// Blocks that have changes; `None`: all.
    pub(super) layers: Option<Vec<usize>>,
    /// Whether some modules that `targets` names may be left out.
    pub(super) excludes: bool,
    pub(super) saved: Vec<String>,
    pub(super) tokens: Vec<TokenRows>,
    /// Whether a tied output layer follows the embedding.
    pub(super) keeps_tied: bool,
    /// The model that it was made for, as it says.
    pub(super) made_for: Option<String>,
}

impl AdapterConfig {
    /// Reads the settings; `path` is for messages.
    pub(super) fn parse(path: &Path, json: &Value) -> Result<Self, AdapterError> {
        let read = Read { path, json };
        if !json.is_object() {
            return Err(read.wrong("(all)", "an object", json));
        }
        let kind = json.get("peft_type").and_then(Value::as_str);
        let tokens_only = match kind {
            Some("LORA") => false,
            Some("TRAINABLE_TOKENS") => true,
            Some(other) => return Err(read.unsupported(format!("the kind of adapter `{other}`"))),
            None => return Err(read.wrong("peft_type", "`LORA`", read.get("peft_type"))),
        };
        read.refuse_what_is_not_computed()?;
        let tokens = if tokens_only {
            let modules = read.names("target_modules")?;
            let ids = read.ids("token_indices", read.get("token_indices"))?;
            if modules.is_empty() {
                vec![TokenRows { module: None, ids }]
            } else {
                let of = |module| TokenRows {
                    module: Some(module),
                    ids: ids.clone(),
                };
                modules.into_iter().map(of).collect()
            }
        } else {
            read.tokens()?
        };
        Ok(Self {
            rank: read.size("r", read.get("r"), Some(8))?,
            alpha: read.number("lora_alpha", read.get("lora_alpha"), Some(8.0))?,
            rank_pattern: read
                .patterns("rank_pattern", |key, value| read.size(key, value, None))?,
            alpha_pattern: read
                .patterns("alpha_pattern", |key, value| read.number(key, value, None))?,
            rs: read.bool("use_rslora")?,
            dora: read.bool("use_dora")?,
            targets: if tokens_only {
                Targets::Any
            } else {
                read.targets()?
            },
            layers: read.layers()?,
            excludes: !is_nothing(read.get("exclude_modules")),
            saved: read.names("modules_to_save")?,
            tokens,
            keeps_tied: read.bool("ensure_weight_tying")?,
            made_for: json
                .get("base_model_name_or_path")
                .and_then(Value::as_str)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        })
    }

    /// Rank of the module's change.
    pub(super) fn rank(&self, module: &str) -> usize {
        let pattern = self.rank_pattern.iter().find(|(p, _)| p.is_match(module));
        pattern.map_or(self.rank, |(_, rank)| *rank)
    }

    /// What the module's low-rank product is multiplied by: α / r, or α / √r.
    pub(super) fn scale(&self, module: &str) -> f32 {
        let pattern = self.alpha_pattern.iter().find(|(p, _)| p.is_match(module));
        let alpha = pattern.map_or(self.alpha, |(_, alpha)| *alpha);
        let rank = self.rank(module) as f64;
        (alpha / if self.rs { rank.sqrt() } else { rank }) as f32
    }

    /// Whether `targets` names the module.
    pub(super) fn targets(&self, module: &str) -> bool {
        match &self.targets {
            Targets::Any => true,
            Targets::Names(names) => names.iter().any(|name| ends_with(module, name)),
            Targets::Pattern(pattern) => pattern.is_match(module),
        }
    }

    /// Whether the module has a copy of its own, trained as a whole.
    pub(super) fn saves(&self, module: &str) -> bool {
        self.saved.iter().any(|name| ends_with(module, name))
    }
}

/// Whether `end` is the module's name or its last parts.
pub(super) fn ends_with(module: &str, end: &str) -> bool {
    module
        .strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a setting says nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

/// Typed access to the settings; errors name the key.
#[derive(Clone, Copy)]
struct Read<'a> {
    path: &'a Path,
    json: &'a Value,
}

impl<'a> Read<'a> {
    fn get(&self, key: &str) -> &'a Value {
        self.json.get(key).unwrap_or(&Value::Null)
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> AdapterError {
        let mut found: String = match found {
            Value::Null => "nothing".into(),
            found => found.to_string().chars().take(200).collect(),
        };
        if found.chars().count() == 200 {
            found.push('…');
        }
        AdapterError::Setting {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found,
        }
    }

    fn unsupported(&self, what: String) -> AdapterError {
        AdapterError::Unsupported {
            path: self.path.to_owned(),
            what,
        }
    }

    fn refuse_what_is_not_computed(&self) -> Result<(), AdapterError> {
        let settings = self.json.as_object().into_iter().flatten();
        for (key, value) in settings {
            let known = READ.contains(&key.as_str()) || WITHOUT_EFFECT.contains(&key.as_str());
            if !known && !is_nothing(value) {
                return Err(self.unsupported(format!("the setting `{key}`")));
            }
        }
        if self.bool("lora_bias")? {
            return Err(self.unsupported("the setting `lora_bias`".into()));
        }
        match self.get("init_lora_weights") {
            Value::Null | Value::Bool(_) => Ok(()),
            Value::String(how) if matches!(how.as_str(), "gaussian" | "eva" | "orthogonal") => {
                Ok(())
            }
            // These change the model's own weights before training, and loading must do it again.
            Value::String(how) => {
                Err(self.unsupported(format!("the setting `init_lora_weights: {how}`")))
            }
            other => Err(self.wrong("init_lora_weights", "true, false or a name", other)),
        }
    }

    fn bool(&self, key: &str) -> Result<bool, AdapterError> {
        match self.get(key) {
            Value::Null => Ok(false),
            Value::Bool(b) => Ok(*b),
            other => Err(self.wrong(key, "true or false", other)),
        }
    }

    fn size(
        &self,
        key: &str,
        value: &Value,
        default: Option<usize>,
    ) -> Result<usize, AdapterError> {
        match (value, default) {
            (Value::Null, Some(default)) => Ok(default),
            _ => match value.as_u64() {
                Some(n) if (1..=i32::MAX as u64).contains(&n) => Ok(n as usize),
                _ => Err(self.wrong(key, "a rank from 1 to 2147483647", value)),
            },
        }
    }

    fn number(&self, key: &str, value: &Value, default: Option<f64>) -> Result<f64, AdapterError> {
        match (value, default) {
            (Value::Null, Some(default)) => Ok(default),
            _ => match value.as_f64() {
                Some(x) if (x as f32).is_finite() => Ok(x),
                _ => Err(self.wrong(key, "a finite number", value)),
            },
        }
    }

    /// A list of names, or one.
    fn names(&self, key: &str) -> Result<Vec<String>, AdapterError> {
        let expected = "a list of names";
        match self.get(key) {
            Value::Null => Ok(Vec::new()),
            Value::String(name) => Ok(vec![name.clone()]),
            Value::Array(names) => names
                .iter()
                .map(|name| match name.as_str() {
                    Some(name) if !name.is_empty() => Ok(name.to_owned()),
                    _ => Err(self.wrong(key, expected, name)),
                })
                .collect(),
            other => Err(self.wrong(key, expected, other)),
        }
    }

    fn ids(&self, key: &str, value: &Value) -> Result<Vec<usize>, AdapterError> {
        let expected = "a list of token ids";
        let list = value.as_array();
        let list = list.ok_or_else(|| self.wrong(key, expected, value))?;
        list.iter()
            .map(|id| match id.as_u64() {
                Some(id) if u32::try_from(id).is_ok() => Ok(id as usize),
                _ => Err(self.wrong(key, expected, id)),
            })
            .collect()
    }

    fn tokens(&self) -> Result<Vec<TokenRows>, AdapterError> {
        let key = "trainable_token_indices";
        match self.get(key) {
            Value::Null => Ok(Vec::new()),
            Value::Object(modules) => modules
                .iter()
                .map(|(module, ids)| {
                    let ids = self.ids(key, ids)?;
                    let module = Some(module.clone());
                    Ok(TokenRows { module, ids })
                })
                .collect(),
            ids => Ok(vec![TokenRows {
                module: None,
                ids: self.ids(key, ids)?,
            }]),
        }
    }

    fn targets(&self) -> Result<Targets, AdapterError> {
        let key = "target_modules";
        Ok(match self.get(key) {
            Value::Null => Targets::Any,
            Value::String(all) if all == "all-linear" => Targets::Any,
            Value::String(pattern) => {
                Targets::Pattern(self.pattern(key, pattern, &format!("^(?:{pattern})$"))?)
            }
            _ => Targets::Names(self.names(key)?),
        })
    }

    fn layers(&self) -> Result<Option<Vec<usize>>, AdapterError> {
        let key = "layers_to_transform";
        match self.get(key) {
            Value::Null => Ok(None),
            Value::Array(list) if list.is_empty() => Ok(None),
            value @ Value::Array(_) => self.ids(key, value).map(Some),
            one => self.ids(key, &Value::Array(vec![one.clone()])).map(Some),
        }
    }

    /// Values by patterns of module names, in the file's order: the first that fits counts.
    fn patterns<T>(
        &self,
        key: &str,
        value: impl Fn(&str, &Value) -> Result<T, AdapterError>,
    ) -> Result<Vec<(Regex, T)>, AdapterError> {
        let expected = format!("an object of at most {MAX_PATTERNS} patterns");
        let by_pattern = match self.get(key) {
            Value::Null => return Ok(Vec::new()),
            Value::Object(by_pattern) if by_pattern.len() <= MAX_PATTERNS => by_pattern,
            other => return Err(self.wrong(key, &expected, other)),
        };
        by_pattern
            .iter()
            .map(|(pattern, of)| {
                let whole = format!(r"^(?:.*\.)?(?:{pattern})$");
                let pattern_key = format!("{key}.{pattern}");
                Ok((
                    self.pattern(key, pattern, &whole)?,
                    value(&pattern_key, of)?,
                ))
            })
            .collect()
    }

    fn pattern(&self, key: &str, given: &str, whole: &str) -> Result<Regex, AdapterError> {
        let built = RegexBuilder::new(whole)
            .size_limit(MAX_PATTERN_BYTES)
            .build();
        built.map_err(|_| {
            let given = Value::String(given.to_owned());
            self.wrong(
                key,
                "a pattern without look-around, of moderate size",
                &given,
            )
        })
    }
}

#[cfg(test)]
mod tests;
