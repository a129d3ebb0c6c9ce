//! A survey from texts and models to results.
//!
//! ```text
//! tracks (language × register)
//!   -> first look at comprehension, with information and alignment from the same passes
//!   -> copy floors of those above chance -> second look at those that straddle the line
//!   -> production (all languages in one call: the reference's contexts are computed once)
//!   -> words -> continuations -> measures -> verdicts -> SurveyResults
//! ```
//!
//! The stopping rule: a language that is told neither from chance nor from its copy floor after the
//! first look is not pursued (unless the survey is to be complete), one that is clear gets no more
//! items, one that straddles gets as many again. Decisions spend α / looks each; what is printed is
//! the plain 95 % interval.
//!
//! Results are a pure function of models, texts, settings and policy: answers come through the run
//! store, so a survey that was killed goes on where it stopped and gives the same bytes.

pub mod draws;
mod gather;
mod hearing;
pub(crate) mod listen;
mod outcomes;
mod results;
pub(crate) mod score;
mod second;
mod speech;
pub mod texts;
pub mod tracks;
mod words;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use isogloss_eval::run::Runner;
use isogloss_model::{Backend, RunSettings};
use isogloss_record::survey::{FailedModel, LanguageFacts, SurveyResults};
use isogloss_record::{Lang, Pooled, Seed, Store, Usage};

use crate::compare::compare;
use crate::error::SurveyError;
use crate::items::cut::n_chars;
use crate::items::{GROUP, Group, derived};
use crate::measures::Measure;
use crate::measures::alignment::{Similarities, similarities};
use crate::measures::choice::{above_floor, choice, item_outcomes};
use crate::measures::information::{DocumentBits, bits};
use crate::measures::lexicon::WordOutcome;
use crate::plan::Settings;
use crate::policy::{self, ChoiceEvidence, Policy, Standing};
pub use gather::add_samples;
pub use hearing::hearing;
use listen::Hearing;
use score::{Question, Scored, Want, roll, score};
use texts::SurveyTexts;
use tracks::tracks;
use work::{Direction, Way, Work};

/// What is surveyed.
pub struct Survey<'a> {
    /// Models, in the order of the results.
    pub models: &'a [&'a dyn Backend],
    /// Languages, with what the registry knows of them; the reference may be among them.
    pub languages: &'a BTreeMap<Lang, LanguageFacts>,
    /// Texts.
    pub texts: &'a SurveyTexts,
    /// What is asked for.
    pub settings: &'a Settings,
    /// Where the lines are.
    pub policy: &'a Policy,
    /// The language identifier.
    pub hearing: Hearing<'a>,
    /// Version of Isogloss, for the results.
    pub version: &'a str,
}

/// How far a survey is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which model, from 0.
    pub model: usize,
    /// Models.
    pub n_models: usize,
    /// What is being measured.
    pub stage: Measure,
    /// Tokens of this stage that are answered.
    pub n_tokens_done: u64,
    /// Tokens of this stage.
    pub n_tokens: u64,
}

/// Results, and what they took.
#[derive(Debug, Clone, PartialEq)]
pub struct Surveyed {
    /// The results.
    pub results: SurveyResults,
    /// Tokens per model in this call.
    pub usage: Vec<Usage>,
}

