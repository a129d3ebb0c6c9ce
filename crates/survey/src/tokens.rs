//! What the same content costs in each language, from tokenizers alone: `isogloss tokens`.
//!
//! ```text
//! tokenizer + parallel texts -> sizes per document -> premium, its split, spread -> price, context
//! ```
//!
//! A chat is so many tokens of the reference language in and out, times the premium; its price is
//! that of 1,000 chats. Usable context = context length ÷ premium.

use std::collections::BTreeMap;

use isogloss_model::BackendError;
use isogloss_record::survey::LanguageFacts;
use isogloss_record::tokens::{
    ChatSize, SCHEMA, Spread, TokenPrice, TokensOfLanguage, TokensOfModel, TokensReport,
};
use isogloss_record::{Estimate, Explain, Lang, Seed};
use isogloss_stats::ratio_of_sums;
use serde::Deserialize;

use crate::items::normal::normalize;
use crate::measures::cost::DocumentSize;
use crate::session::texts::{ParallelSource, SurveyTexts};
use crate::session::tracks::pairs;

/// A tokenizer to count with.
pub struct Counter<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Content hash of the tokenizer, lower-case hex.
    pub tokenizer_hash: &'a str,
    /// Entries of the vocabulary.
    pub vocabulary_size: usize,
    /// Longest sequence of the model in tokens; `None` where it is not stated.
    pub context_length: Option<usize>,
    /// Ids of a text, nothing added.
    pub count: &'a dyn Fn(&str) -> Result<usize, BackendError>,
}

/// 300 tokens in and 200 out.
pub const USUAL_CHAT: ChatSize = ChatSize {
    n_tokens_in: 300,
    n_tokens_out: 200,
};

/// Prices by model, as a file gives them: `[model]` tables with `input`, `output` (per million
/// tokens), `currency` and, where it is known, `license`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prices {
    by_model: BTreeMap<String, TokenPrice>,
    /// Licences that the file gives.
    licenses: BTreeMap<String, String>,
}

/// Why a price file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// Not TOML of the expected shape.
    #[error("the prices in `{file}` cannot be read")]
    Shape {
        /// The file.
        file: String,
        /// What did not fit.
        #[source]
        source: toml::de::Error,
    },
    /// A price below zero or no number.
    #[error("`{file}` has the price {found} for `{model}`, expected a number from 0 on")]
    Price {
        /// The file.
        file: String,
        /// The model.
        model: String,
        /// The price.
        found: f64,
    },
}

