//! Parts of made items from CLDR: months, weekdays, date patterns, units, currencies, digits.
//!
//! Numbers that are counted are of one plural category (11 to 17, as far as they share one), so that
//! every form is right without plural rules in the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde_json::Value;

use super::languages::{Codes, LikelyScripts, written};
use super::npm::Packages;
use super::{TextScripts, scripts};

/// Locales that are left out: not a language, or a transliteration.
const LEFT_OUT: [&str; 5] = ["und", "hi-Latn", "kk-Arab", "sr-Cyrl", "yue-Hans"];

/// Units with their English names in CLDR's tables.
const UNITS: [&str; 16] = [
    "length-meter",
    "length-kilometer",
    "length-centimeter",
    "area-square-kilometer",
    "speed-kilometer-per-hour",
    "mass-kilogram",
    "mass-gram",
    "volume-liter",
    "temperature-celsius",
    "duration-year",
    "duration-month",
    "duration-week",
    "duration-day",
    "duration-hour",
    "duration-minute",
    "duration-second",
];

/// Currencies by ISO 4217 code.
const CURRENCIES: [&str; 16] = [
    "BRL", "CHF", "CNY", "EGP", "ETB", "EUR", "GBP", "INR", "JPY", "KES", "KRW", "MXN", "NGN",
    "RUB", "TRY", "USD",
];

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A language needs so many units and so many currencies.
const N_NAMES_MIN: usize = 8;

/// Numbers that are counted, as far as they share a plural category with the first.
const COUNTED: std::ops::RangeInclusive<u32> = 11..=17;

struct Parts {
    /// Ten digits in one word.
    digits: String,
    /// Numbers that may be counted.
    counted: Vec<u32>,
    /// Fields `{weekday}`, `{month}`, `{day}`, `{year}`.
    date: String,
    months: Vec<String>,
    weekdays: Vec<String>,
    /// Patterns with `{0}` for the number, in the order of the tables above.
    units: Vec<Option<String>>,
    currencies: Vec<Option<String>>,
}

/// Parts per language.
pub(super) struct Made {
    languages: BTreeMap<(String, String), Parts>,
    n_incomplete: usize,
}

/// Reads every language that has text and all that is needed.
pub(super) fn read(
    packages: &Packages,
    codes: &Codes,
    text_scripts: &TextScripts,
) -> Result<Made, String> {
    let likely = LikelyScripts::read(packages)?;
    let plurals = packages.json("cldr-core/supplemental/plurals.json")?;
    let plurals = &plurals["supplemental"]["plurals-type-cardinal"];
    let systems = packages.json("cldr-core/supplemental/numberingSystems.json")?;
    let systems = &systems["supplemental"]["numberingSystems"];
    let english = Names::read(packages, "en")?;
    let root = Names::read(packages, "und")?;
    let mut languages = BTreeMap::new();
    let mut n_incomplete = 0;
    for locale in packages.entries("cldr-dates-full/main")? {
        let subtags: Vec<&str> = locale.split('-').collect();
        let regional = subtags.len() > 2 || subtags.len() == 2 && subtags[1].len() != 4;
        if regional || LEFT_OUT.contains(&locale.as_str()) {
            continue;
        }
        let script = likely.of(&locale, subtags[0]);
        let code = codes.of_tag(subtags[0], &script);
        if !text_scripts
            .get(&code)
            .is_some_and(|scripts| scripts.contains(&script))
        {
            continue;
        }
        let names = Names::read(packages, &locale)?;
        let others = if locale == "en" {
            vec![]
        } else {
            vec![&english, &root]
        };
        let rules = &plurals[subtags[0]];
        match names.parts(rules, systems, &others) {
            Some(parts) if is_in_script(&parts, &script) => {
                languages.insert((code, script), parts);
            }
            _ => n_incomplete += 1,
        }
    }
    Ok(Made {
        languages,
        n_incomplete,
    })
}

/// Names in the script that the locale says.
fn is_in_script(parts: &Parts, script: &str) -> bool {
    let all = [parts.months.join(" "), parts.weekdays.join(" ")].join(" ");
    scripts::of_text(&all).is_some_and(|(found, share)| found == script && share > 0.9)
}

/// The tables of a locale.
struct Names {
    gregorian: Value,
    units: Value,
    currencies: Value,
    numbers: Value,
}

