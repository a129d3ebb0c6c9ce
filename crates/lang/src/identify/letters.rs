//! What the identifier reads of a text: its letters in lower case, words set off by one space.
//!
//! Digits, punctuation and symbols say little about the language and much about the file, so all of
//! them become a space. An apostrophe inside a word is kept, in one form. Texts without spaces are
//! simply long words: character n-grams need no word boundaries.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_normalizer::properties::{CanonicalDecompositionBorrowed, Decomposed};
use icu_properties::props::{GeneralCategory, Script as Property};
use icu_properties::{CodePointMapData, PropertyNamesShort};

use super::han::HanForms;

/// Longest n-gram, in characters.
pub(super) const ORDER_MAX: usize = 5;

/// Letters of an alphabet that a Han character stands for, where it is asked which script most of a
/// text is in.
const N_LETTERS_HAN: usize = 2;

/// Share of kana from which Han letters are Japanese.
const KANA_SHARE: f64 = 0.1;

/// The letters of one text.
#[derive(Debug, Default, PartialEq)]
#[expect(
    clippy::struct_field_names,
    reason = "a count is named by what it counts"
)]
pub(super) struct Letters {
    /// Lower-case letters and marks; one space before, between and after words. Empty without any.
    pub chars: Vec<char>,
    /// Letters, marks not counted.
    pub n_letters: usize,
    /// Characters that are neither letter, mark nor white space.
    pub n_others: usize,
    /// Replacement and control characters: traces of bytes that are no text.
    pub n_broken: usize,
    /// The script of most letters (`Hani`, `Cyrl`; `Jpan` where there is kana); empty without.
    pub script: &'static str,
    /// Of Han text folded by [`HanForms`]: `Hans`, `Hant`, or empty where nothing tells.
    pub form: &'static str,
}

impl Letters {
    /// Reads a text in any normal form.
    pub(super) fn read(text: &str) -> Self {
        let text = ComposingNormalizerBorrowed::new_nfc().normalize(text);
        let categories = CodePointMapData::<GeneralCategory>::new();
        let scripts = CodePointMapData::<Property>::new();
        let mut letters = Self {
            chars: Vec::with_capacity(text.len() + 2),
            ..Self::default()
        };
        letters.chars.push(' ');
        let mut counts: Vec<(Property, usize)> = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match kind(c, categories.get(c)) {
                Kind::Letter => {
                    letters.n_letters += 1;
                    match c {
                        // Not "i" with a dot above: one letter, as in other alphabets.
                        'İ' => letters.chars.push('i'),
                        c => letters.chars.extend(c.to_lowercase()),
                    }
                    let script = scripts.get(c);
                    // A Han character is a syllable at least, in other scripts two letters or three.
                    let weight = if script == Property::Han {
                        N_LETTERS_HAN
                    } else {
                        1
                    };
                    match counts.iter_mut().find(|(known, _)| *known == script) {
                        Some((_, n)) => *n += weight,
                        None => counts.push((script, weight)),
                    }
                }
                Kind::Mark => letters.chars.push(c),
                Kind::Apostrophe
                    if letters.chars.last() != Some(&' ')
                        && chars.peek().is_some_and(|next| next.is_alphabetic()) =>
                {
                    letters.chars.push('\'');
                }
                other => {
                    letters.n_others += usize::from(!matches!(other, Kind::Space));
                    letters.n_broken += usize::from(matches!(other, Kind::Broken));
                    if letters.chars.last() != Some(&' ') {
                        letters.chars.push(' ');
                    }
                }
            }
        }
        if letters.chars.last() != Some(&' ') {
            letters.chars.push(' ');
        }
        if letters.n_letters == 0 {
            letters.chars.clear();
        }
        letters.script = majority(&counts);
        letters
    }

    /// Han characters in one form, and [`Letters::form`]; other scripts stay as they are.
    pub(super) fn fold(mut self, forms: &HanForms) -> Self {
        if self.script == "Hani" {
            self.form = forms.fold(&mut self.chars);
        }
        self
    }

    /// Calls `each` with the order (1 to [`ORDER_MAX`]) and the key of every n-gram.
    ///
    /// N-grams run across the space between words, so that short function words count with their
    /// neighbors; the space alone is none.
    pub(super) fn for_each_gram(&self, mut each: impl FnMut(usize, u32)) {
        for start in 0..self.chars.len() {
            let mut hash = SEED;
            for (i, &c) in self.chars[start..].iter().take(ORDER_MAX).enumerate() {
                hash = mix(hash, c);
                if i > 0 || c != ' ' {
                    each(i + 1, (hash >> 32) as u32);
                }
            }
        }
    }

    /// The same without the marks that decomposition splits off (`é` as `e`); `None` where there
    /// are none. Many writers leave tone marks and accents out.
    pub(super) fn without_marks(&self) -> Option<Self> {
        let decompose = CanonicalDecompositionBorrowed::new();
        let categories = CodePointMapData::<GeneralCategory>::new();
        let is_mark = |c: char| categories.get(c) == GeneralCategory::NonspacingMark;
        let mut chars = Vec::with_capacity(self.chars.len());
        for &c in &self.chars {
            let mut base = c;
            while let Decomposed::Expansion(first, _) | Decomposed::Singleton(first) =
                decompose.decompose(base)
            {
                base = first;
            }
            if !is_mark(base) {
                chars.push(base);
            }
        }
        (chars != self.chars).then_some(Self {
            chars,
            script: self.script,
            ..Self::default()
        })
    }
}

