//! `tokenizer.json`, by the `tokenizers` crate: byte pairs, unigram, WordPiece, word level, with
//! every normalizer, pre-tokenizer, post-processor and decoder that it knows.
//!
//! Whether BOS is added: `add_bos_token` of `tokenizer_config.json` where it is given, else what
//! the post-processor does, as in transformers 5.

use std::path::Path;

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::Precompiled;
use tokenizers::{Model, Tokenizer as HfTokenizer};

use super::error::damaged;
use super::folder::Settings;
use super::{Engine, Parts, Pieces, TokenizerError, merges};

/// A tokenizer of the file's bytes and the settings beside it.
pub(crate) fn of_json(
    path: &Path,
    bytes: &[u8],
    settings: &Settings,
) -> Result<Parts, TokenizerError> {
    let damaged = |what: &str, expected: &str, found: String| damaged(path, what, expected, &found);
    normalizers(bytes).map_err(|error| damaged("the file", "JSON", error.to_string()))?;
    templates(bytes)
        .map_err(|found| damaged("the post-processor", "templates of known tokens", found))?;
    merges::check(bytes)
        .map_err(|found| damaged("the merges", "pieces of the vocabulary", found))?;
    let mut tokenizer = HfTokenizer::from_bytes(bytes)
        .map_err(|error| damaged("the file", "a tokenizer", error.to_string()))?;
    // A stored limit or padding would change what is measured without a word.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| damaged("the truncation", "none", error.to_string()))?;
    // Merges left out at random are for training.
    if let ModelWrapper::BPE(bpe) = tokenizer.get_model()
        && bpe.dropout.is_some()
    {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        tokenizer.with_model(bpe);
    }
    // A tokenizer without an unknown token would fail on the first letter it lacks.
    unknown_token(tokenizer.get_model(), bytes)
        .map_err(|found| damaged("the vocabulary", "a token for unknown text", found))?;
    tokenizer
        .encode_fast("\u{10FFFD}", false)
        .map_err(|error| damaged("the tokenizer", "one that runs", error.to_string()))?;
    let id_of = |key: &str| tokenizer.token_to_id(&settings.token_text(key)?);
    let first_added = tokenizer
        .encode_fast("", true)
        .ok()
        .and_then(|encoding| encoding.get_ids().first().copied());
    let bos = id_of("bos_token");
    let adds_bos = match settings.flag("add_bos_token") {
        Some(adds_bos) => adds_bos,
        None => first_added.is_some() && (first_added == bos || bos.is_none()),
    };
    let vocab = tokenizer.get_vocab(true);
    let added = tokenizer.get_added_tokens_decoder();
    let ordinary = vocab.values().filter(|id| !added.contains_key(*id));
    let special = added.iter().filter(|(_, token)| token.special);
    Ok(Parts {
        n_ordinary: ordinary.max().map_or(0, |id| *id as usize + 1),
        bos: bos.or(first_added.filter(|_| adds_bos)),
        adds_bos,
        eos: id_of("eos_token"),
        // The post-processor knows.
        after: Vec::new(),
        between: Vec::new(),
        special_ids: special.map(|(id, _)| *id).collect(),
        engine: Engine::Hf {
            pieces: pieces(&tokenizer),
            tokenizer: Box::new(tokenizer),
        },
    })
}

