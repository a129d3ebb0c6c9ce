//! The texts as a survey takes them: documents by name instead of by index.

use std::collections::BTreeMap;

use super::own::Own;
use super::{ParallelText, WordList, udhr, words};
use crate::{ParallelSource, SurveyTexts, WordSource};

/// The shipped registers, with the user's own text before them where there is one.
pub fn survey_texts(own: Option<&Own>) -> SurveyTexts {
    SurveyTexts {
        parallel: own
            .map(|own| parallel(&own.text, true))
            .into_iter()
            .chain([parallel(udhr(), false)])
            .collect(),
        words: Some(word_source(words())),
    }
}

/// The first translation of every language.
fn parallel(text: &ParallelText, is_own: bool) -> ParallelSource {
    let documents = text.languages.iter().map(|(&lang, translations)| {
        let named = text
            .document_ids
            .iter()
            .zip(&translations[0].documents)
            .filter_map(|(id, document)| Some((id.clone(), document.clone()?)));
        (lang, named.collect())
    });
    ParallelSource {
        register: text.register.clone(),
        is_own,
        documents: documents.collect(),
        second: BTreeMap::new(),
    }
}

fn word_source(list: &WordList) -> WordSource {
    let entries = list.languages.iter().map(|(&lang, words)| {
        let named: BTreeMap<String, String> = list
            .glosses
            .iter()
            .zip(words)
            .filter_map(|(gloss, word)| Some((gloss.clone(), word.clone()?)))
            .collect();
        (lang, named)
    });
    WordSource {
        register: list.register.clone(),
        entries: entries.collect(),
    }
}
