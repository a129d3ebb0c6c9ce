//! What a model is made to say in a survey: continuations, and answers where it has a chat template.

use super::Session;
use super::listen::{Start, answers, continuations};
use super::work::Way;
use crate::error::SurveyError;
use crate::measures::Measure;
use crate::measures::fidelity::{Continuation, Reliability};
use crate::policy;

impl<'a> Session<'a> {
    /// Continuations, and more of them where nothing else is open.
    pub(super) fn listen(&mut self) -> Result<(), SurveyError> {
        let settings = self.survey.settings;
        // Made text has no running sentences to continue.
        let mut all = self.pursued();
        all.retain(|&index| self.decides(index));
        self.continue_texts(&all, 0, settings.n_continuations)?;
        if self.wants(Measure::Fidelity) && self.runner.backend().capabilities().chat {
            let starts = self.starts(&all, 0, settings.n_continuations);
            let hearing = &self.survey.hearing;
            let on_progress = &mut *self.on_progress;
            let said = answers(
                &mut self.runner,
                &starts.iter().map(|(_, start)| *start).collect::<Vec<_>>(),
                settings.n_continuation_tokens,
                hearing,
                &mut |asked| on_progress(Measure::Fidelity, asked.n_tokens_done, asked.n_tokens),
            )?;
            for ((index, _), answer) in starts.iter().zip(said) {
                self.works[*index].chat.push(answer);
            }
        }
        let deciding: Vec<usize> = all
            .into_iter()
            .filter(|&index| {
                let evidence = (
                    self.evidence(index, Way::To),
                    self.evidence(index, Way::From),
                );
                let reliability = (self.survey.hearing.reliability)(self.works[index].track.lang);
                matches!(reliability, Reliability::Measured { .. })
                    && matches!(evidence, (Some(to), Some(from))
                        if policy::only_fidelity_is_open(&to, &from, settings, self.survey.policy))
            })
            .collect();
        self.continue_texts(&deciding, settings.n_continuations, usize::MAX)
    }

    /// The texts `from..to` of tracks, each with its track's index.
    fn starts(&self, indices: &[usize], from: usize, to: usize) -> Vec<(usize, Start<'a>)> {
        indices
            .iter()
            .flat_map(|&index| {
                let work = &self.works[index];
                let lang = work.track.lang;
                let script = self.survey.languages[&lang].script;
                work.texts()
                    .take(to)
                    .skip(from)
                    .map(move |text| (index, Start { lang, script, text }))
            })
            .collect()
    }

    fn continue_texts(
        &mut self,
        indices: &[usize],
        from: usize,
        to: usize,
    ) -> Result<(), SurveyError> {
        let starts = self.starts(indices, from, to);
        for (index, continuation) in self.continued(&starts)? {
            self.works[index].continuations.push(continuation);
        }
        Ok(())
    }

    /// Continuations of texts, each with the index that it came with.
    pub(super) fn continued(
        &mut self,
        starts: &[(usize, Start<'_>)],
    ) -> Result<Vec<(usize, Continuation)>, SurveyError> {
        let on_progress = &mut *self.on_progress;
        let said = continuations(
            &mut self.runner,
            &starts.iter().map(|(_, start)| *start).collect::<Vec<_>>(),
            self.survey.settings.n_continuation_tokens,
            &self.survey.hearing,
            &mut |asked| on_progress(Measure::Fidelity, asked.n_tokens_done, asked.n_tokens),
        )?;
        Ok(starts.iter().map(|(index, _)| *index).zip(said).collect())
    }
}
