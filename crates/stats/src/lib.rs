//! Intervals, paired tests and multiple-comparison control as pure functions of `f64`.
//!
//! ```text
//! right/wrong per item -> share, kappa ----+
//! numbers per document -> mean, ratio -----+-> Estimate { value, low, high, n }
//! right/wrong, two per word -> clustered --+
//! identifier's verdicts -> corrected ------+
//! p-values of many languages -> benjamini_hochberg
//! ```
//!
//! Every interval is a 95 % interval whose coverage was measured and stands in its module's table;
//! an empty sample has no estimate (`None`), and no function returns NaN. What draws takes a
//! [`Seed`](isogloss_record::Seed): the same seed gives the same bytes on every machine.
//!
//! | what | function | interval |
//! |---|---|---|
//! | share of right answers | [`share::share`] | Blaker's exact |
//! | κ of an m-way choice | [`kappa::kappa`] | the share's, transformed |
//! | share whose trials come in clusters | [`clustered::clustered_share`] | exact, from n = 100 mid-P, of an effective size |
//! | mean, mean of paired differences | [`mean::mean`] | bootstrap-t, below n = 50 its hull with t |
//! | ratio of sums | [`mean::ratio_of_sums`] | the same, of the logarithm |
//! | paired difference of two shares | [`paired::share_difference`] | Bonett–Price |
//! | share corrected for a classifier's errors | [`corrected::corrected`] | MOVER of three |
//! | paired differences in [−1, 1] | [`bounded::bounded_difference`] | Bonett–Price, generalized |
//! | which candidate is best | [`best::posterior`] | Bayesian bootstrap over documents |
//! | correlation | [`correlation`] | Fisher's z |

pub mod best;
pub mod binomial;
pub mod bounded;
pub mod clustered;
pub mod corrected;
pub mod correlation;
pub mod kappa;
pub mod mean;
pub mod multiple;
pub mod paired;
pub mod regression;
pub mod resample;
pub mod share;

mod quantile;

pub use clustered::clustered_share;
pub use corrected::{Counted, Rate, corrected};
pub use kappa::kappa;
pub use mean::{mean, ratio_of_sums};
pub use multiple::benjamini_hochberg;
pub use paired::{mcnemar, share_difference, sign_test};
pub use share::share;

/// A 95 % interval; `low ≤ high`, both finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Probability outside every interval, both sides together.
pub const ALPHA: f64 = 0.05;
