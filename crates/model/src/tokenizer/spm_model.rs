//! SentencePiece's own file (`tokenizer.model`, `spiece.model`, `sentencepiece.bpe.model`), in a
//! folder without `tokenizer.json`.
//!
//! The file is a protocol buffer: pieces with scores and kinds, the trainer's settings (which
//! model, the special ids, byte fallback), the normalizer's. What the model's class makes of it
//! stands beside it: Llama puts BOS before a text, T5 an end after it and a hundred sentinels after
//! the pieces, XLM-R orders the special tokens as fairseq did.
//!
//! Source: `sentencepiece_model.proto`; `tokenization_t5.py`, `tokenization_xlm_roberta.py` and
//! `convert_slow_tokenizer.py` of transformers.

use std::collections::BTreeMap;
use std::path::Path;

use super::added::AddedTokens;
use super::charsmap::Charsmap;
use super::error::damaged;
use super::folder::Settings;
use super::normalizer::{DummySpace, Normalizer};
use super::protobuf::{Field, fields};
use super::spm::{self, Algorithm, Spm, token_type};
use super::unigram::Unigram;
use super::{Engine, Parts, TokenizerError};

/// What the file says.
struct Model {
    /// Text, kind and score, by id.
    pieces: Vec<(String, i64, f32)>,
    /// 1 unigram, 2 byte pairs, 3 words, 4 letters.
    algorithm: u64,
    space_is_suffix: bool,
    byte_fallback: bool,
    /// `None`: the model has none.
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_spaces: bool,
    escape_spaces: bool,
}

/// Whose conventions hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Llama,
    T5,
    XlmRoberta,
}

/// A tokenizer of the file's bytes and what stands beside it.
pub(crate) fn of_bytes(
    path: &Path,
    bytes: &[u8],
    settings: &Settings,
) -> Result<Parts, TokenizerError> {
    let model =
        parse(bytes).map_err(|found| damaged(path, "the file", "a SentencePiece model", &found))?;
    if model.pieces.is_empty() {
        return Err(damaged(path, "the pieces", "a list", "none"));
    }
    let class = class(path, settings)?;
    let mut model = match class {
        Class::XlmRoberta => in_order_of_fairseq(model),
        Class::Llama | Class::T5 => model,
    };
    let mut added = settings.added_tokens();
    if class == Class::T5 {
        let n = settings
            .tokenizer
            .get("extra_ids")
            .and_then(serde_json::Value::as_u64);
        let n = u32::try_from(n.unwrap_or(100))
            .unwrap_or(u32::MAX)
            .min(1000);
        let n_pieces = model.pieces.len() as u32;
        // The last one has the first id.
        for nth in 0..n {
            let id = n_pieces + n - 1 - nth;
            added
                .entry(id)
                .or_insert_with(|| (format!("<extra_id_{nth}>"), true));
        }
    }
    let mut special: Vec<u32> = Vec::new();
    for ((text, kind, _), id) in model.pieces.iter().zip(0..) {
        if matches!(*kind, token_type::CONTROL | token_type::UNKNOWN) {
            special.push(id);
            if !text.is_empty() {
                added.entry(id).or_insert_with(|| (text.clone(), true));
            }
        }
    }
    special.extend(
        added
            .iter()
            .filter(|(_, (_, is_special))| *is_special)
            .map(|(id, _)| *id),
    );
    let id_of = |model: &Model, text: &str| {
        let piece = model.pieces.iter().position(|(piece, _, _)| piece == text);
        let piece = piece.map(|id| id as u32);
        piece.or_else(|| Some(*added.iter().find(|(_, (token, _))| token == text)?.0))
    };
    let named = |key: &str| id_of(&model, &settings.token_text(key)?);
    let bos = named("bos_token").or(model.bos);
    let eos = named("eos_token").or(model.eos);
    let adds_bos = settings.flag("add_bos_token").unwrap_or(class != Class::T5);
    let adds_eos = settings
        .flag("add_eos_token")
        .unwrap_or(class != Class::Llama);
    let mut texts: Vec<String> = model
        .pieces
        .iter()
        .map(|(text, _, _)| text.clone())
        .collect();
    for (id, (text, _)) in &added {
        let at = *id as usize;
        // A token far beyond the pieces would make room for every id before it.
        if at > texts.len() + 100_000 {
            let found = format!("id {id}, {} pieces", texts.len());
            return Err(damaged(
                path,
                &format!("`{text}`"),
                "an id near the pieces",
                &found,
            ));
        }
        if at >= texts.len() {
            texts.resize(at + 1, String::new());
        }
        texts[at].clone_from(text);
    }
    let n_ordinary = model.pieces.len();
    let engine = Engine::Spm(model.engine(path, class, &added, texts)?);
    Ok(Parts {
        engine,
        n_ordinary,
        bos: bos.filter(|_| class != Class::T5),
        adds_bos,
        eos,
        after: eos.into_iter().filter(|_| adds_eos).collect(),
        between: match class {
            Class::XlmRoberta => eos.into_iter().collect(),
            Class::Llama | Class::T5 => Vec::new(),
        },
        special_ids: special.into_iter().collect(),
    })
}

