//! Tokens that are matched in the raw text before anything else: control tokens
//! (`<|im_start|>`) and user-defined ones (`\n\n`, `<table>`).
//!
//! The leftmost match wins, and among matches at one place the longest. So special tokens inside
//! a user's text become their ids, as `transformers` does by default
//! (`split_special_tokens=False`) and llama.cpp does with `parse_special`.

use std::collections::{BTreeMap, HashMap};

/// Texts of added tokens.
#[derive(Debug, Default)]
pub(crate) struct AddedTokens {
    ids: HashMap<Box<str>, u32>,
    /// Lengths in bytes by first byte, longest first.
    n_bytes_by_first: BTreeMap<u8, Vec<usize>>,
}

/// A stretch of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Ordinary text, never empty.
    Text(&'a str),
    /// An added token.
    Token(u32),
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

    /// Cuts a text into added tokens and what lies between.
    pub(crate) fn split<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let (mut text_start, mut at) = (0, 0);
        while at < text.len() {
            let Some((id, n_bytes)) = self.match_at(&text[at..]) else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            if text_start < at {
                parts.push(Part::Text(&text[text_start..at]));
            }
            parts.push(Part::Token(id));
            at += n_bytes;
            text_start = at;
        }
        if text_start < text.len() {
            parts.push(Part::Text(&text[text_start..]));
        }
        parts
    }

    /// The longest added token that `text` begins with, and its length in bytes.
    fn match_at(&self, text: &str) -> Option<(u32, usize)> {
        let lengths = self.n_bytes_by_first.get(text.as_bytes().first()?)?;
        lengths.iter().find_map(|&n_bytes| {
            let id = self.ids.get(text.get(..n_bytes)?)?;
            Some((*id, n_bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Part::{Text, Token};
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
        assert_eq!(added.split("x<a"), [Text("x<a")]);
        assert_eq!(added.split("<a><b>x"), [Token(2), Text("x")]);
        assert_eq!(
            added.split("é<a>\n\n\n"),
            [Text("é"), Token(1), Token(4), Token(3)]
        );
        // One Thai letter is a token, its neighbors share its first bytes but are not.
        assert_eq!(added.split("ขกข"), [Text("ข"), Token(5), Text("ข")]);
    }
}
