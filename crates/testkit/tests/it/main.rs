//! The testkit's own promises.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod models;