impl Model {
    fn engine(
        &mut self,
        path: &Path,
        class: Class,
        added: &BTreeMap<u32, (String, bool)>,
        texts: Vec<String>,
    ) -> Result<Spm, TokenizerError> {
        let tokens = self
            .pieces
            .iter()
            .map(|(text, kind, score)| (text.as_str(), *kind, *score));
        let (pieces, bytes) = spm::pieces(tokens).map_err(|(id, text)| {
            let what = format!("byte token {id}");
            damaged(path, &what, "a text like `<0x0A>`", &format!("`{text}`"))
        })?;
        let kept = self.pieces.iter().zip(0..);
        let kept = kept.filter(|((_, kind, _), _)| *kind == token_type::USER_DEFINED);
        let kept = AddedTokens::new(kept.map(|((text, _, _), id)| (text.clone(), id)));
        let charsmap = Charsmap::parse(&self.charsmap)
            .map_err(|found| damaged(path, "`precompiled_charsmap`", "a trie", &found))?;
        let added = added.iter().map(|(id, (text, _))| (text.clone(), *id));
        Ok(Spm {
            texts,
            algorithm: match self.algorithm {
                1 => Algorithm::Unigram(Unigram::new(pieces)),
                2 => Algorithm::Bpe(spm::by_text(pieces)),
                4 => Algorithm::Char(spm::by_text(pieces)),
                other => {
                    return Err(TokenizerError::Unknown {
                        path: path.to_owned(),
                        what: "model_type",
                        found: other.to_string(),
                        known: "1 (unigram), 2 (byte pairs), 4 (letters)".into(),
                    });
                }
            },
            bytes: bytes.filter(|_| self.byte_fallback),
            unknown: self.unknown,
            added: AddedTokens::new(added),
            // As transformers 5, whatever the setting `legacy`.
            space_at_start_only: class == Class::Llama,
            normalizer: Normalizer {
                charsmap,
                dummy_space: match (self.add_dummy_prefix, self.space_is_suffix) {
                    (false, _) => DummySpace::None,
                    (true, false) => DummySpace::Before,
                    (true, true) => DummySpace::After,
                },
                remove_extra_spaces: self.remove_extra_spaces,
                escape_spaces: self.escape_spaces,
                kept,
            },
        })
    }
}

/// `<s>`, `<pad>`, `</s>`, `<unk>`, the pieces from the fourth on, `<mask>`.
fn in_order_of_fairseq(mut model: Model) -> Model {
    let special = |text: &str, kind| (text.to_owned(), kind, 0.0);
    let mut pieces = vec![
        special("<s>", token_type::CONTROL),
        special("<pad>", token_type::CONTROL),
        special("</s>", token_type::CONTROL),
        special("<unk>", token_type::UNKNOWN),
    ];
    pieces.extend(model.pieces.drain(..).skip(3));
    pieces.push(special("<mask>", token_type::CONTROL));
    Model {
        pieces,
        bos: Some(0),
        eos: Some(2),
        unknown: Some(3),
        ..model
    }
}

