//! Integration tests of the survey.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod chrf;
mod diff;
mod flow;
mod invented;
mod ladder;
mod memory;
mod own_text;
mod planted;
mod premium;
mod scripted;
mod shipped_text;
mod tokens;
mod translations;
mod whole;
mod world;
