//! Scripts: of a character, of a text, and what is known about each.
//!
//! Scripts carry the names that languages use (ISO 15924): `Jpan` stands for Han, Hiragana and
//! Katakana together, `Kore` for Hangul and Han, `Hans` and `Hant` for Han.
//!
//! ```
//! use isogloss_lang::script;
//!
//! assert_eq!(script::of_char('ß').unwrap().to_string(), "Latn");
//! assert_eq!(script::share("ab वर", "Deva".parse().unwrap()), Some(0.5));
//! ```

use std::collections::BTreeMap;
use std::sync::OnceLock;

use icu_properties::props::{GeneralCategory, Script as Property};
use icu_properties::{CodePointMapData, PropertyNamesShort};
use isogloss_record::Script;

const TABLE: &str = include_str!("../../../packs/languages/scripts.tsv");

/// What is known about a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFacts {
    /// English name.
    pub name: String,
    /// Whether it runs from right to left.
    pub right_to_left: bool,
    /// Whether its words are separated by spaces. Tibetan separates syllables: `false`.
    pub spaces_between_words: bool,
}

/// The facts about a script; `None` where it is not in CLDR.
pub fn facts(script: Script) -> Option<&'static ScriptFacts> {
    static FACTS: OnceLock<BTreeMap<Script, ScriptFacts>> = OnceLock::new();
    let facts = FACTS.get_or_init(|| {
        TABLE
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let mut fields = line.split('\t');
                let script = fields.next()?.parse().ok()?;
                let facts = ScriptFacts {
                    name: fields.next()?.to_owned(),
                    right_to_left: fields.next()? == "rtl",
                    spaces_between_words: fields.next()? == "yes",
                };
                Some((script, facts))
            })
            .collect()
    });
    facts.get(&script)
}

/// Whether a script runs from right to left.
pub fn is_right_to_left(script: Script) -> bool {
    facts(script).is_some_and(|facts| facts.right_to_left)
}

/// The script of a letter or mark; `None` for what all scripts share (digits, punctuation, spaces,
/// emoji) and for unassigned characters.
pub fn of_char(c: char) -> Option<Script> {
    match CodePointMapData::<Property>::new().get(c) {
        Property::Common | Property::Inherited | Property::Unknown => None,
        property => PropertyNamesShort::<Property>::new()
            .get(property)?
            .parse()
            .ok(),
    }
}

/// Whether a letter of script `letter` belongs to text in `script` (`Hira` to `Jpan`).
pub fn includes(script: Script, letter: Script) -> bool {
    let members: &[&str] = match script.code() {
        "Jpan" => &["Hani", "Hira", "Kana"],
        "Kore" => &["Hang", "Hani"],
        "Hans" | "Hant" => &["Hani"],
        _ => return script == letter,
    };
    script == letter || members.contains(&letter.code())
}

/// Share of a text's letters and marks that are in a script, from 0 to 1; `None` without letters.
pub fn share(text: &str, script: Script) -> Option<f64> {
    let (mut n, mut n_inside) = (0_usize, 0_usize);
    for letter in text.chars().filter_map(of_char) {
        n += 1;
        n_inside += usize::from(includes(script, letter));
    }
    (n > 0).then(|| n_inside as f64 / n as f64)
}

/// Letters and marks per script, by Unicode's names (`Hani`, `Hira`, never `Jpan`).
pub fn counts(text: &str) -> BTreeMap<Script, usize> {
    let mut counts = BTreeMap::new();
    for letter in text.chars().filter_map(of_char) {
        *counts.entry(letter).or_default() += 1;
    }
    counts
}

/// Of the scripts that a language is written in, the one that most of a text's letters are in;
/// `None` where the text has no letters of any of them. Ties go to the first.
pub fn best(text: &str, scripts: &[Script]) -> Option<Script> {
    let counts = counts(text);
    let mut best: Option<(usize, Script)> = None;
    for &script in scripts {
        let n = counts
            .iter()
            .filter(|(letter, _)| includes(script, **letter))
            .map(|(_, n)| n)
            .sum();
        if n > 0 && best.is_none_or(|(most, _)| n > most) {
            best = Some((n, script));
        }
    }
    best.map(|(_, script)| script)
}

