//! SentencePiece: pieces and scores of a `.model` file or of GGUF metadata (Llama 1 and 2, Gemma,
//! T5, XLM-R).
//!
//! ```text
//! text -> added tokens | Normalizer -> pieces (byte pairs, or the unigram model) -> ids
//! ```
//!
//! What is no piece is spelled in byte tokens (`<0xE0>`) where the model has them, else a run of
//! it is one unknown token.
//!
//! Source: Kudo & Richardson 2018, arXiv:1808.06226; `sentencepiece_processor.cc`;
//! `llm_tokenizer_spm` and `llm_tokenizer_ugm` of llama.cpp.

use std::collections::HashMap;
use std::ops::Range;

use super::added::AddedTokens;
use super::normalizer::{DummySpace, Normalizer};
use super::spm_bpe;
use super::unigram::Unigram;

/// A piece that text can become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) score: f32,
    pub(crate) kind: PieceKind,
}

/// What a piece may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Normal,
    /// Never cut.
    UserDefined,
    /// In the list, but not used.
    Unused,
}

/// Kinds of tokens, in a `.model` file as in `tokenizer.ggml.token_type`.
pub(crate) mod token_type {
    pub(crate) const UNKNOWN: i64 = 2;
    pub(crate) const CONTROL: i64 = 3;
    pub(crate) const USER_DEFINED: i64 = 4;
    pub(crate) const UNUSED: i64 = 5;
    pub(crate) const BYTE: i64 = 6;
}

/// What text can become, in the order of ids.
pub(crate) type Pieces = Vec<(Box<str>, Piece)>;

/// Tokens that stand for one byte, by byte.
pub(crate) type ByteTokens = Box<[Option<u32>; 256]>;

/// What text can become, in the order of ids, and the tokens of bytes if there are any.
///
/// # Errors
/// Id and text of a byte token that is not written as one.
pub(crate) fn pieces<'a>(
    tokens: impl Iterator<Item = (&'a str, i64, f32)>,
) -> Result<(Pieces, Option<ByteTokens>), (u32, String)> {
    let (mut pieces, mut bytes) = (Vec::new(), None);
    for ((text, kind, score), id) in tokens.zip(0..) {
        let kind = match kind {
            token_type::CONTROL | token_type::UNKNOWN => continue,
            token_type::BYTE => {
                let byte = byte_of(text).ok_or_else(|| (id, text.to_owned()))?;
                let bytes = bytes.get_or_insert_with(|| Box::new([None; 256]));
                bytes[usize::from(byte)] = Some(id);
                continue;
            }
            token_type::USER_DEFINED => PieceKind::UserDefined,
            token_type::UNUSED => PieceKind::Unused,
            _ => PieceKind::Normal,
        };
        pieces.push((Box::from(text), Piece { id, score, kind }));
    }
    Ok((pieces, bytes))
}

/// The byte of a token like `<0x0A>`.
pub(crate) fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() != 2 {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}

/// Pieces by their text. The first of two equal ones keeps its id.
pub(crate) fn by_text(pieces: Pieces) -> HashMap<Box<str>, Piece> {
    pieces.into_iter().rev().collect()
}

/// How a normalized text is cut.
#[derive(Debug)]
pub(crate) enum Algorithm {
    Bpe(HashMap<Box<str>, Piece>),
    Unigram(Unigram),
    /// Letters.
    Char(HashMap<Box<str>, Piece>),
}

/// Pieces, scores and the special cases.
#[derive(Debug)]
pub(crate) struct Spm {
    /// Texts of all tokens, by id.
    pub(crate) texts: Vec<String>,
    pub(crate) algorithm: Algorithm,
    /// Tokens that stand for one byte; `None` if there are none.
    pub(crate) bytes: Option<ByteTokens>,
    /// What has no piece; `None` drops it.
    pub(crate) unknown: Option<u32>,
    /// Tokens that are looked for in the text before anything else.
    pub(crate) added: AddedTokens,
    /// Whether only the first text gets the settings' space, not one that follows an added token.
    pub(crate) space_at_start_only: bool,
    /// Applied to every text between two added tokens.
    pub(crate) normalizer: Normalizer,
}

