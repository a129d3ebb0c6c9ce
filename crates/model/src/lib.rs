//! Models: the [`Backend`] port that every model answers through, and the native engine.

pub mod adapter;
mod arch;
pub mod backend;
pub mod checkpoint;
pub mod classify;
pub mod encode;
pub mod encoder;
pub mod engine;
mod kernel;
pub mod ports;
mod sample;
pub mod scripted;
pub mod seq2seq;
pub mod template;
pub mod tokenizer;
pub mod train;
pub mod truncate;

pub use arch::{ModelError, TensorSource};
pub use backend::{Backend, BackendError, Capabilities, Flow, RunSettings};
pub use kernel::{Compute, Isa};
