//! The registry as data: what must hold for all languages, and known traps.

#![allow(missing_docs, clippy::unwrap_used)]

mod identify;
mod registry;
