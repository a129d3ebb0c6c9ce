//! Two surveys -> what changed, language by language: movements of verdicts, and measures by their
//! intervals.
//!
//! ```text
//! before: not served  .02 [-.10, .14]      after: partly  .31 [.20, .42]    -> gained, intervals apart
//! ```
//!
//! Whether a verdict or a number may be compared at all stands in [`comparable`].

use std::collections::BTreeMap;

use isogloss_record::diff::{
    AtlasDiff, Intervals, LanguageDiff, MeasureDiff, Movement, OnlyOne, PairDiff, SCHEMA,
};
use isogloss_record::survey::{LanguageResults, ModelResults, SurveyResults, Verdict};
use isogloss_record::{Estimate, Explain, Lang};

use crate::comparable;

/// Why two surveys have no diff.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// No model has the same name in both, and there are several to choose from.
    #[error(
        "the two surveys share no model: the first has {}, the second {}",
        list(before),
        list(after)
    )]
    NoCommonModel {
        /// Models of the first survey.
        before: Vec<String>,
        /// Models of the second survey.
        after: Vec<String>,
    },
}

impl Explain for DiffError {
    fn hint(&self) -> Option<String> {
        Some("name two runs of one model each, or two runs that share a model's name; models of one run stand side by side in its own atlas".into())
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Compares two surveys; models are paired by name, and one model each whatever their names.
pub fn atlas_diff(before: &SurveyResults, after: &SurveyResults) -> Result<AtlasDiff, DiffError> {
    let find = |results: &SurveyResults, name: &str| {
        results.models.iter().position(|model| model.name == name)
    };
    let mut pairs: Vec<(usize, usize)> = before
        .models
        .iter()
        .enumerate()
        .filter_map(|(i, model)| Some((i, find(after, &model.name)?)))
        .collect();
    if pairs.is_empty() && before.models.len() == 1 && after.models.len() == 1 {
        pairs.push((0, 0));
    }
    let names = |results: &SurveyResults, taken: &dyn Fn(usize) -> bool| -> Vec<String> {
        results
            .models
            .iter()
            .enumerate()
            .filter(|(i, _)| !taken(*i))
            .map(|(_, model)| model.name.clone())
            .collect()
    };
    if pairs.is_empty() {
        return Err(DiffError::NoCommonModel {
            before: names(before, &|_| false),
            after: names(after, &|_| false),
        });
    }
    Ok(AtlasDiff {
        schema: SCHEMA,
        differences: comparable::differences(before, after),
        models_only_before: names(before, &|i| pairs.iter().any(|pair| pair.0 == i)),
        models_only_after: names(after, &|i| pairs.iter().any(|pair| pair.1 == i)),
        pairs: pairs
            .into_iter()
            .map(|(i, j)| pair((before, &before.models[i]), (after, &after.models[j])))
            .collect(),
    })
}

fn pair(
    (before, a): (&SurveyResults, &ModelResults),
    (after, b): (&SurveyResults, &ModelResults),
) -> PairDiff {
    let only = |results: &SurveyResults, model: &ModelResults, other: &ModelResults| {
        model
            .languages
            .iter()
            .filter(|(lang, _)| !other.languages.contains_key(lang))
            .map(|(lang, result)| OnlyOne {
                lang: *lang,
                name: name(results, *lang),
                verdict: result.verdict,
            })
            .collect()
    };
    let mut languages: Vec<LanguageDiff> = a
        .languages
        .iter()
        .filter_map(|(lang, old)| {
            let new = b.languages.get(lang)?;
            Some(LanguageDiff {
                lang: *lang,
                name: name(after, *lang),
                before: old.verdict,
                after: new.verdict,
                movement: movement(old.verdict, new.verdict),
                reason: new.reason.clone(),
                measures: measures(old, new),
            })
        })
        .collect();
    let speakers: BTreeMap<Lang, u64> = after
        .languages
        .iter()
        .filter_map(|(lang, facts)| Some((*lang, facts.speakers.as_ref()?.count)))
        .collect();
    languages.sort_by_key(|language| {
        (
            language.movement,
            std::cmp::Reverse(speakers.get(&language.lang).copied()),
            language.lang,
        )
    });
    PairDiff {
        before: a.name.clone(),
        after: b.name.clone(),
        is_same_model: (&a.fingerprint.hash, &a.fingerprint.compute)
            == (&b.fingerprint.hash, &b.fingerprint.compute),
        languages,
        only_before: only(before, a, b),
        only_after: only(after, b, a),
    }
}

fn name(results: &SurveyResults, lang: Lang) -> String {
    results
        .languages
        .get(&lang)
        .map_or_else(|| lang.to_string(), |facts| facts.name.clone())
}

/// Which way a verdict went; "cannot say" and the reference are no rung of the ladder.
fn movement(before: Verdict, after: Verdict) -> Movement {
    let rung = |verdict| match verdict {
        Verdict::NotServed => Some(0),
        Verdict::Partly => Some(1),
        Verdict::Served => Some(2),
        Verdict::CannotSay | Verdict::Reference => None,
    };
    match (rung(before), rung(after)) {
        (Some(a), Some(b)) if a == b => Movement::Same,
        (Some(2), Some(_)) => Movement::LeftTheLine,
        (Some(_), Some(2)) => Movement::CrossedTheLine,
        (Some(a), Some(b)) if b < a => Movement::Lost,
        (Some(_), Some(_)) => Movement::Gained,
        (Some(_), None) => Movement::NoLongerTold,
        (None, Some(_)) => Movement::NowTold,
        (None, None) => Movement::Same,
    }
}

/// Every measure with an interval, in reading order.
fn measures(old: &LanguageResults, new: &LanguageResults) -> Vec<MeasureDiff> {
    let readings = |r: &LanguageResults| -> [(&'static str, Option<Estimate>); 9] {
        let estimate = |value, low, high, n| Estimate {
            value,
            low,
            high,
            n,
        };
        [
            (
                "comprehension",
                r.comprehension
                    .map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "comprehension.gain",
                r.comprehension
                    .and_then(|m| m.gain)
                    .map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "production",
                r.production.map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "production.gain",
                r.production
                    .and_then(|m| m.gain)
                    .map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "lexicon",
                r.lexicon.map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "fidelity",
                r.fidelity.map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "alignment",
                r.alignment.map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "information",
                r.information.map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
            (
                "cost",
                r.cost.map(|m| estimate(m.value, m.low, m.high, m.n)),
            ),
        ]
    };
    readings(old)
        .into_iter()
        .zip(readings(new))
        .filter(|((_, a), (_, b))| a.is_some() || b.is_some())
        .map(|((id, before), (_, after))| {
            let both = before.zip(after);
            MeasureDiff {
                id,
                before,
                after,
                change: both.map(|(a, b)| b.value - a.value),
                intervals: both.map(|(a, b)| intervals(a, b)),
            }
        })
        .collect()
}

fn intervals(before: Estimate, after: Estimate) -> Intervals {
    if after.low > before.high {
        Intervals::Higher
    } else if after.high < before.low {
        Intervals::Lower
    } else {
        Intervals::Overlap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_move_along_the_ladder() {
        use Verdict::{CannotSay, NotServed, Partly, Reference, Served};
        for (before, after, want) in [
            (Served, Partly, Movement::LeftTheLine),
            (Served, NotServed, Movement::LeftTheLine),
            (Partly, NotServed, Movement::Lost),
            (NotServed, Served, Movement::CrossedTheLine),
            (Partly, Served, Movement::CrossedTheLine),
            (NotServed, Partly, Movement::Gained),
            (Served, CannotSay, Movement::NoLongerTold),
            (CannotSay, NotServed, Movement::NowTold),
            (Reference, Served, Movement::NowTold),
            (CannotSay, CannotSay, Movement::Same),
            (Served, Served, Movement::Same),
        ] {
            assert_eq!(movement(before, after), want, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn intervals_that_touch_overlap() {
        let e = |low, high| Estimate {
            value: f64::midpoint(low, high),
            low,
            high,
            n: 12,
        };
        assert_eq!(intervals(e(0.0, 0.2), e(0.2, 0.4)), Intervals::Overlap);
        assert_eq!(intervals(e(0.0, 0.2), e(0.21, 0.4)), Intervals::Higher);
        assert_eq!(intervals(e(0.3, 0.5), e(0.1, 0.29)), Intervals::Lower);
        assert_eq!(intervals(e(0.0, 1.0), e(0.4, 0.5)), Intervals::Overlap);
    }
}
