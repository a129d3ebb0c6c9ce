//! From what a user writes to a language: `hau`, `ha`, `ha-Latn`, `zh-Hant`, `Hausa`, `euskara`.

use isogloss_record::{Explain, Lang, Script};

use super::{Registry, registry};
use crate::script;

/// A language that the registry does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no language that Isogloss knows")]
pub struct UnknownLanguage {
    /// What was written.
    pub found: String,
}

impl UnknownLanguage {
    /// Codes and names that look most like what was written, the nearest first; at most three.
    ///
    /// The search compares it with every name, which takes milliseconds, so it is made when somebody
    /// wants to read it and not with the error: a table's cells are asked for by the thousand.
    pub fn nearest(&self) -> Vec<(Lang, String)> {
        registry().nearest(&self.found)
    }
}

impl Explain for UnknownLanguage {
    fn hint(&self) -> Option<String> {
        let nearest = self.nearest();
        if nearest.is_empty() {
            return Some(
                "give an ISO 639-3 code such as `hau`, a tag such as `ha`, or a name".into(),
            );
        }
        let nearest: Vec<String> = nearest
            .iter()
            .map(|(lang, name)| format!("`{lang}` ({name})"))
            .collect();
        Some(format!("did you mean {}?", nearest.join(", ")))
    }
}

/// Names offered for a language that does not exist.
const N_NEAREST: usize = 3;

/// Below this similarity a name is not worth offering.
const SIMILARITY_MIN: f64 = 0.75;

/// A longer text, in characters, is no mistyped name. Comparing it with thousands of names would
/// take time in proportion to its length, and a cell of a table may be megabytes.
const N_CHARACTERS_MAX: usize = 100;

impl Registry {
    /// The language that a code, a tag or a name means, in its canonical form.
    ///
    /// Accepted in any case: ISO 639-3 (`hau`), ISO 639-1 and -2 (`ha`, `chi`), macrolanguages for
    /// the language that they usually mean (`zho` is `cmn`; `packs/languages/macrolanguages.tsv`),
    /// BCP 47 tags (`ha-Latn-NG`, `zh-TW`; regions only choose between Chinese scripts), FLORES codes
    /// (`hau_Latn`), English names and endonyms.
    pub fn resolve(&self, text: &str) -> Result<Lang, UnknownLanguage> {
        self.find(text).ok_or_else(|| UnknownLanguage {
            found: text.trim().to_owned(),
        })
    }

    /// The same for those who want no error.
    pub fn find(&self, text: &str) -> Option<Lang> {
        let text = text.trim();
        self.by_code(text)
            .or_else(|| self.by_name(text))
            .map(|lang| self.canonical(lang))
    }

    fn by_code(&self, text: &str) -> Option<Lang> {
        let mut parts = text.split(['-', '_']);
        let code = parts.next()?.to_ascii_lowercase();
        if !(2..=3).contains(&code.len()) {
            return None;
        }
        let mut script: Option<Script> = None;
        for part in parts {
            let is_alphanumeric = part.bytes().all(|b| b.is_ascii_alphanumeric());
            match (part.len(), part.parse::<Script>()) {
                (4, Ok(found)) if script.is_none() && script::facts(found).is_some() => {
                    script = Some(found);
                }
                (4, _) => return None,
                // Taiwan, Hong Kong and Macao write Chinese in traditional characters.
                (2, _)
                    if matches!(part, "TW" | "HK" | "MO")
                        && matches!(&*code, "zh" | "zho" | "cmn") =>
                {
                    script = script.or("Hant".parse().ok());
                }
                (2..=8, _) if is_alphanumeric => {}
                _ => return None,
            }
        }
        let lang = script
            .and_then(|script| self.aliases.get(&format!("{code}_{script}")))
            .or_else(|| self.aliases.get(&code))
            .copied()
            .or_else(|| {
                let lang = code.parse::<Lang>().ok()?;
                self.languages.contains_key(&lang).then_some(lang)
            })?;
        Some(match script {
            Some(script) => lang.with_script(script),
            None => lang,
        })
    }

    fn by_name(&self, text: &str) -> Option<Lang> {
        self.names.get(&text.to_lowercase())?.first().copied()
    }

    /// The names and codes most like a text.
    fn nearest(&self, text: &str) -> Vec<(Lang, String)> {
        if text.is_empty() || text.chars().nth(N_CHARACTERS_MAX).is_some() {
            return Vec::new();
        }
        let text = text.to_lowercase();
        let mut scored: Vec<(f64, bool, Lang)> = self
            .languages
            .values()
            .filter(|language| language.kind != "special")
            .filter_map(|language| {
                let names = std::iter::once(&language.name)
                    .chain(&language.endonym)
                    .chain(&language.other_names)
                    .map(|name| strsim::jaro_winkler(&text, &name.to_lowercase()));
                // A mistyped code: the same letters in another order, or one letter off.
                let code =
                    text.len() <= 4 && strsim::osa_distance(&text, language.lang.code()) <= 1;
                let score = names.fold(if code { 0.8 } else { 0.0 }, f64::max);
                let has_text = language.n_udhr + language.n_words > 0;
                (score >= SIMILARITY_MIN).then_some((score, !has_text, language.lang))
            })
            .collect();
        scored.sort_by(|a, b| {
            // Languages that Isogloss has text for come before the thousands that it has not.
            let score =
                |(score, no_text, _): &(f64, bool, Lang)| score - if *no_text { 0.08 } else { 0.0 };
            score(b).total_cmp(&score(a)).then(a.2.cmp(&b.2))
        });
        scored
            .into_iter()
            .take(N_NEAREST)
            .map(|(_, _, lang)| (lang, self.name(lang)))
            .collect()
    }
}
