//! The survey's questions about words.

use std::collections::BTreeSet;

use isogloss_record::Lang;

use super::Session;
use super::score::{Question, Want, score};
use super::tracks::{WordPair, word_groups};
use crate::error::SurveyError;
use crate::items::GROUP;
use crate::measures::Measure;
use crate::measures::choice::item_outcomes;
use crate::measures::lexicon::WordOutcome;

impl Session<'_> {
    /// Words of the languages that are pursued or have no running text.
    pub(super) fn ask_words(&mut self) -> Result<(), SurveyError> {
        let Some(source) = &self.survey.texts.words else {
            return Ok(());
        };
        let settings = self.survey.settings;
        let pursued: BTreeSet<Lang> = self
            .pursued()
            .into_iter()
            .filter(|&index| self.decides(index))
            .map(|index| self.works[index].track.lang)
            .collect();
        let halted: BTreeSet<Lang> = (0..self.works.len())
            .filter(|&index| self.decides(index))
            .map(|index| self.works[index].track.lang)
            .filter(|lang| !pursued.contains(lang))
            .collect();
        let groups: Vec<(Lang, [WordPair; GROUP])> = self
            .survey
            .languages
            .keys()
            .filter(|&&lang| lang != settings.reference && !halted.contains(&lang))
            .flat_map(|&lang| {
                word_groups(
                    source,
                    lang,
                    settings.reference,
                    settings.n_words,
                    settings.seed,
                )
                .into_iter()
                .map(move |group| (lang, group))
            })
            .collect();
        let questions: Vec<Question<'_>> = groups
            .iter()
            .flat_map(|(_, group)| {
                let words = group.each_ref().map(|pair| pair.word.as_str());
                let glosses = group.each_ref().map(|pair| pair.gloss.as_str());
                [
                    Question {
                        contexts: words,
                        options: glosses,
                    },
                    Question {
                        contexts: glosses,
                        options: words,
                    },
                ]
            })
            .collect();
        let on_progress = &mut *self.on_progress;
        let scored = score(&mut self.runner, &questions, Want::Options, &mut |asked| {
            on_progress(Measure::Lexicon, asked.n_tokens_done, asked.n_tokens);
        })?;
        for ((lang, group), scored) in groups.iter().zip(scored.chunks_exact(2)) {
            let to = item_outcomes(&scored[0].scores);
            let from = item_outcomes(&scored[1].scores);
            self.words
                .entry(*lang)
                .or_default()
                .extend((0..GROUP).map(|i| {
                    let outcome = WordOutcome {
                        to_reference: to[i].right,
                        from_reference: from[i].right,
                        cognate: group[i].cognate,
                    };
                    (group[i].concept.clone(), outcome)
                }));
        }
        Ok(())
    }
}
