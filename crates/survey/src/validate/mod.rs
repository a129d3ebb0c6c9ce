//! Does the survey see what is there, and nothing else? The studies behind `isogloss survey validate`.
//!
//! Each study is a function from its inputs to a plain value that serializes; the command prints it
//! and `docs/validation.md` is written from it.

pub mod cost;
pub mod ladder;
pub mod planted;
pub mod xcopa;
