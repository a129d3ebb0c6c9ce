//! The page of `isogloss decide`: the choice, how sure it is, and what it stands on.

use isogloss_record::Estimate;
use isogloss_record::comparison::Comparison;
use isogloss_record::decision::{
    Calibration, Candidate, CandidateLanguage, Decision, NotMeasured, Use,
};
use isogloss_record::number::{decimal, interval};
use isogloss_record::survey::Register;
use serde::Serialize;

use crate::chart;
use crate::compare::{self, RowView};
use crate::marks;
use crate::measure::{Axis, Reading};
use crate::page;
use crate::run::ReportError;
use crate::table::Table;

#[derive(Serialize)]
struct Context<'a> {
    style: &'static str,
    script: &'static str,
    shapes: &'static str,
    grids: String,
    axis: String,
    version: &'a str,
    title: String,
    sentence: &'a str,
    reference: String,
    chat: [u64; 2],
    price_max: Option<String>,
    candidates: Vec<CandidateView>,
    languages: Vec<LanguageView>,
    pair: Option<[&'a str; 2]>,
    comparisons: Vec<RowView>,
    open: &'a [isogloss_record::decision::OpenQuestion],
    not_measured: Vec<[String; 3]>,
    failed: &'a [isogloss_record::survey::FailedModel],
    registers: &'a [Register],
    policy: String,
    edited: bool,
    seed: u64,
}

#[derive(Serialize)]
struct CandidateView {
    name: String,
    is_choice: bool,
    probability: String,
    worth: String,
    interval: String,
    chart: String,
    price: String,
    license: String,
    misses: Vec<String>,
    weights: String,
}

#[derive(Serialize)]
struct LanguageView {
    code: String,
    name: String,
    weight: String,
    role: &'static str,
    minimum: Option<&'static str>,
    cells: Vec<Option<LanguageCell>>,
}

#[derive(Serialize)]
struct LanguageCell {
    mark: String,
    verdict: &'static str,
    reason: String,
    worth: String,
    comprehension: String,
    production: String,
    tokens: String,
}

/// The decision as one self-contained page.
pub fn decision_html(decision: &Decision) -> Result<String, ReportError> {
    let axis = Axis {
        min: -0.2,
        max: 1.0,
        logarithmic: false,
    };
    let choice_and_second = decision
        .choice
        .as_deref()
        .zip(decision.runner_up.as_deref());
    let context = Context {
        style: page::STYLE,
        script: page::SCRIPT,
        shapes: marks::SHAPES,
        grids: chart::grids(&[axis], &[Vec::new()], 1),
        axis: chart::header(axis, &[]),
        version: &decision.version,
        title: title(decision),
        sentence: &decision.sentence,
        reference: name(decision, decision.reference),
        chat: [decision.chat.n_tokens_in, decision.chat.n_tokens_out],
        price_max: decision.price_max.map(|most| decimal(most, 2)),
        candidates: decision
            .candidates
            .iter()
            .map(|candidate| candidate_view(decision, candidate, axis))
            .collect(),
        languages: language_views(decision),
        pair: choice_and_second.map(|(choice, second)| [choice, second]),
        comparisons: decision
            .comparisons
            .iter()
            .map(|comparison| compare::row(comparison, &decision.languages))
            .collect(),
        open: &decision.open,
        not_measured: not_measured(decision),
        failed: &decision.failed,
        registers: &decision.registers,
        policy: format!("{} {}", decision.policy.id, decision.policy.version),
        edited: decision.policy.edited,
        seed: decision.seed.0,
    };
    Ok(page::render("decision.html", context)?)
}

/// The probability from which a decision is called settled is `isogloss_survey`'s; it says so in its
/// sentence, which begins with "Take".
fn title(decision: &Decision) -> String {
    match &decision.choice {
        None => "No model meets the needs".to_owned(),
        Some(choice) if decision.sentence.starts_with("Take ") => format!("Take {choice}"),
        Some(choice) => format!("{choice} comes first, not settled"),
    }
}

