//! Items from parallel text: groups of four documents whose texts are each other's wrong answers.
//!
//! ```text
//! documents -> order (seeded) -> groups of four -> contexts and options, both directions
//!                                               -> the same contexts with their words made nonsense
//! ```
//!
//! A group is four items: each of its four texts asks which of the four translations is its own.
//! The options of a group are cut to one length and are equal for all languages, so that what a
//! model thinks of them alone is computed once.

pub mod cut;
pub mod nonsense;
pub mod normal;
pub mod second;

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::{Lang, Seed};
use rand::seq::SliceRandom;

use cut::{cut, n_chars};
use nonsense::{Alphabet, Romanized};
use normal::{mask_numbers, normalize, telling_numbers};

/// Items per group: a four-way choice.
pub const GROUP: usize = 4;

/// How items are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ItemSettings {
    /// Seed of every draw.
    pub seed: Seed,
    /// Characters of an option in the reference language.
    pub n_option_chars: usize,
    /// Characters of the reference text whose content an option in the language holds.
    pub n_answer_chars: usize,
    /// Characters of the reference text whose content a context holds.
    pub n_context_chars: usize,
}

impl ItemSettings {
    /// The survey's settings: they hold about 15 thousand tokens a language with all measures.
    pub fn new(seed: Seed) -> Self {
        Self {
            seed,
            n_option_chars: 90,
            n_answer_chars: 60,
            n_context_chars: 160,
        }
    }
}

/// A document of a parallel text, in the language and in the reference language, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The document's name, equal in all languages.
    pub id: &'a str,
    /// In the language.
    pub text: &'a str,
    /// In the reference language.
    pub reference: &'a str,
}

/// Four documents, both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Names of the documents.
    pub ids: [String; GROUP],
    /// From the language to the reference language (comprehension).
    pub to_reference: Side,
    /// From the reference language to the language (production).
    pub from_reference: Side,
}

/// One direction of a group: document i's context belongs to option i.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// Texts that are given.
    pub contexts: [String; GROUP],
    /// Texts of one length that are chosen from.
    pub options: [String; GROUP],
    /// The contexts with every word that is no name, number or shared word made nonsense.
    pub nonsense: [String; GROUP],
    /// Expected right answers, out of four, of choosing the option whose length fits best.
    pub n_right_by_length: f64,
}

/// The order in which the reference's documents are asked, whatever the language: fours of like
/// length, the shorter ones first, shuffled by the seed where there are more than are needed.
///
/// `n_first` is how many items the first stage asks. Documents that are very short (below 70
/// characters, where half of all are longer) or that repeat another are left out.
pub fn order_documents<'a>(
    documents: impl IntoIterator<Item = (&'a str, &'a str)>,
    n_first: usize,
    seed: Seed,
) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let mut by_length: Vec<(usize, &str)> = documents
        .into_iter()
        .filter_map(|(id, text)| {
            let text = normalize(text);
            let n = n_chars(&text);
            (n > 0 && seen.insert(text)).then_some((n, id))
        })
        .collect();
    by_length.sort_unstable();
    let Some(&(median, _)) = by_length.get(by_length.len() / 2) else {
        return Vec::new();
    };
    by_length.retain(|&(n, _)| n >= median.min(70));
    let ids: Vec<&str> = by_length.into_iter().map(|(_, id)| id).collect();
    // A short context costs little and says exactly what its translation says.
    let n_pool = (ids.len() / 3)
        .max(n_first)
        .min(ids.len())
        .next_multiple_of(GROUP);
    let (pool, rest) = ids.split_at(n_pool.min(ids.len()));
    let mut fours: Vec<&[&str]> = pool.chunks(GROUP).collect();
    if pool.len() > n_first.next_multiple_of(GROUP) {
        fours.shuffle(&mut seed.rng("order of documents", 0));
    }
    fours.into_iter().flatten().chain(rest).copied().collect()
}

