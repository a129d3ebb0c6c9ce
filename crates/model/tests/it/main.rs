//! Integration tests of the model crate.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod adapters;
mod bad_adapters;
mod checkpoints;
mod compute;
mod engine;
mod families;
mod files;
mod gradients;
mod hostile;
mod quantization;
mod real;
mod reference;
mod requests;
mod step;
mod templates;
mod tiny;
mod token_ids;
mod tokenizers;