fn name(decision: &Decision, lang: isogloss_record::Lang) -> String {
    let facts = decision.languages.get(&lang);
    facts.map_or_else(|| lang.to_string(), |facts| facts.name.clone())
}

/// As `isogloss_survey` writes probabilities: never quite sure.
fn percent(probability: f64) -> String {
    let percent = 100.0 * probability;
    if percent > 99.5 {
        "above 99 %".to_owned()
    } else if percent < 0.5 {
        "below 1 %".to_owned()
    } else {
        format!("{percent:.0} %")
    }
}

fn price(candidate: &Candidate, price: Option<f64>) -> String {
    match (price, &candidate.price) {
        (Some(price), Some(of)) => format!("{} {}", decimal(price, 2), of.currency),
        _ => "not known".to_owned(),
    }
}

fn candidate_view(decision: &Decision, candidate: &Candidate, axis: Axis) -> CandidateView {
    let reading = candidate.worth.map(|worth| Reading {
        value: worth.value,
        low: worth.low,
        high: worth.high,
        n: worth.n,
        floor: None,
        details: Vec::new(),
    });
    CandidateView {
        name: candidate.name.clone(),
        is_choice: decision.choice.as_ref() == Some(&candidate.name),
        probability: candidate
            .probability
            .map_or_else(|| "–".to_owned(), percent),
        worth: candidate
            .worth
            .map_or_else(|| "–".to_owned(), |worth| decimal(worth.value, 2)),
        interval: candidate.worth.map_or_else(String::new, |worth| {
            format!("{} · {}", interval(worth.low, worth.high, 2), worth.n)
        }),
        chart: chart::cell(0, axis, &[reading], None),
        price: price(candidate, candidate.price_per_1000_chats),
        license: license(candidate),
        misses: candidate.misses.clone(),
        weights: format!(
            "{}, {}",
            candidate.fingerprint.quantization, candidate.fingerprint.compute
        ),
    }
}

fn license(candidate: &Candidate) -> String {
    candidate
        .license
        .clone()
        .unwrap_or_else(|| "not known".to_owned())
}

fn language_views(decision: &Decision) -> Vec<LanguageView> {
    let number = |estimate: Option<Estimate>| {
        estimate.map_or_else(
            || "–".to_owned(),
            |e| {
                format!(
                    "{} [{}] · {}",
                    decimal(e.value, 2),
                    interval(e.low, e.high, 2),
                    e.n
                )
            },
        )
    };
    let cell = |candidate: &Candidate, of: &CandidateLanguage| LanguageCell {
        mark: marks::inline(of.verdict, of.provisional),
        verdict: marks::word(of.verdict),
        reason: of.reason.clone(),
        worth: of.worth.map_or_else(|| "–".to_owned(), |w| decimal(w, 2)),
        comprehension: number(of.comprehension),
        production: number(of.production),
        tokens: match (of.premium, of.price_per_1000_chats) {
            (None, _) => "–".to_owned(),
            (Some(premium), None) => format!("×{}", decimal(premium, 2)),
            (Some(premium), of) => format!(
                "×{}, 1,000 chats {}",
                decimal(premium, 2),
                price(candidate, of)
            ),
        },
    };
    let mut views: Vec<(f64, LanguageView)> = decision
        .needs
        .iter()
        .map(|(lang, need)| {
            let view = LanguageView {
                code: lang.to_string(),
                name: name(decision, *lang),
                weight: percent(need.weight),
                role: role(need.role),
                minimum: need.minimum.map(marks::word),
                cells: decision
                    .candidates
                    .iter()
                    .map(|candidate| Some(cell(candidate, candidate.languages.get(lang)?)))
                    .collect(),
            };
            (need.weight, view)
        })
        .collect();
    // What weighs most comes first; equals keep the order of their codes.
    views.sort_by(|a, b| b.0.total_cmp(&a.0));
    views.into_iter().map(|(_, view)| view).collect()
}

