//! Our token premiums beside a published table: Petrov et al. 2023, arXiv:2305.15425, over FLORES-200.

use std::collections::BTreeMap;

use isogloss_lang::registry;
use isogloss_record::{Estimate, Lang};
use isogloss_stats::correlation::pearson;
use serde::{Deserialize, Serialize};

/// A table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No column of that name.
    #[error("the table has no column `{column}`, but {known}")]
    Column {
        /// What was asked for.
        column: String,
        /// What there is.
        known: String,
    },
    /// No row of the reference language.
    #[error("the table has no count for `{0}`")]
    Reference(Lang),
}

impl isogloss_record::Explain for TableError {
    fn hint(&self) -> Option<String> {
        Some("the table is `tokenization_lengths.csv`, with `language_map.csv` beside it".into())
    }
}

/// Published premiums of a column: counts divided by the reference's, by language. `names` maps the
/// table's language names to codes ("Name, code" a line).
pub fn published(
    table: &str,
    names: &str,
    column: &str,
    reference: Lang,
) -> Result<BTreeMap<Lang, f64>, TableError> {
    let codes: BTreeMap<&str, &str> = names
        .lines()
        .skip(1)
        .filter_map(|line| line.rsplit_once(", "))
        .collect();
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let place = header
        .iter()
        .position(|name| *name == column)
        .ok_or_else(|| TableError::Column {
            column: column.to_owned(),
            known: header
                .iter()
                .skip(1)
                .copied()
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let n_columns = header.len();
    let counts: BTreeMap<Lang, f64> = lines
        .filter_map(|line| {
            // Names may hold commas: counted from the right.
            let fields: Vec<&str> = line.rsplitn(n_columns, ',').collect();
            let code = codes.get(fields.get(n_columns - 1)?.trim_matches('"'))?;
            let lang = registry().resolve(code).ok()?;
            Some((lang, fields[n_columns - 1 - place].parse().ok()?))
        })
        .collect();
    let of_reference = *counts
        .get(&reference)
        .ok_or(TableError::Reference(reference))?;
    Ok(counts
        .into_iter()
        .map(|(lang, count)| (lang, count / of_reference))
        .collect())
}

/// How far two tables of premiums agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostStudy {
    /// Column of the published table.
    pub column: String,
    /// Pearson's r over all languages that both have; `None` for fewer than four.
    pub all: Option<Estimate>,
    /// The same within each script of at least four languages.
    pub within: BTreeMap<String, Estimate>,
    /// By language: ours, theirs.
    pub premiums: BTreeMap<Lang, [f64; 2]>,
}

/// Compares our premiums with a published column.
pub fn agreement(
    column: &str,
    ours: &BTreeMap<Lang, f64>,
    theirs: &BTreeMap<Lang, f64>,
) -> CostStudy {
    let premiums: BTreeMap<Lang, [f64; 2]> = ours
        .iter()
        .filter_map(|(&lang, &ours)| Some((lang, [ours, *theirs.get(&lang)?])))
        .collect();
    let r = |keep: &dyn Fn(Lang) -> bool| {
        let kept = premiums.iter().filter(|(lang, _)| keep(**lang));
        let (a, b): (Vec<f64>, Vec<f64>) = kept.map(|(_, &[a, b])| (a, b)).unzip();
        pearson(&a, &b)
    };
    let script = |lang: Lang| {
        registry()
            .script(lang)
            .map(|script| script.code().to_owned())
    };
    let scripts: std::collections::BTreeSet<String> =
        premiums.keys().filter_map(|&lang| script(lang)).collect();
    CostStudy {
        column: column.to_owned(),
        all: r(&|_| true),
        within: scripts
            .into_iter()
            .filter_map(|code| {
                let within = r(&|lang| script(lang).as_deref() == Some(&code))?;
                Some((code, within))
            })
            .collect(),
        premiums,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str =
        "Language, FLORES-200 code\nEnglish, eng_Latn\nHindi, hin_Deva\nA, B (x), hau_Latn\n";

    #[test]
    fn a_table_is_read_by_its_column_and_divided_by_the_reference() {
        let table = "Language,GPT-2,ByT5\nEnglish,100,200\nHindi,500,450\n\"A, B (x)\",150,210\nKlingon,1,1\n";
        let eng = "eng".parse().unwrap();
        let got = published(table, NAMES, "GPT-2", eng).unwrap();
        let of = |code: &str| got.get(&code.parse::<Lang>().unwrap()).copied();
        assert_eq!(
            (of("eng"), of("hin"), of("hau")),
            (Some(1.0), Some(5.0), Some(1.5))
        );
        assert_eq!(got.len(), 3);
        let error = published(table, NAMES, "GPT-3", eng)
            .unwrap_err()
            .to_string();
        assert!(error.contains("GPT-2, ByT5"), "{error}");
        assert!(published("Language,GPT-2\n", NAMES, "GPT-2", eng).is_err());
        let study = agreement("GPT-2", &got, &got);
        assert_eq!(study.all, None, "three languages say nothing");
        assert_eq!(study.premiums.len(), 3);
    }
}