impl Names {
    fn read(packages: &Packages, locale: &str) -> Result<Self, String> {
        let read = |package: &str, file: &str| -> Result<Value, String> {
            let path = format!("cldr-{package}-full/main/{locale}/{file}.json");
            let json = packages.json_if_any(&path)?.unwrap_or_default();
            Ok(json["main"][locale].clone())
        };
        Ok(Self {
            gregorian: read("dates", "ca-gregorian")?["dates"]["calendars"]["gregorian"].clone(),
            units: read("units", "units")?["units"]["long"].clone(),
            currencies: read("numbers", "currencies")?["numbers"]["currencies"].clone(),
            numbers: read("numbers", "numbers")?["numbers"].clone(),
        })
    }

    /// All parts; `None` where something is missing. What equals a name of `others` (English, or
    /// what CLDR falls back to) is missing.
    fn parts(&self, rules: &Value, systems: &Value, others: &[&Self]) -> Option<Parts> {
        let (counted, category) = category(rules)?;
        let pattern = self.gregorian["dateFormats"]["full"].as_str()?;
        let (date, is_standalone) = self.date(pattern)?;
        let style = if is_standalone {
            "stand-alone"
        } else {
            "format"
        };
        let months: Vec<String> = (1..=12)
            .map(|month| text(&self.gregorian["months"][style]["wide"][month.to_string()]))
            .collect::<Option<_>>()?;
        let weekdays: Vec<String> = (WEEKDAYS.iter())
            .map(|day| text(&self.gregorian["days"]["format"]["wide"][*day]))
            .collect::<Option<_>>()?;
        let is_root = months.iter().any(|month| month.starts_with("M0"))
            || weekdays.iter().any(|day| day == "Mon")
            || others.iter().any(|other| {
                let name = |day| text(&other.gregorian["days"]["format"]["wide"][day]);
                name("mon").as_ref() == Some(&weekdays[1])
            });
        if is_root {
            return None;
        }
        let new = |name: Option<String>, of: &dyn Fn(&Self) -> Option<String>| {
            let is_known = others.iter().any(|other| of(other) == name);
            name.filter(|_| !is_known)
        };
        let units: Vec<Option<String>> = (UNITS.iter())
            .map(|unit| {
                new(self.unit(unit, &category), &|other| {
                    other.unit(unit, "other")
                })
            })
            .collect();
        let currencies: Vec<Option<String>> = (CURRENCIES.iter())
            .map(|code| {
                new(self.currency(code, &category), &|other| {
                    other.currency(code, "other")
                })
            })
            .collect();
        let n_of = |names: &[Option<String>]| names.iter().flatten().count();
        if n_of(&units) < N_NAMES_MIN || n_of(&currencies) < N_NAMES_MIN {
            return None;
        }
        Some(Parts {
            digits: self.digits(systems)?,
            counted,
            date,
            months,
            weekdays,
            units,
            currencies,
        })
    }

    /// Digits of the native system where it has ten, else of the usual one.
    fn digits(&self, systems: &Value) -> Option<String> {
        let digits = |name: &str| {
            let digits = systems[name]["_digits"].as_str()?;
            let values: Vec<u32> = digits.chars().map(u32::from).collect();
            let in_row = values.len() == 10 && values.windows(2).all(|two| two[1] == two[0] + 1);
            in_row.then(|| digits.to_owned())
        };
        let native = self.numbers["otherNumberingSystems"]["native"].as_str();
        native
            .and_then(digits)
            .or_else(|| digits(self.numbers["defaultNumberingSystem"].as_str()?))
    }

    /// A pattern of CLDR's letters with fields for our values, and whether its month stands alone.
    fn date(&self, pattern: &str) -> Option<(String, bool)> {
        let (mut out, mut is_standalone) = (String::new(), false);
        let letters: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while at < letters.len() {
            let c = letters[at];
            let n = letters[at..].iter().take_while(|next| **next == c).count();
            match (c, n) {
                ('\'', 1) => {
                    let end = (at + 1..letters.len()).find(|i| letters[*i] == '\'')?;
                    out.extend(&letters[at + 1..end]);
                    at = end + 1;
                    continue;
                }
                ('E' | 'c', 4) => out.push_str("{weekday}"),
                ('M', 4) => out.push_str("{month}"),
                ('L', 4) => {
                    out.push_str("{month}");
                    is_standalone = true;
                }
                ('d', 1 | 2) => out.push_str("{day}"),
                ('y', 1 | 4) => out.push_str("{year}"),
                ('G', 1) => out.push_str(&text(&self.gregorian["eras"]["eraAbbr"]["1"])?),
                (c, n) if !c.is_ascii_alphabetic() && c != '\'' => {
                    out.extend(std::iter::repeat_n(c, n));
                }
                _ => return None,
            }
            at += n;
        }
        let has_all = ["{weekday}", "{month}", "{day}", "{year}"]
            .iter()
            .all(|field| out.contains(field));
        has_all.then_some((out, is_standalone))
    }