fn role(role: Use) -> &'static str {
    match role {
        Use::Read => "to be read",
        Use::Write => "to be read and written",
    }
}

/// What, for whom, why: one line per reason, with the languages that share it.
fn not_measured(decision: &Decision) -> Vec<[String; 3]> {
    let mut lines: Vec<(&NotMeasured, Vec<String>)> = Vec::new();
    for missing in &decision.not_measured {
        let lang = missing.lang.map(|lang| name(decision, lang));
        let same = |other: &NotMeasured| {
            (&other.model, &other.what, &other.reason)
                == (&missing.model, &missing.what, &missing.reason)
        };
        match lines.iter_mut().find(|(other, _)| same(other)) {
            Some((_, names)) => names.extend(lang),
            None => lines.push((missing, lang.into_iter().collect())),
        }
    }
    lines
        .into_iter()
        .map(|(missing, names)| {
            let names = names.join(", ");
            let by = match (&missing.model, names.is_empty()) {
                (Some(model), true) => model.clone(),
                (Some(model), false) => format!("{model}: {names}"),
                (None, _) => names,
            };
            [missing.what.clone(), by, missing.reason.clone()]
        })
        .collect()
}

/// One row per model, for the terminal.
pub fn decision_table(decision: &Decision) -> Table {
    let mut table = Table::new([
        "model",
        "best",
        "worth",
        "1,000 chats",
        "licence",
        "cannot be chosen because",
    ]);
    for candidate in &decision.candidates {
        let worth = candidate.worth.map_or_else(
            || "–".to_owned(),
            |worth| {
                format!(
                    "{} [{}]",
                    decimal(worth.value, 2),
                    interval(worth.low, worth.high, 2)
                )
            },
        );
        table.rows.push(vec![
            candidate.name.clone(),
            candidate
                .probability
                .map_or_else(|| "–".to_owned(), percent),
            worth,
            price(candidate, candidate.price_per_1000_chats),
            license(candidate),
            candidate.misses.join("; "),
        ]);
    }
    table
}

/// The decision in lines: the sentence, the two best in each language, what is open, what was not
/// measured.
pub fn decision_lines(decision: &Decision) -> Vec<String> {
    let mut lines = vec![decision.sentence.clone()];
    let sentence = |comparison: &Comparison| {
        format!("{}: {}", name(decision, comparison.lang), comparison.reason)
    };
    lines.extend(decision.comparisons.iter().map(sentence));
    for open in &decision.open {
        lines.push(format!("open: {} {}", open.question, open.settles));
    }
    for failed in &decision.failed {
        lines.push(format!("failed: {}: {}", failed.name, failed.reason));
    }
    for [what, by, reason] in not_measured(decision) {
        let by = if by.is_empty() {
            String::new()
        } else {
            format!(" ({by})")
        };
        lines.push(format!("not measured: {what}{by}: {reason}"));
    }
    lines
}

/// A calibration as a Markdown table: what was stated against what came true.
pub fn calibration_table(calibration: &Calibration) -> Table {
    let mut table = Table::new([
        "stated",
        "mean stated",
        "right",
        "95 % interval",
        "decisions",
    ]);
    for bin in &calibration.bins {
        table.rows.push(vec![
            format!("{}–{}", decimal(bin.from, 1), decimal(bin.to, 1)),
            decimal(bin.stated, 2),
            decimal(bin.right.value, 2),
            interval(bin.right.low, bin.right.high, 2),
            bin.right.n.to_string(),
        ]);
    }
    table
}

/// [`calibration_table`] as Markdown, with the error in a sentence.
pub fn calibration_markdown(calibration: &Calibration) -> String {
    format!(
        "{} planted decisions (seed {}): {} of them took the best model, {} was stated on average; \
         expected calibration error {}.\n\n{}",
        calibration.n,
        calibration.seed.0,
        percent(calibration.right.value),
        percent(calibration.stated),
        decimal(calibration.error, 3),
        calibration_table(calibration).to_markdown()
    )
}
