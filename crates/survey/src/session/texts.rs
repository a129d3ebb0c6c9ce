//! Texts as a survey takes them: aligned documents and words by language.
//!
//! A plain value, so that embedded packs, a user's own files and invented test texts are all the
//! same to the survey.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::survey::Register;

/// All texts of a survey.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SurveyTexts {
    /// Running text by register; where several have a language, the first that is the user's own
    /// decides, else the first.
    pub parallel: Vec<ParallelSource>,
    /// Words.
    pub words: Option<WordSource>,
}

/// Aligned documents of one register.
#[derive(Debug, Clone, PartialEq)]
pub struct ParallelSource {
    /// Which register.
    pub register: Register,
    /// Whether the user gave it: it then decides before all others.
    pub is_own: bool,
    /// Per language its documents by name; a name is the same content in all languages.
    pub documents: BTreeMap<Lang, BTreeMap<String, String>>,
    /// Per language an independent second translation, where there is one: ceiling of production
    /// and noise floor.
    pub second: BTreeMap<Lang, SecondTranslation>,
}

/// Another translation of a language's documents, not a spelling or revision of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondTranslation {
    /// Where it is from, in a few words.
    pub label: String,
    /// Its documents by name, as in [`ParallelSource::documents`].
    pub documents: BTreeMap<String, String>,
}

/// Words by language.
#[derive(Debug, Clone, PartialEq)]
pub struct WordSource {
    /// Which register (`words`).
    pub register: Register,
    /// Per language its words by concept; concepts are English glosses.
    pub entries: BTreeMap<Lang, BTreeMap<String, String>>,
}

impl ParallelSource {
    /// Whether a verdict may rest on it: made text is one narrow kind and shown beside it only.
    pub fn decides(&self) -> bool {
        self.is_own || self.register.id != crate::text::made::ID
    }
}

impl WordSource {
    /// Pairs of word and gloss in the reference language, by concept; English glosses itself.
    pub fn pairs(&self, lang: Lang, reference: Lang) -> Vec<(&str, &str, &str)> {
        let Some(words) = self.entries.get(&lang) else {
            return Vec::new();
        };
        let glosses = self.entries.get(&reference);
        words
            .iter()
            .filter_map(|(concept, word)| {
                let gloss = match glosses {
                    Some(glosses) => glosses.get(concept)?.as_str(),
                    None if reference.code() == "eng" => concept,
                    None => return None,
                };
                Some((concept.as_str(), word.as_str(), gloss))
            })
            .collect()
    }
}
