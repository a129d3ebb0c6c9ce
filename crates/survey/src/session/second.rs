//! A second translation of the same texts: the ceiling of production, and how much a measure moves
//! by which translation is taken.
//!
//! ```text
//! groups of the first look, pursued languages ->
//!   text 2 -> reference, reference -> text 2, continuations of text 2   (noise floor: 2 − 1, paired)
//!   text 2 -> text 1                                                    (ceiling of production)
//! ```
//!
//! Nothing here decides: verdicts rest on the first translation alone.

use std::collections::BTreeMap;

use isogloss_record::Estimate;
use isogloss_record::survey::TranslationsResult;
use isogloss_stats::{mean, share_difference};

use super::Session;
use super::listen::Start;
use super::score::{Question, Want, score};
use super::tracks::Track;
use super::work::Work;
use crate::error::SurveyError;
use crate::items::GROUP;
use crate::items::second::SecondGroup;
use crate::measures::Measure;
use crate::measures::choice::{ItemOutcome, choice, item_outcomes};

/// What is asked of a second group.
type Asked = for<'t> fn(&'t Track, &'t SecondGroup) -> Question<'t>;

impl<'a> Session<'a> {
    /// Asks the second translations of the languages that are pursued.
    pub(super) fn ask_second_translations(&mut self) -> Result<(), SurveyError> {
        let indices: Vec<usize> = (self.pursued().into_iter())
            .filter(|&index| !self.works[index].track.second.is_empty())
            .collect();
        if self.wants(Measure::Comprehension) {
            let found = self.ask_second(&indices, Measure::Comprehension, |_, second| {
                let side = &second.group.to_reference;
                Question::new(&side.contexts, &side.options)
            })?;
            for (index, outcomes) in indices.iter().zip(found) {
                self.works[*index].second.to_reference = outcomes;
            }
        }
        if self.wants(Measure::Production) {
            let found = self.ask_second(&indices, Measure::Production, |_, second| {
                let side = &second.group.from_reference;
                Question::new(&side.contexts, &side.options)
            })?;
            let ceilings = self.ask_second(&indices, Measure::Production, |track, second| {
                let first = &track.groups[second.first];
                Question::new(&second.ceiling, &first.from_reference.options)
            })?;
            for ((index, outcomes), ceiling) in indices.iter().zip(found).zip(ceilings) {
                let second = &mut self.works[*index].second;
                second.from_reference = outcomes;
                second.ceiling = ceiling;
            }
        }
        if self.wants(Measure::Fidelity) {
            self.continue_second(&indices)?;
        }
        Ok(())
    }

    /// Outcomes per track, in the order of its second groups.
    fn ask_second(
        &mut self,
        indices: &[usize],
        measure: Measure,
        ask: Asked,
    ) -> Result<Vec<Vec<ItemOutcome>>, SurveyError> {
        let tracks: Vec<&'a Track> = (indices.iter())
            .map(|&index| self.works[index].track)
            .collect();
        let questions: Vec<Question<'_>> = tracks
            .iter()
            .flat_map(|&track| track.second.iter().map(move |second| ask(track, second)))
            .collect();
        let on_progress = &mut *self.on_progress;
        let scored = score(&mut self.runner, &questions, Want::Options, &mut |asked| {
            on_progress(measure, asked.n_tokens_done, asked.n_tokens);
        })?;
        let mut scored = scored.into_iter();
        Ok(tracks
            .iter()
            .map(|track| {
                (scored.by_ref().take(track.second.len()))
                    .flat_map(|scored| item_outcomes(&scored.scores))
                    .collect()
            })
            .collect())
    }

