//! The results of `isogloss tokens`: what the same content costs in each language.
//!
//! Filled from tokenizers alone (no weights), drawn as a page and as tables by `isogloss-report`.
//! Like a survey's results it is a pure function of tokenizers, texts and settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::survey::{LanguageFacts, Register};
use crate::{Estimate, Lang};

/// Name and version of the schema.
pub const SCHEMA: &str = "isogloss-tokens/1";

/// Token premiums of several models over several languages, with prices where they are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of Isogloss.
    pub version: String,
    /// Language that premiums are relative to; its own premium is 1.
    pub reference: Lang,
    /// Texts that were counted, each with its source and a content hash.
    pub registers: Vec<Register>,
    /// What one chat is, for prices and contexts.
    pub chat: ChatSize,
    /// Facts about every language in the tables.
    pub languages: BTreeMap<Lang, LanguageFacts>,
    /// One entry per model, in the order given.
    pub models: Vec<TokensOfModel>,
}

/// The length of one chat, in tokens of the reference language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatSize {
    /// Tokens that the user sends.
    pub n_tokens_in: u64,
    /// Tokens that the model answers.
    pub n_tokens_out: u64,
}

/// One tokenizer's premiums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensOfModel {
    /// Name of the model.
    pub name: String,
    /// Content hash of the tokenizer, lower-case hex.
    pub tokenizer_hash: String,
    /// Entries of its vocabulary.
    pub vocabulary_size: usize,
    /// Longest sequence that the model was made for, in tokens; `None` where it is not stated.
    pub context_length: Option<usize>,
    /// Price of its tokens; `None` where no price was given.
    pub price: Option<TokenPrice>,
    /// Per language.
    pub languages: BTreeMap<Lang, TokensOfLanguage>,
    /// Why a language is missing, by language.
    pub not_measured: BTreeMap<Lang, String>,
}

/// What a provider asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrice {
    /// Per million tokens in.
    pub input: f64,
    /// Per million tokens out.
    pub output: f64,
    /// Currency as the user wrote it (`USD`, `EUR`).
    pub currency: String,
}

/// One tokenizer in one language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensOfLanguage {
    /// tokens(this language) / tokens(reference) over the same content, with its bootstrap interval
    /// over documents.
    pub premium: Estimate,
    /// The premium of single texts, from the cheapest to the dearest; `None` for fewer than 4 texts.
    pub spread: Option<Spread>,
    /// bytes(this language) / bytes(reference) over the same content: what the writing costs.
    pub byte_premium: f64,
    /// Tokens per UTF-8 byte of this language: what the tokenizer costs.
    pub tokens_per_byte: f64,
    /// Tokens per byte here ÷ tokens per byte in the reference; `byte_premium` times this is the
    /// premium.
    pub tokens_per_byte_premium: f64,
    /// Tokens counted in this language.
    pub n_tokens: u64,
    /// 1,000 chats of [`ChatSize`] in this language, in the currency of the model's price.
    pub price_per_1000_chats: Option<f64>,
    /// Context length ÷ premium: reference tokens whose content fits into the context.
    pub usable_context: Option<f64>,
}

/// Quantiles of the premium over single texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// 10th percentile.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
}
