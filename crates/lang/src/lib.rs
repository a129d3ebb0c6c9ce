//! Languages: what they are called and how they are written, cut, romanized and told apart.
//!
//! Language is an axis of everything that Isogloss reports, so its facts are data with sources
//! (`packs/languages/*.tsv`), not code:
//!
//! ```text
//! "ha", "Hausa", "hau_Latn" --resolve--> Lang --language--> name, script, family, speakers …
//! text --segment--> graphemes, words, sentences        text --script--> shares of scripts
//! ```
//!
//! ```
//! use isogloss_lang::registry;
//!
//! let hausa = registry().resolve("Hausa").unwrap();
//! assert_eq!(hausa.to_string(), "hau");
//! assert_eq!(registry().language(hausa).unwrap().tag, "ha");
//! ```

pub mod identify;
pub mod normalize;
pub mod registry;
pub mod romanize;
pub mod script;
pub mod segment;

pub use identify::{Identification, Identifier};
pub use registry::{Language, Registry, SelectError, UnknownLanguage, registry};