/// Groups of four from a language's documents, in the given order: `n_items_max` items at most.
///
/// Documents that the language lacks are skipped, so a language with all of them shares its
/// options with every other such language. Where two documents of the language are the same text
/// the later one is skipped.
pub fn groups(
    lang: Lang,
    pairs: &[Pair<'_>],
    order: &[&str],
    n_items_max: usize,
    settings: &ItemSettings,
) -> Vec<Group> {
    let by_id: BTreeMap<&str, (String, String)> = pairs
        .iter()
        .map(|pair| (pair.id, (normalize(pair.text), normalize(pair.reference))))
        .filter(|(_, (text, reference))| !text.is_empty() && !reference.is_empty())
        .collect();
    let mut seen = BTreeSet::new();
    let present: Vec<(&str, &str, &str)> = order
        .iter()
        .filter_map(|&id| {
            let (text, reference) = by_id.get(id)?;
            seen.insert(text.as_str())
                .then_some((id, text.as_str(), reference.as_str()))
        })
        .take(n_items_max.saturating_add(GROUP - 1) / GROUP * GROUP)
        .collect();
    let alphabet = Alphabet::new(by_id.values().map(|(text, _)| text.as_str()));
    let reference_alphabet = Alphabet::new(by_id.values().map(|(_, reference)| reference.as_str()));
    let n_text: usize = present.iter().map(|(_, text, _)| n_chars(text)).sum();
    let n_reference: usize = present.iter().map(|(_, _, text)| n_chars(text)).sum();
    if n_text == 0 || n_reference == 0 {
        return Vec::new();
    }
    // Characters of the language per character of the reference language.
    let ratio = n_text as f64 / n_reference as f64;
    let language_seed = derived(settings.seed, lang);
    present
        .chunks_exact(GROUP)
        .map(|four| {
            let ids = std::array::from_fn(|i| four[i].0.to_owned());
            let texts: [&str; GROUP] = std::array::from_fn(|i| four[i].1);
            let references: [&str; GROUP] = std::array::from_fn(|i| four[i].2);
            let content = |i: usize, text: &str| {
                let share = settings.n_context_chars as f64 / n_chars(references[i]) as f64;
                let n = (share.min(1.0) * n_chars(text) as f64).ceil() as usize;
                cut(text, n).to_owned()
            };
            let text_contexts: [String; GROUP] = std::array::from_fn(|i| content(i, texts[i]));
            let reference_contexts: [String; GROUP] =
                std::array::from_fn(|i| content(i, references[i]));
            let n_answer_chars = (settings.n_answer_chars as f64 * ratio).round() as usize;
            Group {
                ids,
                to_reference: side(
                    &text_contexts,
                    &equal_length(&references, settings.n_option_chars),
                    ratio,
                    |i| {
                        let other = Romanized::new(&reference_contexts[i]);
                        alphabet.without_words(&text_contexts[i], &other, language_seed)
                    },
                ),
                from_reference: side(
                    &reference_contexts,
                    &equal_length(&texts, n_answer_chars.max(1)),
                    1.0 / ratio,
                    |i| {
                        let other = Romanized::new(&text_contexts[i]);
                        reference_alphabet.without_words(
                            &reference_contexts[i],
                            &other,
                            settings.seed,
                        )
                    },
                ),
            }
        })
        .collect()
}

/// A seed of a language's own, so that no draw depends on which languages are surveyed together.
pub(crate) fn derived(seed: Seed, lang: Lang) -> Seed {
    use rand::RngExt;
    Seed(seed.rng(&format!("language {lang}"), 0).random())
}

/// Options of one length: that of the shortest, and at most `n_chars_max`.
fn equal_length(texts: &[&str; GROUP], n_chars_max: usize) -> [String; GROUP] {
    let shortest = texts.iter().map(|text| n_chars(text)).min().unwrap_or(0);
    texts.map(|text| cut(text, shortest.min(n_chars_max)).to_owned())
}

/// Contexts and options with the numbers masked that tell the options apart. `ratio` is the
/// context language's characters per character of the options' language.
fn side(
    contexts: &[String; GROUP],
    options: &[String; GROUP],
    ratio: f64,
    nonsense: impl Fn(usize) -> String,
) -> Side {
    let masked = telling_numbers(options);
    let mask = |text: &str| mask_numbers(text, &masked);
    let n_right_by_length = n_right_by_length(
        &std::array::from_fn(|i| n_chars(&contexts[i])),
        &std::array::from_fn(|j| n_chars(&options[j])),
        ratio,
    );
    Side {
        contexts: std::array::from_fn(|i| mask(&contexts[i])),
        options: std::array::from_fn(|j| mask(&options[j])),
        nonsense: std::array::from_fn(|i| mask(&nonsense(i))),
        n_right_by_length,
    }
}

/// Expected number of right answers of a chooser that reads nothing but lengths: it takes the
/// option whose length is nearest (in ratio) to the context's, and draws among equals.
fn n_right_by_length(contexts: &[usize; GROUP], options: &[usize; GROUP], ratio: f64) -> f64 {
    (0..GROUP)
        .map(|i| {
            let expected = contexts[i] as f64 / ratio;
            let misfit = |j: usize| ((options[j].max(1) as f64) / expected.max(1e-9)).ln().abs();
            let best = (0..GROUP).map(misfit).fold(f64::INFINITY, f64::min);
            let equals = (0..GROUP).filter(|&j| misfit(j) <= best + 1e-12);
            if misfit(i) <= best + 1e-12 {
                1.0 / equals.count() as f64
            } else {
                0.0
            }
        })
        .sum()
}

#[cfg(test)]
mod tests;
