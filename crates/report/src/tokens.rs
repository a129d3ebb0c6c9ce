//! The tables of `isogloss tokens`: what the same content costs in each language.

use isogloss_record::Lang;
use isogloss_record::survey::{LanguageFacts, Register};
use isogloss_record::tokens::{TokensOfLanguage, TokensOfModel, TokensReport};
use serde::Serialize;

use crate::chart;
use crate::escape;
use crate::measure::{Axis, Reading};
use crate::page;
use crate::run::ReportError;
use crate::table::Table;
use isogloss_record::number::{count, decimal, interval};

#[derive(Serialize)]
struct Context<'a> {
    style: &'static str,
    script: &'static str,
    version: &'a str,
    reference: String,
    chat_in: u64,
    chat_out: u64,
    models: Vec<ModelView>,
    axis: String,
    grids: String,
    rows: Vec<RowView>,
    missing: Vec<[String; 3]>,
    registers: &'a [Register],
}

#[derive(Serialize)]
struct ModelView {
    class: usize,
    name: String,
    vocabulary: String,
    context: String,
    price: String,
    hash: String,
}

/// One language; one entry of `models` per model.
#[derive(Serialize)]
struct RowView {
    code: String,
    name: String,
    tag: String,
    script: String,
    search: String,
    chart: String,
    models: Vec<Option<CellView>>,
}

#[derive(Serialize)]
struct CellView {
    premium_sort: f64,
    premium: String,
    interval: String,
    n: usize,
    spread: String,
    bytes: String,
    per_byte: String,
    price_sort: Option<f64>,
    price: String,
    context: String,
}

/// The table as one self-contained page.
pub fn tokens_html(report: &TokensReport) -> Result<String, ReportError> {
    let axis = axis(report);
    let rows = order(report)
        .into_iter()
        .map(|lang| {
            let of_models: Vec<Option<&TokensOfLanguage>> = report
                .models
                .iter()
                .map(|model| model.languages.get(&lang))
                .collect();
            let readings: Vec<Option<Reading>> =
                of_models.iter().map(|cost| cost.map(reading)).collect();
            let facts = report.languages.get(&lang);
            RowView {
                code: lang.to_string(),
                name: name(facts, lang),
                tag: facts.map_or_else(|| lang.code().to_owned(), |facts| facts.tag.clone()),
                script: facts.map_or_else(String::new, |facts| facts.script.to_string()),
                search: facts.map_or_else(
                    || lang.to_string(),
                    |facts| {
                        format!(
                            "{lang} {} {} {}",
                            facts.name,
                            facts.endonym.as_deref().unwrap_or(""),
                            facts.tag
                        )
                        .to_lowercase()
                    },
                ),
                chart: chart::cell(0, axis, &readings, None),
                models: report
                    .models
                    .iter()
                    .zip(of_models)
                    .map(|(model, cost)| Some(cell(model, cost?)))
                    .collect(),
            }
        })
        .collect();
    let context = Context {
        style: page::STYLE,
        script: page::SCRIPT,
        version: &report.version,
        reference: name(report.languages.get(&report.reference), report.reference),
        chat_in: report.chat.n_tokens_in,
        chat_out: report.chat.n_tokens_out,
        models: report
            .models
            .iter()
            .enumerate()
            .map(|(i, model)| ModelView {
                class: i % chart::N_MODEL_STYLES,
                name: model.name.clone(),
                vocabulary: count(model.vocabulary_size as u64),
                context: model
                    .context_length
                    .map_or_else(|| "not stated".into(), |n| count(n as u64)),
                price: model.price.as_ref().map_or_else(
                    || "not given".into(),
                    |price| {
                        format!(
                            "{} in, {} out {} per million tokens",
                            price.input, price.output, price.currency
                        )
                    },
                ),
                hash: model.tokenizer_hash.clone(),
            })
            .collect(),
        axis: chart::header(axis, &[1.0]),
        grids: chart::grids(&[axis], &[vec![1.0]], report.models.len()),
        rows,
        missing: missing(report),
        registers: &report.registers,
    };
    Ok(page::render("tokens.html", context)?)
}

/// The table for the terminal: one row per language and model, the cheapest language first.
pub fn tokens_table(report: &TokensReport) -> Table {
    let mut table = Table::new([
        "language",
        "model",
        "premium",
        "95 % interval",
        "texts",
        "10–90 % of texts",
        "bytes",
        "tokens/byte",
        "1,000 chats",
        "usable context",
    ]);
    for lang in order(report) {
        for model in &report.models {
            let Some(cost) = model.languages.get(&lang) else {
                continue;
            };
            let view = cell(model, cost);
            table.rows.push(vec![
                format!("{} ({lang})", name(report.languages.get(&lang), lang)),
                model.name.clone(),
                view.premium,
                view.interval,
                view.n.to_string(),
                view.spread,
                view.bytes,
                view.per_byte,
                view.price,
                view.context,
            ]);
        }
    }
    table
}