/// The crate ends the process on a table of normalization rules that it cannot read, and on a
/// decoder that is no JSON.
fn normalizers(json: &[u8]) -> serde_json::Result<()> {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        normalizer: Value,
        /// Read for its errors alone.
        #[serde(default, rename = "decoder")]
        _decoder: Value,
    }
    let file = serde_json::from_slice::<File>(json)?;
    let mut to_see = vec![&file.normalizer];
    while let Some(normalizer) = to_see.pop() {
        match normalizer {
            Value::Array(list) => to_see.extend(list),
            Value::Object(entries) => {
                if entries.get("type").and_then(Value::as_str) == Some("Precompiled") {
                    // As the crate does: the charsmap is read from text.
                    serde_json::from_str::<Precompiled>(&normalizer.to_string())?;
                }
                to_see.extend(entries.values());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The crate ends the process where a template of the post-processor names a token that the file does
/// not describe, or a second text where there is one. `Err`: what is amiss.
fn templates(json: &[u8]) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        post_processor: Value,
    }
    let file = serde_json::from_slice::<File>(json).map_err(|error| error.to_string())?;
    let mut to_see = vec![&file.post_processor];
    while let Some(value) = to_see.pop() {
        match value {
            Value::Array(list) => to_see.extend(list),
            Value::Object(entries) => {
                template(entries)?;
                to_see.extend(entries.values());
            }
            _ => {}
        }
    }
    Ok(())
}

/// One post-processor, if it is of templates.
fn template(entries: &serde_json::Map<String, Value>) -> Result<(), String> {
    let Some(tokens) = entries.get("special_tokens").and_then(Value::as_object) else {
        return Ok(());
    };
    for (name, token) in tokens {
        let n = |key: &str| token.get(key).and_then(Value::as_array).map(Vec::len);
        if n("ids") != n("tokens") {
            return Err(format!(
                "`{name}`, whose `ids` and `tokens` differ in length"
            ));
        }
    }
    for kind in ["single", "pair"] {
        let pieces = entries.get(kind).and_then(Value::as_array);
        for piece in pieces.into_iter().flatten() {
            let id = |key: &str| piece.get(key)?.get("id")?.as_str();
            if let Some(name) = id("SpecialToken").filter(|name| !tokens.contains_key(*name)) {
                return Err(format!(
                    "`{name}`, which `special_tokens` does not describe"
                ));
            }
            if kind == "single" && id("Sequence") == Some("B") {
                return Err("a second text in the template of one".into());
            }
        }
    }
    Ok(())
}

/// Whether text that no piece fits has a token, or is dropped; else what is amiss.
fn unknown_token(model: &ModelWrapper, json: &[u8]) -> Result<(), String> {
    let (name, is_there) = match model {
        ModelWrapper::BPE(bpe) => match &bpe.unk_token {
            None => return Ok(()),
            Some(name) => (name, bpe.token_to_id(name).is_some()),
        },
        ModelWrapper::WordPiece(model) => (
            &model.unk_token,
            model.token_to_id(&model.unk_token).is_some(),
        ),
        ModelWrapper::WordLevel(model) => (
            &model.unk_token,
            model.token_to_id(&model.unk_token).is_some(),
        ),
        ModelWrapper::Unigram(_) => {
            let is_named = merges::has_unknown_id(json);
            return is_named.then_some(()).ok_or_else(|| "no `unk_id`".into());
        }
    };
    is_there
        .then_some(())
        .ok_or_else(|| format!("no piece `{name}`"))
}

/// How pieces spell text, by the decoder, or by the pre-tokenizer and the model.
fn pieces(tokenizer: &HfTokenizer) -> Pieces {
    let has = |json: serde_json::Result<String>, kind: &str| {
        json.is_ok_and(|json| json.contains(&format!(r#""type":"{kind}""#)))
    };
    let Some(decoder) = tokenizer.get_decoder() else {
        let pre_tokenizer = serde_json::to_string(&tokenizer.get_pre_tokenizer());
        return match tokenizer.get_model() {
            _ if has(pre_tokenizer, "ByteLevel") => Pieces::ByteLetters,
            ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => Pieces::Words,
            _ => Pieces::Letters,
        };
    };
    let has = |kind: &str| has(serde_json::to_string(decoder), kind);
    if has("ByteLevel") {
        Pieces::ByteLetters
    } else if has("WordPiece") {
        Pieces::Words
    } else if has("BPEDecoder") {
        Pieces::WordEnds
    } else {
        Pieces::Letters
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
    use std::collections::BTreeSet;

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
