//! Models compared within each language, on the items that both answered.
//!
//! ```text
//! outcomes per item of two models -> common documents -> differences per document
//!   -> κ (exact sign-flip test), G (paired t test) -> Benjamini-Hochberg -> "A serves ℓ better than B"
//! ```
//!
//! Within a language translation, register and length cancel, so this is the comparison to trust.
//!
//! **One difference per document.** Comprehension and production of one document are not independent,
//! so they are one number: the mean over the directions in which both models answered it, of κ (right
//! answers ÷ ¾) and of G. A model that was not asked for production, because it reads no more than
//! chance, is compared by comprehension alone; the difference is then too small, never too large.
//! G counts above its copy floor where both models' floors were measured, else as it is.
//!
//! **The family** of tests is every language and pair of models, by κ and by G: one
//! Benjamini–Hochberg correction over all of them. "A serves ℓ better than B" is said where κ or G
//! tells them apart at q ≤ .05, the other one does not contradict, and A is not itself "not served"
//! (who is at the floor serves nothing). Else "no difference seen", with the difference that four of
//! five such comparisons would have seen.
//!
//! Known limit: the stopping rule gives more items to a model whose line is straddled. The common
//! items are the first ones, so both models are compared on the same texts, but how many they are
//! depends a little on the answers.

mod fit;

use std::collections::BTreeMap;

use isogloss_record::comparison::{Comparison, Finding, PairedDifference};
use isogloss_record::number::{decimal, interval};
use isogloss_record::outcomes::{ChoiceOutcomes, ItemOutcomes};
use isogloss_record::survey::{LanguageResults, ModelResults, SurveyResults, Verdict};
use isogloss_record::{Estimate, Lang, Seed};
use isogloss_stats::bounded::{
    bounded_difference, sign_flips_of_steps, t_test, visible_difference,
};
use isogloss_stats::{ALPHA, benjamini_hochberg, mean};

pub use fit::{Difference, Misfit, Run, merge};

use crate::items::{GROUP, derived};

/// κ per share of right answers: 1/(1 − ¼).
const KAPPA_PER_SHARE: f64 = GROUP as f64 / (GROUP - 1) as f64;

/// Every pair of a survey's models in every language; none for fewer than two models.
pub fn compare(results: &SurveyResults) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    let pairs = (0..results.models.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
    let mut pairs: Vec<(usize, usize)> = pairs.collect();
    pairs.sort_unstable();
    for &lang in results.languages.keys() {
        if lang == results.settings.reference {
            continue;
        }
        let seed = derived(results.settings.seed, lang);
        for &(i, j) in &pairs {
            comparisons.extend(of_pair(
                results,
                lang,
                &results.models[i],
                &results.models[j],
                seed,
            ));
        }
    }
    correct(&mut comparisons);
    for comparison in &mut comparisons {
        say(comparison, results);
    }
    comparisons
}

/// What both answered, and how they differ; not yet what is said of it.
fn of_pair(
    results: &SurveyResults,
    lang: Lang,
    first: &ModelResults,
    second: &ModelResults,
    seed: Seed,
) -> Option<Comparison> {
    let (a, b) = (first.languages.get(&lang)?, second.languages.get(&lang)?);
    let mut comparison = Comparison {
        lang,
        first: first.name.clone(),
        second: second.name.clone(),
        register: None,
        comprehension: None,
        production: None,
        kappa: None,
        gain: None,
        finding: Finding::NotCompared,
        reason: String::new(),
    };
    let Some((register, a, b)) = common_register(results, a, b) else {
        return Some(comparison);
    };
    comparison.register = Some(register.to_owned());
    let directions = [
        paired(a, b, |outcomes| outcomes.comprehension.as_ref()),
        paired(a, b, |outcomes| outcomes.production.as_ref()),
    ];
    comparison.comprehension = of_steps(directions[0].values().map(|item| item.step).map(single));
    comparison.production = of_steps(directions[1].values().map(|item| item.step).map(single));
    let mut documents: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for (id, item) in directions.iter().flatten() {
        documents.entry(id).or_default().push(*item);
    }
    comparison.kappa = of_steps(documents.values().map(|items| {
        let n = items.len() as i32;
        let sum: i32 = items.iter().map(|item| item.step).sum();
        (sum * 2 / n, f64::from(sum) / f64::from(n))
    }));
    let gains: Vec<f64> = documents
        .values()
        .filter_map(|items| {
            let gains: Vec<f64> = items.iter().filter_map(|item| item.gain).collect();
            (!gains.is_empty()).then(|| gains.iter().sum::<f64>() / gains.len() as f64)
        })
        .collect();
    comparison.gain = of_gains(&gains, seed);
    Some(comparison)
}