fn class(path: &Path, settings: &Settings) -> Result<Class, TokenizerError> {
    let text = |json: &serde_json::Value, key: &str| Some(json.get(key)?.as_str()?.to_owned());
    let name = text(&settings.tokenizer, "tokenizer_class");
    let model_type = text(&settings.config, "model_type");
    let known = [
        ("T5", Class::T5),
        ("XLMRoberta", Class::XlmRoberta),
        ("Llama", Class::Llama),
        ("Gemma", Class::Llama),
    ];
    if let Some(name) = &name
        && let Some((_, class)) = known.iter().find(|(part, _)| name.contains(part))
    {
        return Ok(*class);
    }
    match (name.as_deref(), model_type.as_deref()) {
        (None | Some("PreTrainedTokenizerFast"), Some("t5" | "mt5" | "umt5")) => Ok(Class::T5),
        (None | Some("PreTrainedTokenizerFast"), Some("xlm-roberta")) => Ok(Class::XlmRoberta),
        (None, None | Some("llama" | "gemma" | "gemma2" | "gemma3_text" | "mistral" | "phi3")) => {
            Ok(Class::Llama)
        }
        (name, model_type) => Err(TokenizerError::Unknown {
            path: path.to_owned(),
            what: "tokenizer class",
            found: name.or(model_type).unwrap_or_default().to_owned(),
            known: "Llama's, Gemma's, T5's and XLM-R's; or put a tokenizer.json beside it".into(),
        }),
    }
}

/// Fields of `ModelProto`; those that decide nothing are passed over.
fn parse(bytes: &[u8]) -> Result<Model, String> {
    let mut model = Model {
        pieces: Vec::new(),
        algorithm: 1,
        space_is_suffix: false,
        byte_fallback: false,
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        charsmap: Vec::new(),
        add_dummy_prefix: true,
        remove_extra_spaces: true,
        escape_spaces: true,
    };
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(piece)) => model.pieces.push(parse_piece(piece)?),
            (2, Field::Bytes(trainer)) => parse_trainer(trainer, &mut model)?,
            (3, Field::Bytes(normalizer)) => parse_normalizer(normalizer, &mut model)?,
            _ => {}
        }
    }
    // The ids of the settings are names for what the kinds say.
    let has = |id: &u32, kind: i64| model.pieces.get(*id as usize).is_some_and(|p| p.1 == kind);
    let unknown = model
        .pieces
        .iter()
        .position(|(_, kind, _)| *kind == token_type::UNKNOWN);
    model.unknown = unknown.map(|id| id as u32);
    model.bos = model.bos.filter(|id| has(id, token_type::CONTROL));
    model.eos = model.eos.filter(|id| has(id, token_type::CONTROL));
    Ok(model)
}

fn parse_piece(bytes: &[u8]) -> Result<(String, i64, f32), String> {
    let (mut text, mut kind, mut score) = (String::new(), 1, 0.0);
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(piece)) => {
                let piece = str::from_utf8(piece);
                let piece = piece.map_err(|_| "a piece that is no UTF-8".to_owned())?;
                piece.clone_into(&mut text);
            }
            (2, Field::Fixed32(bits)) => score = f32::from_bits(bits),
            (3, Field::Varint(number)) => kind = i64::try_from(number).unwrap_or(1),
            _ => {}
        }
    }
    if score.is_nan() {
        return Err(format!("the score of `{text}` is no number"));
    }
    Ok((text, kind, score))
}

fn parse_trainer(bytes: &[u8], model: &mut Model) -> Result<(), String> {
    // A negative id stands for none, and is 64 bits long.
    let id = |number: u64| u32::try_from(number).ok();
    for field in fields(bytes) {
        if let (number, Field::Varint(value)) = field? {
            match number {
                3 => model.algorithm = value,
                24 => model.space_is_suffix = value != 0,
                35 => model.byte_fallback = value != 0,
                41 => model.bos = id(value),
                42 => model.eos = id(value),
                _ => {}
            }
        }
    }
    Ok(())
}

fn parse_normalizer(bytes: &[u8], model: &mut Model) -> Result<(), String> {
    for field in fields(bytes) {
        match field? {
            (2, Field::Bytes(charsmap)) => model.charsmap = charsmap.to_vec(),
            (3, Field::Varint(value)) => model.add_dummy_prefix = value != 0,
            (4, Field::Varint(value)) => model.remove_extra_spaces = value != 0,
            (5, Field::Varint(value)) => model.escape_spaces = value != 0,
            _ => {}
        }
    }
    Ok(())
}
