//! Made text: dates, quantities and prices from CLDR's names and patterns, in native digits.
//!
//! ```text
//! packs/texts/made.zst + seed -> documents: date; quantity; price -> the same in every language
//!     Monday, January 5, 2013; 12 kilometers; 15 Swiss francs
//!     सोमवार, ५ जनवरी २०१३; १२ किलोमीटर; १५ स्विस फ़्रैंक
//! ```
//!
//! Exact, unlimited and in no model's memory: which values stand together is drawn by the seed. The
//! four options of an item share one shape, and the digits that tell them apart are masked as
//! everywhere ([`crate::items`]): what is left to know is the names of weekdays, months, units and
//! currencies. Names that look like the English ones are what the copy floor is for.
//!
//! It is one narrow kind of text, so it is a diagnostic register: no verdict rests on it
//! ([`crate::ParallelSource::decides`]).

use std::collections::BTreeMap;

use isogloss_record::survey::Register;
use isogloss_record::{Lang, Seed};
use rand::RngExt;

use super::pack::decompress;
use super::{ParallelText, Translation};

const MADE: &[u8] = include_bytes!("../../../../packs/texts/made.zst");

/// Name of the register.
pub const ID: &str = "made";

/// Documents of a seed: enough for two looks after the shorter half is left out.
const N_DOCUMENTS: usize = 128;

const N_MONTHS: usize = 12;
const N_WEEKDAYS: usize = 7;

/// Names and patterns of a language.
struct Parts<'a> {
    digits: Vec<char>,
    counted: Vec<u32>,
    date: &'a str,
    months: &'a [&'a str],
    weekdays: &'a [&'a str],
    /// Patterns with `{0}`; empty where there is none.
    units: &'a [&'a str],
    currencies: &'a [&'a str],
}

/// What a document says, in no language.
struct Value {
    year: u32,
    month: usize,
    day: u32,
    weekday: usize,
    unit: usize,
    currency: usize,
    /// Which of the numbers that a language may count; taken modulo how many there are, so that
    /// plural forms are right.
    counts: [usize; 2],
}

/// The made text of a seed, in the 100 and more languages whose names CLDR has.
pub fn made(seed: Seed) -> ParallelText {
    let text = decompress(MADE);
    let lines: Vec<&str> = text.lines().collect();
    let [n_units, n_currencies] = header(lines[0]).expect("packs are written by xtask");
    let n_lines = N_MONTHS + N_WEEKDAYS + n_units + n_currencies;
    let values: Vec<Value> = (0..N_DOCUMENTS)
        .map(|at| Value::drawn(&mut seed.rng("made", at as u64), n_units, n_currencies))
        .collect();
    let languages: BTreeMap<Lang, Vec<Translation>> = lines[1..]
        .chunks_exact(n_lines + 1)
        .map(|lines| {
            let (lang, parts) = parts(lines, n_units).expect("packs are written by xtask");
            let translation = Translation {
                label: "made from CLDR".to_owned(),
                is_variant: false,
                documents: values.iter().map(|value| parts.document(value)).collect(),
            };
            (lang, vec![translation])
        })
        .collect();
    let hash = blake3::Hasher::new()
        .update(MADE)
        .update(&seed.0.to_le_bytes())
        .finalize();
    ParallelText {
        register: Register {
            id: ID.to_owned(),
            source: "Dates, quantities and prices made by the seed from Unicode CLDR 48.2.0 \
                     (Unicode-3.0)"
                .to_owned(),
            hash: hash.to_hex().to_string(),
        },
        document_ids: (0..N_DOCUMENTS).map(|at| format!("made-{at:03}")).collect(),
        languages,
    }
}

/// `made<TAB>16<TAB>16`: units and currencies.
fn header(line: &str) -> Option<[usize; 2]> {
    let (n_units, n_currencies) = line.strip_prefix("made\t")?.split_once('\t')?;
    Some([n_units.parse().ok()?, n_currencies.parse().ok()?])
}

/// `@hin<TAB>digits<TAB>numbers<TAB>date pattern`, then months, weekdays, units, currencies.
fn parts<'a>(lines: &'a [&'a str], n_units: usize) -> Option<(Lang, Parts<'a>)> {
    let mut fields = lines[0].strip_prefix('@')?.split('\t');
    let lang = fields.next()?.parse().ok()?;
    let digits: Vec<char> = fields.next()?.chars().collect();
    let counted = fields.next()?.split(' ').map(str::parse);
    let counted: Vec<u32> = counted.collect::<Result<_, _>>().ok()?;
    let (months, rest) = lines[1..].split_at(N_MONTHS);
    let (weekdays, rest) = rest.split_at(N_WEEKDAYS);
    let (units, currencies) = rest.split_at(n_units);
    let parts = Parts {
        digits,
        counted,
        date: fields.next()?,
        months,
        weekdays,
        units,
        currencies,
    };
    (parts.digits.len() == 10 && !parts.counted.is_empty()).then_some((lang, parts))
}