/// Whole steps of one direction, in halves.
fn single(step: i32) -> (i32, f64) {
    (2 * step, f64::from(step))
}

/// The first register (the user's own come first) whose text items both answered.
fn common_register<'a>(
    results: &'a SurveyResults,
    a: &'a LanguageResults,
    b: &'a LanguageResults,
) -> Option<(&'a str, &'a ItemOutcomes, &'a ItemOutcomes)> {
    results.settings.registers.iter().find_map(|register| {
        let of = |results: &'a LanguageResults| {
            let outcomes = results.registers.get(&register.id)?.outcomes.as_ref()?;
            outcomes.comprehension.is_some().then_some(outcomes)
        };
        Some((register.id.as_str(), of(a)?, of(b)?))
    })
}

/// One document that both answered in one direction.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// 1: only the first was right, −1: only the second.
    step: i32,
    /// First minus second.
    gain: Option<f64>,
}

fn paired<'a>(
    a: &'a ItemOutcomes,
    b: &'a ItemOutcomes,
    direction: impl Fn(&'a ItemOutcomes) -> Option<&'a ChoiceOutcomes>,
) -> BTreeMap<&'a str, Item> {
    let (Some(first), Some(second)) = (direction(a), direction(b)) else {
        return BTreeMap::new();
    };
    let has_floors = !first.floor_gain.is_empty() && !second.floor_gain.is_empty();
    let gain = |choice: &ChoiceOutcomes, i: usize| {
        let gain = (*choice.gain.get(i)?)?;
        let floor = if has_floors {
            (*choice.floor_gain.get(i)?)?
        } else {
            0.0
        };
        Some(gain - floor)
    };
    let places: BTreeMap<&str, usize> = b.ids.iter().map(String::as_str).zip(0..).collect();
    a.ids
        .iter()
        .enumerate()
        .filter_map(|(i, id)| {
            let j = *places.get(id.as_str())?;
            let (right_a, right_b) = (*first.right.get(i)?, *second.right.get(j)?);
            let item = Item {
                step: i32::from(right_a) - i32::from(right_b),
                gain: gain(first, i).zip(gain(second, j)).map(|(a, b)| a - b),
            };
            Some((id.as_str(), item))
        })
        .collect()
}

/// Differences of right answers, each in halves and as a share, as a difference of κ.
fn of_steps(steps: impl Iterator<Item = (i32, f64)>) -> Option<PairedDifference> {
    let (halves, shares): (Vec<i32>, Vec<f64>) = steps.unzip();
    let Estimate {
        value,
        low,
        high,
        n,
    } = bounded_difference(&shares)?;
    Some(PairedDifference {
        value: value * KAPPA_PER_SHARE,
        low: low * KAPPA_PER_SHARE,
        high: high * KAPPA_PER_SHARE,
        n,
        p: sign_flips_of_steps(&halves),
        q: None,
        visible: visible_difference(&shares)? * KAPPA_PER_SHARE,
    })
}

fn of_gains(gains: &[f64], seed: Seed) -> Option<PairedDifference> {
    let Estimate {
        value,
        low,
        high,
        n,
    } = mean(gains, seed)?;
    let error = isogloss_stats::mean::mean_of(gains.iter().copied())?.standard_error;
    Some(PairedDifference {
        value,
        low,
        high,
        n,
        p: t_test(gains),
        q: None,
        // (1.96 + .84) standard errors, as for κ.
        visible: 2.8 * error,
    })
}

