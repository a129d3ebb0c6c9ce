//! A tokenizer from a model's folder: `tokenizer.json` or a SentencePiece model, and beside it
//! `tokenizer_config.json` (BOS, EOS, templates), `added_tokens.json`, `chat_template.jinja`,
//! `additional_chat_templates/*.jinja`, `config.json` and `generation_config.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use isogloss_record::files::{self, FileError};
use serde_json::Value;

use super::{Engine, Parts, Tokenizer, TokenizerError, hf, spm_model};
use crate::checkpoint::hf_config::read_json;

/// Names of SentencePiece models, in the order in which they are looked for.
const SENTENCE_PIECE: [&str; 4] = [
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
];
/// Name of the template that is used where none is asked for.
const DEFAULT: &str = "default";

/// What stands beside the pieces.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// `tokenizer_config.json`; `null` if there is none, as are the others.
    pub(crate) tokenizer: Value,
    pub(crate) config: Value,
    pub(crate) generation: Value,
    /// `added_tokens.json`: ids by text.
    pub(crate) added: Value,
    /// Templates of files of their own, by name.
    pub(crate) templates: BTreeMap<String, String>,
}

pub(crate) fn open(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let has = |name: &&str| folder.join(name).is_file();
    let json = Some("tokenizer.json").filter(has);
    let Some(name) = json.or_else(|| SENTENCE_PIECE.into_iter().find(|name| has(name))) else {
        return Err(TokenizerError::None {
            path: folder.to_owned(),
            expected: format!("tokenizer.json, or one of {}", SENTENCE_PIECE.join(", ")),
        });
    };
    let path = folder.join(name);
    let bytes = files::read(&path)?;
    let settings = Settings::read(folder)?;
    let parts = match json {
        Some(_) => hf::of_json(&path, &bytes, &settings)?,
        None => spm_model::of_bytes(&path, &bytes, &settings)?,
    };
    Ok(tokenizer(folder, &bytes, parts, &settings))
}

/// The tokenizer of its parts; `bytes` are those of the file of pieces.
pub(crate) fn tokenizer(
    folder: &Path,
    bytes: &[u8],
    parts: Parts,
    settings: &Settings,
) -> Tokenizer {
    let eos_ids: BTreeSet<u32> = parts
        .eos
        .into_iter()
        .chain(ids(&settings.generation, "eos_token_id"))
        .chain(ids(&settings.config, "eos_token_id"))
        .collect();
    let n_vocab = match &parts.engine {
        Engine::Hf { tokenizer, .. } => {
            let vocab = tokenizer.get_vocab(true);
            vocab.values().max().map_or(0, |id| *id as usize + 1)
        }
        Engine::Spm(spm) => spm.texts.len(),
        Engine::Longest(longest) => longest.len(),
    };
    let text_config = settings.config.get("text_config");
    let text_config = text_config.unwrap_or(&settings.config);
    let context_length = text_config.get("max_position_embeddings");
    let templates = settings.templates();
    let mut hash = blake3::Hasher::new();
    hash.update(bytes);
    hash.update(settings.tokenizer.to_string().as_bytes());
    if !settings.added.is_null() {
        hash.update(settings.added.to_string().as_bytes());
    }
    for (name, template) in &templates {
        if name != DEFAULT {
            hash.update(name.as_bytes());
        }
        hash.update(template.as_bytes());
    }
    Tokenizer {
        path: folder.to_owned(),
        n_vocab,
        n_ordinary: parts.n_ordinary,
        bos: parts.bos,
        adds_bos: parts.adds_bos,
        after: parts.after,
        between: parts.between,
        eos_ids: eos_ids.into_iter().collect(),
        special_ids: parts.special_ids,
        context_length: context_length.and_then(Value::as_u64).map(|n| n as usize),
        templates,
        bos_eos_texts: (
            settings.token_text("bos_token").unwrap_or_default(),
            settings.token_text("eos_token").unwrap_or_default(),
        ),
        fingerprint: hash.finalize().to_hex().to_string(),
        engine: parts.engine,
    }
}

impl Settings {
    fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let json = |name: &str| -> Result<Value, TokenizerError> {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(read_json(&path)?);
            }
            Ok(Value::Null)
        };
        let mut templates = BTreeMap::new();
        let path = folder.join("chat_template.jinja");
        if path.is_file() {
            templates.insert(DEFAULT.to_owned(), files::read_to_string(&path)?);
        }
        let others = folder.join("additional_chat_templates");
        if others.is_dir() {
            let entries = std::fs::read_dir(&others).map_err(FileError::at("list", &others))?;
            for entry in entries {
                let path = entry.map_err(FileError::at("list", &others))?.path();
                let name = path.file_stem().and_then(|name| name.to_str());
                let is_template = path.extension().is_some_and(|end| end == "jinja");
                if let (Some(name), true) = (name, is_template) {
                    templates.insert(name.to_owned(), files::read_to_string(&path)?);
                }
            }
        }
        Ok(Self {
            tokenizer: json("tokenizer_config.json")?,
            config: json("config.json")?,
            generation: json("generation_config.json")?,
            added: json("added_tokens.json")?,
            templates,
        })
    }

    /// A token of `tokenizer_config.json`: its text, or an object with `content`.
    pub(crate) fn token_text(&self, key: &str) -> Option<String> {
        let token = self.tokenizer.get(key)?;
        let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
        Some(text.to_owned())
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.tokenizer.get(key)?.as_bool()
    }

    /// Added tokens of `tokenizer_config.json` and `added_tokens.json`: text, and whether it is
    /// special, by id.
    pub(crate) fn added_tokens(&self) -> BTreeMap<u32, (String, bool)> {
        let mut tokens = BTreeMap::new();
        for (text, id) in self.added.as_object().into_iter().flatten() {
            if let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) {
                tokens.insert(id, (text.clone(), true));
            }
        }
        let decoder = self.tokenizer.get("added_tokens_decoder");
        for (id, token) in decoder.and_then(Value::as_object).into_iter().flatten() {
            if let (Ok(id), Some(text)) = (id.parse(), token["content"].as_str()) {
                let is_special = token["special"].as_bool().unwrap_or(false);
                tokens.insert(id, (text.to_owned(), is_special));
            }
        }
        tokens.retain(|_, (text, _)| !text.is_empty());
        tokens
    }

    /// Templates by name. A file's wins over one of `tokenizer_config.json`, which is a text, or
    /// a list of names and texts.
    fn templates(&self) -> BTreeMap<String, String> {
        let mut templates = BTreeMap::new();
        match self.tokenizer.get("chat_template") {
            Some(Value::String(template)) => {
                templates.insert(DEFAULT.to_owned(), template.clone());
            }
            Some(Value::Array(list)) => {
                let text = |entry: &Value, key: &str| Some(entry.get(key)?.as_str()?.to_owned());
                let entry = |entry| Some((text(entry, "name")?, text(entry, "template")?));
                templates.extend(list.iter().filter_map(entry));
            }
            _ => {}
        }
        templates.extend(self.templates.clone());
        templates
    }
}

/// One id or a list of them.
fn ids(json: &Value, key: &str) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match json.get(key) {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}
