//! Two models in one language, compared on the items that both answered.

use serde::{Deserialize, Serialize};

use crate::Lang;

/// One language, two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The language.
    pub lang: Lang,
    /// Name of the first model.
    pub first: String,
    /// Name of the second model.
    pub second: String,
    /// Register whose items were compared; `None` where there were none.
    pub register: Option<String>,
    /// κ of the first minus κ of the second: comprehension.
    pub comprehension: Option<PairedDifference>,
    /// κ of the first minus κ of the second: production.
    pub production: Option<PairedDifference>,
    /// κ over the directions that both answered, one difference per document. A test of the family.
    pub kappa: Option<PairedDifference>,
    /// G likewise, each above its copy floor where both floors were measured. A test of the family.
    pub gain: Option<PairedDifference>,
    /// What is said.
    pub finding: Finding,
    /// One sentence: which difference, with its interval; or how large one would have been seen.
    pub reason: String,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// The first serves the language better.
    FirstBetter,
    /// The second serves the language better.
    SecondBetter,
    /// No difference was seen.
    NoDifference,
    /// κ says one thing and G the other.
    Mixed,
    /// The better one does not serve the language either, or both do not.
    NeitherServes,
    /// There are no common items, or a model knows them by heart.
    NotCompared,
}

/// The difference of two models on common items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedDifference {
    /// First minus second.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Documents that both answered.
    pub n: usize,
    /// Two-sided p-value of "no difference".
    pub p: f64,
    /// The same corrected for all tests of the family (Benjamini–Hochberg); `None` outside it.
    pub q: Option<f64>,
    /// The difference that would have been seen in four of five such comparisons.
    pub visible: f64,
}