/// The same table as Markdown, with what it stands on.
pub fn tokens_markdown(report: &TokensReport) -> String {
    let mut text = format!(
        "# What the same content costs\n\nTokens relative to {}; a chat is {} of its tokens in and {} out.\n\n",
        escape::markdown(&name(
            report.languages.get(&report.reference),
            report.reference
        )),
        report.chat.n_tokens_in,
        report.chat.n_tokens_out,
    );
    text.push_str(&tokens_table(report).to_markdown());
    let missing = missing(report);
    if !missing.is_empty() {
        let mut table = Table::new(["language", "model", "not measured because"]);
        table.rows = missing.into_iter().map(Vec::from).collect();
        text.push('\n');
        text.push_str(&table.to_markdown());
    }
    let mut table = Table::new(["text", "source", "hash"]);
    table.rows = report
        .registers
        .iter()
        .map(|register| {
            vec![
                register.id.clone(),
                register.source.clone(),
                register.hash.clone(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table.to_markdown());
    text
}

/// One row per model and language by RFC 4180, numbers in full.
pub fn tokens_csv(report: &TokensReport) -> String {
    let mut table = Table::new([
        "model",
        "language",
        "name",
        "premium",
        "low",
        "high",
        "n",
        "p10",
        "p50",
        "p90",
        "byte_premium",
        "tokens_per_byte",
        "tokens_per_byte_premium",
        "n_tokens",
        "price_per_1000_chats",
        "currency",
        "usable_context",
    ]);
    for model in &report.models {
        for (lang, cost) in &model.languages {
            let optional =
                |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
            table.rows.push(vec![
                model.name.clone(),
                lang.to_string(),
                name(report.languages.get(lang), *lang),
                cost.premium.value.to_string(),
                cost.premium.low.to_string(),
                cost.premium.high.to_string(),
                cost.premium.n.to_string(),
                optional(cost.spread.map(|spread| spread.p10)),
                optional(cost.spread.map(|spread| spread.p50)),
                optional(cost.spread.map(|spread| spread.p90)),
                cost.byte_premium.to_string(),
                cost.tokens_per_byte.to_string(),
                cost.tokens_per_byte_premium.to_string(),
                cost.n_tokens.to_string(),
                optional(cost.price_per_1000_chats),
                model
                    .price
                    .as_ref()
                    .map_or_else(String::new, |price| price.currency.clone()),
                optional(cost.usable_context),
            ]);
        }
    }
    table.to_csv()
}

/// Languages from the cheapest to the dearest by the first model, then by code.
fn order(report: &TokensReport) -> Vec<Lang> {
    let mut order: Vec<Lang> = report.languages.keys().copied().collect();
    let premium = |lang: &Lang| {
        report
            .models
            .first()
            .and_then(|model| model.languages.get(lang))
            .map_or(f64::INFINITY, |cost| cost.premium.value)
    };
    order.sort_by(|a, b| premium(a).total_cmp(&premium(b)).then(a.cmp(b)));
    order
}

fn axis(report: &TokensReport) -> Axis {
    let costs = report
        .models
        .iter()
        .flat_map(|model| model.languages.values());
    let (min, max) = costs.fold((0.8_f64, 2.0_f64), |(min, max), cost| {
        (min.min(cost.premium.low), max.max(cost.premium.high))
    });
    Axis {
        min: min.max(0.1),
        max,
        logarithmic: true,
    }
}

fn reading(cost: &TokensOfLanguage) -> Reading {
    let premium = cost.premium;
    Reading {
        value: premium.value,
        low: premium.low,
        high: premium.high,
        n: premium.n,
        floor: None,
        details: Vec::new(),
    }
}

fn cell(model: &TokensOfModel, cost: &TokensOfLanguage) -> CellView {
    let currency = model
        .price
        .as_ref()
        .map_or("", |price| price.currency.as_str());
    CellView {
        premium_sort: cost.premium.value,
        premium: decimal(cost.premium.value, 2),
        interval: interval(cost.premium.low, cost.premium.high, 2),
        n: cost.premium.n,
        spread: cost
            .spread
            .map_or_else(|| "–".into(), |spread| interval(spread.p10, spread.p90, 2)),
        bytes: decimal(cost.byte_premium, 2),
        per_byte: decimal(cost.tokens_per_byte, 3),
        price_sort: cost.price_per_1000_chats,
        price: cost.price_per_1000_chats.map_or_else(
            || "–".into(),
            |price| format!("{} {currency}", decimal(price, 2)),
        ),
        context: cost
            .usable_context
            .map_or_else(|| "–".into(), |context| count(context.max(0.0) as u64)),
    }
}

fn name(facts: Option<&LanguageFacts>, lang: Lang) -> String {
    facts.map_or_else(|| lang.to_string(), |facts| facts.name.clone())
}

fn missing(report: &TokensReport) -> Vec<[String; 3]> {
    let of_model = |model: &TokensOfModel| -> Vec<[String; 3]> {
        model
            .not_measured
            .iter()
            .map(|(lang, reason)| {
                [
                    name(report.languages.get(lang), *lang),
                    model.name.clone(),
                    reason.clone(),
                ]
            })
            .collect()
    };
    report.models.iter().flat_map(of_model).collect()
}
