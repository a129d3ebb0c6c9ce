//! The decoders: weights in kernel layout, and one explicit forward pass per block.
//!
//! ```text
//! Checkpoint -> Weights (checked, packed) -> forward(batch of token rows, key/value segments)
//! ```
//! All families are one block with switches (norms, biases, positions, gates, order of the
//! branches): [`crate::checkpoint::Config`] says which, so a family costs no code of its own here.

pub(crate) mod alibi;
pub(crate) mod attention;
pub(crate) mod forward;
pub(crate) mod kv;
pub(crate) mod lowrank;
pub(crate) mod memory;
pub(crate) mod read;
mod rope;
mod task;
mod weights;

pub(crate) use rope::Rope;
pub(crate) use weights::{Block, Linear, Norm, Weights};
pub use weights::{ModelError, TensorSource};
