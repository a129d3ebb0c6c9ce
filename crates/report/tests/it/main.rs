//! The reports of a realistic survey, and of hostile, empty and damaged ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod atlas;
mod colors;
mod decision;
mod diff;
mod docs;
mod fixture;
mod hostile;
mod people;
mod run;
mod tables;
mod tokens;
