//! Integration tests of the model crate.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod checkpoints;
mod files;
mod hostile;
mod quantization;
mod requests;
mod tokenizers;