enum Kind {
    Letter,
    Mark,
    Apostrophe,
    Space,
    Broken,
    Other,
}

fn kind(c: char, category: GeneralCategory) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' => return Kind::Letter,
        ' ' | '\n' | '\t' | '\r' => return Kind::Space,
        // Typographic and modifier forms, as the same language writes them in different files.
        '\'' | '’' | 'ʼ' | 'ʻ' | '‘' | 'ʹ' | '`' | '´' => return Kind::Apostrophe,
        // Joiners shape letters; they stand inside words.
        '\u{200c}' | '\u{200d}' => return Kind::Mark,
        '\u{fffd}' => return Kind::Broken,
        _ => {}
    }
    match category {
        GeneralCategory::UppercaseLetter
        | GeneralCategory::LowercaseLetter
        | GeneralCategory::TitlecaseLetter
        | GeneralCategory::ModifierLetter
        | GeneralCategory::OtherLetter => Kind::Letter,
        GeneralCategory::NonspacingMark
        | GeneralCategory::SpacingMark
        | GeneralCategory::EnclosingMark => Kind::Mark,
        GeneralCategory::SpaceSeparator
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Kind::Space,
        GeneralCategory::Control
        | GeneralCategory::Unassigned
        | GeneralCategory::PrivateUse
        | GeneralCategory::Surrogate => Kind::Broken,
        _ => Kind::Other,
    }
}

/// The script of most letters; the first of equals.
fn majority(counts: &[(Property, usize)]) -> &'static str {
    let total: usize = counts.iter().map(|(_, n)| n).sum();
    let kana: usize = counts
        .iter()
        .filter(|(script, _)| matches!(*script, Property::Hiragana | Property::Katakana))
        .map(|(_, n)| n)
        .sum();
    if kana > 0 && kana as f64 >= KANA_SHARE * total as f64 {
        return "Jpan";
    }
    let mut best: Option<(Property, usize)> = None;
    for &(script, n) in counts {
        if best.is_none_or(|(_, most)| n > most) {
            best = Some((script, n));
        }
    }
    best.and_then(|(script, _)| PropertyNamesShort::<Property>::new().get(script))
        .unwrap_or_default()
}

const SEED: u64 = 0x243f_6a88_85a3_08d3;

/// A multiplicative hash; its high half is well mixed.
fn mix(hash: u64, c: char) -> u64 {
    (hash.rotate_left(5) ^ u64::from(u32::from(c))).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        Letters::read(text).chars.into_iter().collect()
    }

    #[test]
    fn letters_are_kept_in_every_script_and_the_rest_is_space() {
        for (text, want, script) in [
            ("İSTANBUL’da 3 kedi!", " istanbul'da kedi ", "Latn"),
            ("السَّلام، عليكم 5", " السَّلام عليكم ", "Arab"),
            ("हिन्दी में २०", " हिन्दी में ", "Deva"),
            ("ภาษาไทย 1", " ภาษาไทย ", "Thai"),
            ("中文，2026年", " 中文 年 ", "Hani"),
            ("日本語です", " 日本語です ", "Jpan"),
            ("ይህ ነው።", " ይህ ነው ", "Ethi"),
        ] {
            let letters = Letters::read(text);
            assert_eq!(words(text), want);
            assert_eq!(letters.script, script, "{text}");
        }
        // Composed and decomposed text are read alike.
        assert_eq!(Letters::read("Vie\u{323}\u{302}t"), Letters::read("Việt"));
    }

    #[test]
    fn text_without_letters_has_no_grams() {
        for text in ["", " \n", "12 345,6", "…!?", "😀🎉", "\u{fffd}\u{fffd}"] {
            let letters = Letters::read(text);
            assert!(
                letters.chars.is_empty() && letters.script.is_empty(),
                "{text}"
            );
            letters.for_each_gram(|_, _| panic!("no grams in {text}"));
        }
    }

    #[test]
    fn grams_cross_spaces_and_never_are_one() {
        // " ab c ", 6 characters: 6 - 3 spaces of order 1, then 5, 4, 3, 2.
        let mut orders = [0; ORDER_MAX + 1];
        Letters::read("ab c").for_each_gram(|order, _| orders[order] += 1);
        assert_eq!(orders[1..], [3, 5, 4, 3, 2]);
    }

    #[test]
    fn marks_come_off_letters_that_have_them() {
        let plain = Letters::read("Ọjọ́ Việt").without_marks().unwrap();
        assert_eq!(plain.chars.iter().collect::<String>(), " ojo viet ");
        assert_eq!(Letters::read("ojo").without_marks(), None);
    }
}
