//! Word and grapheme boundaries, by ICU (dictionaries for Thai, Lao, Khmer, Burmese, Chinese and
//! Japanese).

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{GraphemeClusterSegmenter, WordSegmenter};

/// Byte offsets of all word boundaries, 0 and the length included; empty for an empty text.
pub fn word_boundaries(text: &str) -> Vec<usize> {
    WordSegmenter::new_auto(WordBreakInvariantOptions::default())
        .segment_str(text)
        .collect()
}

/// Byte offsets of all grapheme boundaries, 0 and the length included; empty for an empty text.
pub fn grapheme_boundaries(text: &str) -> Vec<usize> {
    GraphemeClusterSegmenter::new().segment_str(text).collect()
}

/// Graphemes of a text.
pub fn graphemes(text: &str) -> Vec<&str> {
    pieces(text, &grapheme_boundaries(text))
}

/// Segments between word boundaries: words, spaces and punctuation alike, whose concatenation is
/// the text.
pub fn segments(text: &str) -> Vec<&str> {
    pieces(text, &word_boundaries(text))
}

fn pieces<'a>(text: &'a str, boundaries: &[usize]) -> Vec<&'a str> {
    boundaries
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}
