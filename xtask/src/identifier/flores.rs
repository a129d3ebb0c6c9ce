//! The identifier's reliability on FLORES-200, a register that it was not trained on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use isogloss_lang::identify::Identifier;
use isogloss_lang::identify::evaluate::{beginning, flores_labels, macro_mean};
use isogloss_record::{Lang, files};

/// Lengths of texts in characters: short, a continuation of 32 tokens, a sentence.
const LENGTHS: [(usize, &str); 3] = [(50, "50"), (100, "100"), (usize::MAX, "sentence")];

/// The reliability table over FLORES; adds the totals to the report.
pub(super) fn reliability(
    identifier: &Identifier,
    folder: &Path,
    report: &mut String,
) -> Result<String, String> {
    let mut table = String::from(
        "# How well the language identifier does per language, on a register that it was not trained on.\n\
         # Measured on FLORES-200 dev (NLLB team, CC BY-SA 4.0; encyclopedic and news sentences), first\n\
         # 500 lines of each language that has a label; figures only, no text. Written by\n\
         # `cargo xtask identifier`; do not edit.\n\
         #\n\
         # sensitivity: share of its lines found (an abstention is a miss). specificity: 1 - mean over the\n\
         # other languages of the share of their lines taken for it. confusions: LANG:SHARE, down to .02.\n\
         # characters: lines are cut to so many, at a space where one is near.\n\
         #\n\
         # language\tcharacters\tn\tsensitivity\tspecificity\tregister\tconfusions\n",
    );
    let mut sets: Vec<(Vec<Lang>, String)> = Vec::new();
    for code in codes(folder)? {
        let labels = flores_labels(identifier, &code);
        if !labels.is_empty() {
            let path = folder.join(format!("{code}.txt"));
            let text = files::read_to_string(&path).map_err(|error| error.to_string())?;
            sets.push((labels, text));
        }
    }
    for (n_chars, name) in LENGTHS {
        let answers = answers(identifier, &sets, n_chars);
        let n_of = |counts: &BTreeMap<Option<Lang>, usize>| counts.values().sum::<usize>();
        let share = |counts: &BTreeMap<Option<Lang>, usize>, lang: Lang| {
            counts.get(&Some(lang)).copied().unwrap_or(0) as f64 / n_of(counts) as f64
        };
        let mut shares = Vec::new();
        let mut done: BTreeSet<Lang> = BTreeSet::new();
        for ((labels, _), counts) in sets.iter().zip(&answers) {
            let n = n_of(counts);
            let hits: usize = labels
                .iter()
                .filter_map(|label| counts.get(&Some(*label)))
                .sum();
            shares.push((hits, n));
            // Several labels are right for one file: its figures go to each.
            for &label in labels {
                if !done.insert(label) {
                    continue;
                }
                let others: Vec<f64> = sets
                    .iter()
                    .zip(&answers)
                    .filter(|((own, _), _)| !own.contains(&label))
                    .map(|(_, counts)| share(counts, label))
                    .collect();
                let false_alarms = others.iter().sum::<f64>() / others.len().max(1) as f64;
                let mut confusions: Vec<(Lang, f64)> = counts
                    .keys()
                    .flatten()
                    .filter(|found| !labels.contains(found))
                    .map(|found| (*found, share(counts, *found)))
                    .filter(|(_, share)| *share >= 0.02)
                    .collect();
                confusions.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                let confusions: Vec<String> = confusions
                    .iter()
                    .map(|(lang, share)| format!("{lang}:{share:.3}"))
                    .collect();
                writeln!(
                    table,
                    "{label}\t{name}\t{n}\t{:.4}\t{:.5}\tnews\t{}",
                    hits as f64 / n as f64,
                    1.0 - false_alarms,
                    confusions.join(" ")
                )
                .map_err(|error| error.to_string())?;
            }
        }
        let mean = macro_mean(&shares).unwrap_or_default();
        let n_silent: usize = answers.iter().filter_map(|counts| counts.get(&None)).sum();
        writeln!(
            report,
            "FLORES-200, characters: {name}: {:.2} % of {} language-scripts' lines, {n_silent} abstentions",
            100.0 * mean,
            shares.len()
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(table)
}

/// Answers per file, all cut to so many characters.
fn answers(
    identifier: &Identifier,
    sets: &[(Vec<Lang>, String)],
    n_chars: usize,
) -> Vec<BTreeMap<Option<Lang>, usize>> {
    let of = |sets: &[(Vec<Lang>, String)]| -> Vec<BTreeMap<Option<Lang>, usize>> {
        let of_set = |(_, text): &(Vec<Lang>, String)| {
            let mut counts = BTreeMap::new();
            let lines = text.lines().map(|line| beginning(line, n_chars));
            for found in identifier.identify_all(lines) {
                *counts.entry(found.lang).or_default() += 1;
            }
            counts
        };
        sets.iter().map(of_set).collect()
    };
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = sets
            .chunks(sets.len().div_ceil(n_threads).max(1))
            .map(|chunk| scope.spawn(move || of(chunk)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("counting does not panic"))
            .collect()
    })
}

/// Codes of the folder's files, in order.
fn codes(folder: &Path) -> Result<Vec<String>, String> {
    let mut codes = Vec::new();
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        if let Some(code) = name.to_string_lossy().strip_suffix(".txt") {
            codes.push(code.to_owned());
        }
    }
    codes.sort();
    Ok(codes)
}