/// Surveys every model in every language.
///
/// `run` changes no number. `on_progress` hears of every answer. An error leaves in the store what
/// was answered before it: the same call goes on from there. Of several models, one that fails is
/// listed with its reason and the others' results are whole; it is an error where all of them fail,
/// where the user stopped the work, and where the store or the settings cannot be used.
pub fn survey(
    survey: &Survey<'_>,
    run: &RunSettings<'_>,
    store: &mut Store,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Surveyed, SurveyError> {
    survey.settings.check()?;
    let tracks = tracks(survey.languages, survey.texts, survey.settings);
    let mut models = Vec::with_capacity(survey.models.len());
    let mut usage = Vec::with_capacity(survey.models.len());
    let mut failed = Vec::new();
    for (model, &backend) in survey.models.iter().enumerate() {
        let mut session = Session {
            survey,
            runner: Runner::new(backend, &mut *store, *run).truncating(survey.settings.truncate),
            measures: measures_of(backend, &survey.settings.measures),
            works: tracks.iter().map(Work::new).collect(),
            words: BTreeMap::new(),
            on_progress: &mut |stage, n_tokens_done, n_tokens| {
                on_progress(Progress {
                    model,
                    n_models: survey.models.len(),
                    stage,
                    n_tokens_done,
                    n_tokens,
                });
            },
        };
        let measured = session.measure().and_then(|()| results::of_model(&session));
        usage.push(session.runner.usage());
        match measured {
            Ok(results) => models.push(results),
            Err(error) if !error.is_of_the_model() => return Err(error),
            Err(error) if models.is_empty() && failed.len() + 1 == survey.models.len() => {
                return Err(error);
            }
            Err(error) => failed.push(FailedModel {
                name: backend.fingerprint().name.clone(),
                reason: with_causes(&error),
            }),
        }
    }
    let mut results = results::of_survey(survey, &tracks, models, failed);
    results.comparisons = compare(&results);
    Ok(Surveyed { results, usage })
}

/// An error and what caused it, as one sentence; a cause that its error already tells is left out.
fn with_causes(error: &SurveyError) -> String {
    let mut sentence = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        source = cause.source();
    }
    sentence
}

/// What this model can be asked, of what is wanted.
fn measures_of(backend: &dyn Backend, wanted: &BTreeSet<Measure>) -> BTreeSet<Measure> {
    let can = backend.capabilities();
    wanted
        .iter()
        .copied()
        .filter(|measure| match measure {
            Measure::Comprehension
            | Measure::Production
            | Measure::Lexicon
            | Measure::Information => can.logprobs,
            Measure::Alignment => can.hidden_states && can.logprobs,
            Measure::Fidelity | Measure::Cost | Measure::Memory => true,
        })
        .collect()
}

/// The survey of one model.
struct Session<'a> {
    survey: &'a Survey<'a>,
    runner: Runner<'a>,
    measures: BTreeSet<Measure>,
    works: Vec<Work<'a>>,
    /// Outcomes per word, with its concept.
    words: BTreeMap<Lang, Vec<(String, WordOutcome)>>,
    on_progress: &'a mut dyn FnMut(Measure, u64, u64),
}

/// Languages whose first look is asked in one call: bounds the memory that hidden states take.
const N_TRACKS_PER_CALL: usize = 16;

