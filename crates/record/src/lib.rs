//! The plain values that cross Isogloss crates: a waist between the stages of a run.
//!
//! ```text
//! texts -> Request -> Encoded -> Response -> Estimate -> SurveyResults -> report
//!                        |           |
//!                        +-- Store --+      (append-only, keyed by exact token ids)
//! ```
//!
//! Nothing here computes a score, reads the clock or the environment, or knows a model:
//! each boundary is a serializable value, so that a stage can be run, stored, inspected and
//! tested alone.

pub mod comparison;
pub mod decision;
pub mod diff;
mod estimate;
mod explain;
pub mod files;
mod fingerprint;
mod lang;
pub mod number;
pub mod outcomes;
pub mod people;
mod request;
mod run;
mod seed;
mod store;
pub mod survey;
pub mod tokens;

pub use estimate::Estimate;
pub use explain::Explain;
pub use fingerprint::Fingerprint;
pub use lang::{Lang, ParseLangError, Script};
pub use request::{
    Encoded, FinishReason, Message, Pooled, Prompt, Request, Response, Role, Sampling, Span, Usage,
};
pub use run::{Machine, RunInfo};
pub use seed::Seed;
pub use store::{Key, Store, StoreError};
