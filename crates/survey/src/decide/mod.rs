//! Which of several models to take, under stated needs, and how sure that is.
//!
//! ```text
//! runs -> merge (they must fit) -> candidates that meet the needs -> posterior of their worths
//!   -> choice, probability that it is the best, runner-up, prices, what is open
//! ```
//!
//! **Worth.** In a language that is needed to *read*, the share of comprehension items answered right
//! above what chance and names alone give, `(a − c)/(1 − c)` with c the greater of ¼ and the copy
//! floor's share. In one that is needed to *write* (the usual), half that and half the same of
//! production. A model's worth is the mean over the languages, by the weights of the needs. Where
//! production was not asked because the model reads no more than its floor, it counts as 0.
//! Fidelity, lexicon and cost are no part of the worth: fidelity through the verdict that a need may
//! ask for, price through the most that it may cost.
//!
//! **Conditions** come first: a model that misses a minimum verdict or costs too much cannot be
//! chosen, however great its worth; nor can one that was not measured in a language that is needed.
//!
//! **Probability.** That the choice has the greatest worth of all that meet the conditions:
//! [`isogloss_stats::best`], over documents. Its calibration is measured ([`calibration`]).
//!
//! Why this and nothing else: `docs/decisions/0006-what-a-model-is-worth.md`; for users:
//! `docs/decide.md`.

pub mod calibration;
mod candidate;
mod evidence;
pub mod needs;
mod open;

use std::collections::BTreeMap;

use isogloss_record::decision::{Candidate, Decision, Need, NotMeasured, SCHEMA, Use};
use isogloss_record::number::decimal;
use isogloss_record::survey::SurveyResults;
use isogloss_record::tokens::ChatSize;
use isogloss_record::{Estimate, Explain, Lang, Seed};
use isogloss_stats::best::{N_DRAWS, Posterior, Surety, posterior};

use crate::tokens::Prices;
use evidence::Evidence;
pub use needs::{Needs, NeedsError};

/// From this probability on a decision is settled.
pub const SETTLED: f64 = 0.95;

/// What is to be decided.
pub struct Question<'a> {
    /// Models of all runs, as [`crate::compare::merge`] gives them.
    pub results: &'a SurveyResults,
    /// What is needed; `None`: every language of the runs alike.
    pub needs: Option<&'a Needs>,
    /// Prices and licences of models, where they are known.
    pub prices: &'a Prices,
    /// What a chat is.
    pub chat: ChatSize,
    /// Licences by name of the model, for those whose files state none.
    pub licenses: &'a BTreeMap<String, String>,
    /// Version of Isogloss.
    pub version: &'a str,
}

/// Why nothing can be decided.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecideError {
    /// A language that no run has.
    #[error("`{lang}` is needed and was surveyed in none of the runs")]
    NotSurveyed {
        /// The language.
        lang: Lang,
        /// Those that were.
        surveyed: Vec<Lang>,
    },
    /// The reference alone, or nothing.
    #[error(
        "no language that is needed can be judged: `{reference}` is what the others are measured against"
    )]
    OnlyReference {
        /// The reference language.
        reference: Lang,
    },
    /// Prices that cannot be compared.
    #[error("prices are in `{first}` and in `{second}`")]
    Currencies {
        /// A currency.
        first: String,
        /// Another.
        second: String,
    },
}

impl Explain for DecideError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotSurveyed { lang, surveyed } => {
                let surveyed: Vec<String> = surveyed.iter().map(Lang::to_string).collect();
                format!(
                    "survey it too (`--langs {lang}` and the others, into a new folder), or leave it \
                     out; surveyed were {}",
                    surveyed.join(", ")
                )
            }
            Self::OnlyReference { .. } => {
                "survey with another `--reference`, or need other languages".to_owned()
            }
            Self::Currencies { .. } => "write all prices in one currency".to_owned(),
        })
    }
}

