//! From `--langs` to languages: `all`, `hau,eus`, `script:Deva`, `family:Turkic`.

use isogloss_record::{Explain, Lang, Script};

use super::{Registry, UnknownLanguage};

/// A selection that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A language that does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownLanguage),
    /// A language that exists, but that there is no text in.
    #[error("no text in `{lang}` ({name}) at hand")]
    NoText {
        /// The language asked for.
        lang: Lang,
        /// Its name.
        name: String,
    },
    /// `script:` with something that is no script of a language at hand.
    #[error("no language at hand is written in `{found}`")]
    Script {
        /// What was written.
        found: String,
    },
    /// `family:` with something that is no family of a language at hand.
    #[error("no language at hand is of the family `{found}`")]
    Family {
        /// What was written.
        found: String,
        /// Families that look like it.
        nearest: Vec<String>,
    },
    /// Nothing was asked for.
    #[error("no language is named")]
    Empty,
}

impl Explain for SelectError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(error) => return error.hint(),
            Self::NoText { .. } => "bring pairs in this language with `--text`".into(),
            Self::Script { .. } => {
                "name a script by its ISO 15924 code, for example `script:Deva`".into()
            }
            Self::Family { nearest, .. } if !nearest.is_empty() => {
                format!("did you mean `family:{}`?", nearest.join("` or `family:"))
            }
            Self::Family { .. } => "name a family, for example `family:Turkic`".into(),
            Self::Empty => {
                "name languages (`hau,eus`), `all`, `script:Deva` or `family:Turkic`".into()
            }
        })
    }
}

impl Registry {
    /// The languages that a pattern names among those at hand, each once.
    ///
    /// A pattern is a list, separated by commas, of codes and names (as [`Registry::resolve`] takes
    /// them), `all`, `script:CODE` and `family:NAME` (name or ISO 639-5 code, at any level). Named
    /// languages come in the order named; groups in the order at hand. A code without script means
    /// the usual script, or the one that is at hand.
    pub fn select(&self, pattern: &str, available: &[Lang]) -> Result<Vec<Lang>, SelectError> {
        let mut selected: Vec<Lang> = Vec::new();
        let mut add = |lang: Lang| {
            if !selected.contains(&lang) {
                selected.push(lang);
            }
        };
        let items = pattern
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        for item in items {
            if item == "all" {
                available.iter().copied().for_each(&mut add);
            } else if let Some(script) = item.strip_prefix("script:") {
                self.of_script(script, available)?
                    .into_iter()
                    .for_each(&mut add);
            } else if let Some(family) = item.strip_prefix("family:") {
                self.of_family(family, available)?
                    .into_iter()
                    .for_each(&mut add);
            } else {
                add(self.at_hand(item, available)?);
            }
        }
        if selected.is_empty() {
            return Err(SelectError::Empty);
        }
        Ok(selected)
    }

    /// The language at hand that a code or name means.
    fn at_hand(&self, item: &str, available: &[Lang]) -> Result<Lang, SelectError> {
        let lang = self.resolve(item)?;
        let names_script = item
            .split(['-', '_'])
            .skip(1)
            .any(|part| part.parse::<Script>().is_ok());
        let find = |is_it: &dyn Fn(Lang) -> bool| available.iter().copied().find(|at| is_it(*at));
        find(&|at| at == lang)
            .or_else(|| find(&|at| self.is_same(at, lang)))
            .or_else(|| find(&|at| !names_script && at.code() == lang.code()))
            .ok_or_else(|| SelectError::NoText {
                lang,
                name: self.name(lang),
            })
    }

    fn of_script(&self, text: &str, available: &[Lang]) -> Result<Vec<Lang>, SelectError> {
        let error = || SelectError::Script {
            found: text.to_owned(),
        };
        let script: Script = text.trim().parse().map_err(|_| error())?;
        let found: Vec<Lang> = available
            .iter()
            .copied()
            .filter(|lang| self.script(*lang) == Some(script))
            .collect();
        if found.is_empty() {
            Err(error())
        } else {
            Ok(found)
        }
    }

    fn of_family(&self, text: &str, available: &[Lang]) -> Result<Vec<Lang>, SelectError> {
        let wanted = text.trim().to_lowercase();
        let families = |lang: Lang| {
            self.language(lang)
                .into_iter()
                .flat_map(|language| language.family.iter().chain(&language.family_codes))
        };
        let found: Vec<Lang> = available
            .iter()
            .copied()
            .filter(|lang| families(*lang).any(|family| family.to_lowercase() == wanted))
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let mut nearest: Vec<(f64, &String)> = available
            .iter()
            .flat_map(|lang| families(*lang))
            .map(|family| {
                (
                    strsim::jaro_winkler(&family.to_lowercase(), &wanted),
                    family,
                )
            })
            .filter(|(score, _)| *score > 0.8)
            .collect();
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        nearest.dedup();
        Err(SelectError::Family {
            found: text.to_owned(),
            nearest: nearest
                .into_iter()
                .take(3)
                .map(|(_, family)| family.clone())
                .collect(),
        })
    }
}
