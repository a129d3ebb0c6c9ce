//! A tokenizer from GGUF metadata (`tokenizer.ggml.*`): kinds `gpt2` (byte-pair encoding), `llama`
//! and `t5` (SentencePiece's byte pairs and unigram model), `bert` (WordPiece), `rwkv` (longest
//! match).
//!
//! Source: `llama-vocab.cpp` of llama.cpp; the published `tokenizer.json` of the models named
//! beside each pattern.

use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::normalizers::replace::Replace;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use super::added::AddedTokens;
use super::charsmap::Charsmap;
use super::error::damaged;
use super::gguf_pre::{Alphabet, PreTokenizer};
use super::longest::{LongestMatch, unescaped};
use super::normalizer::{DummySpace, Normalizer, SPACE};
use super::spm::{self, Algorithm, ByteTokens, Spm, token_type};
use super::unigram::Unigram;
use super::{Engine, Pieces, TokenizerError};
use crate::checkpoint::gguf::Value;
use crate::checkpoint::gguf_config::Metadata;

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

    /// SentencePiece's byte pairs from pieces and scores.
    pub(crate) fn spm(&self, metadata: &Metadata<'_>) -> Result<Engine, TokenizerError> {
        let (pieces, bytes) = self.pieces()?;
        let added = self.of_types(&[
            token_type::CONTROL,
            token_type::UNKNOWN,
            token_type::USER_DEFINED,
        ]);
        Ok(Engine::Spm(Spm {
            texts: self.tokens.to_vec(),
            algorithm: Algorithm::Bpe(spm::by_text(pieces)),
            bytes,
            unknown: metadata.token_id("tokenizer.ggml.unknown_token_id", self.len())?,
            added: AddedTokens::new(added.into_iter().map(|(text, id)| (text.clone(), id))),
            space_at_start_only: false,
            normalizer: Normalizer {
                charsmap: None,
                dummy_space: dummy_space(metadata)?,
                remove_extra_spaces: false,
                escape_spaces: true,
                kept: AddedTokens::default(),
            },
        }))
    }

    /// SentencePiece's unigram model (T5, XLM-R).
    pub(crate) fn unigram(&self, metadata: &Metadata<'_>) -> Result<Engine, TokenizerError> {
        let key = "tokenizer.ggml.precompiled_charsmap";
        let charsmap = match metadata.values.get(key) {
            None => Vec::new(),
            Some(Value::Ints(bytes)) => bytes.iter().map(|byte| *byte as u8).collect(),
            Some(value) => return Err(metadata.wrong(key, "a list of bytes", value).into()),
        };
        let charsmap = Charsmap::parse(&charsmap)
            .map_err(|found| damaged(self.path, &format!("`{key}`"), "a trie", &found))?;
        let (pieces, bytes) = self.pieces()?;
        let added = self.of_types(&[token_type::CONTROL, token_type::UNKNOWN]);
        let kept = self.of_types(&[token_type::USER_DEFINED]);
        let remove = metadata.bool("tokenizer.ggml.remove_extra_whitespaces")?;
        Ok(Engine::Spm(Spm {
            texts: self.tokens.to_vec(),
            algorithm: Algorithm::Unigram(Unigram::new(pieces)),
            bytes,
            unknown: metadata.token_id("tokenizer.ggml.unknown_token_id", self.len())?,
            added: AddedTokens::new(added.into_iter().map(|(text, id)| (text.clone(), id))),
            space_at_start_only: false,
            normalizer: Normalizer {
                charsmap,
                dummy_space: dummy_space(metadata)?,
                remove_extra_spaces: remove.unwrap_or(false),
                escape_spaces: true,
                kept: AddedTokens::new(kept.into_iter().map(|(text, id)| (text.clone(), id))),
            },
        }))
    }

    /// What text can become, and the tokens of bytes.
    fn pieces(&self) -> Result<(spm::Pieces, Option<ByteTokens>), TokenizerError> {
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
        let tokens = self.tokens.iter().zip(&self.types).zip(scores);
        let tokens = tokens.map(|((text, kind), score)| (text.as_str(), *kind, *score));
        spm::pieces(tokens).map_err(|(id, text)| {
            let what = format!("byte token {id}");
            damaged(
                self.path,
                &what,
                "a text like `<0x0A>`",
                &format!("`{text}`"),
            )
        })
    }

    /// WordPiece (BERT). A piece that begins a word is written with `▁`, one that goes on a word
    /// without.
    pub(crate) fn word_piece(&self, metadata: &Metadata<'_>) -> Result<Engine, TokenizerError> {
        let mut vocab = Vocab::default();
        for ((text, kind), id) in self.tokens.iter().zip(&self.types).zip(0..) {
            let text = match (text.strip_prefix(SPACE), *kind) {
                (_, token_type::CONTROL | token_type::UNKNOWN) => text.clone(),
                (Some(word), _) => word.to_owned(),
                (None, _) => format!("##{text}"),
            };
            vocab.entry(text).or_insert(id);
        }
        let unknown = metadata.token_id("tokenizer.ggml.unknown_token_id", self.len())?;
        let unknown = unknown.and_then(|id| self.text(id)).unwrap_or("[UNK]");
        let unknown = unknown.strip_prefix(SPACE).unwrap_or(unknown);
        if !vocab.contains_key(unknown) {
            let found = format!("no token `{unknown}`");
            return Err(damaged(self.path, "the unknown token", "a token", &found));
        }
        let word_piece = WordPiece::builder()
            .vocab(vocab)
            .unk_token(unknown.to_owned())
            .build()
            .map_err(|error| damaged(self.path, "the pieces", "WordPiece", &error.to_string()))?;
        let lower = metadata
            .bool("tokenizer.ggml.normalizer.lowercase")?
            .unwrap_or(true);
        let accents = metadata.bool("tokenizer.ggml.normalizer.strip_accents")?;
        let mut tokenizer = HfTokenizer::new(word_piece);
        let normalizer = BertNormalizer::new(true, true, Some(accents.unwrap_or(lower)), lower);
        tokenizer
            .with_normalizer(Some(normalizer))
            .map_err(|error| damaged(self.path, "the normalizer", "one", &error.to_string()))?;
        tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
        self.add_tokens(&mut tokenizer)?;
        Ok(Engine::Hf {
            tokenizer: Box::new(tokenizer),
            pieces: Pieces::Words,
        })
    }

    /// Longest match over bytes (RWKV World).
    pub(crate) fn longest_match(&self) -> Result<Engine, TokenizerError> {
        let mut tokens = Vec::with_capacity(self.tokens.len());
        for (text, id) in self.tokens.iter().zip(0_u32..) {
            let bytes = unescaped(text).ok_or_else(|| {
                let what = format!("token {id}");
                damaged(self.path, &what, "a text with escapes like `\\x00`", text)
            })?;
            tokens.push(bytes);
        }
        let control = self.of_types(&[token_type::CONTROL]);
        let added = AddedTokens::new(control.into_iter().map(|(text, id)| (text.clone(), id)));
        Ok(Engine::Longest(LongestMatch::new(tokens, added)))
    }

    /// Byte-pair encoding from merges.
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
            // A space inside a piece is written `Ġ` or `▁`, so the first one is the separator.
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
            .byte_fallback(pre.alphabet == Alphabet::Letters)
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
        let pieces = match pre.alphabet {
            Alphabet::Bytes => {
                let letters = ByteLevel::new(false, false, false);
                steps.push(PreTokenizerWrapper::ByteLevel(letters));
                Pieces::ByteLetters
            }
            Alphabet::Letters => {
                let spaces = Replace::new(" ", "▁").map_err(build_error)?;
                tokenizer
                    .with_normalizer(Some(spaces))
                    .map_err(build_error)?;
                Pieces::Letters
            }
        };
        tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
        if pre.nfc {
            tokenizer.with_normalizer(Some(NFC)).map_err(build_error)?;
        }
        self.add_tokens(&mut tokenizer)?;
        Ok(Engine::Hf {
            tokenizer: Box::new(tokenizer),
            pieces,
        })
    }

    /// Control and user-defined tokens are looked for before anything else.
    fn add_tokens(&self, tokenizer: &mut HfTokenizer) -> Result<(), TokenizerError> {
        let added = |kind, special| {
            self.of_types(&[kind])
                .into_iter()
                .filter(|(text, _)| !text.is_empty())
                .map(move |(text, _)| AddedToken::from(text.clone(), special).normalized(false))
        };
        tokenizer
            .add_special_tokens(added(token_type::CONTROL, true))
            .and_then(|_| tokenizer.add_tokens(added(token_type::USER_DEFINED, false)))
            .map_err(|error| {
                damaged(
                    self.path,
                    "the added tokens",
                    "sound ones",
                    &error.to_string(),
                )
            })?;
        Ok(())
    }
}

fn dummy_space(metadata: &Metadata<'_>) -> Result<DummySpace, TokenizerError> {
    let is_put = metadata
        .bool("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    // Written by no converter yet, read by llama.cpp.
    let is_suffix = metadata.bool("tokenizer.ggml.treat_whitespace_as_suffix")?;
    Ok(match (is_put, is_suffix.unwrap_or(false)) {
        (false, _) => DummySpace::None,
        (true, false) => DummySpace::Before,
        (true, true) => DummySpace::After,
    })
}
