//! A check of `tokenizer.json` before it is given to the `tokenizers` crate.
//!
//! The crate (0.23) ends the process on a merge whose union is longer than every piece, and on a
//! right piece shorter than the continuing prefix. Only lengths are looked at, in one pass that
//! keeps nothing.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What is wrong, if a merge cannot be held. A file that is no tokenizer at all passes: the crate
/// says what is wrong with it.
pub(crate) fn check(json: &[u8]) -> Result<(), String> {
    let Ok(file) = serde_json::from_slice::<File<'_>>(json) else {
        return Ok(());
    };
    let model = file.model;
    let n_prefix = model.continuing_subword_prefix.unwrap_or_default().len();
    if model.merges.pairs > 0 && model.merges.right_min < n_prefix {
        return Err("a right piece shorter than the continuing prefix".into());
    }
    let n_union = model.merges.union_max.saturating_sub(n_prefix);
    if n_union > model.vocab.n_max {
        return Err(format!(
            "a union of {n_union} bytes; the longest piece has {}",
            model.vocab.n_max
        ));
    }
    Ok(())
}

/// Whether a unigram model names the piece of unknown text.
pub(crate) fn has_unknown_id(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        unk_id: Option<u64>,
    }
    let file = serde_json::from_slice::<File>(json);
    file.is_ok_and(|file| file.model.unk_id.is_some())
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    model: Model<'a>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(default)]
    vocab: Pieces,
    #[serde(default)]
    merges: Merges,
    #[serde(borrow, default)]
    continuing_subword_prefix: Option<Cow<'a, str>>,
}

/// Bytes of the longest piece.
#[derive(Default)]
struct Pieces {
    n_max: usize,
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Pieces;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pieces, A::Error> {
                let mut n_max = 0;
                while let Some((Text(n_bytes), IgnoredAny)) = map.next_entry()? {
                    n_max = n_max.max(n_bytes);
                }
                Ok(Pieces { n_max })
            }
            // Unigram vocabularies are lists, and have no merges.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pieces, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Pieces::default())
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

/// Lengths of all merges, in bytes.
struct Merges {
    pairs: usize,
    union_max: usize,
    right_min: usize,
}

impl Default for Merges {
    fn default() -> Self {
        Self {
            pairs: 0,
            union_max: 0,
            right_min: usize::MAX,
        }
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut merges = Self::default();
        for Merge(left, right) in Vec::<Merge>::deserialize(deserializer)? {
            merges.pairs += 1;
            merges.union_max = merges.union_max.max(left + right);
            merges.right_min = merges.right_min.min(right);
        }
        Ok(merges)
    }
}

/// Lengths of the two pieces, which are written `"a b"` or `["a", "b"]`.
struct Merge(usize, usize);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge")
            }
            fn visit_str<E>(self, text: &str) -> Result<Merge, E> {
                let (left, right) = text.split_once(' ').unwrap_or((text, ""));
                Ok(Merge(left.len(), right.len()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let mut next = || Ok(seq.next_element::<Text>()?.map_or(0, |Text(n)| n));
                let merge = Merge(next()?, next()?);
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(merge)
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

/// Length of a text in bytes.
struct Text(usize);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;
        impl Visitor<'_> for Length {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.len()))
            }
        }
        deserializer.deserialize_str(Length)
    }
}
