//! One model under the needs: verdicts, prices, licence, and what it misses.

use std::collections::BTreeMap;

use isogloss_record::decision::{Candidate, CandidateLanguage, Need, NotMeasured, Use};
use isogloss_record::number::decimal;
use isogloss_record::survey::{ChoiceResult, LanguageResults, ModelResults, Verdict};
use isogloss_record::{Estimate, Lang};
use isogloss_stats::best::above;

use super::Question;
use super::evidence::{asks, outcomes};
use crate::items::GROUP;
use crate::measures::Measure;
use crate::tokens::price_per_1000_chats;

pub(super) fn of_model(
    question: &Question<'_>,
    needs: &BTreeMap<Lang, Need>,
    model: &ModelResults,
) -> Candidate {
    let results = question.results;
    let price = question.prices.of(&model.name);
    let name_of = |lang: Lang| {
        let facts = results.languages.get(&lang);
        facts.map_or_else(|| lang.to_string(), |facts| facts.name.clone())
    };
    let mut misses = Vec::new();
    let mut languages = BTreeMap::new();
    let mut total = Some(0.0);
    for (&lang, need) in needs {
        let Some(found) = model.languages.get(&lang) else {
            misses.push(format!("{} was not surveyed with it", name_of(lang)));
            total = None;
            continue;
        };
        if outcomes(results, found).is_none() {
            let why = found.not_measured.get(Measure::Comprehension.id());
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            misses.push(format!("{} was not measured{why}", name_of(lang)));
        } else if found.memory.is_some_and(|memory| memory.flagged) {
            misses.push(format!("it knows the texts in {} by heart", name_of(lang)));
        }
        if let Some(minimum) = need
            .minimum
            .filter(|minimum| !reaches(found.verdict, *minimum))
        {
            misses.push(format!(
                "{}: {} is needed, the verdict is {}",
                name_of(lang),
                word(minimum),
                word(found.verdict)
            ));
        }
        let premium = found.cost.map(|cost| cost.value);
        let chats = price
            .zip(premium)
            .map(|(price, premium)| price_per_1000_chats(price, question.chat, premium));
        total = total
            .zip(chats)
            .map(|(total, chats)| total + need.weight * chats);
        languages.insert(
            lang,
            CandidateLanguage {
                verdict: found.verdict,
                provisional: found.provisional,
                reason: found.reason.clone(),
                comprehension: found.comprehension.map(estimate),
                production: found.production.map(estimate),
                worth: worth(question, found, need.role),
                premium,
                price_per_1000_chats: chats,
            },
        );
    }
    if let Some(most) = question.needs.and_then(|needs| needs.price_max) {
        match total {
            None => misses.push("its price is not known".to_owned()),
            Some(total) if total > most => misses.push(format!(
                "1,000 chats cost {}, at most {} may be spent",
                decimal(total, 2),
                decimal(most, 2)
            )),
            Some(_) => {}
        }
    }
    Candidate {
        name: model.name.clone(),
        fingerprint: model.fingerprint.clone(),
        license: license(question, model),
        misses,
        worth: None,
        probability: None,
        price: price.cloned(),
        price_per_1000_chats: total.filter(|_| price.is_some()),
        languages,
    }
}

/// The price file's word first, then the model's own files', then the list of built-in models.
fn license(question: &Question<'_>, model: &ModelResults) -> Option<String> {
    (question.prices.license_of(&model.name))
        .or(model.fingerprint.license.as_deref())
        .or_else(|| question.licenses.get(&model.name).map(String::as_str))
        .map(str::to_owned)
}

fn estimate(choice: ChoiceResult) -> Estimate {
    Estimate {
        value: choice.value,
        low: choice.low,
        high: choice.high,
        n: choice.n,
    }
}

fn reaches(verdict: Verdict, minimum: Verdict) -> bool {
    verdict == Verdict::Served || verdict == minimum
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reference => "reference",
        Verdict::Served => "served",
        Verdict::Partly => "partly served",
        Verdict::NotServed => "not served",
        Verdict::CannotSay => "cannot say",
    }
}

/// The plain worth in one language, for the table; the posterior has its own.
fn worth(question: &Question<'_>, found: &LanguageResults, role: Use) -> Option<f64> {
    let (_, outcomes) = outcomes(question.results, found)?;
    let share = |flags: &[bool]| {
        let n_right = flags.iter().filter(|right| **right).count();
        (!flags.is_empty()).then(|| n_right as f64 / flags.len() as f64)
    };
    let guess = 1.0 / GROUP as f64;
    let of = |choice: &isogloss_record::outcomes::ChoiceOutcomes| {
        let floor = share(&choice.floor_right).unwrap_or(guess);
        Some(above(share(&choice.right)?, floor.max(guess)))
    };
    let read = of(outcomes.comprehension.as_ref()?)?;
    if role == Use::Read || !asks(question.results, Measure::Production) {
        return Some(read);
    }
    let write = outcomes.production.as_ref().and_then(of).unwrap_or(0.0);
    Some(f64::midpoint(read, write))
}

/// What the decision would need and does not have.
pub(super) fn not_measured(
    question: &Question<'_>,
    needs: &BTreeMap<Lang, Need>,
    candidates: &[Candidate],
) -> Vec<NotMeasured> {
    let results = question.results;
    let mut missing = Vec::new();
    let mut add = |model: Option<&str>, lang: Option<Lang>, what: &str, reason: String| {
        missing.push(NotMeasured {
            model: model.map(str::to_owned),
            lang,
            what: what.to_owned(),
            reason,
        });
    };
    let writes = needs.values().any(|need| need.role == Use::Write);
    if writes && !asks(results, Measure::Production) {
        add(
            None,
            None,
            "production",
            "the survey did not ask for it, so writing is judged by comprehension alone".to_owned(),
        );
    }
    for model in &results.models {
        for (&lang, need) in needs {
            let Some(found) = model.languages.get(&lang) else {
                continue;
            };
            for measure in [Measure::Production, Measure::Fidelity] {
                let reason = found.not_measured.get(measure.id());
                let Some(reason) = reason.filter(|_| need.role == Use::Write) else {
                    continue;
                };
                let counted = if measure == Measure::Production {
                    "; it counts as 0"
                } else {
                    ""
                };
                add(
                    Some(&model.name),
                    Some(lang),
                    measure.id(),
                    format!("{reason}{counted}"),
                );
            }
            if need.role == Use::Write && found.fidelity.is_some_and(|fidelity| !fidelity.deciding)
            {
                let why = "the identifier's errors for this language are not known";
                add(
                    Some(&model.name),
                    Some(lang),
                    "fidelity, for certain",
                    why.to_owned(),
                );
            }
        }
    }
    for candidate in candidates {
        if candidate.price.is_none() {
            let reason = "no price was given: `--price FILE`";
            add(Some(&candidate.name), None, "price", reason.to_owned());
        }
        if candidate.license.is_none() {
            let reason = "its files do not state it; the price file may give `license`";
            add(Some(&candidate.name), None, "licence", reason.to_owned());
        }
    }
    add(
        None,
        None,
        "quality of what is written, instructions, facts, safety, speed",
        "no survey measures these: it tells whether a language is served at all".to_owned(),
    );
    missing
}