impl<'a> Session<'a> {
    fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }

    fn measure(&mut self) -> Result<(), SurveyError> {
        let from_items = [
            Measure::Comprehension,
            Measure::Information,
            Measure::Alignment,
        ];
        if from_items.iter().any(|measure| self.wants(*measure)) {
            self.first_look()?;
        }
        if self.wants(Measure::Comprehension) {
            self.pursue(Way::To, Measure::Comprehension)?;
        }
        if self.wants(Measure::Production) {
            let all: Vec<usize> = self.pursued();
            self.ask_groups(&all, Way::From, Measure::Production, false, Work::first)?;
            self.pursue(Way::From, Measure::Production)?;
        }
        if self.wants(Measure::Lexicon) {
            self.ask_words()?;
        }
        if self.wants(Measure::Fidelity) || self.wants(Measure::Memory) {
            self.listen()?;
        }
        self.ask_second_translations()
    }

    /// Whether a verdict may rest on a track's text.
    fn decides(&self, index: usize) -> bool {
        self.survey.texts.parallel[self.works[index].track.source].decides()
    }

    fn pursued(&self) -> Vec<usize> {
        (0..self.works.len())
            .filter(|&index| self.survey.settings.complete || self.works[index].halted.is_none())
            .collect()
    }

    /// Comprehension's first items; bits and hidden states of the same texts come with them.
    fn first_look(&mut self) -> Result<(), SurveyError> {
        let wants_bits = self.wants(Measure::Information) || self.wants(Measure::Alignment);
        let want = if wants_bits {
            Want::ContextBits
        } else {
            Want::Options
        };
        for start in (0..self.works.len()).step_by(N_TRACKS_PER_CALL) {
            let end = (start + N_TRACKS_PER_CALL).min(self.works.len());
            let groups: Vec<&Group> = self.works[start..end]
                .iter()
                .flat_map(Work::first)
                .collect();
            let questions: Vec<Question<'_>> = groups
                .iter()
                .map(|group| {
                    Question::new(&group.to_reference.contexts, &group.to_reference.options)
                })
                .collect();
            let references: Vec<&str> = groups
                .iter()
                .flat_map(|group| &group.from_reference.contexts)
                .map(String::as_str)
                .collect();
            let on_progress = &mut *self.on_progress;
            let mut ask = |runner: &mut Runner<'_>, want| {
                let scored = score(runner, &questions, want, &mut |asked| {
                    on_progress(Measure::Comprehension, asked.n_tokens_done, asked.n_tokens);
                })?;
                let rolled = if want == Want::Options {
                    Vec::new()
                } else {
                    roll(runner, &references, want == Want::ContextStates)?
                };
                Ok::<_, SurveyError>((scored, rolled))
            };
            let n_groups: Vec<usize> = self.works[start..end]
                .iter()
                .map(|work| work.first().len())
                .collect();
            let mut asked = None;
            let cosines = if self.measures.contains(&Measure::Alignment) {
                // States are never stored, their cosines are.
                let contexts: Vec<_> = questions.iter().map(|question| question.contexts).collect();
                self.runner
                    .derive("cosines", &(contexts, &references, &n_groups), |runner| {
                        let (mut scored, mut rolled) = ask(runner, Want::ContextStates)?;
                        let cosines = cosines(&mut scored, &mut rolled, &n_groups);
                        asked = Some((scored, rolled));
                        Ok::<_, SurveyError>(cosines)
                    })?
            } else {
                vec![None; end - start]
            };
            let (scored, rolled) = match asked {
                Some(asked) => asked,
                None => ask(&mut self.runner, want)?,
            };
            let mut scored = scored.into_iter();
            let mut rolled = rolled.into_iter();
            for (work, cosines) in self.works[start..end].iter_mut().zip(cosines) {
                work.similarities = cosines;
                for group in work.first() {
                    let scored = scored.next().expect("one per group");
                    work.to_reference
                        .outcomes
                        .extend(item_outcomes(&scored.scores));
                    if want == Want::Options {
                        continue;
                    }
                    for (text, nats) in group.to_reference.contexts.iter().zip(scored.context_nats)
                    {
                        let (nats_reference, _) = rolled.next().expect("one per context");
                        work.bits.push(DocumentBits {
                            bits: bits(nats),
                            bits_reference: bits(nats_reference),
                            n_bytes: text.len(),
                            n_chars: n_chars(text),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Copy floors of what is above chance, then a second look where the line is straddled.
    fn pursue(&mut self, way: Way, measure: Measure) -> Result<(), SurveyError> {
        let complete = self.survey.settings.complete;
        let n_looks = self.survey.settings.n_items.n_looks();
        let mut above_chance = Vec::new();
        for index in self.pursued() {
            let Some(evidence) = self.evidence(index, way) else {
                continue;
            };
            if complete || !policy::is_at_chance(&evidence.result, self.survey.policy) {
                above_chance.push(index);
            } else if way == Way::To {
                self.works[index].halted = Some(halted("chance", &evidence));
            }
        }
        self.ask_groups(&above_chance, way, measure, true, Work::first)?;
        let mut open = Vec::new();
        for index in above_chance {
            let evidence = self.evidence(index, way).expect("it has items");
            match policy::standing(&evidence, self.survey.policy, n_looks) {
                Standing::Straddles => open.push(index),
                Standing::AtFloor if way == Way::To => {
                    self.works[index].halted = Some(halted("its copy floor", &evidence));
                }
                Standing::AtFloor | Standing::Clear => {}
            }
        }
        if n_looks > 1 {
            self.ask_groups(&open, way, measure, false, Work::second)?;
            self.ask_groups(&open, way, measure, true, Work::second)?;
        }
        Ok(())
    }

    /// Asks groups of several tracks in one call, with their texts or with nonsense.
    fn ask_groups(
        &mut self,
        indices: &[usize],
        way: Way,
        measure: Measure,
        nonsense: bool,
        groups: fn(&Work<'a>) -> &'a [Group],
    ) -> Result<(), SurveyError> {
        let questions: Vec<Question<'_>> = indices
            .iter()
            .flat_map(|&index| groups(&self.works[index]))
            .map(|group| {
                let side = way.side(group);
                let contexts = if nonsense {
                    &side.nonsense
                } else {
                    &side.contexts
                };
                Question::new(contexts, &side.options)
            })
            .collect();
        let on_progress = &mut *self.on_progress;
        let scored = score(&mut self.runner, &questions, Want::Options, &mut |asked| {
            on_progress(measure, asked.n_tokens_done, asked.n_tokens);
        })?;
        let mut scored = scored.into_iter();
        for &index in indices {
            for _ in groups(&self.works[index]) {
                let outcomes = item_outcomes(&scored.next().expect("one per group").scores);
                let found = way.found_mut(&mut self.works[index]);
                if nonsense {
                    found.floor.extend(outcomes);
                } else {
                    found.outcomes.extend(outcomes);
                }
            }
        }
        Ok(())
    }

    /// A track's choice so far; `None` where no item was asked.
    fn evidence(&self, index: usize, way: Way) -> Option<ChoiceEvidence> {
        let work = &self.works[index];
        let Direction { outcomes, floor } = way.found(work);
        let has_floor = !floor.is_empty() && floor.len() == outcomes.len();
        let floor = has_floor.then_some(floor.as_slice());
        let n_right_by_length = work.track.groups[..outcomes.len() / GROUP]
            .iter()
            .map(|group| way.side(group).n_right_by_length)
            .sum();
        let seed = derived(self.survey.settings.seed, work.track.lang);
        Some(ChoiceEvidence {
            result: choice(outcomes, floor, Some(n_right_by_length), seed)?,
            above_floor: floor.and_then(|floor| above_floor(outcomes, floor)),
        })
    }

    fn seed(&self, lang: Lang) -> Seed {
        derived(self.survey.settings.seed, lang)
    }
}

/// Cosines per track of `n_groups` groups each; takes the states out of the answers.
fn cosines(
    scored: &mut [Scored],
    rolled: &mut [(f64, Option<Pooled>)],
    n_groups: &[usize],
) -> Vec<Option<Similarities>> {
    let mut scored = scored.iter_mut();
    let mut rolled = rolled.iter_mut();
    n_groups
        .iter()
        .map(|&n| {
            let own: Vec<Pooled> = scored
                .by_ref()
                .take(n)
                .flat_map(|scored| scored.states.iter_mut().filter_map(Option::take))
                .collect();
            let references: Vec<Pooled> = rolled
                .by_ref()
                .take(n * GROUP)
                .filter_map(|(_, states)| states.take())
                .collect();
            similarities(&own, &references)
        })
        .collect()
}

fn halted(floor: &str, evidence: &ChoiceEvidence) -> String {
    format!(
        "comprehension is at {floor} after {} items, so it was not pursued (`--complete` does)",
        evidence.result.n
    )
}
