//! Names of emoji and symbols from CLDR: words with an English gloss, aligned by symbol.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use icu_normalizer::ComposingNormalizerBorrowed;

use super::languages::{Codes, LikelyScripts, written};
use super::npm::Packages;
use super::{TextScripts, scripts};

/// Locales that are left out, with the reason.
const LEFT_OUT: [(&str, &str); 4] = [
    ("und", "no language"),
    ("hi-Latn", "Hindi with much English in Latin letters"),
    ("kk-Arab", "a transliteration of `kk`"),
    ("sr-Cyrl", "the same as `sr`"),
];

/// A language with fewer words is no list.
const N_WORDS_MIN: usize = 48;

/// Words per language.
pub(super) struct Words {
    glosses: Vec<String>,
    /// By code and script, aligned with the glosses.
    languages: BTreeMap<(String, String), Vec<Option<String>>>,
    n_too_few: usize,
}

/// Reads the names of all locales that have enough.
pub(super) fn read(packages: &Packages, codes: &Codes) -> Result<Words, String> {
    let likely = LikelyScripts::read(packages)?;
    let english = names(packages, "en")?;
    // Glosses of one word, in the order of the symbols' code points.
    let glosses: Vec<(&String, &String)> = english
        .iter()
        .filter(|(_, name)| name.chars().all(char::is_alphabetic))
        .collect();
    let mut languages = BTreeMap::new();
    let mut n_too_few = 0;
    for locale in packages.entries("cldr-annotations-full/annotations")? {
        let parts: Vec<&str> = locale.split('-').collect();
        let regional = parts.len() > 2 || parts.len() == 2 && parts[1].len() != 4;
        if regional || LEFT_OUT.iter().any(|(left_out, _)| *left_out == locale) {
            continue;
        }
        let names = names(packages, &locale)?;
        let words: Vec<Option<String>> = glosses
            .iter()
            .map(|(symbol, gloss)| {
                let name = names.get(*symbol)?;
                // A name that equals the English one is English, or tells nothing.
                let usable = locale == "en" || name.to_lowercase() != gloss.to_lowercase();
                usable.then(|| name.clone())
            })
            .collect();
        let n = words.iter().flatten().count();
        if n < N_WORDS_MIN {
            n_too_few += 1;
            continue;
        }
        let script = likely.of(&locale, parts[0]);
        let all: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
        let (found, share) =
            scripts::of_text(&all.join(" ")).ok_or_else(|| format!("`{locale}`: no letters"))?;
        if found != script || share < 0.9 {
            return Err(format!(
                "words of `{locale}`: expected {script}, found {found} ({share:.2} of the letters)"
            ));
        }
        let code = codes.of_tag(parts[0], &script);
        // Filipino is the standard of Tagalog: its words serve both codes.
        if code == "fil" {
            languages.insert(("tgl".to_owned(), script.clone()), words.clone());
        }
        if languages.insert((code.clone(), script), words).is_some() {
            return Err(format!("words of `{locale}`: `{code}` comes twice"));
        }
    }
    Ok(Words {
        glosses: glosses
            .into_iter()
            .map(|(_, gloss)| gloss.clone())
            .collect(),
        languages,
        n_too_few,
    })
}

/// All names of every language by code and script, those left out that equal the English ones.
pub(super) fn all_names(
    packages: &Packages,
    codes: &Codes,
) -> Result<BTreeMap<(String, String), Vec<String>>, String> {
    let likely = LikelyScripts::read(packages)?;
    let english = names(packages, "en")?;
    let mut all = BTreeMap::new();
    for locale in packages.entries("cldr-annotations-full/annotations")? {
        let parts: Vec<&str> = locale.split('-').collect();
        let regional = parts.len() > 2 || parts.len() == 2 && parts[1].len() != 4;
        if regional || LEFT_OUT.iter().any(|(left_out, _)| *left_out == locale) {
            continue;
        }
        let own: Vec<String> = names(packages, &locale)?
            .into_iter()
            .filter(|(symbol, name)| {
                let same = |gloss: &String| gloss.to_lowercase() == name.to_lowercase();
                locale == "en" || !english.get(symbol).is_some_and(same)
            })
            .map(|(_, name)| name)
            .collect();
        let script = likely.of(&locale, parts[0]);
        let code = match codes.of_tag(parts[0], &script).as_str() {
            // Filipino is the standard of Tagalog.
            "fil" => "tgl".to_owned(),
            code => code.to_owned(),
        };
        all.insert((code, script), own);
    }
    Ok(all)
}

/// Cantonese names in traditional and in simplified characters, symbol by symbol: CLDR's second
/// list is a transliteration of the first.
pub(super) fn han_pairs(packages: &Packages) -> Result<Vec<(String, String)>, String> {
    let simplified = names(packages, "yue-Hans")?;
    Ok(names(packages, "yue")?
        .into_iter()
        .filter_map(|(symbol, name)| Some((name, simplified.get(&symbol)?.clone())))
        .collect())
}

/// Short names of a locale by symbol, NFC.
fn names(packages: &Packages, locale: &str) -> Result<BTreeMap<String, String>, String> {
    let json = packages.json(&format!(
        "cldr-annotations-full/annotations/{locale}/annotations.json"
    ))?;
    let mut names = BTreeMap::new();
    for (symbol, facts) in json["annotations"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if let Some(name) = facts["tts"][0].as_str() {
            let name: Vec<&str> = name.split_whitespace().collect();
            let name = ComposingNormalizerBorrowed::new_nfc()
                .normalize(&name.join(" "))
                .into_owned();
            names.insert(symbol.clone(), name);
        }
    }
    Ok(names)
}

impl Words {
    /// Code and script of every language.
    pub(super) fn languages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.languages
            .keys()
            .map(|(code, script)| (code.as_str(), script.as_str()))
    }

    /// Words per ISO 639-3 code, in its richest script.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for ((code, _), words) in &self.languages {
            let n = words.iter().flatten().count();
            let count = counts.entry(code.clone()).or_default();
            *count = n.max(*count);
        }
        counts
    }

    /// What is embedded: the glosses, then a header line and a line per word for each language.
    pub(super) fn text(&self, text_scripts: &TextScripts) -> String {
        let mut text = format!("words\t{}\n", self.glosses.len());
        for gloss in &self.glosses {
            text.push_str(gloss);
            text.push('\n');
        }
        for ((code, script), words) in &self.languages {
            writeln!(text, "@{}", written(code, script, text_scripts))
                .expect("writing to a string");
            for word in words {
                text.push_str(word.as_deref().unwrap_or_default());
                text.push('\n');
            }
        }
        text
    }

    /// One line about what was kept.
    pub(super) fn summary(&self) -> String {
        let n_words: usize = self.languages.values().flatten().flatten().count();
        format!(
            "words: {} glosses, {} languages, {n_words} words; {} locales have fewer than {N_WORDS_MIN}",
            self.glosses.len(),
            self.languages.len(),
            self.n_too_few
        )
    }
}