impl Explain for PriceError {
    fn hint(&self) -> Option<String> {
        Some(
            "write a table per model: `[\"model name\"]`, `input = 0.15`, `output = 0.6`, \
             `currency = \"USD\"` (per million tokens)"
                .to_owned(),
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceLine {
    input: f64,
    output: f64,
    currency: String,
    license: Option<String>,
}

impl Prices {
    /// Reads a price file; `file` is for error messages.
    pub fn parse(file: &str, text: &str) -> Result<Self, PriceError> {
        let lines: BTreeMap<String, PriceLine> =
            toml::from_str(text).map_err(|source| PriceError::Shape {
                file: file.to_owned(),
                source,
            })?;
        let (mut by_model, mut licenses) = (BTreeMap::new(), BTreeMap::new());
        for (
            model,
            PriceLine {
                input,
                output,
                currency,
                license,
            },
        ) in lines
        {
            if let Some(&found) = [input, output]
                .iter()
                .find(|price| !(price.is_finite() && **price >= 0.0))
            {
                return Err(PriceError::Price {
                    file: file.to_owned(),
                    model,
                    found,
                });
            }
            if let Some(license) = license {
                licenses.insert(model.clone(), license);
            }
            by_model.insert(
                model,
                TokenPrice {
                    input,
                    output,
                    currency,
                },
            );
        }
        Ok(Self { by_model, licenses })
    }

    /// The licence that the file gives for a model by name.
    pub fn license_of(&self, model: &str) -> Option<&str> {
        self.licenses.get(model).map(String::as_str)
    }

    /// The price of a model by name; a table named `model` is meant for every model that has none of
    /// its own.
    pub fn of(&self, model: &str) -> Option<&TokenPrice> {
        self.by_model
            .get(model)
            .or_else(|| self.by_model.get("model"))
    }
}

/// What is counted.
pub struct TokensInput<'a> {
    /// Tokenizers, in the order of the report.
    pub models: &'a [Counter<'a>],
    /// Languages with what the registry knows of them.
    pub languages: &'a BTreeMap<Lang, LanguageFacts>,
    /// Texts; a user's own come before the others, one register counts per language.
    pub texts: &'a SurveyTexts,
    /// Language that premiums are relative to.
    pub reference: Lang,
    /// Size of a chat.
    pub chat: ChatSize,
    /// Prices, where they are known.
    pub prices: &'a Prices,
    /// Seed of the bootstrap.
    pub seed: Seed,
    /// Version of Isogloss.
    pub version: &'a str,
}

/// Counts every language with every tokenizer.
pub fn tokens(input: &TokensInput<'_>) -> Result<TokensReport, BackendError> {
    let mut models = Vec::with_capacity(input.models.len());
    for counter in input.models {
        models.push(of_model(counter, input)?);
    }
    Ok(TokensReport {
        schema: SCHEMA.to_owned(),
        version: input.version.to_owned(),
        reference: input.reference,
        registers: input
            .texts
            .parallel
            .iter()
            .map(|source| source.register.clone())
            .collect(),
        chat: input.chat,
        languages: input.languages.clone(),
        models,
    })
}

fn of_model(counter: &Counter<'_>, input: &TokensInput<'_>) -> Result<TokensOfModel, BackendError> {
    let price = input.prices.of(counter.name).cloned();
    let mut languages = BTreeMap::new();
    let mut not_measured = BTreeMap::new();
    let mut counted = References::default();
    for &lang in input.languages.keys() {
        let Some(source) = source(input.texts, lang, input.reference) else {
            not_measured.insert(
                lang,
                "there is no running text in this language: give your own with `--text`".to_owned(),
            );
            continue;
        };
        let documents = sizes(counter, source, lang, input.reference, &mut counted)?;
        match of_language(&documents, counter, price.as_ref(), input) {
            Some(found) => {
                languages.insert(lang, found);
            }
            None => {
                not_measured.insert(lang, "there are fewer than two documents".to_owned());
            }
        }
    }
    Ok(TokensOfModel {
        name: counter.name.to_owned(),
        tokenizer_hash: counter.tokenizer_hash.to_owned(),
        vocabulary_size: counter.vocabulary_size,
        context_length: counter.context_length,
        price,
        languages,
        not_measured,
    })
}

/// The text that counts for a language: the user's own, else the first that has it.
fn source(texts: &SurveyTexts, lang: Lang, reference: Lang) -> Option<&ParallelSource> {
    let has = |source: &&ParallelSource| {
        source.documents.contains_key(&lang) && source.documents.contains_key(&reference)
    };
    texts
        .parallel
        .iter()
        .filter(has)
        .find(|source| source.is_own)
        .or_else(|| texts.parallel.iter().find(has))
}

/// Tokens and bytes of reference documents that were counted before, by register and document.
#[derive(Default)]
struct References(BTreeMap<(String, String), (usize, usize)>);

fn sizes(
    counter: &Counter<'_>,
    source: &ParallelSource,
    lang: Lang,
    reference: Lang,
    counted: &mut References,
) -> Result<Vec<DocumentSize>, BackendError> {
    let mut documents = Vec::new();
    for pair in pairs(source, lang, reference) {
        let text = normalize(pair.text);
        let key = (source.register.id.clone(), pair.id.to_owned());
        let (n_tokens_reference, n_bytes_reference) = if let Some(&counted) = counted.0.get(&key) {
            counted
        } else {
            let text = normalize(pair.reference);
            let size = ((counter.count)(&text)?, text.len());
            counted.0.insert(key, size);
            size
        };
        documents.push(DocumentSize {
            n_tokens: (counter.count)(&text)?,
            n_tokens_reference,
            n_bytes: text.len(),
            n_bytes_reference,
        });
    }
    Ok(documents)
}

fn of_language(
    documents: &[DocumentSize],
    counter: &Counter<'_>,
    price: Option<&TokenPrice>,
    input: &TokensInput<'_>,
) -> Option<TokensOfLanguage> {
    let of = |value: fn(&DocumentSize) -> usize| -> Vec<f64> {
        documents
            .iter()
            .map(|document| value(document) as f64)
            .collect()
    };
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let here = of(|size| size.n_tokens);
    let there = of(|size| size.n_tokens_reference);
    let premium: Estimate = ratio_of_sums(&here, &there, input.seed)?;
    let n_bytes = sum(&of(|size| size.n_bytes));
    let n_bytes_reference = sum(&of(|size| size.n_bytes_reference));
    let (n_tokens, n_tokens_reference) = (sum(&here), sum(&there));
    let singles: Vec<f64> = here.iter().zip(&there).map(|(a, b)| a / b).collect();
    Some(TokensOfLanguage {
        premium,
        spread: spread(singles),
        byte_premium: n_bytes / n_bytes_reference,
        tokens_per_byte: n_tokens / n_bytes,
        tokens_per_byte_premium: (n_tokens / n_bytes) / (n_tokens_reference / n_bytes_reference),
        n_tokens: n_tokens as u64,
        price_per_1000_chats: price
            .map(|price| price_per_1000_chats(price, input.chat, premium.value)),
        usable_context: counter.context_length.map(|n| n as f64 / premium.value),
    })
}

/// Price of 1,000 chats whose content takes `premium` times the reference's tokens.
pub fn price_per_1000_chats(price: &TokenPrice, chat: ChatSize, premium: f64) -> f64 {
    let per_chat = chat.n_tokens_in as f64 * price.input + chat.n_tokens_out as f64 * price.output;
    1000.0 * premium * per_chat / 1e6
}

/// Quantiles over single texts, between neighbors by linear interpolation; `None` below four.
fn spread(mut values: Vec<f64>) -> Option<Spread> {
    if values.len() < 4 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let below = values[place.floor() as usize];
        let above = values[place.ceil() as usize];
        below + (above - below) * place.fract()
    };
    Some(Spread {
        p10: quantile(0.1),
        p50: quantile(0.5),
        p90: quantile(0.9),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_of_a_thousand_chats() {
        // (300 · 0.15 + 200 · 0.60) per million = 165e-6 a chat; · 1000 · 2.5 = 0.4125.
        let prices = Prices::parse(
            "prices.toml",
            "[\"a/b\"]\ninput = 0.15\noutput = 0.6\ncurrency = \"USD\"",
        )
        .unwrap();
        let price = prices.of("a/b").unwrap();
        assert!((price_per_1000_chats(price, USUAL_CHAT, 2.5) - 0.4125).abs() < 1e-12);
        assert!(prices.of("c").is_none());
        let general = "[model]\ninput = 1\noutput = 2\ncurrency = \"EUR\"";
        assert!(Prices::parse("p", general).unwrap().of("any").is_some());
        for wrong in [
            "[m]\ninput = -1\noutput = 0\ncurrency = \"USD\"",
            "[m]\ninputs = 1",
            "[",
        ] {
            assert!(Prices::parse("p", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        // 1, 2, 3, 4, 5: places .4, 2 and 3.6 → 1.4, 3, 4.6.
        let spread = spread(vec![5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((spread.p10 - 1.4).abs() < 1e-12 && (spread.p90 - 4.6).abs() < 1e-12);
        assert_eq!(spread.p50, 3.0);
        assert!(super::spread(vec![1.0; 3]).is_none());
    }
}
