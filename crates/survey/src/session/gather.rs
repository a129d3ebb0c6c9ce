//! The texts of a survey, from packs and from the user's own files.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::survey::{LanguageFacts, Sample};

use super::texts::{ParallelSource, SecondTranslation, SurveyTexts, WordSource};
use crate::items::cut::{cut, n_chars};
use crate::items::normal::normalize;
use crate::text::{ParallelText, Translation, WordList};

/// Characters of a sample text at most.
const N_SAMPLE_CHARS: usize = 160;

impl SurveyTexts {
    /// Takes from packs and own texts what the languages have, under the codes that they are asked
    /// for by. A language's first whole translation counts.
    ///
    /// `own` texts decide before `packs`, which decide in their order.
    pub fn gather(
        languages: &[Lang],
        packs: &[&ParallelText],
        own: &[ParallelText],
        words: Option<&WordList>,
    ) -> Self {
        let parallel = own
            .iter()
            .map(|text| (text, true))
            .chain(packs.iter().map(|&text| (text, false)))
            .map(|(text, is_own)| ParallelSource {
                register: text.register.clone(),
                is_own,
                documents: languages
                    .iter()
                    .filter_map(|&lang| {
                        let documents = named(text, first(text, lang)?);
                        (!documents.is_empty()).then_some((lang, documents))
                    })
                    .collect(),
                second: languages
                    .iter()
                    .filter_map(|&lang| {
                        let second = second(text, lang)?;
                        let translation = SecondTranslation {
                            label: second.label.clone(),
                            documents: named(text, second),
                        };
                        Some((lang, translation))
                    })
                    .collect(),
            })
            .collect();
        let words = words.map(|words| WordSource {
            register: words.register.clone(),
            entries: languages
                .iter()
                .filter_map(|&lang| {
                    let entries: BTreeMap<String, String> = words
                        .glosses
                        .iter()
                        .zip(words.words(lang)?)
                        .filter_map(|(gloss, word)| Some((gloss.clone(), word.clone()?)))
                        .collect();
                    (!entries.is_empty()).then_some((lang, entries))
                })
                .collect(),
        });
        Self { parallel, words }
    }
}

/// The first whole translation of a language.
fn first(text: &ParallelText, lang: Lang) -> Option<&Translation> {
    let translations = text.translations(lang)?;
    let most = translations.iter().map(Translation::n_documents).max()?;
    translations.iter().find(|t| t.n_documents() == most)
}

/// The translation with most documents that shares its wording with no other and is not the first;
/// `None` where the first is itself a variant, which might be this one's.
fn second(text: &ParallelText, lang: Lang) -> Option<&Translation> {
    let first = first(text, lang).filter(|first| !first.is_variant)?;
    let others = || text.independent(lang).filter(|&t| !std::ptr::eq(t, first));
    let most = others().map(Translation::n_documents).max()?;
    others().find(|t| t.n_documents() == most && most > 0)
}

/// A translation's documents by name.
fn named(text: &ParallelText, translation: &Translation) -> BTreeMap<String, String> {
    text.document_ids
        .iter()
        .zip(&translation.documents)
        .filter_map(|(id, text)| Some((id.clone(), text.clone()?)))
        .collect()
}

/// Gives every language its sample: the shortest document of the text that decides, with its
/// translation in the reference language, both cut to a readable length.
pub fn add_samples(
    languages: &mut BTreeMap<Lang, LanguageFacts>,
    texts: &SurveyTexts,
    reference: Lang,
) {
    for (&lang, facts) in languages {
        facts.sample = texts
            .parallel
            .iter()
            .filter(|source| source.decides())
            .find_map(|source| sample(source, lang, reference));
    }
}

fn sample(source: &ParallelSource, lang: Lang, reference: Lang) -> Option<Sample> {
    let references = source.documents.get(&reference)?;
    let (text, reference) = source
        .documents
        .get(&lang)?
        .iter()
        .filter_map(|(id, text)| Some((normalize(text), normalize(references.get(id)?))))
        .min_by_key(|(text, _)| n_chars(text))?;
    Some(Sample {
        text: cut(&text, N_SAMPLE_CHARS).to_owned(),
        reference: cut(&reference, N_SAMPLE_CHARS).to_owned(),
        register: source.register.id.clone(),
    })
}
