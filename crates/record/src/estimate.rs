//! A number with its uncertainty.

use serde::{Deserialize, Serialize};

/// A point estimate, its 95 % interval and the number of items that it comes from.
///
/// `low ≤ value ≤ high`; all three are finite. An empty sample has no estimate: use
/// `Option<Estimate>`, never a NaN.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// Independent items behind it (documents, words, continuations), never tokens.
    pub n: usize,
}
