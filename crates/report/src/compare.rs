//! Models against each other: the atlas's section, and lines for the terminal.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::comparison::{Comparison, Finding, PairedDifference};
use isogloss_record::number::{decimal, interval};
use isogloss_record::survey::LanguageFacts;
use serde::Serialize;

use crate::table::Table;

/// Languages that are named in a list before "and so many more".
const N_NAMED: usize = 12;

/// One pair of models.
#[derive(Serialize)]
pub(crate) struct PairView {
    first: String,
    second: String,
    groups: Vec<GroupView>,
    rows: Vec<RowView>,
}

/// Languages with one finding.
#[derive(Serialize)]
struct GroupView {
    title: String,
    n: usize,
    names: Vec<String>,
    n_more: usize,
}

#[derive(Serialize)]
pub(crate) struct RowView {
    code: String,
    name: String,
    finding: String,
    rank: usize,
    kappa: Option<CellView>,
    gain: Option<CellView>,
    reason: String,
}

#[derive(Serialize)]
struct CellView {
    sort: f64,
    value: String,
    interval: String,
    n: usize,
    q: String,
}

/// Findings in the order in which they are told.
const FINDINGS: [Finding; 6] = [
    Finding::FirstBetter,
    Finding::SecondBetter,
    Finding::NoDifference,
    Finding::Mixed,
    Finding::NeitherServes,
    Finding::NotCompared,
];

/// Every pair of models, in the order of the comparisons.
pub(crate) fn pairs(
    comparisons: &[Comparison],
    languages: &BTreeMap<Lang, LanguageFacts>,
) -> Vec<PairView> {
    let mut by_pair: Vec<((&str, &str), Vec<&Comparison>)> = Vec::new();
    for comparison in comparisons {
        let pair = (comparison.first.as_str(), comparison.second.as_str());
        match by_pair.iter_mut().find(|(known, _)| *known == pair) {
            Some((_, of_pair)) => of_pair.push(comparison),
            None => by_pair.push((pair, vec![comparison])),
        }
    }
    by_pair
        .into_iter()
        .map(|((first, second), of_pair)| PairView {
            first: first.to_owned(),
            second: second.to_owned(),
            groups: FINDINGS
                .into_iter()
                .filter_map(|finding| group(finding, first, second, &of_pair, languages))
                .collect(),
            rows: of_pair
                .iter()
                .map(|comparison| row(comparison, languages))
                .collect(),
        })
        .collect()
}

fn group(
    finding: Finding,
    first: &str,
    second: &str,
    of_pair: &[&Comparison],
    languages: &BTreeMap<Lang, LanguageFacts>,
) -> Option<GroupView> {
    let found: Vec<&&Comparison> = of_pair.iter().filter(|c| c.finding == finding).collect();
    let names = found.iter().take(N_NAMED).map(|c| name(c.lang, languages));
    (!found.is_empty()).then(|| GroupView {
        title: title(finding, first, second),
        n: found.len(),
        names: names.collect(),
        n_more: found.len().saturating_sub(N_NAMED),
    })
}

fn title(finding: Finding, first: &str, second: &str) -> String {
    match finding {
        Finding::FirstBetter => format!("{first} serves better"),
        Finding::SecondBetter => format!("{second} serves better"),
        Finding::NoDifference => "no difference seen".to_owned(),
        Finding::Mixed => "κ and G disagree".to_owned(),
        Finding::NeitherServes => "neither serves it".to_owned(),
        Finding::NotCompared => "not compared".to_owned(),
    }
}

pub(crate) fn row(comparison: &Comparison, languages: &BTreeMap<Lang, LanguageFacts>) -> RowView {
    RowView {
        code: comparison.lang.to_string(),
        name: name(comparison.lang, languages),
        finding: title(comparison.finding, &comparison.first, &comparison.second),
        rank: FINDINGS
            .iter()
            .position(|finding| *finding == comparison.finding)
            .unwrap_or(FINDINGS.len()),
        kappa: comparison.kappa.as_ref().map(cell),
        gain: comparison.gain.as_ref().map(cell),
        reason: comparison.reason.clone(),
    }
}

fn cell(difference: &PairedDifference) -> CellView {
    let value = decimal(difference.value, 2);
    CellView {
        sort: difference.value,
        value: if difference.value > 0.0 {
            format!("+{value}")
        } else {
            value
        },
        interval: interval(difference.low, difference.high, 2),
        n: difference.n,
        q: difference.q.map_or_else(
            || "–".to_owned(),
            |q| {
                if q < 0.001 {
                    "below .001".to_owned()
                } else {
                    decimal(q, 3)
                }
            },
        ),
    }
}

fn name(lang: Lang, languages: &BTreeMap<Lang, LanguageFacts>) -> String {
    let facts = languages.get(&lang);
    facts.map_or_else(|| lang.to_string(), |facts| facts.name.clone())
}

/// One row per pair of models and finding, for the terminal; empty for fewer than two models.
pub fn comparison_table(
    comparisons: &[Comparison],
    languages: &BTreeMap<Lang, LanguageFacts>,
) -> Table {
    let mut table = Table::new(["models", "finding", "languages"]);
    for pair in pairs(comparisons, languages) {
        for group in pair.groups {
            let more = match group.n_more {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            table.rows.push(vec![
                format!("{} / {}", pair.first, pair.second),
                group.title,
                format!("{}: {}{more}", group.n, group.names.join(", ")),
            ]);
        }
    }
    table
}
