//! What the candidates answered in the languages that are needed, as cells over common documents.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::decision::{Need, Use};
use isogloss_record::outcomes::{ChoiceOutcomes, ItemOutcomes};
use isogloss_record::survey::{LanguageResults, ModelResults, SurveyResults};
use isogloss_stats::best::{Answers, Cell};

use crate::items::GROUP;
use crate::measures::Measure;

/// Which way a choice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Comprehension,
    Production,
}

impl Direction {
    fn of(self, outcomes: &ItemOutcomes) -> Option<&ChoiceOutcomes> {
        match self {
            Self::Comprehension => outcomes.comprehension.as_ref(),
            Self::Production => outcomes.production.as_ref(),
        }
    }
}

/// A cell, and the language that it is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LanguageCell {
    pub(super) lang: Lang,
    pub(super) register: String,
    pub(super) cell: Cell,
}

/// All cells of some models, over documents numbered alike in all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evidence {
    pub(super) cells: Vec<LanguageCell>,
    pub(super) n_documents: usize,
}

impl Evidence {
    /// The cells of models that were measured in every language ([`is_measured`]).
    pub(super) fn new(
        results: &SurveyResults,
        needs: &BTreeMap<Lang, Need>,
        models: &[&ModelResults],
    ) -> Self {
        let mut numbers: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut cells = Vec::new();
        for (&lang, need) in needs {
            let directions = directions(results, need.role);
            for &direction in directions {
                let mut register_of_all = String::new();
                let answers = models
                    .iter()
                    .map(|model| {
                        let of_language = model.languages.get(&lang);
                        let found = of_language.and_then(|of| outcomes(results, of));
                        let Some((register, outcomes)) = found else {
                            return Answers::default();
                        };
                        register.clone_into(&mut register_of_all);
                        answers(outcomes, direction, |id| {
                            let next = numbers.len();
                            let key = (register.to_owned(), id.to_owned());
                            *numbers.entry(key).or_insert(next)
                        })
                    })
                    .collect();
                cells.push(LanguageCell {
                    lang,
                    register: register_of_all,
                    cell: Cell {
                        weight: need.weight / directions.len() as f64,
                        guess: 1.0 / GROUP as f64,
                        answers,
                    },
                });
            }
        }
        Self {
            cells,
            n_documents: numbers.len(),
        }
    }
}

/// The directions that a use is judged by: production only where the survey asked for it.
fn directions(results: &SurveyResults, role: Use) -> &'static [Direction] {
    if role == Use::Write && asks(results, Measure::Production) {
        &[Direction::Comprehension, Direction::Production]
    } else {
        &[Direction::Comprehension]
    }
}

/// Whether the survey asked for a measure.
pub(super) fn asks(results: &SurveyResults, measure: Measure) -> bool {
    results
        .settings
        .measures
        .iter()
        .any(|id| id == measure.id())
}

/// A language's text items, of the first register that has them (the user's own come first).
pub(super) fn outcomes<'a>(
    results: &'a SurveyResults,
    language: &'a LanguageResults,
) -> Option<(&'a str, &'a ItemOutcomes)> {
    results.settings.registers.iter().find_map(|register| {
        let outcomes = language.registers.get(&register.id)?.outcomes.as_ref()?;
        outcomes.comprehension.as_ref()?;
        Some((register.id.as_str(), outcomes))
    })
}

/// Whether a model's comprehension was measured in every language, on texts it does not know by heart.
pub(super) fn is_measured(
    results: &SurveyResults,
    model: &ModelResults,
    needs: &BTreeMap<Lang, Need>,
) -> bool {
    needs.keys().all(|lang| {
        model.languages.get(lang).is_some_and(|language| {
            outcomes(results, language).is_some()
                && !language.memory.is_some_and(|memory| memory.flagged)
        })
    })
}

fn answers(
    outcomes: &ItemOutcomes,
    direction: Direction,
    mut number: impl FnMut(&str) -> usize,
) -> Answers {
    // Not asked, though the survey asks for it: it was at its floor.
    let Some(choice) = direction.of(outcomes) else {
        return Answers::default();
    };
    let mut listed = |flags: &[bool]| {
        let mut list: Vec<Option<bool>> = Vec::new();
        for (id, flag) in outcomes.ids.iter().zip(flags) {
            let place = number(id);
            if list.len() <= place {
                list.resize(place + 1, None);
            }
            list[place] = Some(*flag);
        }
        list
    };
    Answers {
        right: listed(&choice.right),
        floor: listed(&choice.floor_right),
    }
}