impl Value {
    fn drawn(rng: &mut impl RngExt, n_units: usize, n_currencies: usize) -> Self {
        let (year, month, day) = (
            rng.random_range(1901..2100),
            rng.random_range(0..N_MONTHS),
            rng.random_range(1..=28),
        );
        Self {
            year,
            month,
            day,
            weekday: weekday(year, month, day),
            unit: rng.random_range(0..n_units),
            currency: rng.random_range(0..n_currencies),
            counts: [rng.random_range(0..1000), rng.random_range(0..1000)],
        }
    }
}

/// Day of the week of a Gregorian date, Sunday 0; January is month 0.
///
/// Source: T. Sakamoto's congruence (1992).
fn weekday(year: u32, month: usize, day: u32) -> usize {
    const OFFSETS: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let year = if month < 2 { year - 1 } else { year };
    ((year + year / 4 - year / 100 + year / 400 + OFFSETS[month] + day) % 7) as usize
}

impl Parts<'_> {
    /// `None` where the language has no name for the unit or the currency.
    fn document(&self, value: &Value) -> Option<String> {
        let (unit, currency) = (self.units[value.unit], self.currencies[value.currency]);
        if unit.is_empty() || currency.is_empty() {
            return None;
        }
        let date = self
            .date
            .replace("{weekday}", self.weekdays[value.weekday])
            .replace("{month}", self.months[value.month])
            .replace("{day}", &self.number(value.day))
            .replace("{year}", &self.number(value.year));
        let counted = |pattern: &str, count: usize| {
            let n = self.counted[count % self.counted.len()];
            pattern.replace("{0}", &self.number(n))
        };
        let quantity = counted(unit, value.counts[0]);
        let price = counted(currency, value.counts[1]);
        Some(format!("{date}; {quantity}; {price}"))
    }

    fn number(&self, n: u32) -> String {
        n.to_string()
            .chars()
            .filter_map(|c| Some(self.digits[c.to_digit(10)? as usize]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::items::normal::numbers;

    #[test]
    fn weekdays_by_the_calendar() {
        // 24 November 2026 is a Tuesday, 1 January 2000 a Saturday, 29 February 2024 a Thursday.
        assert_eq!(weekday(2026, 10, 24), 2);
        assert_eq!(weekday(2000, 0, 1), 6);
        assert_eq!(weekday(2024, 1, 29), 4);
    }

    #[test]
    fn every_document_says_the_same_in_every_language_in_its_digits() {
        let text = made(Seed(3));
        let english = &text.languages[&"eng".parse().unwrap()][0].documents;
        assert!(english.iter().all(Option::is_some));
        assert!(text.languages.len() > 100, "{}", text.languages.len());
        for (lang, translations) in &text.languages {
            let documents = &translations[0].documents;
            assert!(documents.iter().flatten().count() >= 16, "{lang}");
            for (document, english) in documents.iter().zip(english) {
                let (Some(document), Some(english)) = (document, english) else {
                    continue;
                };
                assert!(!document.contains(['{', '}']), "{lang}: {document}");
                // The date's year and day, whatever the digits. (Counted numbers may differ: plural
                // forms are right for some only; names may hold numbers.)
                let date: BTreeSet<String> = numbers(english.split(';').next().unwrap());
                assert!(
                    numbers(document).is_superset(&date),
                    "{lang}: {document} {english}"
                );
            }
        }
        let first = |code: &str| {
            text.languages[&code.parse().unwrap()][0].documents[0]
                .clone()
                .unwrap()
        };
        // Devanagari, Arabic and Thai digits where the language has its own.
        for (code, digits) in [("hin", '०'..='९'), ("arb", '٠'..='٩'), ("tha", '๐'..='๙')]
        {
            let document = first(code);
            assert!(document.chars().any(|c| digits.contains(&c)), "{document}");
            assert!(!document.chars().any(|c| c.is_ascii_digit()), "{document}");
        }
        // Seeded.
        assert_eq!(made(Seed(3)), text);
        assert_ne!(made(Seed(4)).register.hash, text.register.hash);
    }
}