    /// Continues the second translation of as many texts as the survey's first continuations take.
    fn continue_second(&mut self, indices: &[usize]) -> Result<(), SurveyError> {
        let n = self.survey.settings.n_continuations;
        let starts: Vec<(usize, Start<'_>)> = indices
            .iter()
            .flat_map(|&index| {
                let track = self.works[index].track;
                let script = self.survey.languages[&track.lang].script;
                let groups = track.second.iter();
                groups
                    .flat_map(|second| &second.group.to_reference.contexts)
                    .take(n)
                    .map(move |text| {
                        let lang = track.lang;
                        (index, Start { lang, script, text })
                    })
            })
            .collect();
        for (index, continuation) in self.continued(&starts)? {
            self.works[index].second.continuations.push(continuation);
        }
        Ok(())
    }
}

/// A track's comparison of its two translations; `None` where nothing was asked of the second.
pub(super) fn of_track(session: &Session<'_>, index: usize) -> Option<TranslationsResult> {
    let work = &session.works[index];
    let source = &session.survey.texts.parallel[work.track.source];
    let second = source.second.get(&work.track.lang)?;
    let seed = session.seed(work.track.lang);
    let found = &work.second;
    let mut differences = BTreeMap::new();
    for (key, first, second) in [
        (
            "comprehension",
            &work.to_reference.outcomes,
            &found.to_reference,
        ),
        (
            "production",
            &work.from_reference.outcomes,
            &found.from_reference,
        ),
    ] {
        let first = of_second_groups(work, first);
        if second.is_empty() || first.len() != second.len() {
            continue;
        }
        let kappa = kappa_difference(&first, second);
        let gains: Vec<f64> = (first.iter().zip(second))
            .filter_map(|(first, second)| Some(second.gain? - first.gain?))
            .collect();
        differences.extend(kappa.map(|difference| (key.to_owned(), difference)));
        differences.extend(mean(&gains, seed).map(|gain| (format!("{key}.gain"), gain)));
    }
    differences
        .extend(fidelity_difference(work).map(|difference| ("fidelity".to_owned(), difference)));
    let ceiling = choice(&found.ceiling, None, None, seed);
    if ceiling.is_none() && differences.is_empty() {
        return None;
    }
    let produced = of_second_groups(work, &work.from_reference.outcomes);
    let of_ceiling = ceiling
        .and_then(|ceiling| ceiling.gain)
        .filter(|gain| gain.low > 0.0)
        .and_then(|gain| {
            let gains: Vec<f64> = produced.iter().filter_map(|item| item.gain).collect();
            (!gains.is_empty()).then(|| gains.iter().sum::<f64>() / gains.len() as f64 / gain.value)
        });
    Some(TranslationsResult {
        second: second.label.clone(),
        ceiling,
        of_ceiling,
        differences,
    })
}

/// The first translation's outcomes on the documents of the second's groups; empty where they were
/// not asked.
fn of_second_groups(work: &Work<'_>, outcomes: &[ItemOutcome]) -> Vec<ItemOutcome> {
    (work.track.second.iter())
        .filter_map(|second| outcomes.get(second.first * GROUP..(second.first + 1) * GROUP))
        .flatten()
        .copied()
        .collect()
}

/// κ of the second minus κ of the first: the paired difference of shares ÷ ¾.
fn kappa_difference(first: &[ItemOutcome], second: &[ItemOutcome]) -> Option<Estimate> {
    let pairs = || first.iter().zip(second);
    let n_only_second = pairs().filter(|(a, b)| !a.right && b.right).count();
    let n_only_first = pairs().filter(|(a, b)| a.right && !b.right).count();
    let difference = share_difference(n_only_second, n_only_first, first.len())?;
    let corrected = |share: f64| share / (1.0 - 1.0 / GROUP as f64);
    Some(Estimate {
        value: corrected(difference.value),
        low: corrected(difference.low),
        high: corrected(difference.high),
        n: difference.n,
    })
}

/// Share of continuations in the language by the second minus by the first, over documents that both
/// were asked to continue and said something on.
fn fidelity_difference(work: &Work<'_>) -> Option<Estimate> {
    let documents = work.track.second.iter().flat_map(|second| {
        (0..GROUP).map(move |i| work.continuations.get(second.first * GROUP + i))
    });
    let pairs: Vec<(bool, bool)> = documents
        .zip(&work.second.continuations)
        .filter_map(|(first, second)| Some((first?.in_language?, second.in_language?)))
        .collect();
    let n_only_second = pairs.iter().filter(|(a, b)| !a && *b).count();
    let n_only_first = pairs.iter().filter(|(a, b)| *a && !b).count();
    share_difference(n_only_second, n_only_first, pairs.len())
}
