//! A tokenizer from a Hugging Face folder: `tokenizer.json`, and beside it
//! `tokenizer_config.json` (BOS, EOS, template), `chat_template.jinja`, `config.json` and
//! `generation_config.json`.
//!
//! Whether BOS is added: `add_bos_token` of `tokenizer_config.json` where it is given, else what
//! the post-processor of `tokenizer.json` does, as in transformers 5.

use std::collections::BTreeSet;
use std::path::Path;

use isogloss_record::files;
use serde_json::Value;
use tokenizers::Tokenizer as HfTokenizer;

use super::{Engine, Tokenizer, TokenizerError, merges};
use crate::checkpoint::hf_config::read_json;

pub(crate) fn open(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        return Err(TokenizerError::None {
            path: folder.to_owned(),
            expected: "tokenizer.json".into(),
        });
    }
    let bytes = files::read(&path)?;
    let damaged = |what: &str, expected: &str, found: String| TokenizerError::Damaged {
        path: path.clone(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    merges::check(&bytes)
        .map_err(|found| damaged("the merges", "pieces of the vocabulary", found))?;
    let mut tokenizer = HfTokenizer::from_bytes(&bytes)
        .map_err(|error| damaged("the file", "a tokenizer", error.to_string()))?;
    // A stored limit or padding would change what is measured without a word.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| damaged("the truncation", "none", error.to_string()))?;
    // A tokenizer without an unknown token fails on the first letter it lacks: try one here.
    tokenizer
        .encode_fast("\u{10FFFD}", false)
        .map_err(|error| {
            damaged(
                "the vocabulary",
                "a token for unknown text",
                error.to_string(),
            )
        })?;

    let settings = optional_json(folder, "tokenizer_config.json")?;
    let config = optional_json(folder, "config.json")?;
    let generation = optional_json(folder, "generation_config.json")?;
    let template_path = folder.join("chat_template.jinja");
    let template_file = if template_path.is_file() {
        Some(files::read_to_string(&template_path)?)
    } else {
        None
    };

    let text_of = |key: &str| -> Option<String> {
        let token = settings.get(key)?;
        let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
        Some(text.to_owned())
    };
    let id_of = |key: &str| tokenizer.token_to_id(&text_of(key)?);
    let first_added = tokenizer
        .encode_fast("", true)
        .ok()
        .and_then(|encoding| encoding.get_ids().first().copied());
    let bos = id_of("bos_token");
    let adds_bos = match settings.get("add_bos_token").and_then(Value::as_bool) {
        Some(adds_bos) => adds_bos,
        None => first_added.is_some() && (first_added == bos || bos.is_none()),
    };
    let bos = bos.or(first_added.filter(|_| adds_bos));
    let eos_ids: BTreeSet<u32> = id_of("eos_token")
        .into_iter()
        .chain(ids(&generation, "eos_token_id"))
        .chain(ids(&config, "eos_token_id"))
        .collect();

    let bos_eos_texts = (
        text_of("bos_token").unwrap_or_default(),
        text_of("eos_token").unwrap_or_default(),
    );

    let vocab = tokenizer.get_vocab(true);
    let n_vocab = vocab.values().max().map_or(0, |id| *id as usize + 1);
    let added = tokenizer.get_added_tokens_decoder();
    let ordinary = vocab.values().filter(|id| !added.contains_key(*id));
    let n_ordinary = ordinary.max().map_or(0, |id| *id as usize + 1);
    let special_ids = added
        .iter()
        .filter(|(_, token)| token.special)
        .map(|(id, _)| *id)
        .collect();
    let byte_level = is_byte_level(&tokenizer);
    let text_config = config.get("text_config").unwrap_or(&config);
    let context_length = text_config.get("max_position_embeddings");
    let chat_template = template_file.or_else(|| chat_template(&settings));
    let mut hash = blake3::Hasher::new();
    hash.update(&bytes);
    hash.update(settings.to_string().as_bytes());
    hash.update(chat_template.as_deref().unwrap_or_default().as_bytes());
    Ok(Tokenizer {
        path: folder.to_owned(),
        engine: Engine::Hf {
            tokenizer: Box::new(tokenizer),
            byte_level,
        },
        n_vocab,
        n_ordinary,
        bos,
        adds_bos,
        eos_ids: eos_ids.into_iter().collect(),
        special_ids,
        context_length: context_length.and_then(Value::as_u64).map(|n| n as usize),
        chat_template,
        bos_eos_texts,
        fingerprint: hash.finalize().to_hex().to_string(),
    })
}

/// JSON of a file, or `null` where there is none.
fn optional_json(folder: &Path, name: &str) -> Result<Value, TokenizerError> {
    let path = folder.join(name);
    if path.is_file() {
        return Ok(read_json(&path)?);
    }
    Ok(Value::Null)
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

/// The template of `tokenizer_config.json`: a text, or the one named `default` of a list.
fn chat_template(settings: &Value) -> Option<String> {
    match settings.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(templates) => templates
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| Some(entry.get("template")?.as_str()?.to_owned())),
        _ => None,
    }
}

/// Whether the decoder, or the pre-tokenizer, is a byte-level one.
fn is_byte_level(tokenizer: &HfTokenizer) -> bool {
    let has_byte_level = |json: serde_json::Result<String>| {
        json.is_ok_and(|json| json.contains(r#""type":"ByteLevel""#))
    };
    match tokenizer.get_decoder() {
        Some(decoder) => has_byte_level(serde_json::to_string(decoder)),
        None => has_byte_level(serde_json::to_string(&tokenizer.get_pre_tokenizer())),
    }
}

/// Bytes that a byte-level piece spells: GPT-2 writes each byte as a visible letter.
///
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 to U+0143, in order.
/// Source: `bytes_to_unicode` of GPT-2's `encoder.py`.
pub(crate) fn bytes_of_letters(piece: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len());
    for letter in piece.chars() {
        match letter {
            '!'..='~' | '¡'..='¬' | '®'..='ÿ' => bytes.push(letter as u8),
            'Ā'..='Ń' => bytes.push(unprintable(letter as usize - 0x100)),
            // Not written by the scheme: the letter itself.
            _ => bytes.extend(letter.to_string().as_bytes()),
        }
    }
    bytes
}

/// The `n`-th byte that is not printable in Latin-1: 0–32, 127–160, 173.
fn unprintable(n: usize) -> u8 {
    match n {
        0..=32 => n as u8,
        33..=66 => (n - 33 + 127) as u8,
        _ => 173,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_the_inverse_of_the_byte_level_alphabet() {
        use tokenizers::PreTokenizer;
        use tokenizers::pre_tokenizers::byte_level::ByteLevel;
        use tokenizers::tokenizer::PreTokenizedString;
        let text = "Aé ก\u{AD}\u{7F}\n🙂 e\u{301}";
        let mut pretokenized = PreTokenizedString::from(text);
        ByteLevel::new(false, false, false)
            .pre_tokenize(&mut pretokenized)
            .unwrap();
        let pieces = pretokenized.get_splits(
            tokenizers::tokenizer::OffsetReferential::Original,
            tokenizers::tokenizer::OffsetType::Byte,
        );
        let letters: String = pieces.iter().map(|(piece, _, _)| *piece).collect();
        assert_eq!(bytes_of_letters(&letters), text.as_bytes());
        assert_eq!(bytes_of_letters("Ġthe"), b" the");
        let all: BTreeSet<u8> = ('\u{0}'..='\u{143}')
            .flat_map(|c| bytes_of_letters(&c.to_string()))
            .collect();
        assert_eq!(all.len(), 256);
    }
}
