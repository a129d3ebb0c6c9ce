//! The language identifier: texts and CLDR names -> `packs/identifier/model.zst`, then its
//! reliability on FLORES-200 -> `packs/identifier/reliability.tsv`.
//!
//! `cargo xtask identifier [--check]`. Running text is the reviewed `packs/texts/udhr.zst` (one part
//! a translation); the second register is the names of symbols of `cldr-annotations-full`.
//! FLORES is read from `../shared/flores200/dev`, for figures only; without it the table is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use isogloss_lang::identify::evaluate::{beginning, flores_labels, macro_mean};
use isogloss_lang::identify::train::{Document, Settings};
use isogloss_lang::identify::{Evidence, Identifier, Register};
use isogloss_record::{Lang, files};

/// Translations that are left out here although the survey may use them, with the reason.
const LEFT_OUT: [(&str, &str); 3] = [
    (
        "046",
        "labelled Papuan Malay, but 82 % of its six-letter pieces are the Indonesian text's",
    ),
    (
        "cjy",
        "Jinyu speech written as Mandarin: half of it is the Mandarin text",
    ),
    (
        "hsn",
        "Xiang speech written as Mandarin: half of it is the Mandarin text",
    ),
];

/// Word lists that are left out, with the reason.
const NAMES_LEFT_OUT: [(&str, &str); 2] = [
    ("quz", "CLDR's Quechua is that of no single code"),
    ("yue_Hans", "a transliteration of `yue_Hant`"),
];

/// Labels that are one: what the identifier calls the first, it calls the second.
const SAME: [(&str, &str); 1] = [("zsm", "zlm")];

/// Fewer names than this teach nothing.
const N_NAMES_MIN: usize = 400;

/// Characters of names that stand in for running text where a language has none.
const N_CHARS_STAND_IN: usize = 14_000;

/// Articles from this one on are held out when the calibration is fitted.
const FIRST_HELD_OUT: usize = 25;

/// Lengths of texts in characters: short, a continuation of 32 tokens, a sentence.
const LENGTHS: [(usize, &str); 3] = [(50, "50"), (100, "100"), (usize::MAX, "sentence")];

/// An article of one translation.
struct Article {
    lang: Lang,
    file: String,
    number: usize,
    text: String,
}

/// Trains, writes and measures; or checks that the committed model is what training gives.
pub(crate) fn run(check: bool) -> Result<String, String> {
    let articles = articles()?;
    let names = names()?;
    let settings = Settings::default();
    let mut identifier = Identifier::train(&documents(&articles, &names, true, true), &settings);
    identifier.calibrate(&held_out(&articles, &names, &settings));
    let model = identifier.encode().map_err(|error| error.to_string())?;
    let folder = crate::root().join("packs/identifier");
    let mut report = format!(
        "identifier: {} labels, {} bytes\n",
        identifier.labels().len(),
        model.len()
    );
    let flores = crate::root().join("../shared/flores200/dev");
    let mut outputs = vec![("model.zst", model)];
    if flores.is_dir() {
        let table = reliability(&identifier, &flores, &mut report)?;
        outputs.push(("reliability.tsv", table.into_bytes()));
    } else {
        report.push_str("no FLORES-200 beside the checkout: the reliability is kept as it is\n");
    }
    for (name, contents) in outputs {
        let path = folder.join(name);
        if !check {
            files::create_dir_all(&folder)
                .and_then(|()| files::write_atomic(&path, &contents))
                .map_err(|error| error.to_string())?;
        } else if files::read(&path).ok() != Some(contents) {
            return Err(format!("`{}` is not what training gives", path.display()));
        }
    }
    Ok(report)
}

fn label(written: &str) -> Result<Lang, String> {
    let same = SAME.iter().find(|(from, _)| *from == written);
    let written = same.map_or(written, |(_, to)| to);
    written.parse().map_err(|error| format!("{error}"))
}

/// All articles of the pack.
fn articles() -> Result<Vec<Article>, String> {
    let path = crate::root().join("packs/texts/udhr.zst");
    let bytes = files::read(&path).map_err(|error| error.to_string())?;
    let text = zstd::decode_all(bytes.as_slice()).map_err(|error| error.to_string())?;
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    let mut articles = Vec::new();
    let mut translation: Option<(Lang, &str)> = None;
    let mut number = 0;
    for line in text.lines().skip(1) {
        if let Some(header) = line.strip_prefix('@') {
            let fields: Vec<&str> = header.split('\t').collect();
            let [lang, _, file, ..] = fields[..] else {
                return Err(format!("`udhr.zst`: header `{header}`"));
            };
            let kept = !LEFT_OUT.iter().any(|(left_out, _)| *left_out == file);
            translation = kept
                .then_some(())
                .map(|()| Ok::<_, String>((label(lang)?, file)))
                .transpose()?;
            number = 0;
        } else {
            number += 1;
            if let (Some((lang, file)), false) = (translation, line.is_empty()) {
                articles.push(Article {
                    lang,
                    file: file.to_owned(),
                    number,
                    text: line.replace('\u{1f}', "\n"),
                });
            }
        }
    }
    Ok(articles)
}

