//! The results of a survey: the schema of its `results.json`, version [`SCHEMA`].
//!
//! A pure function of models, texts, settings, policy and seed: it holds no times, paths or thread
//! counts. Documented for users in `docs/results.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
use crate::outcomes::ItemOutcomes;
use crate::{Estimate, Fingerprint, Lang, Script, Seed};

/// Name and version of the schema.
///
/// Version 2 added what every item gave ([`RegisterResults::outcomes`]) and models that failed
/// ([`SurveyResults::failed`]).
pub const SCHEMA: &str = "isogloss-survey/2";

/// Schemas that are still read: what they lack is empty.
pub const SCHEMAS_READ: [&str; 2] = ["isogloss-survey/1", SCHEMA];

/// Everything that a survey found, and all that is needed to draw its atlas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveyResults {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of Isogloss.
    pub version: String,
    /// What was asked for.
    pub settings: SurveySettings,
    /// Thresholds that the verdicts come from.
    pub policy: PolicyStamp,
    /// What each measure means, in reading order.
    pub measures: Vec<MeasureCard>,
    /// Facts about every surveyed language.
    pub languages: BTreeMap<Lang, LanguageFacts>,
    /// One entry per model, in the order given.
    pub models: Vec<ModelResults>,
    /// Models that were asked for and failed half-way: they have no results, which is no score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedModel>,
    /// Every pair of models in every language, where there are several models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
}

/// A model that was not surveyed to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedModel {
    /// Name of the model.
    pub name: String,
    /// What happened, with its cause.
    pub reason: String,
}

/// The settings that change a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveySettings {
    /// Language whose texts are the other side of every measure.
    pub reference: Lang,
    /// Registers used, each with its source and a content hash.
    pub registers: Vec<Register>,
    /// Text items per language and register.
    pub n_items: usize,
    /// Words per language.
    pub n_words: usize,
    /// Greedy continuations per language and register.
    pub n_continuations: usize,
    /// New tokens per continuation.
    pub n_continuation_tokens: usize,
    /// Measures asked for, by id.
    pub measures: Vec<String>,
    /// Whether languages at their floor were measured to the end.
    pub complete: bool,
    /// Seed of every draw.
    pub seed: Seed,
}

/// A source of parallel text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// `udhr`, `words`, `made`, or the name of the user's text.
    pub id: String,
    /// Where it comes from, with its licence.
    pub source: String,
    /// Content hash, lower-case hex.
    pub hash: String,
}

/// Which thresholds were applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyStamp {
    /// Name of the policy.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Whether it differs from the one that Isogloss ships under this name.
    pub edited: bool,
    /// The thresholds, by name.
    pub thresholds: BTreeMap<String, f64>,
}

/// The page of one measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureCard {
    /// Key in `results.json`.
    pub id: String,
    /// Short title.
    pub title: String,
    /// What it is, in one or two sentences.
    pub definition: String,
    /// Range and unit.
    pub range: String,
    /// What it does not show.
    pub pitfalls: String,
    /// Whether a verdict may rest on it.
    pub deciding: bool,
}

/// What the registry knows about a language; `None` is "not known", never "no".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageFacts {
    /// English name.
    pub name: String,
    /// The language's name for itself.
    pub endonym: Option<String>,
    /// Canonical BCP 47 tag.
    pub tag: String,
    /// Script of the texts.
    pub script: Script,
    /// Whether the script runs from right to left.
    pub right_to_left: bool,
    /// Families from the widest to the narrowest, by name.
    pub family: Vec<String>,
    /// Degrees, for the map.
    pub latitude: Option<f64>,
    /// Degrees, for the map.
    pub longitude: Option<f64>,
    /// People who speak it, with the source and its year.
    pub speakers: Option<Speakers>,
    /// Resource class by the registry's definition.
    pub resource_class: Option<String>,
    /// A sentence in the language with its translation in the reference language.
    pub sample: Option<Sample>,
    /// Regions of the world where its speakers live, continents first, most speakers first; empty
    /// where that is not known (results before this field hold none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
}

/// A part of the world where a notable share of a language's speakers lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Name of the continent or of the part of one.
    pub name: String,
    /// The continent that it is part of; `None` for a continent.
    pub continent: Option<String>,
    /// Share of the language's speakers who live there, from 0 to 1; `None` where only the
    /// language's home is known.
    pub share: Option<f64>,
}

