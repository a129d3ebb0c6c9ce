//! SentencePiece's byte-pair encoding, from the pieces and scores of a GGUF file (kind `llama`:
//! Llama 1 and 2, Gemma).
//!
//! Spaces become `▁`; then the adjacent pair whose union is the piece of the highest score is
//! joined, the leftmost among equals, until no union is a piece. What is left and is no piece is
//! spelled in byte tokens (`<0xE0>`), or is unknown.
//!
//! Source: Kudo & Richardson 2018, arXiv:1808.06226; `bpe_model.cc` of SentencePiece;
//! `llm_tokenizer_spm` of llama.cpp.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::added::{AddedTokens, Part};

/// A space inside pieces.
pub(crate) const SPACE: char = '▁';

/// Pieces, scores and the special cases.
#[derive(Debug)]
pub(crate) struct Spm {
    /// Texts of all tokens, by id.
    pub(crate) texts: Vec<String>,
    /// Ordinary pieces and their scores, by text.
    pub(crate) pieces: HashMap<Box<str>, (u32, f32)>,
    /// Tokens that stand for one byte.
    pub(crate) bytes: Box<[Option<u32>; 256]>,
    /// What a byte without a token becomes; `None` drops it.
    pub(crate) unknown: Option<u32>,
    /// Control and user-defined tokens.
    pub(crate) added: AddedTokens,
    /// Whether a space is put before the text and after each added token.
    pub(crate) space_prefix: bool,
}

impl Spm {
    /// Ids of a text, nothing but the space prefix added.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for part in self.added.split(text) {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(text) => {
                    let prefix = if self.space_prefix { " " } else { "" };
                    let text: String = [prefix, text].concat().replace(' ', "▁");
                    self.merge(&text, &mut ids);
                }
            }
        }
        ids
    }

    /// Text of a token as the file spells it.
    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize).map(String::as_str)
    }

    fn merge(&self, text: &str, ids: &mut Vec<u32>) {
        let mut symbols = Symbols::new(text);
        let mut queue = BinaryHeap::new();
        for left in 1..symbols.list.len() {
            queue.extend(self.join(&symbols, left - 1));
        }
        while let Some(join) = queue.pop() {
            if !symbols.is_current(&join) {
                continue;
            }
            let previous = symbols.merge(join.left);
            queue.extend(previous.and_then(|previous| self.join(&symbols, previous)));
            queue.extend(self.join(&symbols, join.left));
        }
        for symbol in symbols.list.iter().filter(|symbol| symbol.n_bytes > 0) {
            let piece = &text[symbol.start..symbol.start + symbol.n_bytes];
            match self.pieces.get(piece) {
                Some((id, _)) => ids.push(*id),
                None => ids.extend(self.spell(piece)),
            }
        }
    }

    fn spell<'a>(&'a self, piece: &'a str) -> impl Iterator<Item = u32> + 'a {
        piece
            .bytes()
            .filter_map(|byte| self.bytes[usize::from(byte)].or(self.unknown))
    }

    /// The union of the symbol at `left` with the next one, if it is a piece.
    fn join(&self, symbols: &Symbols<'_>, left: usize) -> Option<Join> {
        let (a, b) = (
            symbols.list[left],
            symbols.list.get(symbols.list[left].next)?,
        );
        let n_bytes = a.n_bytes + b.n_bytes;
        let (_, score) = self.pieces.get(&symbols.text[a.start..a.start + n_bytes])?;
        Some(Join {
            score: *score,
            left,
            n_bytes,
        })
    }
}

/// A stretch of the text; neighbors are linked by index.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// 0 once it was merged into its left neighbor.
    n_bytes: usize,
    /// `usize::MAX` at the ends.
    previous: usize,
    next: usize,
}

struct Symbols<'a> {
    text: &'a str,
    list: Vec<Symbol>,
}

impl<'a> Symbols<'a> {
    /// One symbol a character.
    fn new(text: &'a str) -> Self {
        let mut list: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, c))| Symbol {
                start,
                n_bytes: c.len_utf8(),
                previous: index.wrapping_sub(1),
                next: index + 1,
            })
            .collect();
        if let Some(last) = list.last_mut() {
            last.next = usize::MAX;
        }
        Self { text, list }
    }

    /// Whether neither side was merged since the join was found.
    fn is_current(&self, join: &Join) -> bool {
        let left = self.list[join.left];
        let right = self.list.get(left.next);
        left.n_bytes > 0 && right.is_some_and(|right| left.n_bytes + right.n_bytes == join.n_bytes)
    }

    /// Merges the symbol at `left` with the next one; gives the index before it.
    fn merge(&mut self, left: usize) -> Option<usize> {
        let right = self.list[left].next;
        let Symbol { n_bytes, next, .. } = self.list[right];
        self.list[right].n_bytes = 0;
        self.list[left].n_bytes += n_bytes;
        self.list[left].next = next;
        if let Some(after) = self.list.get_mut(next) {
            after.previous = left;
        }
        let previous = self.list[left].previous;
        (previous < self.list.len()).then_some(previous)
    }
}

/// Two neighbors whose union is a piece.
#[derive(Debug)]
struct Join {
    score: f32,
    left: usize,
    /// Of the union: tells whether the join is out of date.
    n_bytes: usize,
}

impl Ord for Join {
    /// The highest score first, then the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Join {}

#[cfg(test)]
mod tests {
    use super::*;

    fn spm(pieces: &[(&str, f32)], space_prefix: bool) -> Spm {
        let mut bytes = Box::new([None; 256]);
        for (byte, id) in bytes.iter_mut().enumerate() {
            *id = Some(1000 + byte as u32);
        }
        Spm {
            texts: pieces
                .iter()
                .map(|(piece, _)| (*piece).to_owned())
                .collect(),
            pieces: pieces
                .iter()
                .enumerate()
                .map(|(id, (piece, score))| (Box::from(*piece), (id as u32, *score)))
                .collect(),
            bytes,
            unknown: None,
            added: AddedTokens::new([("<s>".to_owned(), 500)]),
            space_prefix,
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
            false,
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
    fn a_space_is_put_before_text_if_the_flag_says_so() {
        let spm = spm(&[("a", -9.0), ("▁a", -1.0), ("▁", -9.0)], true);
        assert_eq!(spm.tokenize("a<s>a"), [1, 500, 1]);
        assert_eq!(spm.tokenize(" a"), [2, 1]);
        assert_eq!(spm.tokenize(""), [0; 0]);
    }
}
