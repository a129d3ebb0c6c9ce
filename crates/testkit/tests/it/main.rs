//! The testkit's own promises.

mod models;
