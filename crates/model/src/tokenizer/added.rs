//! Tokens that are matched in the raw text before anything else: control tokens
//! (`<|im_start|>`) and user-defined ones (`\n\n`, `<table>`).
//!
//! The leftmost match wins, and among matches at one place the longest. So special tokens inside
//! a user's text become their ids, as `transformers` does by default
//! (`split_special_tokens=False`) and llama.cpp does with `parse_special`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Texts of added tokens.
#[derive(Debug, Default)]
pub(crate) struct AddedTokens {
    ids: HashMap<Box<str>, u32>,
    /// Lengths in bytes by first byte, longest first.
    n_bytes_by_first: BTreeMap<u8, Vec<usize>>,
}

impl AddedTokens {
    /// Empty texts match nothing and are left out.
    pub(crate) fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut added = Self::default();
        for (text, id) in tokens {
            let Some(first) = text.bytes().next() else {
                continue;
            };
            let lengths = added.n_bytes_by_first.entry(first).or_default();
            if let Err(at) = lengths.binary_search_by(|n| text.len().cmp(n)) {
                lengths.insert(at, text.len());
            }
            added.ids.insert(text.into_boxed_str(), id);
        }
        added
    }

    /// Cuts a text into added tokens, which have an id, and what lies between, none empty.
    pub(crate) fn split(&self, text: &str) -> Vec<(Range<usize>, Option<u32>)> {
        let mut parts = Vec::new();
        let (mut text_start, mut at) = (0, 0);
        while at < text.len() {
            let Some((id, n_bytes)) = self.match_at(&text[at..]) else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            if text_start < at {
                parts.push((text_start..at, None));
            }
            parts.push((at..at + n_bytes, Some(id)));
            at += n_bytes;
            text_start = at;
        }
        if text_start < text.len() {
            parts.push((text_start..text.len(), None));
        }
        parts
    }

    /// The longest added token that `text` begins with, and its length in bytes.
    pub(crate) fn match_at(&self, text: &str) -> Option<(u32, usize)> {
        let lengths = self.n_bytes_by_first.get(text.as_bytes().first()?)?;
        lengths.iter().find_map(|&n_bytes| {
            let id = self.ids.get(text.get(..n_bytes)?)?;
            Some((*id, n_bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leftmost_and_then_the_longest_token_wins() {
        let added = AddedTokens::new(
            [
                ("<a>", 1),
                ("<a><b>", 2),
                ("\n", 3),
                ("\n\n", 4),
                ("ก", 5),
                ("", 6),
            ]
            .map(|(text, id)| (text.to_owned(), id)),
        );
        assert_eq!(added.split(""), []);
        assert_eq!(added.split("x<a"), [(0..3, None)]);
        assert_eq!(added.split("<a><b>x"), [(0..6, Some(2)), (6..7, None)]);
        assert_eq!(
            added.split("é<a>\n\n\n"),
            [
                (0..2, None),
                (2..5, Some(1)),
                (5..7, Some(4)),
                (7..8, Some(3))
            ]
        );
        // One Thai letter is a token, its neighbors share its first bytes but are not.
        assert_eq!(
            added.split("ขกข"),
            [(0..3, None), (3..6, Some(5)), (6..9, None)]
        );
    }
}
