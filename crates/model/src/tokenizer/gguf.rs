//! A tokenizer from GGUF metadata (`tokenizer.ggml.*`): kinds `gpt2` (byte-level byte-pair
//! encoding) and `llama` (SentencePiece).
//!
//! For `gpt2` the file names how text is cut before merging (`tokenizer.ggml.pre`); an unknown
//! name is refused, since a guess would give other ids without a word.
//!
//! Source: `llama-vocab.cpp` of llama.cpp; the published `tokenizer.json` of the models named
//! beside each pattern.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use super::added::AddedTokens;
use super::spm::Spm;
use super::{Engine, TokenizerError};
use crate::checkpoint::gguf::Value;
use crate::checkpoint::gguf_config::Metadata;

/// Kinds of tokens in `tokenizer.ggml.token_type`.
mod token_type {
    pub(super) const UNKNOWN: i64 = 2;
    pub(super) const CONTROL: i64 = 3;
    pub(super) const USER_DEFINED: i64 = 4;
    pub(super) const BYTE: i64 = 6;
}

/// What the metadata says about tokens.
pub(crate) struct Vocabulary<'a> {
    path: &'a Path,
    tokens: &'a [String],
    /// As many as tokens.
    types: Vec<i64>,
    scores: Option<&'a [f32]>,
    merges: Option<&'a [String]>,
}

impl<'a> Vocabulary<'a> {
    /// Reads the lists and checks that they have one length.
    pub(crate) fn of(metadata: &Metadata<'a>) -> Result<Self, TokenizerError> {
        let path = metadata.path;
        let key = "tokenizer.ggml.tokens";
        let Some(Value::Strings(tokens)) = metadata.values.get(key) else {
            return Err(TokenizerError::None {
                path: path.to_owned(),
                expected: format!("a list of strings `{key}`"),
            });
        };
        let types = match metadata.values.get("tokenizer.ggml.token_type") {
            Some(Value::Ints(types)) => types.clone(),
            _ => vec![1; tokens.len()],
        };
        let scores = match metadata.values.get("tokenizer.ggml.scores") {
            Some(Value::Floats(scores)) => Some(scores.as_slice()),
            _ => None,
        };
        let merges = match metadata.values.get("tokenizer.ggml.merges") {
            Some(Value::Strings(merges)) => Some(merges.as_slice()),
            _ => None,
        };
        let lengths = [Some(types.len()), scores.map(<[f32]>::len)];
        for (name, length) in ["token_type", "scores"].into_iter().zip(lengths) {
            if let Some(length) = length
                && length != tokens.len()
            {
                return Err(damaged(
                    path,
                    &format!("`tokenizer.ggml.{name}`"),
                    &format!("{} entries, one a token", tokens.len()),
                    &length.to_string(),
                ));
            }
        }
        Ok(Self {
            path,
            tokens,
            types,
            scores,
            merges,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn text(&self, id: u32) -> Option<&'a str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// Tokens of the given types, with their ids.
    fn of_types(&self, types: &[i64]) -> Vec<(&'a String, u32)> {
        let tokens = self.tokens.iter().zip(&self.types).zip(0_u32..);
        tokens
            .filter(|((_, kind), _)| types.contains(kind))
            .map(|((text, _), id)| (text, id))
            .collect()
    }

    /// Ids of control and unknown tokens: they are no text.
    pub(crate) fn special_ids(&self) -> impl Iterator<Item = u32> {
        self.of_types(&[token_type::CONTROL, token_type::UNKNOWN])
            .into_iter()
            .map(|(_, id)| id)
    }

    /// SentencePiece from pieces and scores.
    pub(crate) fn spm(&self, metadata: &Metadata<'_>) -> Result<Engine, TokenizerError> {
        let Some(scores) = self.scores else {
            return Err(damaged(
                self.path,
                "`tokenizer.ggml.scores`",
                "a list",
                "nothing",
            ));
        };
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(damaged(
                self.path,
                &format!("the score of token {id}"),
                "a number",
                "NaN",
            ));
        }
        let mut pieces = HashMap::with_capacity(self.tokens.len());
        let mut bytes = Box::new([None; 256]);
        for ((text, kind), id) in self.tokens.iter().zip(&self.types).zip(0_u32..) {
            match *kind {
                token_type::BYTE => {
                    let byte = byte_of(text).ok_or_else(|| {
                        let what = format!("byte token {id}");
                        damaged(
                            self.path,
                            &what,
                            "a text like `<0x0A>`",
                            &format!("`{text}`"),
                        )
                    })?;
                    bytes[usize::from(byte)] = Some(id);
                }
                token_type::CONTROL | token_type::UNKNOWN => {}
                // The first of two equal pieces keeps its id, as in SentencePiece.
                _ => {
                    let piece = text.clone().into_boxed_str();
                    pieces.entry(piece).or_insert((id, scores[id as usize]));
                }
            }
        }
        let added = self.of_types(&[token_type::CONTROL, token_type::USER_DEFINED]);
        Ok(Engine::Spm(Spm {
            texts: self.tokens.to_vec(),
            pieces,
            bytes,
            unknown: metadata.token_id("tokenizer.ggml.unknown_token_id", self.len())?,
            added: AddedTokens::new(added.into_iter().map(|(text, id)| (text.clone(), id))),
            space_prefix: metadata
                .bool("tokenizer.ggml.add_space_prefix")?
                .unwrap_or(true),
        }))
    }

    /// Byte-level byte-pair encoding from merges.
    pub(crate) fn bpe(&self, pre: &PreTokenizer) -> Result<Engine, TokenizerError> {
        let Some(merges) = self.merges else {
            return Err(damaged(
                self.path,
                "`tokenizer.ggml.merges`",
                "a list",
                "nothing",
            ));
        };
        let vocab: Vocab = self.tokens.iter().cloned().zip(0..).collect();
        let mut pairs = Vec::with_capacity(merges.len());
        for (rank, merge) in merges.iter().enumerate() {
            // A space inside a piece is written `Ġ`, so the first space is the separator.
            let pair = merge.split_once(' ').filter(|(left, right)| {
                let union = [*left, *right].concat();
                [left, right, union.as_str()]
                    .iter()
                    .all(|piece| vocab.contains_key(*piece))
            });
            let Some((left, right)) = pair else {
                return Err(damaged(
                    self.path,
                    &format!("merge {rank}"),
                    "pieces and a union that are tokens",
                    &format!("`{merge}`"),
                ));
            };
            pairs.push((left.to_owned(), right.to_owned()));
        }
        let bpe = BPE::builder()
            .vocab_and_merges(vocab, pairs)
            .ignore_merges(pre.ignore_merges)
            .build()
            .map_err(|error| {
                damaged(
                    self.path,
                    "`tokenizer.ggml.merges`",
                    "pieces that are tokens",
                    &error.to_string(),
                )
            })?;
        let mut tokenizer = HfTokenizer::new(bpe);
        let build_error = |error: tokenizers::Error| {
            damaged(
                self.path,
                "the pre-tokenizer",
                "a sound one",
                &error.to_string(),
            )
        };
        let mut steps = Vec::new();
        for pattern in pre.patterns {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
            steps.push(PreTokenizerWrapper::Split(split.map_err(build_error)?));
        }
        steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(
            false, false, false,
        )));
        tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        if pre.nfc {
            tokenizer.with_normalizer(Some(NFC)).map_err(build_error)?;
        }
        let added = |kind, special| {
            self.of_types(&[kind])
                .into_iter()
                .filter(|(text, _)| !text.is_empty())
                .map(move |(text, _)| AddedToken::from(text.clone(), special).normalized(false))
        };
        tokenizer
            .add_special_tokens(added(token_type::CONTROL, true))
            .map_err(build_error)?;
        tokenizer
            .add_tokens(added(token_type::USER_DEFINED, false))
            .map_err(build_error)?;
        Ok(Engine::Hf {
            tokenizer: Box::new(tokenizer),
            byte_level: true,
        })
    }
}

