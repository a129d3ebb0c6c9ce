//! Looking into a model: what its hidden states say of languages.
//!
//! ```text
//! parallel texts -> hidden states -> ranker: how near is each language to the reference?
//! ```

pub mod ranker;