/// Benjamini–Hochberg over κ and G of all comparisons.
fn correct(comparisons: &mut [Comparison]) {
    let tests = || 0..comparisons.len() * 2;
    let p_values: Vec<(usize, f64)> = tests()
        .filter_map(|test| {
            let comparison = &comparisons[test / 2];
            let difference = [comparison.kappa, comparison.gain][test % 2]?;
            Some((test, difference.p))
        })
        .collect();
    let q_values = benjamini_hochberg(&p_values.iter().map(|(_, p)| *p).collect::<Vec<f64>>());
    for ((test, _), q) in p_values.into_iter().zip(q_values) {
        let comparison = &mut comparisons[test / 2];
        let difference = match test % 2 {
            0 => &mut comparison.kappa,
            _ => &mut comparison.gain,
        };
        if let Some(difference) = difference {
            difference.q = Some(q);
        }
    }
}

/// The finding, in a word and in a sentence.
fn say(comparison: &mut Comparison, results: &SurveyResults) {
    let of = |name: &str| {
        let model = results.models.iter().find(|model| model.name == name)?;
        model.languages.get(&comparison.lang)
    };
    let (Some(a), Some(b)) = (of(&comparison.first), of(&comparison.second)) else {
        return;
    };
    let is_memorized =
        |results: &LanguageResults| results.memory.is_some_and(|memory| memory.flagged);
    if is_memorized(a) || is_memorized(b) {
        "a model knows these texts by heart, so they compare nothing"
            .clone_into(&mut comparison.reason);
        return;
    }
    let Some(kappa) = comparison.kappa else {
        "there are no text items that both answered".clone_into(&mut comparison.reason);
        return;
    };
    let told = |difference: Option<PairedDifference>| {
        let difference = difference?;
        let is_told = difference.q.is_some_and(|q| q <= ALPHA);
        is_told.then_some(difference.value > 0.0)
    };
    // As "better minus worse" where there is a better one.
    let numbers = |name: &str, difference: Option<PairedDifference>, is_first: bool| {
        difference.map(|d| {
            let (value, low, high) = if is_first {
                (d.value, d.low, d.high)
            } else {
                (-d.value, -d.high, -d.low)
            };
            format!("{name} {} [{}]", signed(value), interval(low, high, 2))
        })
    };
    let both = |is_first: bool| {
        let numbers: Vec<String> = [
            numbers("κ", Some(kappa), is_first),
            numbers("G", comparison.gain, is_first),
        ]
        .into_iter()
        .flatten()
        .collect();
        format!("{}, {} texts", numbers.join(", "), kappa.n)
    };
    let better = |is_first: bool| {
        let (name, other, verdict, finding) = if is_first {
            (
                &comparison.first,
                &comparison.second,
                a.verdict,
                Finding::FirstBetter,
            )
        } else {
            (
                &comparison.second,
                &comparison.first,
                b.verdict,
                Finding::SecondBetter,
            )
        };
        let both = both(is_first);
        if verdict == Verdict::NotServed {
            let reason = format!("{name} is above {other}, yet serves it no more: {both}");
            (Finding::NeitherServes, reason)
        } else {
            (
                finding,
                format!("{name} serves it better than {other}: {both}"),
            )
        }
    };
    let as_given = both(true);
    let (finding, reason) = match (told(comparison.kappa), told(comparison.gain)) {
        (Some(by_kappa), Some(by_gain)) if by_kappa != by_gain => (
            Finding::Mixed,
            format!("κ says one thing and G the other: {as_given}"),
        ),
        (Some(is_first), _) | (None, Some(is_first)) => better(is_first),
        (None, None) if (a.verdict, b.verdict) == (Verdict::NotServed, Verdict::NotServed) => (
            Finding::NeitherServes,
            format!("neither serves it: {as_given}"),
        ),
        (None, None) => (
            Finding::NoDifference,
            format!(
                "no difference seen, κ ± {} would have been: {as_given}",
                decimal(kappa.visible, 2)
            ),
        ),
    };
    (comparison.finding, comparison.reason) = (finding, reason);
}

/// With its sign, so that a difference is not taken for a value.
fn signed(value: f64) -> String {
    let text = decimal(value, 2);
    if text.starts_with('\u{2212}') {
        text
    } else {
        format!("+{text}")
    }
}

#[cfg(test)]
pub(crate) mod tests;
