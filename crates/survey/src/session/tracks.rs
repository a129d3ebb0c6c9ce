//! Tracks: one language in one register, from its items to its answers.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::survey::LanguageFacts;
use isogloss_record::{Lang, Seed};

use super::texts::{ParallelSource, SurveyTexts, WordSource};
use crate::items::second::{SecondGroup, second_groups};
use crate::items::{GROUP, Group, ItemSettings, Pair, groups, order_documents};
use crate::measures::lexicon::is_cognate;
use crate::plan::Settings;

/// One language in one register.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// The language.
    pub lang: Lang,
    /// Index of the register in the survey's texts.
    pub source: usize,
    /// Groups of four items, of all looks.
    pub groups: Vec<Group>,
    /// How many groups the first look asks.
    pub n_first: usize,
    /// Groups of the first look in a second translation, where there is one.
    pub second: Vec<SecondGroup>,
}

/// All tracks of a survey, by register and then by language; the reference has none.
pub(crate) fn tracks(
    languages: &BTreeMap<Lang, LanguageFacts>,
    texts: &SurveyTexts,
    settings: &Settings,
) -> Vec<Track> {
    let item_settings = ItemSettings::new(settings.seed);
    let mut tracks = Vec::new();
    for (source, parallel) in texts.parallel.iter().enumerate() {
        let Some(reference) = parallel.documents.get(&settings.reference) else {
            continue;
        };
        let n_first = settings.n_items.n_first(reference.len());
        let order = order_documents(
            reference
                .iter()
                .map(|(id, text)| (id.as_str(), text.as_str())),
            n_first,
            settings.seed,
        );
        for &lang in languages.keys().filter(|&&lang| lang != settings.reference) {
            let pairs = pairs(parallel, lang, settings.reference);
            if pairs.is_empty() {
                continue;
            }
            let n_most = settings.n_items.n_most(reference.len());
            let groups = groups(lang, &pairs, &order, n_most, &item_settings);
            let n_first = (n_first / GROUP).min(groups.len());
            let second = if settings.second_translations {
                let pairs = second_pairs(parallel, lang, settings.reference);
                second_groups(lang, &groups[..n_first], &pairs, &item_settings)
            } else {
                Vec::new()
            };
            tracks.push(Track {
                lang,
                source,
                groups,
                n_first,
                second,
            });
        }
    }
    tracks
}

/// Documents that a language and the reference both have.
pub(crate) fn pairs(source: &ParallelSource, lang: Lang, reference: Lang) -> Vec<Pair<'_>> {
    (source.documents.get(&lang)).map_or_else(Vec::new, |texts| with(source, texts, reference))
}

/// The same of a second translation.
pub(crate) fn second_pairs(source: &ParallelSource, lang: Lang, reference: Lang) -> Vec<Pair<'_>> {
    (source.second.get(&lang)).map_or_else(Vec::new, |second| {
        with(source, &second.documents, reference)
    })
}

fn with<'a>(
    source: &'a ParallelSource,
    texts: &'a BTreeMap<String, String>,
    reference: Lang,
) -> Vec<Pair<'a>> {
    let Some(references) = source.documents.get(&reference) else {
        return Vec::new();
    };
    texts
        .iter()
        .filter_map(|(id, text)| {
            Some(Pair {
                id,
                text,
                reference: references.get(id)?,
            })
        })
        .collect()
}

/// A word with its gloss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WordPair {
    pub(crate) concept: String,
    pub(crate) word: String,
    pub(crate) gloss: String,
    pub(crate) cognate: bool,
}

/// Groups of four words of a language: in an order that all languages share, until `n_words` are no
/// cognates, and at most half as many again.
pub(crate) fn word_groups(
    source: &WordSource,
    lang: Lang,
    reference: Lang,
    n_words: usize,
    seed: Seed,
) -> Vec<[WordPair; GROUP]> {
    let mut pairs = source.pairs(lang, reference);
    // Shuffled by a draw per concept, so that a language that lacks one shifts no other.
    pairs.sort_by_cached_key(|(concept, ..)| {
        use rand::RngExt;
        seed.rng(&format!("word {concept}"), 0).random::<u64>()
    });
    let (mut words_seen, mut glosses_seen) = (BTreeSet::new(), BTreeSet::new());
    let mut chosen = Vec::new();
    let mut n_judged = 0;
    for (concept, word, gloss) in pairs {
        if n_judged >= n_words || chosen.len() >= n_words + n_words / 2 {
            break;
        }
        if word.is_empty() || !words_seen.insert(word) || !glosses_seen.insert(gloss) {
            continue;
        }
        let cognate = is_cognate(word, gloss);
        n_judged += usize::from(!cognate);
        chosen.push(WordPair {
            concept: concept.to_owned(),
            word: word.to_owned(),
            gloss: gloss.to_owned(),
            cognate,
        });
    }
    chosen.as_chunks::<GROUP>().0.to_vec()
}
