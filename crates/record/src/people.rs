//! How many people stand behind each verdict: sums of speakers over the languages of a survey.
//!
//! A sum of speakers is not a number of people: whoever speaks three languages is in it three times.
//! A language without a count is not in a sum, and is told beside it; it is never a zero.

use std::collections::{BTreeMap, BTreeSet};

use crate::Lang;
use crate::survey::{ModelResults, SurveyResults, Verdict};

/// The languages of one verdict, and their speakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeopleOfVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// Languages with it; one in two scripts is two.
    pub n_languages: usize,
    /// Those among them whose speakers are not known.
    pub n_without_count: usize,
    /// Speakers of the others, summed; a language in two scripts of one verdict is in it once.
    pub speakers: u64,
}

/// Speakers per verdict of one model, in the order of [`Verdict`]; verdicts without a language are
/// left out.
pub fn people(results: &SurveyResults, model: &ModelResults) -> Vec<PeopleOfVerdict> {
    let mut groups: BTreeMap<Verdict, (PeopleOfVerdict, BTreeSet<Lang>)> = BTreeMap::new();
    for (lang, result) in &model.languages {
        let (group, counted) = groups.entry(result.verdict).or_insert_with(|| {
            let empty = PeopleOfVerdict {
                verdict: result.verdict,
                n_languages: 0,
                n_without_count: 0,
                speakers: 0,
            };
            (empty, BTreeSet::new())
        });
        group.n_languages += 1;
        let facts = results.languages.get(lang);
        match facts.and_then(|facts| facts.speakers.as_ref()) {
            Some(speakers) => {
                if counted.insert(lang.without_script()) {
                    group.speakers = group.speakers.saturating_add(speakers.count);
                }
            }
            None => group.n_without_count += 1,
        }
    }
    groups.into_values().map(|(group, _)| group).collect()
}

/// Where the counts are from: every source with its year, once.
pub fn sources_of_speakers(results: &SurveyResults) -> Vec<(&str, u16)> {
    let sources: BTreeSet<(&str, u16)> = results
        .languages
        .values()
        .filter_map(|facts| facts.speakers.as_ref())
        .map(|speakers| (speakers.source.as_str(), speakers.year))
        .collect();
    sources.into_iter().collect()
}
