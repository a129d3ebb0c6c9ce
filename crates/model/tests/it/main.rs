//! Integration tests of the model crate.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod adapters;
mod bad_adapters;
mod checkpoints;
mod compute;
mod encoders;
mod engine;
mod families;
mod files;
mod flow;
mod gradients;
mod heads;
mod hooks;
mod hostile;
mod inputs;
mod mixtures;
mod quantization;
mod real;
mod reference;
mod requests;
mod sentences;
mod seq2seq;
mod step;
mod templates;
mod tiny;
mod token_ids;
mod token_kinds;
mod tokenizers;
