//! A decision between models: the values of `isogloss decide`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
use crate::survey::{FailedModel, LanguageFacts, PolicyStamp, Register, Verdict};
use crate::tokens::{ChatSize, TokenPrice};
use crate::{Estimate, Fingerprint, Lang, Seed};

/// Name and version of the schema.
pub const SCHEMA: &str = "isogloss-decision/1";

/// Which model to take under stated needs, and how sure that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of Isogloss.
    pub version: String,
    /// What was asked for, weights adding up to 1.
    pub needs: BTreeMap<Lang, Need>,
    /// Most that 1,000 chats may cost, in the currency of the prices.
    pub price_max: Option<f64>,
    /// What a chat is.
    pub chat: ChatSize,
    /// Language that the others are measured against.
    pub reference: Lang,
    /// Texts behind the answers.
    pub registers: Vec<Register>,
    /// Thresholds behind the verdicts.
    pub policy: PolicyStamp,
    /// Seed of the draws.
    pub seed: Seed,
    /// Facts about the languages that are needed.
    pub languages: BTreeMap<Lang, LanguageFacts>,
    /// Name of the model to take; `None` where none meets the needs.
    pub choice: Option<String>,
    /// The next best of those that meet the needs.
    pub runner_up: Option<String>,
    /// Probability that the choice is the best of those that meet the needs; `None` where no other
    /// one does.
    pub probability: Option<f64>,
    /// Worth of the choice minus worth of the runner-up.
    pub lead: Option<Estimate>,
    /// The decision in words.
    pub sentence: String,
    /// Every model, the choice first.
    pub candidates: Vec<Candidate>,
    /// The choice and the runner-up in each language that is needed.
    pub comparisons: Vec<Comparison>,
    /// What would settle what is open.
    pub open: Vec<OpenQuestion>,
    /// What was not measured.
    pub not_measured: Vec<NotMeasured>,
    /// Models that failed in their runs.
    pub failed: Vec<FailedModel>,
}

/// What a user needs in a language.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Share of the whole, above 0.
    pub weight: f64,
    /// What for.
    pub role: Use,
    /// The least verdict that will do.
    pub minimum: Option<Verdict>,
}

/// What a language is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// To be understood: comprehension alone.
    Read,
    /// To be understood and answered: comprehension and production, half each.
    Write,
}

/// One model under the needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Name of the model.
    pub name: String,
    /// What exactly was measured.
    pub fingerprint: Fingerprint,
    /// Licence; `None`: not known.
    pub license: Option<String>,
    /// Why it cannot be chosen; empty where it can.
    pub misses: Vec<String>,
    /// Its worth, 0 to 1 (below 0: worse than chance); `None` where it could not be judged.
    pub worth: Option<Estimate>,
    /// Probability to be the best of those that meet the needs; `None` of one that does not, or that
    /// is the only one.
    pub probability: Option<f64>,
    /// Price of its tokens.
    pub price: Option<TokenPrice>,
    /// Price of 1,000 chats, the languages by their weights; `None` where a price or a premium is
    /// not known.
    pub price_per_1000_chats: Option<f64>,
    /// Per language that is needed.
    pub languages: BTreeMap<Lang, CandidateLanguage>,
}

/// One model in one language that is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateLanguage {
    /// The line.
    pub verdict: Verdict,
    /// Whether the verdict rests on one register.
    pub provisional: bool,
    /// Why.
    pub reason: String,
    /// κ of comprehension.
    pub comprehension: Option<Estimate>,
    /// κ of production.
    pub production: Option<Estimate>,
    /// Share of right answers above chance and copy floor, for the use that is needed.
    pub worth: Option<f64>,
    /// Tokens per token of the reference language.
    pub premium: Option<f64>,
    /// Price of 1,000 chats.
    pub price_per_1000_chats: Option<f64>,
}

/// Something that is not settled, and what would settle it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenQuestion {
    /// What is open.
    pub question: String,
    /// What would settle it: which texts, how many more.
    pub settles: String,
    /// Language, where it is about one.
    pub lang: Option<Lang>,
    /// Items (documents) that there are.
    pub n_now: usize,
    /// Items that would probably do, all together; `None` where no number would.
    pub n_needed: Option<usize>,
}

/// Something that a decision would need and that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotMeasured {
    /// Model, where it is about one.
    pub model: Option<String>,
    /// Language, where it is about one.
    pub lang: Option<Lang>,
    /// What.
    pub what: String,
    /// Why, or what is done instead.
    pub reason: String,
}

/// How often stated probabilities were right, over decisions whose truth is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Decisions.
    pub n: usize,
    /// Seed of the planted truths.
    pub seed: Seed,
    /// Mean of the stated probabilities.
    pub stated: f64,
    /// Share of decisions that took the best model.
    pub right: Estimate,
    /// Expected calibration error: mean over decisions of |stated − right| of their bins.
    pub error: f64,
    /// Decisions by what they stated, bins of a tenth from the lowest; empty ones are left out.
    pub bins: Vec<CalibrationBin>,
}

/// Decisions that stated about the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// From this probability on.
    pub from: f64,
    /// Up to this one.
    pub to: f64,
    /// Mean of the stated probabilities.
    pub stated: f64,
    /// Share that took the best model, exact interval; its `n` is the bin's.
    pub right: Estimate,
}
