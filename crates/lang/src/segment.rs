//! Graphemes, words and sentences by the rules of Unicode (ICU4X), without spaces where a script has
//! none.
//!
//! All functions return pieces of the text they are given. Known limits: Tibetan is cut at every
//! tsheg (syllables, not words); sentences end after abbreviations such as "Dr.".
//!
//! ```
//! use isogloss_lang::segment::{graphemes, words};
//!
//! assert_eq!(words("Hello, world!"), ["Hello", "world"]);
//! assert_eq!(graphemes("नि").count(), 1);
//! ```

use icu_segmenter::options::{SentenceBreakInvariantOptions, WordBreakInvariantOptions};
use icu_segmenter::{GraphemeClusterSegmenter, SentenceSegmenter, WordSegmenter};

/// What a reader sees as one character, from start to end; joined they are the text.
///
/// Source: Unicode Standard Annex #29, extended grapheme clusters.
pub fn graphemes(text: &str) -> impl Iterator<Item = &str> {
    let boundaries = GraphemeClusterSegmenter::new().segment_str(text);
    pieces(text, boundaries)
}

/// Byte offsets of the boundaries between graphemes, 0 and the end included; empty for no text.
pub fn grapheme_boundaries(text: &str) -> Vec<usize> {
    if text.is_empty() {
        return Vec::new();
    }
    GraphemeClusterSegmenter::new().segment_str(text).collect()
}

/// Words and numbers, without spaces and punctuation. By dictionary or LSTM for Thai, Khmer, Lao,
/// Burmese, Japanese and Chinese.
///
/// Source: Unicode Standard Annex #29, ICU4X `WordSegmenter::new_auto`.
pub fn words(text: &str) -> Vec<&str> {
    word_spans(text)
        .into_iter()
        .filter(|span| span.is_word)
        .map(|span| &text[span.start..span.end])
        .collect()
}

/// A stretch between two word boundaries, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordSpan {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// A word or number; else spaces or punctuation.
    pub is_word: bool,
}

/// All stretches between word boundaries; joined they are the text.
pub fn word_spans(text: &str) -> Vec<WordSpan> {
    let segmenter = WordSegmenter::new_auto(WordBreakInvariantOptions::default());
    let mut spans = Vec::new();
    let mut start = 0;
    for end in segmenter.segment_str(text) {
        if end > start {
            spans.push(WordSpan {
                start,
                end,
                // ICU4X 2.4 gives Devanagari words the type "none", so its own type is not used.
                is_word: text[start..end].chars().any(char::is_alphanumeric),
            });
            start = end;
        }
    }
    spans
}

/// Sentences with the space that follows each; joined they are the text.
///
/// Source: Unicode Standard Annex #29.
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let segmenter = SentenceSegmenter::new(SentenceBreakInvariantOptions::default());
    pieces(text, segmenter.segment_str(text))
}

/// The stretches between boundaries, the empty one before the first boundary left out.
fn pieces(text: &str, boundaries: impl Iterator<Item = usize>) -> impl Iterator<Item = &str> {
    boundaries
        .scan(0, |start, end| {
            let piece = *start..end;
            *start = end;
            Some(piece)
        })
        .filter(|piece| !piece.is_empty())
        .map(|piece| &text[piece])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_in_six_scripts() {
        for (text, expected) in [
            ("All are equal.", vec!["All", "are", "equal"]),
            ("يولد جميع الناس", vec!["يولد", "جميع", "الناس"]),
            ("सभी को है।", vec!["सभी", "को", "है"]),
            ("มนุษย์ทั้งหลาย", vec!["มนุษย์", "ทั้งหลาย"]),
            ("人人生而自由", vec!["人人", "生", "而", "自由"]),
            ("すべての人間", vec!["すべて", "の", "人間"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn graphemes_keep_marks_with_their_letters() {
        for (text, n) in [
            ("e\u{301}", 1),
            ("हिन्दी", 2),
            ("ที่นี่", 2),
            ("👨‍👩‍👧", 1),
            ("مُ", 1),
            ("汉语", 2),
        ] {
            assert_eq!(graphemes(text).count(), n, "{text}");
        }
        assert_eq!(grapheme_boundaries("e\u{301}a"), [0, 3, 4]);
        assert!(grapheme_boundaries("").is_empty());
    }

    #[test]
    fn sentences_end_at_native_stops() {
        for text in ["One. Two.", "एक। दो।", "一。二。", "አንድ። ሁለት።", "یک؟ دو؟"]
        {
            assert_eq!(sentences(text).count(), 2, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_text(text in "\\PC{0,60}") {
            prop_assert_eq!(graphemes(&text).collect::<String>(), text.clone());
            prop_assert_eq!(sentences(&text).collect::<String>(), text.clone());
            let spans: String = word_spans(&text).iter().map(|s| &text[s.start..s.end]).collect();
            prop_assert_eq!(spans, text);
        }
    }
}
