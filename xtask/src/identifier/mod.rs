//! The language identifier: texts and CLDR names -> `packs/identifier/model.zst`, then its
//! reliability on FLORES-200 -> `packs/identifier/reliability.tsv`.
//!
//! `cargo xtask identifier [--check]`. Running text is the reviewed `packs/texts/udhr.zst` (one part
//! a translation); the second register is the names of symbols of `cldr-annotations-full`.
//! FLORES is read from `../shared/flores200/dev`, for figures only; without it the table is kept.

mod flores;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use isogloss_lang::identify::evaluate::{beginning, macro_mean};
use isogloss_lang::identify::train::{Document, Settings};
use isogloss_lang::identify::{Evidence, HanForms, Identifier, Register};
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
const SAME: [(&str, &str); 1] = [("zsm", "zlm_Latn")];

/// Fewer names than this teach nothing.
const N_NAMES_MIN: usize = 400;

/// Characters of names that stand in for running text where a language has none.
const N_CHARS_STAND_IN: usize = 14_000;

/// Articles from this one on are held out when the calibration is fitted.
const FIRST_HELD_OUT: usize = 25;

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
    let settings = Settings {
        han: han_forms(&articles)?,
        ..Settings::default()
    };
    let mut identifier = Identifier::train(&documents(&articles, &names, true, true), &settings);
    let held_out = HeldOut::new(&articles, &names, &settings);
    identifier.calibrate(&held_out.cases);
    let model = identifier.encode().map_err(|error| error.to_string())?;
    let folder = crate::root().join("packs/identifier");
    let mut report = format!(
        "identifier: {} labels, {} bytes\n",
        identifier.labels().len(),
        model.len()
    );
    report.push_str(&held_out.report);
    let flores = crate::root().join("../shared/flores200/dev");
    let mut outputs = vec![("model.zst", model)];
    if flores.is_dir() {
        let table = flores::reliability(&identifier, &flores, &mut report)?;
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

/// Traditional and simplified characters, from the Cantonese names, from the Mandarin articles that
/// are never held out, and from `packs/identifier/han.tsv`, written by hand.
fn han_forms(articles: &[Article]) -> Result<HanForms, String> {
    let mut pairs = crate::data::han_pairs()?;
    let written = |form: &'static str| {
        articles
            .iter()
            .filter(move |article| article.file == form && article.number < FIRST_HELD_OUT)
    };
    for (traditional, simplified) in written("cmn_hant").zip(written("cmn_hans")) {
        let lines = traditional.text.lines().zip(simplified.text.lines());
        pairs.extend(lines.map(|(from, to)| (from.to_owned(), to.to_owned())));
    }
    let path = crate::root().join("packs/identifier/han.tsv");
    let by_hand = files::read_to_string(&path).map_err(|error| error.to_string())?;
    for line in by_hand.lines().filter(|line| !line.starts_with('#')) {
        let (from, to) = line
            .split_once('\t')
            .ok_or_else(|| format!("`han.tsv`: no tab in `{line}`"))?;
        pairs.push((from.to_owned(), to.to_owned()));
    }
    let pairs = pairs.iter().map(|(from, to)| (from.as_str(), to.as_str()));
    Ok(HanForms::learn(pairs))
}

/// Whether two labels are one language in simplified and in traditional characters: what one is
/// taught, the other knows.
fn shares_texts(a: Lang, b: Lang) -> bool {
    let is_han = |lang: Lang| {
        lang.script()
            .is_some_and(|script| ["Hans", "Hant"].contains(&script.code()))
    };
    a == b || a.without_script() == b.without_script() && is_han(a) && is_han(b)
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
        if !with_text.iter().any(|known| shares_texts(*known, label)) {
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

/// What training on a part of the texts says about the rest.
struct HeldOut {
    /// Evidence on the last articles, with training on the others, and on names, with training on
    /// articles alone, cut to several lengths: both the easy and the hard case (another register)
    /// have their say. With the place of the right label.
    cases: Vec<(Evidence, usize)>,
    /// How many articles are identified, in words.
    report: String,
}

impl HeldOut {
    fn new(articles: &[Article], names: &BTreeMap<Lang, Vec<String>>, settings: &Settings) -> Self {
        const LENGTHS: [usize; 4] = [30, 60, 120, 240];
        let case = |identifier: &Identifier, lang: Lang, text: &str| {
            let evidence = identifier.evidence(text)?;
            let right = evidence.labels.iter().position(|label| *label == lang)?;
            Some((evidence, right))
        };
        let (early, late): (Vec<&Article>, Vec<&Article>) = articles
            .iter()
            .partition(|article| article.number < FIRST_HELD_OUT);
        let mut on_articles = Identifier::train(&documents(early, names, true, true), settings);
        let mut cases = Vec::new();
        let mut numbers = Vec::new();
        for article in &late {
            let n = LENGTHS[article.number % LENGTHS.len()];
            if let Some(case) = case(&on_articles, article.lang, beginning(&article.text, n)) {
                cases.push(case);
                numbers.push(Some(article.number));
            }
        }
        let on_names = Identifier::train(&documents(articles, names, false, true), settings);
        for (&lang, names) in names {
            for (i, chunk) in names.chunks(24).enumerate().take(24) {
                let text = chunk.join(", ");
                let text = beginning(&text, LENGTHS[i % LENGTHS.len()]);
                cases.extend(case(&on_names, lang, text));
            }
        }
        numbers.resize(cases.len(), None);

        // The calibration says when to abstain: each half of the articles is judged by that of the
        // other half.
        let mut shares: [BTreeMap<Lang, (usize, usize)>; 2] = Default::default();
        let mut n_silent = [0; 2];
        for half in [0, 1] {
            let others: Vec<(Evidence, usize)> = cases
                .iter()
                .zip(&numbers)
                .filter(|(_, number)| number.is_none_or(|number| number % 2 != half))
                .map(|(case, _)| case.clone())
                .collect();
            on_articles.calibrate(&others);
            for article in late.iter().filter(|article| article.number % 2 == half) {
                for (i, n_chars) in [usize::MAX, 50].into_iter().enumerate() {
                    let found = on_articles.identify(beginning(&article.text, n_chars)).lang;
                    let (hits, n) = shares[i].entry(article.lang).or_default();
                    *hits += usize::from(found == Some(article.lang));
                    *n += 1;
                    n_silent[i] += usize::from(found.is_none());
                }
            }
        }
        let mut report = String::new();
        for (i, name) in ["whole", "50 characters"].into_iter().enumerate() {
            let shares: Vec<(usize, usize)> = shares[i].values().copied().collect();
            let n: usize = shares.iter().map(|(_, n)| n).sum();
            writeln!(
                report,
                "articles {FIRST_HELD_OUT} to 30 with training on the others, {name}: {:.2} %, the mean of {} labels \
                 ({n} articles, {} abstentions, counted as wrong)",
                100.0 * macro_mean(&shares).unwrap_or_default(),
                shares.len(),
                n_silent[i]
            )
            .expect("writing to a string");
        }
        Self { cases, report }
    }
}
