//! The texts of a survey as a scripted model has seen them, so that what is planted in it can be
//! compared with what the survey says.
//!
//! ```text
//! SurveyTexts -> known_texts -> ScriptedModel::new -> survey -> the planted numbers again
//! ```

use std::collections::BTreeSet;

use isogloss_model::scripted::KnownText;
use isogloss_record::Lang;

use crate::SurveyTexts;
use crate::items::normal::normalize;

/// Every text and word, as items ask for them; equal names of documents are translations of each
/// other. Empty where the texts are.
pub fn known_texts(texts: &SurveyTexts, reference: Lang) -> Vec<KnownText> {
    let mut known = BTreeSet::new();
    for source in &texts.parallel {
        for (&lang, documents) in &source.documents {
            for (id, text) in documents {
                let document = format!("{}/{id}", source.register.id);
                known.insert((lang, document, normalize(text)));
            }
        }
        for (&lang, second) in &source.second {
            for (id, text) in &second.documents {
                let document = format!("{}/{id}", source.register.id);
                known.insert((lang, document, normalize(text)));
            }
        }
    }
    if let Some(words) = &texts.words {
        for &lang in words.entries.keys() {
            for (concept, word, gloss) in words.pairs(lang, reference) {
                let document = format!("{}/{concept}", words.register.id);
                known.insert((lang, document.clone(), word.to_owned()));
                known.insert((reference, document, gloss.to_owned()));
            }
        }
    }
    known
        .into_iter()
        .map(|(lang, document, text)| KnownText {
            lang,
            document,
            text,
        })
        .collect()
}
