//! Cutting texts to a length in characters, at a word or grapheme boundary.
//!
//! Lengths are Unicode scalar values. A cut never splits a grapheme: a Devanagari or Thai
//! syllable keeps its marks. Example: `"Everyone has the right"` cut to 11 is `"Everyone"`, or
//! `"Everyone ha"` where a word boundary would lose too much.

use isogloss_lang::segment::{grapheme_boundaries, word_spans};

/// A cut at a word boundary may be shorter than asked by this share; else a grapheme boundary is
/// taken, because unequal lengths would give options away.
const WORD_CUT_LOSS_MAX: f64 = 0.1;

/// Number of characters (Unicode scalar values).
pub fn n_chars(text: &str) -> usize {
    text.chars().count()
}

/// The longest start of `text` of at most `n_chars_max` characters that ends at a word boundary,
/// or at a grapheme boundary where the last word is long; without white space at its end.
pub fn cut(text: &str, n_chars_max: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(n_chars_max) else {
        return text.trim_end();
    };
    let last = |boundaries: &[usize]| {
        boundaries
            .iter()
            .copied()
            .take_while(|&boundary| boundary <= end)
            .last()
            .unwrap_or(0)
    };
    let word_end = last(&word_boundaries(text));
    let at_word = text[..word_end].trim_end();
    let n_chars_min = (n_chars_max as f64 * (1.0 - WORD_CUT_LOSS_MAX)).floor() as usize;
    if n_chars(at_word) >= n_chars_min.max(1) {
        return at_word;
    }
    text[..last(&grapheme_boundaries(text))].trim_end()
}

/// Start and rest of a text, split at the word boundary nearest to its middle; neither has white
/// space at the split. The rest is empty where there is no boundary inside.
pub fn halves(text: &str) -> (&str, &str) {
    let middle = text.len() / 2;
    let at = word_boundaries(text)
        .into_iter()
        .filter(|&boundary| boundary > 0 && boundary < text.len())
        .min_by_key(|boundary| boundary.abs_diff(middle))
        .unwrap_or(text.len());
    (text[..at].trim_end(), text[at..].trim_start())
}

/// Byte offsets at which words, spaces and punctuation end; 0 is not among them.
fn word_boundaries(text: &str) -> Vec<usize> {
    word_spans(text).into_iter().map(|span| span.end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_on_words_or_graphemes_and_never_exceed() {
        assert_eq!(cut("Everyone has the right", 9), "Everyone");
        assert_eq!(cut("Everyone has the right", 80), "Everyone has the right");
        // "Everyone" (8) would lose more than a tenth of 11.
        assert_eq!(cut("Everyone has the right", 11), "Everyone ha");
        // Marks stay with their letters: ก + ◌ำ, न + ◌ि.
        for text in [
            "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาค",
            "सभी मनुष्यों को गौरव और अधिकारों के मामले में",
            "人人生而自由，在尊严和权利上一律平等。",
            "يولد جميع الناس أحراراً متساوين في الكرامة",
            "Tất cả mọi người sinh ra đều được tự do",
        ] {
            for n in 1..n_chars(text) {
                let part = cut(text, n);
                assert!(n_chars(part) <= n, "{text} at {n}");
                let boundaries = grapheme_boundaries(text);
                assert!(
                    boundaries.contains(&part.len()),
                    "{part:?} splits a grapheme"
                );
            }
        }
    }

    #[test]
    fn halves_meet_at_a_word() {
        assert_eq!(halves("one two three four"), ("one two", "three four"));
        assert_eq!(halves("word"), ("word", ""));
        let (first, second) = halves("人人生而自由，在尊严和权利上一律平等。");
        assert!(!first.is_empty() && !second.is_empty());
    }
}