/// Names per language, where there are enough.
fn names() -> Result<BTreeMap<Lang, Vec<String>>, String> {
    let mut kept = BTreeMap::new();
    for (written, names) in crate::data::names()? {
        let left_out = NAMES_LEFT_OUT
            .iter()
            .any(|(left_out, _)| *left_out == written);
        if names.len() >= N_NAMES_MIN && !left_out {
            kept.insert(label(&written)?, names);
        }
    }
    Ok(kept)
}

/// What is trained on: articles, and names as a register of their own; where a language has names
/// alone, as many as a translation has letters stand in for running text.
fn documents<'a>(
    articles: impl IntoIterator<Item = &'a Article>,
    names: &BTreeMap<Lang, Vec<String>>,
    with_names: bool,
    with_articles: bool,
) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut with_text = BTreeSet::new();
    for article in articles {
        with_text.insert(article.lang);
        if with_articles {
            documents.push(Document {
                label: article.lang,
                part: article.file.clone(),
                register: Register::Running,
                text: article.text.clone(),
            });
        }
    }
    for (&label, names) in names.iter().filter(|_| with_names) {
        let document = |text: &String, register, part: &str| Document {
            label,
            part: part.to_owned(),
            register,
            text: text.clone(),
        };
        documents.extend(
            names
                .iter()
                .map(|name| document(name, Register::Words, "names")),
        );
        if !with_text.contains(&label) {
            // Spread over the list: it goes by subject.
            let n_chars: usize = names.iter().map(|name| name.chars().count()).sum();
            let every = n_chars.div_ceil(N_CHARS_STAND_IN).max(1);
            documents.extend(
                names
                    .iter()
                    .step_by(every)
                    .map(|name| document(name, Register::Running, "names")),
            );
        }
    }
    documents
}

/// Evidence on held-out text: the last articles with training on the others, and names with
/// training on articles alone, cut to several lengths, so that both the easy and the hard case
/// (another register) have their say.
fn held_out(
    articles: &[Article],
    names: &BTreeMap<Lang, Vec<String>>,
    settings: &Settings,
) -> Vec<(Evidence, usize)> {
    const LENGTHS: [usize; 4] = [30, 60, 120, 240];
    let mut cases = Vec::new();
    let mut add = |identifier: &Identifier, lang: Lang, text: &str| {
        if let Some(evidence) = identifier.evidence(text)
            && let Some(right) = evidence.labels.iter().position(|label| *label == lang)
        {
            cases.push((evidence, right));
        }
    };
    let early = articles
        .iter()
        .filter(|article| article.number < FIRST_HELD_OUT);
    let identifier = Identifier::train(&documents(early, names, true, true), settings);
    for article in articles
        .iter()
        .filter(|article| article.number >= FIRST_HELD_OUT)
    {
        let n = LENGTHS[article.number % LENGTHS.len()];
        add(&identifier, article.lang, beginning(&article.text, n));
    }
    let identifier = Identifier::train(&documents(articles, names, false, true), settings);
    for (&lang, names) in names {
        for (i, chunk) in names.chunks(24).enumerate().take(24) {
            let text = chunk.join(", ");
            add(
                &identifier,
                lang,
                beginning(&text, LENGTHS[i % LENGTHS.len()]),
            );
        }
    }
    cases
}

/// The reliability table over FLORES; adds the totals to the report.
fn reliability(
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
        let mut answers: Vec<BTreeMap<Option<Lang>, usize>> = Vec::new();
        for (_, text) in &sets {
            let mut counts = BTreeMap::new();
            let lines = text.lines().map(|line| beginning(line, n_chars));
            for found in identifier.identify_all(lines) {
                *counts.entry(found.lang).or_default() += 1;
            }
            answers.push(counts);
        }
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
            "FLORES-200, {name} characters: {:.2} % of {} language-scripts' lines, {n_silent} abstentions",
            100.0 * mean,
            shares.len()
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(table)
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