/// Decides.
pub fn decide(question: &Question<'_>) -> Result<Decision, DecideError> {
    let results = question.results;
    check_currencies(question)?;
    let (needs, mut not_measured) = weighed_needs(question)?;
    let mut candidates: Vec<Candidate> = results
        .models
        .iter()
        .map(|model| candidate::of_model(question, &needs, model))
        .collect();
    let judged: Vec<usize> = (0..candidates.len())
        .filter(|&i| evidence::is_measured(results, &results.models[i], &needs))
        .collect();
    let seed = results.settings.seed;
    let all = worths(results, &needs, &judged, seed);
    for (place, &i) in judged.iter().enumerate() {
        candidates[i].worth = all.1.worth(place);
    }
    let fit: Vec<usize> = (judged.iter().copied())
        .filter(|&i| candidates[i].misses.is_empty())
        .collect();
    let (evidence, of_fit) = worths(results, &needs, &fit, seed);
    // One alone is not "surely the best": there is nothing that it is better than.
    if fit.len() > 1 {
        for (&i, probability) in fit.iter().zip(of_fit.best()) {
            candidates[i].probability = Some(probability);
        }
    }
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let rank = |i: usize| {
        let worth = candidates[i].worth.map_or(f64::NEG_INFINITY, |w| w.value);
        let meets = if fit.contains(&i) { 0.0 } else { -1.0 };
        (candidates[i].probability.unwrap_or(meets), worth)
    };
    order.sort_by(|&a, &b| {
        let (a, b) = (rank(a), rank(b));
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    let ranked: Vec<usize> = order.iter().copied().filter(|i| fit.contains(i)).collect();
    let place = |i: usize| fit.iter().position(|&j| j == i).expect("it is among them");
    let lead: Option<Estimate> = match ranked[..] {
        [first, second, ..] => of_fit.difference(place(first), place(second)),
        _ => None,
    };
    let name = |i: &usize| candidates[*i].name.clone();
    let (choice, runner_up) = (ranked.first().map(name), ranked.get(1).map(name));
    let probability = match ranked[..] {
        [first, _, ..] => candidates[first].probability,
        _ => None,
    };
    not_measured.extend(candidate::not_measured(question, &needs, &candidates));
    let mut open = Vec::new();
    if let ([first, second, ..], Some(probability)) = (&ranked[..], probability) {
        let names = [
            candidates[*first].name.as_str(),
            candidates[*second].name.as_str(),
        ];
        open.extend(open::lead(
            &evidence,
            [place(*first), place(*second)],
            names,
            probability,
        ));
    }
    open.extend(open::verdicts(results, &needs));
    let sentence = sentence(&candidates, &ranked, probability, lead);
    let comparisons = results
        .comparisons
        .iter()
        .filter(|comparison| {
            let pair = [Some(&comparison.first), Some(&comparison.second)];
            needs.contains_key(&comparison.lang)
                && pair.contains(&choice.as_ref())
                && pair.contains(&runner_up.as_ref())
        })
        .cloned()
        .collect();
    let mut by_place: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
    Ok(Decision {
        schema: SCHEMA.to_owned(),
        version: question.version.to_owned(),
        price_max: question.needs.and_then(|needs| needs.price_max),
        chat: question.chat,
        reference: results.settings.reference,
        registers: results.settings.registers.clone(),
        policy: results.policy.clone(),
        seed,
        languages: needs
            .keys()
            .filter_map(|lang| Some((*lang, results.languages.get(lang)?.clone())))
            .collect(),
        needs,
        choice,
        runner_up,
        probability,
        lead,
        sentence,
        candidates: order
            .into_iter()
            .filter_map(|i| by_place[i].take())
            .collect(),
        comparisons,
        open,
        not_measured,
        failed: results.failed.clone(),
    })
}

fn worths(
    results: &SurveyResults,
    needs: &BTreeMap<Lang, Need>,
    models: &[usize],
    seed: Seed,
) -> (Evidence, Posterior) {
    let models: Vec<_> = models.iter().map(|&i| &results.models[i]).collect();
    let evidence = Evidence::new(results, needs, &models);
    let cells: Vec<_> = evidence
        .cells
        .iter()
        .map(|cell| cell.cell.clone())
        .collect();
    let n_documents = evidence.n_documents;
    let posterior = posterior(&cells, n_documents, N_DRAWS, Surety::Stated, seed);
    (evidence, posterior)
}

/// The needs with weights that add up to 1, without the reference.
fn weighed_needs(
    question: &Question<'_>,
) -> Result<(BTreeMap<Lang, Need>, Vec<NotMeasured>), DecideError> {
    let results = question.results;
    let reference = results.settings.reference;
    let mut needs: BTreeMap<Lang, Need> = match question.needs {
        Some(needs) => (needs.languages.iter())
            .map(|(lang, need)| (as_surveyed(results, *lang), *need))
            .collect(),
        None => results
            .languages
            .keys()
            .map(|&lang| {
                let need = Need {
                    weight: 1.0,
                    role: Use::Write,
                    minimum: None,
                };
                (lang, need)
            })
            .collect(),
    };
    let mut not_measured = Vec::new();
    if needs.remove(&reference).is_some() && question.needs.is_some() {
        not_measured.push(NotMeasured {
            model: None,
            lang: Some(reference),
            what: "worth".to_owned(),
            reason: "the others are measured against it, so it is left out of the weights"
                .to_owned(),
        });
    }
    if let Some(&lang) = needs
        .keys()
        .find(|lang| !results.languages.contains_key(lang))
    {
        let surveyed = results.languages.keys().copied();
        return Err(DecideError::NotSurveyed {
            lang,
            surveyed: surveyed.filter(|lang| *lang != reference).collect(),
        });
    }
    if needs.is_empty() {
        return Err(DecideError::OnlyReference { reference });
    }
    let total: f64 = needs.values().map(|need| need.weight).sum();
    for need in needs.values_mut() {
        need.weight /= total;
    }
    Ok((needs, not_measured))
}

/// The language as the runs have it: with its script where they name one and the need does not.
fn as_surveyed(results: &SurveyResults, lang: Lang) -> Lang {
    if results.languages.contains_key(&lang) {
        return lang;
    }
    let mut alike = results
        .languages
        .keys()
        .filter(|other| other.code() == lang.code());
    match (alike.next(), alike.next()) {
        (Some(only), None) if lang.script().is_none() || only.script().is_none() => *only,
        _ => lang,
    }
}

fn check_currencies(question: &Question<'_>) -> Result<(), DecideError> {
    let mut first: Option<&str> = None;
    for model in &question.results.models {
        let Some(price) = question.prices.of(&model.name) else {
            continue;
        };
        match first {
            Some(first) if first != price.currency => {
                return Err(DecideError::Currencies {
                    first: first.to_owned(),
                    second: price.currency.clone(),
                });
            }
            _ => first = Some(&price.currency),
        }
    }
    Ok(())
}

/// The decision in one or two sentences.
fn sentence(
    candidates: &[Candidate],
    ranked: &[usize],
    probability: Option<f64>,
    lead: Option<Estimate>,
) -> String {
    let Some(&first) = ranked.first() else {
        return if candidates.len() == 1 {
            "The model does not meet the needs.".to_owned()
        } else {
            "None of the models meets the needs.".to_owned()
        };
    };
    let name = &candidates[first].name;
    let (Some(probability), Some(&second), Some(lead)) = (probability, ranked.get(1), lead) else {
        return format!("Take {name}: no other model here meets the needs.");
    };
    let other = &candidates[second].name;
    let shown = percent(probability);
    let lead = format!(
        "{} more worth than {other} (95 % interval {})",
        decimal(lead.value, 2),
        isogloss_record::number::interval(lead.low, lead.high, 2)
    );
    if probability >= SETTLED {
        format!("Take {name}: {lead}; probability that it is the best {shown}.")
    } else {
        format!(
            "{name} comes first, but that is not settled: {lead}; probability that it is the best \
             {shown}."
        )
    }
}

/// A probability for people; never quite sure.
pub fn percent(probability: f64) -> String {
    let percent = 100.0 * probability;
    if percent > 99.5 {
        "above 99 %".to_owned()
    } else if percent < 0.5 {
        "below 1 %".to_owned()
    } else {
        format!("{percent:.0} %")
    }
}

#[cfg(test)]
mod tests;