/// The value of a decimal digit of any script.
///
/// Unicode keeps the ten digits of each system in a row, so the value is the distance to the first
/// of the row.
pub fn digit_value(c: char) -> Option<u32> {
    let categories = CodePointMapData::<GeneralCategory>::new();
    let is_digit = |c: char| categories.get(c) == GeneralCategory::DecimalNumber;
    if !is_digit(c) {
        return None;
    }
    if let Some(value) = c.to_digit(10) {
        return Some(value);
    }
    // Rows start at a multiple of ten from the start of an unbroken run of digits; the runs of
    // mathematical digits hold five rows.
    let before = (1..=50)
        .take_while(|n| {
            u32::from(c)
                .checked_sub(*n)
                .and_then(char::from_u32)
                .is_some_and(is_digit)
        })
        .count();
    Some(before as u32 % 10)
}

/// The zero of a digit's own row (`०` for `३`); `None` for what is no decimal digit.
pub fn zero_of(c: char) -> Option<char> {
    char::from_u32(u32::from(c) - digit_value(c)?)
}

/// A number's digits in the numbering system whose zero is given: `to_digits("2026", '०')`.
pub fn to_digits(number: &str, zero: char) -> String {
    number
        .chars()
        .map(|c| {
            c.to_digit(10)
                .and_then(|value| char::from_u32(u32::from(zero) + value))
                .unwrap_or(c)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(code: &str) -> Script {
        code.parse().unwrap()
    }

    #[test]
    fn characters_have_scripts() {
        for (c, code) in [
            ('a', "Latn"),
            ('ع', "Arab"),
            ('ह', "Deva"),
            ('ก', "Thai"),
            ('汉', "Hani"),
            ('の', "Hira"),
            ('한', "Hang"),
            ('አ', "Ethi"),
            ('ᱚ', "Olck"),
        ] {
            assert_eq!(of_char(c), Some(script(code)), "{c}");
        }
        for c in ['1', '.', ' ', '👍', '\u{301}'] {
            assert_eq!(of_char(c), None, "{c:?}");
        }
    }

    #[test]
    fn shares_count_letters_only() {
        assert_eq!(share("日本語のテキスト 123", script("Jpan")), Some(1.0));
        assert_eq!(share("한국어 漢字", script("Kore")), Some(1.0));
        assert_eq!(share("汉语", script("Hans")), Some(1.0));
        // Two of six letters.
        assert_eq!(share("ab гдеж", script("Latn")), Some(2.0 / 6.0));
        assert_eq!(share("12 ?!", script("Latn")), None);
        assert_eq!(share("", script("Latn")), None);
    }

    #[test]
    fn the_best_script_of_a_text() {
        let serbian = [script("Cyrl"), script("Latn")];
        assert_eq!(best("Sva ljudska bića", &serbian), Some(script("Latn")));
        assert_eq!(best("Сва људска бића (UN)", &serbian), Some(script("Cyrl")));
        assert_eq!(best("123", &serbian), None);
    }

    #[test]
    fn directions_and_spaces() {
        for code in ["Arab", "Hebr", "Thaa", "Nkoo", "Adlm", "Syrc"] {
            assert!(is_right_to_left(script(code)), "{code}");
        }
        for code in ["Latn", "Deva", "Mong", "Thai"] {
            assert!(!is_right_to_left(script(code)), "{code}");
        }
        let spaces = |code| facts(script(code)).unwrap().spaces_between_words;
        for code in [
            "Thai", "Khmr", "Laoo", "Mymr", "Jpan", "Hans", "Hant", "Tibt",
        ] {
            assert!(!spaces(code), "{code}");
        }
        for code in ["Latn", "Arab", "Deva", "Kore", "Ethi"] {
            assert!(spaces(code), "{code}");
        }
    }

    #[test]
    fn digits_of_many_systems() {
        for (digits, value) in [("7٧۷७৭๗༧၇７𞥗", 7), ("0٠०๐0", 0), ("9٩९๙", 9)]
        {
            for c in digits.chars() {
                assert_eq!(digit_value(c), Some(value), "{c}");
            }
        }
        // The last of the mathematical rows: monospace nine.
        assert_eq!(digit_value('\u{1d7ff}'), Some(9));
        for c in ['a', '½', '五', 'Ⅳ'] {
            assert_eq!(digit_value(c), None, "{c}");
        }
        assert_eq!(to_digits("1948-12", '०'), "१९४८-१२");
    }
}
