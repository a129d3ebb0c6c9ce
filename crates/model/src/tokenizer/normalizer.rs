//! What SentencePiece does to a text before it looks for pieces: rules on letters, spaces written
//! as `▁`, one space put before the text, extra spaces taken out.
//!
//! Source: `Normalizer::Normalize` in `normalizer.cc` of SentencePiece.

use std::ops::Range;

use super::added::AddedTokens;
use super::charsmap::Charsmap;

/// A space inside pieces.
pub(crate) const SPACE: char = '▁';

/// Where the space goes that is put to a text that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DummySpace {
    None,
    Before,
    /// Pieces end in `▁` instead of beginning with it.
    After,
}

/// The settings.
#[derive(Debug)]
pub(crate) struct Normalizer {
    pub(crate) charsmap: Option<Charsmap>,
    pub(crate) dummy_space: DummySpace,
    /// Leading and trailing spaces are dropped, several become one.
    pub(crate) remove_extra_spaces: bool,
    /// Whether a space becomes `▁`.
    pub(crate) escape_spaces: bool,
    /// Symbols that no rule changes.
    pub(crate) kept: AddedTokens,
}

/// A text that pieces are looked for in, and where each of its bytes comes from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Normalized {
    pub(crate) text: String,
    /// Of each byte the place of what it was made from, and at the end the place where that ends.
    origins: Vec<usize>,
}

impl Normalized {
    /// Bytes of the original that these bytes of the text were made from.
    pub(crate) fn original(&self, bytes: &Range<usize>) -> Range<usize> {
        let at = |byte: usize| self.origins.get(byte).copied().unwrap_or_default();
        at(bytes.start)..at(bytes.end)
    }

    fn push(&mut self, text: &str, origin: usize) {
        self.text.push_str(text);
        self.origins.resize(self.text.len(), origin);
    }
}

impl Normalizer {
    /// Normalizes a text with this dummy space; `start` is its place in the original. Without a letter left, nothing is
    /// put before it either.
    pub(crate) fn normalize(
        &self,
        text: &str,
        start: usize,
        dummy_space: DummySpace,
    ) -> Normalized {
        let mut out = Normalized::default();
        let mut at = 0;
        if self.remove_extra_spaces {
            while let Some((n_bytes, " ")) = self.step(&text[at..]) {
                at += n_bytes;
            }
        }
        if at == text.len() {
            return out;
        }
        let space = if self.escape_spaces { "▁" } else { " " };
        if dummy_space == DummySpace::Before {
            out.push(space, start + at);
        }
        let mut follows_space = self.remove_extra_spaces;
        while let Some((n_bytes, letters)) = self.step(&text[at..]) {
            let letters = if follows_space {
                letters.trim_start_matches(' ')
            } else {
                letters
            };
            for (index, part) in letters.split(' ').enumerate() {
                if index > 0 {
                    out.push(space, start + at);
                }
                out.push(part, start + at);
            }
            if self.remove_extra_spaces && !letters.is_empty() {
                follows_space = letters.ends_with(' ');
            }
            at += n_bytes;
        }
        let mut end = start + at;
        if self.remove_extra_spaces {
            while out.text.ends_with(space) {
                let n_bytes = out.text.len() - space.len();
                end = out.origins[n_bytes];
                out.text.truncate(n_bytes);
                out.origins.truncate(n_bytes);
            }
        }
        if dummy_space == DummySpace::After {
            out.push(space, end);
        }
        out.origins.push(end);
        out
    }

    /// The next letters of the normalized text and how many bytes they replace; `None` at the end.
    fn step<'a>(&'a self, text: &'a str) -> Option<(usize, &'a str)> {
        if let Some((_, n_bytes)) = self.kept.match_at(text) {
            return Some((n_bytes, &text[..n_bytes]));
        }
        let rule = self
            .charsmap
            .as_ref()
            .and_then(|map| map.longest_match(text));
        rule.or_else(|| {
            let n_bytes = text.chars().next()?.len_utf8();
            Some((n_bytes, &text[..n_bytes]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalizer(dummy_space: DummySpace, remove_extra_spaces: bool) -> Normalizer {
        Normalizer {
            charsmap: None,
            dummy_space,
            remove_extra_spaces,
            escape_spaces: true,
            kept: AddedTokens::new([("x  y".to_owned(), 0)]),
        }
    }

    #[test]
    fn spaces_are_put_and_taken_as_the_settings_say() {
        let before = normalizer(DummySpace::Before, true);
        let normalized = before.normalize("  ก  b ", 10, before.dummy_space);
        assert_eq!(normalized.text, "▁ก▁b");
        // Bytes: ▁ 0..3, ก 3..6, ▁ 6..9, b 9..10. `b` is the original's byte 7 of 9.
        assert_eq!(normalized.original(&(9..10)), 17..18);
        assert_eq!(normalized.original(&(0..6)), 12..15);
        assert_eq!(
            before.normalize("   ", 0, before.dummy_space),
            Normalized::default()
        );
        assert_eq!(
            before.normalize("", 0, before.dummy_space),
            Normalized::default()
        );
        // A kept symbol keeps its spaces.
        assert_eq!(
            before.normalize("a x  y", 0, before.dummy_space).text,
            "▁a▁x▁▁y"
        );
        let after = normalizer(DummySpace::After, false);
        assert_eq!(
            after.normalize(" a  b", 0, after.dummy_space).text,
            "▁a▁▁b▁"
        );
        let none = normalizer(DummySpace::None, false);
        assert_eq!(none.normalize(" a", 0, none.dummy_space).text, "▁a");
        assert_eq!(none.normalize(" ", 0, none.dummy_space).text, "▁");
    }
}