/// The byte of a token like `<0x0A>`.
pub(crate) fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() != 2 {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}

fn damaged(path: &Path, what: &str, expected: &str, found: &str) -> TokenizerError {
    TokenizerError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// How text is cut before merging, and what else goes with a name of `tokenizer.ggml.pre`.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    names: &'static [&'static str],
    /// Applied one after the other; each cuts what the one before left.
    patterns: &'static [&'static str],
    /// A whole word that is a token is taken without merging.
    ignore_merges: bool,
    /// Whether BOS is added where the metadata does not say.
    pub(crate) adds_bos: bool,
    /// Text is composed first (NFC), as the published tokenizer does (llama.cpp does not).
    nfc: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Every known name.
const PRE_TOKENIZERS: [PreTokenizer; 6] = [
    PreTokenizer {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    PreTokenizer {
        names: &["gpt-2", "phi-2", "olmo", "mpt", "jais", "exaone4"],
        patterns: &[GPT2],
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    // Digits one by one, then as GPT-2.
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell"],
        patterns: &[r"\p{N}", GPT2],
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        patterns: &[LLAMA3],
        ignore_merges: true,
        adds_bos: true,
        nfc: false,
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen"],
        patterns: &[QWEN2],
        ignore_merges: false,
        adds_bos: false,
        nfc: true,
    },
    PreTokenizer {
        names: &["tekken"],
        patterns: &[TEKKEN],
        ignore_merges: true,
        adds_bos: true,
        nfc: false,
    },
];

/// The rules of that name.
pub(crate) fn pre_tokenizer(
    name: &str,
    path: &Path,
) -> Result<&'static PreTokenizer, TokenizerError> {
    static ALL: [PreTokenizer; 6] = PRE_TOKENIZERS;
    let known = ALL.iter().find(|pre| pre.names.contains(&name));
    known.ok_or_else(|| TokenizerError::Unknown {
        path: path.to_owned(),
        what: "pre-tokenizer",
        found: name.to_owned(),
        known: ALL
            .iter()
            .flat_map(|pre| pre.names)
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    })
}
