//! The `isogloss` command: one file per sub-command; the only crate that prints.

fn main() {}
