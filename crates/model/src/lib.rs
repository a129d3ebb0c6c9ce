//! Models: the [`Backend`] port that every model answers through, and the native engine.

pub mod backend;
pub mod checkpoint;
pub mod scripted;

pub use backend::{Backend, BackendError, Capabilities, RunSettings};