/// How many people speak a language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speakers {
    /// People.
    pub count: u64,
    /// Source of the count.
    pub source: String,
    /// Year of the source.
    pub year: u16,
}

/// A short parallel text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// In the language.
    pub text: String,
    /// In the reference language.
    pub reference: String,
    /// Register that it is from.
    pub register: String,
}

/// One model's results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelResults {
    /// Name of the model.
    pub name: String,
    /// What exactly was measured.
    pub fingerprint: Fingerprint,
    /// Per language.
    pub languages: BTreeMap<Lang, LanguageResults>,
}

/// One model in one language. A measure that is `None` has its reason in `not_measured`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageResults {
    /// Four-way choice of the reference text given the text in this language.
    pub comprehension: Option<ChoiceResult>,
    /// Four-way choice of the text in this language given the reference text.
    pub production: Option<ChoiceResult>,
    /// Four-way choice between words and their glosses.
    pub lexicon: Option<LexiconResult>,
    /// Share of continuations that stay in the language.
    pub fidelity: Option<FidelityResult>,
    /// Retrieval margin of hidden states.
    pub alignment: Option<AlignmentResult>,
    /// Information parity: Σ bits(reference) / Σ bits(this language) over the same content.
    pub information: Option<InformationResult>,
    /// Token premium: tokens(this language) / tokens(reference) over the same content.
    pub cost: Option<CostResult>,
    /// Whether the model seems to know the texts by heart.
    pub memory: Option<MemoryFlag>,
    /// The line.
    pub verdict: Verdict,
    /// Whether the verdict rests on one register only.
    pub provisional: bool,
    /// One sentence: which axis decided, with its numbers; a hint where nothing can be said.
    pub reason: String,
    /// Why a measure is missing, by measure id.
    pub not_measured: BTreeMap<String, String>,
    /// The same measures per register, by register id.
    pub registers: BTreeMap<String, RegisterResults>,
    /// What a second translation of the same texts says about the measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translations: Option<TranslationsResult>,
}

/// The line on the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The language that the others are measured against.
    Reference,
    /// Understands, produces and stays in the language.
    Served,
    /// Fails on a named axis.
    Partly,
    /// At its floor, or does not stay in the language.
    NotServed,
    /// Intervals straddle the thresholds, or there is nothing to measure with.
    CannotSay,
}

/// The measures of one register.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterResults {
    /// See [`LanguageResults::comprehension`].
    pub comprehension: Option<ChoiceResult>,
    /// See [`LanguageResults::production`].
    pub production: Option<ChoiceResult>,
    /// See [`LanguageResults::lexicon`].
    pub lexicon: Option<LexiconResult>,
    /// See [`LanguageResults::fidelity`].
    pub fidelity: Option<FidelityResult>,
    /// See [`LanguageResults::alignment`].
    pub alignment: Option<AlignmentResult>,
    /// See [`LanguageResults::information`].
    pub information: Option<InformationResult>,
    /// See [`LanguageResults::cost`].
    pub cost: Option<CostResult>,
    /// See [`LanguageResults::memory`].
    pub memory: Option<MemoryFlag>,
    /// See [`LanguageResults::translations`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translations: Option<TranslationsResult>,
    /// What every item of this register gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<ItemOutcomes>,
}

/// The first look asked again with an independent second translation of the same texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslationsResult {
    /// Where the second translation is from.
    pub second: String,
    /// Ceiling of production: the same texts of the language chosen given the second translation
    /// instead of the reference text.
    pub ceiling: Option<ChoiceResult>,
    /// G of production ÷ G of the ceiling, over the same items; `None` where the ceiling's gain is
    /// not told from 0.
    pub of_ceiling: Option<f64>,
    /// Noise floor: a measure by the second translation minus the same by the first, paired by
    /// document. Keys: `comprehension`, `comprehension.gain`, `production`, `production.gain`,
    /// `fidelity`.
    pub differences: BTreeMap<String, Estimate>,
}

