//! What a user needs, from a TOML file.
//!
//! ```toml
//! price_max = 2.5            # most that 1,000 chats may cost, in the currency of the prices
//!
//! [languages]
//! swahili = 3                # a weight
//! hau = { weight = 2, minimum = "served" }
//! fr = { role = "read" }     # understood, not answered in
//! ```

use std::collections::BTreeMap;

use isogloss_lang::Registry;
use isogloss_record::decision::{Need, Use};
use isogloss_record::survey::Verdict;
use isogloss_record::{Explain, Lang};
use toml::{Table, Value};

/// What is needed: languages, and what it may cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Needs {
    /// By language; weights as they were given.
    pub languages: BTreeMap<Lang, Need>,
    /// Most that 1,000 chats may cost.
    pub price_max: Option<f64>,
}

/// Why a file of needs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NeedsError {
    /// No TOML.
    #[error("the needs in `{file}` cannot be read")]
    Toml {
        /// The file.
        file: String,
        /// Where it breaks.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that means nothing.
    #[error("`{file}` has the key `{found}` in {place}, expected {expected}")]
    Key {
        /// The file.
        file: String,
        /// The key.
        found: String,
        /// Where.
        place: String,
        /// What may stand there.
        expected: String,
        /// The nearest of them.
        nearest: Option<String>,
    },
    /// A value that is out of range or of another kind.
    #[error("`{file}` has {found} as `{key}` of {place}, expected {expected}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Where.
        place: String,
        /// What stands there.
        found: String,
        /// What may.
        expected: String,
    },
    /// A language that the registry does not know.
    #[error("`{file}` needs the language `{found}`, which is not known")]
    Language {
        /// The file.
        file: String,
        /// As it was written.
        found: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// One language under two names.
    #[error("`{file}` needs `{lang}` twice")]
    Twice {
        /// The file.
        file: String,
        /// The language.
        lang: Lang,
    },
    /// No language.
    #[error("`{file}` needs no language")]
    Empty {
        /// The file.
        file: String,
    },
}

impl Explain for NeedsError {
    fn hint(&self) -> Option<String> {
        let form = "write `[languages]` and a line for each: `hau = 2`, or `hau = { weight = 2, \
                    minimum = \"served\", role = \"read\" }`";
        Some(match self {
            Self::Key {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::Language {
                hint: Some(hint), ..
            } => hint.clone(),
            Self::Language { .. } => "`isogloss languages` lists codes and names".to_owned(),
            Self::Twice { .. } => "leave one of the two lines out".to_owned(),
            _ => form.to_owned(),
        })
    }
}

const KEYS: [&str; 2] = ["languages", "price_max"];
const LANGUAGE_KEYS: [&str; 3] = ["weight", "minimum", "role"];

impl Needs {
    /// Reads a file of needs; `file` is for error messages.
    pub fn parse(file: &str, text: &str, registry: &Registry) -> Result<Self, NeedsError> {
        let table: Table = toml::from_str(text).map_err(|source| NeedsError::Toml {
            file: file.to_owned(),
            source: Box::new(source),
        })?;
        check_keys(file, "the file", &table, &KEYS)?;
        let price_max = match table.get("price_max") {
            None => None,
            Some(value) => Some(number(file, "price_max", "the file", value)?),
        };
        let mut languages = BTreeMap::new();
        let lines = match table.get("languages") {
            None => {
                return Err(NeedsError::Empty {
                    file: file.to_owned(),
                });
            }
            Some(Value::Table(lines)) => lines,
            Some(other) => {
                return Err(wrong(
                    file,
                    "languages",
                    "the file",
                    other,
                    "a table of languages",
                ));
            }
        };
        for (name, value) in lines {
            let lang = registry
                .resolve(name)
                .map_err(|error| NeedsError::Language {
                    file: file.to_owned(),
                    found: name.clone(),
                    hint: error.hint(),
                })?;
            if languages.insert(lang, need(file, name, value)?).is_some() {
                return Err(NeedsError::Twice {
                    file: file.to_owned(),
                    lang,
                });
            }
        }
        if languages.is_empty() {
            return Err(NeedsError::Empty {
                file: file.to_owned(),
            });
        }
        Ok(Self {
            languages,
            price_max,
        })
    }
}

fn need(file: &str, name: &str, value: &Value) -> Result<Need, NeedsError> {
    let place = format!("the language `{name}`");
    let mut need = Need {
        weight: 1.0,
        role: Use::Write,
        minimum: None,
    };
    let Value::Table(table) = value else {
        need.weight = weight(file, &place, value)?;
        return Ok(need);
    };
    check_keys(file, &place, table, &LANGUAGE_KEYS)?;
    if let Some(value) = table.get("weight") {
        need.weight = weight(file, &place, value)?;
    }
    if let Some(value) = table.get("minimum") {
        need.minimum = Some(match value.as_str() {
            Some("served") => Verdict::Served,
            Some("partly") => Verdict::Partly,
            _ => {
                return Err(wrong(
                    file,
                    "minimum",
                    &place,
                    value,
                    "`served` or `partly`",
                ));
            }
        });
    }
    if let Some(value) = table.get("role") {
        need.role = match value.as_str() {
            Some("read") => Use::Read,
            Some("write") => Use::Write,
            _ => return Err(wrong(file, "role", &place, value, "`read` or `write`")),
        };
    }
    Ok(need)
}

fn weight(file: &str, place: &str, value: &Value) -> Result<f64, NeedsError> {
    match number(file, "weight", place, value)? {
        weight if weight > 0.0 => Ok(weight),
        _ => Err(wrong(file, "weight", place, value, "a number above 0")),
    }
}

fn number(file: &str, key: &str, place: &str, value: &Value) -> Result<f64, NeedsError> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| wrong(file, key, place, value, "a number from 0 on"))
}

