//! An invented world of three languages whose every text is known: `qaa` is read, written and kept
//! to, `qab` is read only, `qac` is not known; `qad` has words and no text.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::survey::{LanguageFacts, Register};
use isogloss_survey::{ParallelSource, SurveyTexts, WordSource};

pub(crate) fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

const ENGLISH: [&str; 12] = [
    "river", "stone", "winter", "garden", "window", "mother", "silver", "thunder", "market",
    "island", "letter", "shadow",
];

/// The i-th English word in an invented language: its letters turned by a step.
pub(crate) fn word(code: &str, i: usize) -> String {
    let step = match code {
        "eng" => 0,
        "qaa" => 5,
        "qab" => 9,
        "qac" => 13,
        _ => 17,
    };
    ENGLISH[i % 12]
        .chars()
        .map(|c| char::from((c as u8 - b'a' + step) % 26 + b'a'))
        .collect()
}

/// Document d: a sentence of words that only it combines so, with a name that none shares.
pub(crate) fn document(code: &str, d: usize) -> String {
    let number = |i: usize| {
        (d as u64 * 7919 + i as u64 * 104_729 + 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    };
    let words: Vec<String> = (0..14).map(|i| word(code, number(i) as usize)).collect();
    let name: String = "Abekor"
        .chars()
        .map(|c| {
            if c == 'e' {
                (b'a' + d as u8) as char
            } else {
                c
            }
        })
        .collect();
    format!("{} {name} {}.", words[..7].join(" "), words[7..].join(" "))
}

pub(crate) const N_DOCUMENTS: usize = 24;

pub(crate) fn texts() -> SurveyTexts {
    let register = |id: &str| Register {
        id: id.to_owned(),
        source: "invented".to_owned(),
        hash: "0".repeat(64),
    };
    let documents = ["eng", "qaa", "qab", "qac"]
        .map(|code| {
            let documents: BTreeMap<String, String> = (0..N_DOCUMENTS)
                .map(|d| (format!("{d:02}"), document(code, d)))
                .collect();
            (lang(code), documents)
        })
        .into();
    let entries = ["qaa", "qac", "qad"]
        .map(|code| {
            let words: BTreeMap<String, String> =
                (0..12).map(|i| (word("eng", i), word(code, i))).collect();
            (lang(code), words)
        })
        .into();
    SurveyTexts {
        parallel: vec![ParallelSource {
            register: register("invented"),
            is_own: false,
            documents,
            second: BTreeMap::new(),
        }],
        words: Some(WordSource {
            register: register("words"),
            entries,
        }),
    }
}

pub(crate) fn languages() -> BTreeMap<Lang, LanguageFacts> {
    ["eng", "qaa", "qab", "qac", "qad"]
        .map(|code| {
            let facts = LanguageFacts {
                name: code.to_owned(),
                endonym: None,
                tag: code.to_owned(),
                script: "Latn".parse().unwrap(),
                right_to_left: false,
                family: Vec::new(),
                latitude: None,
                longitude: None,
                speakers: None,
                resource_class: None,
                sample: None,
                regions: Vec::new(),
            };
            (lang(code), facts)
        })
        .into()
}

/// The language of a text by its words; `None` for nonsense.
pub(crate) fn language_of(text: &str) -> Option<&'static str> {
    ["eng", "qaa", "qab", "qac", "qad"]
        .into_iter()
        .map(|code| {
            let known = (0..12).filter(|&i| text.contains(&word(code, i))).count();
            (known, code)
        })
        .filter(|(known, _)| *known > 0)
        .max()
        .map(|(_, code)| code)
}

/// Words of a text by number, whatever the language.
pub(crate) fn meaning(text: &str) -> Vec<usize> {
    let Some(code) = language_of(text) else {
        return Vec::new();
    };
    text.split(|c: char| !c.is_alphanumeric())
        .filter_map(|token| (0..12).find(|&i| word(code, i) == token))
        .collect()
}