    fn unit(&self, unit: &str, category: &str) -> Option<String> {
        let names = &self.units[unit];
        text(&names[format!("unitPattern-count-{category}")])
            .or_else(|| text(&names["unitPattern-count-other"]))
            .filter(|pattern| pattern.contains("{0}"))
    }

    fn currency(&self, code: &str, category: &str) -> Option<String> {
        let names = &self.currencies[code];
        let name = text(&names[format!("displayName-count-{category}")])
            .or_else(|| text(&names["displayName-count-other"]))
            .or_else(|| text(&names["displayName"]))
            .filter(|name| name != code)?;
        let patterns = &self.numbers["currencyFormats-numberSystem-latn"];
        let pattern = text(&patterns[format!("unitPattern-count-{category}")])
            .or_else(|| text(&patterns["unitPattern-count-other"]))
            .unwrap_or_else(|| "{0} {1}".to_owned());
        Some(pattern.replace("{1}", &name))
    }
}

/// A text in NFC on one line, without marks of direction; `None` where there is none.
fn text(value: &Value) -> Option<String> {
    let value = value
        .as_str()?
        .replace(['\u{200e}', '\u{200f}', '\u{61c}'], "");
    let words: Vec<&str> = value.split_whitespace().collect();
    let text = ComposingNormalizerBorrowed::new_nfc()
        .normalize(&words.join(" "))
        .into_owned();
    (!text.is_empty()).then_some(text)
}

/// The plural category of 11 by the rules' samples, and the numbers that share it.
fn category(rules: &Value) -> Option<(Vec<u32>, String)> {
    let of = |n: u32| -> String {
        let found = rules.as_object().into_iter().flatten().find(|(_, rule)| {
            let samples = rule.as_str().unwrap_or_default();
            let samples = samples.split("@integer").nth(1).unwrap_or_default();
            let samples = samples.split('@').next().unwrap_or_default();
            samples.split(',').map(str::trim).any(|sample| {
                let (from, to) = sample.split_once('~').unwrap_or((sample, sample));
                matches!((from.parse::<u32>(), to.parse::<u32>()), (Ok(from), Ok(to)) if (from..=to).contains(&n))
            })
        });
        found.map_or_else(
            || "other".to_owned(),
            |(key, _)| key.trim_start_matches("pluralRule-count-").to_owned(),
        )
    };
    let first = of(*COUNTED.start());
    let counted: Vec<u32> = COUNTED.filter(|n| of(*n) == first).collect();
    (!counted.is_empty()).then_some((counted, first))
}

impl Made {
    /// What is embedded: how many units and currencies there are, then the lines of each language.
    pub(super) fn text(&self, text_scripts: &TextScripts) -> String {
        let mut text = format!("made\t{}\t{}\n", UNITS.len(), CURRENCIES.len());
        for ((code, script), parts) in &self.languages {
            let counted: Vec<String> = parts.counted.iter().map(u32::to_string).collect();
            writeln!(
                text,
                "@{}\t{}\t{}\t{}",
                written(code, script, text_scripts),
                parts.digits,
                counted.join(" "),
                parts.date
            )
            .expect("writing to a string");
            let names = parts
                .months
                .iter()
                .chain(&parts.weekdays)
                .map(String::as_str);
            let patterns = (parts.units.iter().chain(&parts.currencies))
                .map(|pattern| pattern.as_deref().unwrap_or_default());
            for name in names.chain(patterns) {
                text.push_str(name);
                text.push('\n');
            }
        }
        text
    }

    /// One line about what was kept.
    pub(super) fn summary(&self) -> String {
        format!(
            "made: {} languages; {} with text lack names of their own",
            self.languages.len(),
            self.n_incomplete
        )
    }
}