fn wrong(file: &str, key: &str, place: &str, found: &Value, expected: &str) -> NeedsError {
    NeedsError::Value {
        file: file.to_owned(),
        key: key.to_owned(),
        place: place.to_owned(),
        found: format!("`{found}`"),
        expected: expected.to_owned(),
    }
}

fn check_keys(file: &str, place: &str, table: &Table, known: &[&str]) -> Result<(), NeedsError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(found) => Err(NeedsError::Key {
            file: file.to_owned(),
            found: found.clone(),
            place: place.to_owned(),
            expected: known
                .iter()
                .map(|key| format!("`{key}`"))
                .collect::<Vec<String>>()
                .join(", "),
            nearest: nearest(found, known),
        }),
    }
}

/// The known word with the fewest edits, where they are at most half of it.
fn nearest(found: &str, known: &[&str]) -> Option<String> {
    let n_edits = |word: &str| {
        let word: Vec<char> = word.chars().collect();
        let mut row: Vec<usize> = (0..=word.len()).collect();
        for (i, a) in found.chars().enumerate() {
            let mut corner = row[0];
            row[0] = i + 1;
            for (j, b) in word.iter().enumerate() {
                let replaced = corner + usize::from(a != *b);
                corner = row[j + 1];
                row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
            }
        }
        row[word.len()]
    };
    known
        .iter()
        .map(|word| (n_edits(word), *word))
        .min()
        .filter(|(n, word)| 2 * n <= word.chars().count())
        .map(|(_, word)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use isogloss_lang::registry;

    fn parse(text: &str) -> Result<Needs, NeedsError> {
        Needs::parse("needs.toml", text, registry())
    }

    #[test]
    fn needs_are_read() {
        let needs = parse(
            "price_max = 2.5\n[languages]\nswahili = 3\nhau = { weight = 2, minimum = \"served\" }\n\
             fr = { role = \"read\" }",
        )
        .unwrap();
        assert_eq!(needs.price_max, Some(2.5));
        let of = |code: &str| needs.languages[&code.parse::<Lang>().unwrap()];
        assert_eq!(needs.languages.len(), 3);
        assert_eq!(of("hau").minimum, Some(Verdict::Served));
        assert_eq!((of("hau").weight, of("hau").role), (2.0, Use::Write));
        assert_eq!((of("fra").weight, of("fra").role), (1.0, Use::Read));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_meant() {
        for (text, sentence, hint) in [
            ("[languages]\nhausaa = 1", "`hausaa`", "hau"),
            (
                "[langauges]\nhau = 1",
                "`langauges` in the file",
                "`languages`",
            ),
            (
                "[languages]\nhau = { wieght = 1 }",
                "`wieght` in the language `hau`",
                "`weight`",
            ),
            ("[languages]\nhau = { rule = \"read\" }", "`rule`", "`role`"),
            (
                "[languages]\nhau = { role = \"speak\" }",
                "`\"speak\"` as `role`",
                "[languages]",
            ),
            (
                "[languages]\nhau = { minimum = \"not-served\" }",
                "`served` or `partly`",
                "[languages]",
            ),
            ("[languages]\nhau = 0", "a number above 0", "[languages]"),
            ("[languages]\nhau = -1", "from 0 on", "[languages]"),
            ("[languages]\nhau = nan", "from 0 on", "[languages]"),
            (
                "price_max = \"a\"\n[languages]\nhau = 1",
                "price_max",
                "[languages]",
            ),
            (
                "[languages]\nhau = 1\nhausa = 1",
                "`hau` twice",
                "leave one",
            ),
            ("languages = 3", "a table of languages", "[languages]"),
            ("[languages]", "needs no language", "[languages]"),
            ("", "needs no language", "[languages]"),
            ("[languages", "cannot be read", "[languages]"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(sentence), "{text}: {error}");
            let found = error.hint().unwrap();
            assert!(found.contains(hint), "{text}: {found}");
        }
    }
}