/// Chance-corrected four-way choice: κ = (accuracy − ¼) / ¾, from −⅓ to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceResult {
    /// κ.
    pub value: f64,
    /// Lower end of its 95 % interval (exact binomial).
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Items.
    pub n: usize,
    /// κ that names, numbers and shared words alone reach (the copy floor).
    pub floor: Option<f64>,
    /// κ of choosing by character length alone.
    pub length_baseline: Option<f64>,
    /// κ relative to the mean of French, Spanish and German; `None` where those are below .3.
    pub relative: Option<f64>,
    /// The graded side: share of the other text's bits that the right text explains.
    pub gain: Option<GainResult>,
}

/// G = 1 − bits(text given its translation) / bits(text given a wrong one), mean over items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GainResult {
    /// G.
    pub value: f64,
    /// Lower end of its 95 % interval (bootstrap over documents).
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Items.
    pub n: usize,
    /// G that names, numbers and shared words alone reach.
    pub floor: Option<f64>,
    /// `value − floor` paired by item, with its interval.
    pub above_floor: Option<Estimate>,
    /// G relative to the mean of French, Spanish and German; `None` where those are below .1.
    pub relative: Option<f64>,
}

/// Word ↔ gloss choice, both directions pooled; judged by the words that are no cognates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LexiconResult {
    /// κ without cognates.
    pub value: f64,
    /// Lower end of its 95 % interval (exact binomial).
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Words.
    pub n: usize,
    /// κ with cognates.
    pub with_cognates: Option<Estimate>,
    /// κ from the language's word to the gloss.
    pub to_reference: Option<Estimate>,
    /// κ from the gloss to the language's word.
    pub from_reference: Option<Estimate>,
}

/// Share of greedy continuations in the language.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FidelityResult {
    /// Corrected for the identifier's errors where those are known, else as observed.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Continuations.
    pub n: usize,
    /// Share that the identifier put in the language, uncorrected.
    pub observed: f64,
    /// The identifier's sensitivity for this language on a register it was not trained on.
    pub sensitivity: Option<f64>,
    /// Its specificity, likewise.
    pub specificity: Option<f64>,
    /// Whether the value may decide (the identifier's errors are known and correctable).
    pub deciding: bool,
    /// Mean share of letters in the language's script.
    pub script_share: f64,
    /// Share of continuations that loop.
    pub loops: f64,
    /// Empty continuations (no answer); not in `n`.
    pub n_no_answer: usize,
    /// The same share for answers through the chat template; never decides.
    pub chat: Option<Estimate>,
}

/// Retrieval margin: mean over texts of cos(text, its translation) − cos(text, the others).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentResult {
    /// Margin at the chosen layer, on even documents, length regressed out.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Documents that the margin was reported on.
    pub n: usize,
    /// Layer (0 is the first block), chosen on odd documents.
    pub layer: usize,
    /// The same margin with shuffled translations.
    pub shuffled: f64,
    /// Raw language-ranker score: mean cosine of translations, over layers, mean-pooled.
    pub ranker: f64,
}

/// Information parity and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InformationResult {
    /// Σ bits(reference) / Σ bits(this language).
    pub value: f64,
    /// Lower end of its 95 % interval (paired bootstrap over documents).
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Documents.
    pub n: usize,
    /// Bits per UTF-8 byte of this language's text.
    pub bits_per_byte: f64,
    /// Bits per character (Unicode scalar value) of this language's text.
    pub bits_per_character: f64,
}

/// Token premium, split into its factors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostResult {
    /// tokens(this language) / tokens(reference), over the same content.
    pub value: f64,
    /// Lower end of its 95 % interval (paired bootstrap over documents).
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Documents.
    pub n: usize,
    /// bytes(this language) / bytes(reference).
    pub byte_premium: f64,
    /// Tokens per byte here ÷ tokens per byte in the reference.
    pub tokens_per_byte_premium: f64,
    /// Context length ÷ premium: tokens of the reference whose content fits into the context.
    pub usable_context: f64,
}

/// Signs that a text was memorized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryFlag {
    /// Whether the measures of this text are marked `memory` and never decide.
    pub flagged: bool,
    /// Share of continuations that repeat the true second half word for word.
    pub verbatim: Option<Estimate>,
    /// Bits per byte of the text.
    pub bits_per_byte: Option<f64>,
}
