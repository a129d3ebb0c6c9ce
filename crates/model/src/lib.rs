//! Models: the [`Backend`] port that every model answers through, and the native engine.

pub mod backend;
pub mod checkpoint;
pub mod encode;
pub mod scripted;
pub mod template;
pub mod tokenizer;

pub use backend::{Backend, BackendError, Capabilities, RunSettings};
