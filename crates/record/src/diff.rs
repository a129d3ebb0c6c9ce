//! What changed between two atlases: values that `survey` makes and `report` draws.
//!
//! A change is told by intervals alone: "apart" where they do not meet, "overlap" where they do. Two
//! intervals that overlap do not show that nothing changed; for that, paired numbers are needed.

use serde::Serialize;

use crate::survey::Verdict;
use crate::{Estimate, Lang};

/// Name and version of the schema of a diff as JSON.
pub const SCHEMA: &str = "isogloss-diff/1";

/// Two surveys side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtlasDiff {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// How the surveys were made differently; empty where they can be compared as they are.
    pub differences: Vec<Difference>,
    /// Models of both, by name; one model each are a pair whatever their names.
    pub pairs: Vec<PairDiff>,
    /// Models of the first survey alone.
    pub models_only_before: Vec<String>,
    /// Models of the second survey alone.
    pub models_only_after: Vec<String>,
}

/// One thing in which two surveys were made differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is, in words: "policy", "text `udhr`", "seed".
    pub what: String,
    /// In the first survey.
    pub before: String,
    /// In the second survey.
    pub after: String,
    /// Whether a verdict can differ by this alone (another version, policy, text or reference), and
    /// not only which items were drawn and how many.
    pub decides: bool,
}

/// One model in both surveys, or two models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairDiff {
    /// Name in the first survey.
    pub before: String,
    /// Name in the second survey.
    pub after: String,
    /// Whether the same weights were computed in the same arithmetic.
    pub is_same_model: bool,
    /// Languages of both: those that lost first, then those that gained, then those of which nothing
    /// can be said any more or now something can; the rest after them. Within each, more speakers first.
    pub languages: Vec<LanguageDiff>,
    /// Languages of the first survey alone, with their verdicts.
    pub only_before: Vec<OnlyOne>,
    /// Languages of the second survey alone, with their verdicts.
    pub only_after: Vec<OnlyOne>,
}

/// A language of one survey alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnlyOne {
    /// The language.
    pub lang: Lang,
    /// Its English name.
    pub name: String,
    /// Its verdict there.
    pub verdict: Verdict,
}

/// One language in both surveys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LanguageDiff {
    /// The language.
    pub lang: Lang,
    /// Its English name.
    pub name: String,
    /// Verdict in the first survey.
    pub before: Verdict,
    /// Verdict in the second survey.
    pub after: Verdict,
    /// Which way the verdict went.
    pub movement: Movement,
    /// Sentence of the second survey.
    pub reason: String,
    /// Every measure that one of the surveys has, in reading order.
    pub measures: Vec<MeasureDiff>,
}

/// Which way a verdict went. The order is that of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Movement {
    /// From served down to partly or not served.
    LeftTheLine,
    /// From partly to not served.
    Lost,
    /// Up to served.
    CrossedTheLine,
    /// From not served to partly.
    Gained,
    /// Something was said, now nothing can be.
    NoLongerTold,
    /// Nothing could be said, now something is.
    NowTold,
    /// The same verdict.
    Same,
}

/// One measure of one language in both surveys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasureDiff {
    /// Key in `results.json`; a gain is `comprehension.gain`.
    pub id: &'static str,
    /// In the first survey; `None` where it was not measured.
    pub before: Option<Estimate>,
    /// In the second survey; `None` where it was not measured.
    pub after: Option<Estimate>,
    /// `after − before`; `None` where one of them is missing.
    pub change: Option<f64>,
    /// How the intervals lie; `None` where one of them is missing.
    pub intervals: Option<Intervals>,
}

/// How two intervals lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intervals {
    /// They share at least a point.
    Overlap,
    /// The second lies above the first.
    Higher,
    /// The second lies below the first.
    Lower,
}
