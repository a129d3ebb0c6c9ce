//! What the atlas can be filtered by beside words, and whom the line leaves out.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::survey::{ModelResults, SurveyResults};
use isogloss_record::{number, people};
use serde::Serialize;

use crate::marks::{self, VERDICTS};

/// A continent in the filter.
#[derive(Serialize)]
pub(crate) struct Continent {
    name: String,
    parts: Vec<String>,
}

/// The speakers of one verdict's languages.
#[derive(Serialize)]
pub(crate) struct PeopleRow {
    id: &'static str,
    pub(crate) word: &'static str,
    mark: String,
    pub(crate) n_languages: usize,
    pub(crate) n_without_count: usize,
    /// In words; a dash where no language of the verdict has a count.
    pub(crate) speakers: String,
}

/// Regions of all languages, continents and their parts by name.
pub(crate) fn continents(results: &SurveyResults) -> Vec<Continent> {
    let mut continents: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for region in results.languages.values().flat_map(|facts| &facts.regions) {
        match &region.continent {
            None => {
                continents.entry(&region.name).or_default();
            }
            Some(continent) => {
                continents
                    .entry(continent)
                    .or_default()
                    .insert(&region.name);
            }
        }
    }
    continents
        .into_iter()
        .map(|(name, parts)| Continent {
            name: name.clone(),
            parts: parts.into_iter().cloned().collect(),
        })
        .collect()
}

/// A row per verdict of the legend, so that a filter can fill each.
pub(crate) fn people_rows(results: &SurveyResults, model: &ModelResults) -> Vec<PeopleRow> {
    let found = people::people(results, model);
    VERDICTS
        .into_iter()
        .map(|verdict| {
            let group = found.iter().find(|group| group.verdict == verdict);
            let (n_languages, n_without_count) =
                group.map_or((0, 0), |group| (group.n_languages, group.n_without_count));
            PeopleRow {
                id: marks::id(verdict),
                word: marks::word(verdict),
                mark: marks::inline(verdict, false),
                n_languages,
                n_without_count,
                speakers: match group {
                    Some(group) if n_without_count < n_languages => number::people(group.speakers),
                    _ => "–".into(),
                },
            }
        })
        .collect()
}
