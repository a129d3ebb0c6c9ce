//! Integration tests of the survey.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod flow;
mod scripted;
mod world;
