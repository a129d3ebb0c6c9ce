//! Romanization, to find words that two languages share: cognates and loans give a lexicon test
//! away.
//!
//! ```
//! use isogloss_lang::romanize::{COGNATE_SIMILARITY, similarity};
//!
//! // Russian and English: the same word in two scripts.
//! assert!(similarity("телефон", "telephone") >= COGNATE_SIMILARITY);
//! assert!(similarity("собака", "dog") < COGNATE_SIMILARITY);
//! ```

use isogloss_record::Lang;
use uroman::{Uroman, rom_format};

/// Words whose romanizations are at least this similar are treated as cognates.
///
/// Half of the letters in place: it catches `telefon`–`telephone` (.67), `banaani`–`banana` (.71)
/// and lets `katua`–`cat` (.40) pass.
pub const COGNATE_SIMILARITY: f64 = 0.5;

/// The text in lower-case Latin letters without accents, as the Universal Romanizer writes them.
///
/// Source: uroman (Hermjakob, May, Knight 2018), by the crate `uroman`.
#[must_use]
pub fn romanize(text: &str, lang: Option<Lang>) -> String {
    let code = lang.as_ref().map(Lang::code);
    Uroman::new()
        .romanize_string::<rom_format::Str>(text, code)
        .to_string()
        .to_lowercase()
}

/// How a word sounds, roughly: the small letters and digits of its romanization, a doubled letter
/// once, because scripts differ in what they double (`obaamaa`). Empty for a text without either.
pub fn sound(text: &str) -> String {
    let mut letters: Vec<char> = romanize(text, None)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect();
    letters.dedup_by(|a, b| a == b && a.is_alphabetic());
    letters.into_iter().collect()
}

/// 1 − (edit distance ÷ length of the longer), of the [`sound`]s, from 0 to 1. Two texts without
/// sound are not similar: 0.
pub fn similarity(a: &str, b: &str) -> f64 {
    similarity_of_sounds(&sound(a), &sound(b))
}

/// [`similarity`] of texts whose [`sound`]s are known.
pub fn similarity_of_sounds(a: &str, b: &str) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    strsim::normalized_levenshtein(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_scripts_become_latin() {
        for text in [
            "ਪੰਜਾਬੀ",
            "ภาษาไทย",
            "日本語",
            "العربية",
            "ქართული",
            "አማርኛ",
            "한국어",
            "Tiếng Việt",
        ] {
            let roman = romanize(text, None);
            assert!(!roman.is_empty(), "{text}");
            assert!(roman.is_ascii(), "{text} -> {roman}");
        }
    }

    #[test]
    fn similarity_by_hand() {
        // kiten -> siting: two letters differ, one is more, of six.
        assert!((similarity("kitten", "sitting") - 3.0 / 6.0).abs() < 1e-12);
        assert_eq!(similarity("Café", "cafe"), 1.0);
        assert_eq!(similarity("", ""), 0.0);
        assert_eq!(similarity("123", "१२३"), 1.0);
        assert_eq!(similarity("?!", "?!"), 0.0);
    }

    #[test]
    fn doubled_letters_sound_once_and_doubled_digits_do_not() {
        assert_eq!(sound("Obaamaa 2001!"), "obama2001");
        assert_eq!(sound("…"), "");
    }
}