impl Spm {
    /// Ids of a text, nothing but the settings' space added.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<u32> {
        let tokens = self.tokenize_with_offsets(text);
        tokens.into_iter().map(|(id, _)| id).collect()
    }

    /// Ids and the bytes of the text that each stands for.
    pub(crate) fn tokenize_with_offsets(&self, text: &str) -> Vec<(u32, Range<usize>)> {
        let mut tokens = Vec::new();
        for (range, id) in self.added.split(text) {
            match id {
                Some(id) => tokens.push((id, range)),
                None => self.segment(&text[range.clone()], range.start, &mut tokens),
            }
        }
        tokens
    }

    /// Text of a token as the file spells it.
    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize).map(String::as_str)
    }

    fn segment(&self, text: &str, start: usize, tokens: &mut Vec<(u32, Range<usize>)>) {
        let dummy_space = if self.space_at_start_only && start > 0 {
            DummySpace::None
        } else {
            self.normalizer.dummy_space
        };
        let normalized = self.normalizer.normalize(text, start, dummy_space);
        let text = normalized.text.as_str();
        let pieces = match &self.algorithm {
            Algorithm::Bpe(pieces) => spm_bpe::segment(pieces, &self.normalizer.kept, text),
            Algorithm::Unigram(unigram) => unigram.segment(text),
            Algorithm::Char(pieces) => letters(pieces, &self.normalizer.kept, text),
        };
        let mut follows_unknown = false;
        for (range, id) in pieces {
            let original = normalized.original(&range);
            match (id, &self.bytes) {
                (Some(id), _) => tokens.push((id, original)),
                (None, Some(bytes)) => {
                    let ids = text[range]
                        .bytes()
                        .filter_map(|byte| bytes[usize::from(byte)].or(self.unknown));
                    tokens.extend(ids.map(|id| (id, original.clone())));
                }
                (None, None) => match (follows_unknown, tokens.last_mut(), self.unknown) {
                    (true, Some((_, last)), Some(_)) => last.end = original.end,
                    (_, _, unknown) => tokens.extend(unknown.map(|id| (id, original))),
                },
            }
            follows_unknown = id.is_none();
        }
    }
}

fn letters(
    pieces: &HashMap<Box<str>, Piece>,
    kept: &AddedTokens,
    text: &str,
) -> Vec<(Range<usize>, Option<u32>)> {
    let (mut out, mut start) = (Vec::new(), 0);
    while let Some(letter) = text[start..].chars().next() {
        let whole = kept.match_at(&text[start..]);
        let end = start + whole.map_or(letter.len_utf8(), |(_, n_bytes)| n_bytes);
        let piece = pieces.get(&text[start..end]);
        out.push((start..end, piece.map(|piece| piece.id)));
        start = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spm(pieces: &[(&str, f32)], dummy_space: DummySpace) -> Spm {
        let bytes: Vec<Option<u32>> = (1000..1256).map(Some).collect();
        let list = pieces.iter().zip(0..).map(|((text, score), id)| {
            let piece = Piece {
                id,
                score: *score,
                kind: PieceKind::Normal,
            };
            (Box::from(*text), piece)
        });
        Spm {
            texts: pieces.iter().map(|(text, _)| (*text).to_owned()).collect(),
            algorithm: Algorithm::Bpe(list.collect()),
            bytes: Some(Box::new(bytes.try_into().unwrap())),
            unknown: None,
            added: AddedTokens::new([("<s>".to_owned(), 500)]),
            space_at_start_only: false,
            normalizer: Normalizer {
                charsmap: None,
                dummy_space,
                remove_extra_spaces: false,
                escape_spaces: true,
                kept: AddedTokens::default(),
            },
        }
    }

    #[test]
    fn the_best_pair_is_joined_first_and_the_leftmost_among_equals() {
        let spm = spm(
            &[
                ("a", -9.0),
                ("b", -9.0),
                ("ab", -2.0),
                ("ba", -1.0),
                ("aa", -3.0),
                ("▁a", -4.0),
            ],
            DummySpace::None,
        );
        // a b a: `ba` (−1) beats `ab` (−2).
        assert_eq!(spm.tokenize("aba"), [0, 3]);
        // a a a: both joins are `aa`: the left one first.
        assert_eq!(spm.tokenize("aaa"), [4, 0]);
        assert_eq!(spm.tokenize(" a"), [5]);
        // A letter without a piece is spelled in bytes: é = C3 A9.
        assert_eq!(spm.tokenize("é"), [1000 + 0xC3, 1000 + 0xA9]);
        assert_eq!(spm.tokenize(""), [0; 0]);
    }

    #[test]
    fn a_space_is_put_before_text_if_the_settings_say_so() {
        let spm = spm(
            &[("a", -9.0), ("▁a", -1.0), ("▁", -9.0)],
            DummySpace::Before,
        );
        assert_eq!(
            spm.tokenize_with_offsets("a<s>a"),
            [(1, 0..1), (500, 1..4), (1, 4..5)]
        );
        assert_eq!(spm.tokenize_with_offsets(" a"), [(2, 0..0), (1, 0..2)]);
        assert_eq!(spm.tokenize(""), [0; 0]);
    }

    #[test]
    fn a_run_of_unknown_letters_is_one_token() {
        let mut spm = spm(&[("a", -1.0)], DummySpace::None);
        (spm.bytes, spm.unknown) = (None, Some(7));
        assert_eq!(
            spm.tokenize_with_offsets("กขa<s>ก"),
            [(7, 0..6), (0, 6..7), (500, 7..10), (7, 10..13)]
        );
    }
}
