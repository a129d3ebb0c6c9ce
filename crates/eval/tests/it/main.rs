//! Integration tests of the runner.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod run;
