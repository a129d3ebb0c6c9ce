//! The identifier's weights, and the file that holds them.
//!
//! A **part** is what was learned from one translation or one word list; a label has one or more.
//! An n-gram's entry lists the parts that have it, with a weight each:
//!
//! ```text
//! zstd( magic · length of header · header (JSON: labels, parts, settings)
//!       · keys as differences · parts per key · parts as differences · weights )
//! ```
//!
//! N-grams are kept as 32-bit hashes in order: at half a million, a stranger is taken for one of
//! them once in 8,000 look-ups, and no strings need to be stored.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use serde::{Deserialize, Serialize};

use super::han::HanForms;
use super::letters::ORDER_MAX;

const MAGIC: &[u8] = b"isogloss identifier 2\n";

/// Keys are found through a table on their top bits, then in sorted order.
const INDEX_BITS: u32 = 19;

/// From which kind of text a part was learned. Weights are comparable within a register only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Register {
    /// Running text.
    Running,
    /// Lists of words and names.
    Words,
}

/// What one translation or word list taught.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    pub register: Register,
    /// Place of its script in [`Header::scripts`].
    pub script: usize,
    /// Place of its language in [`Header::labels`].
    pub label: usize,
    /// Log-weight of a known n-gram that this part lacks, per order, nats.
    pub unseen: [f32; ORDER_MAX],
}

/// How scores become probabilities, fitted on held-out text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Calibration {
    /// Temperature of a text of `n` letters: `temperature · n^growth`.
    pub temperature: f64,
    pub growth: f64,
}

/// Everything but the n-grams.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    pub labels: Vec<Lang>,
    pub scripts: Vec<String>,
    /// Running text first.
    pub parts: Vec<Part>,
    /// Nats of one step of the stored weights.
    pub step: f64,
    /// Weight of the word register beside the running one.
    pub words_weight: f64,
    /// What a language without words gives away to the best one that has them, nats a character.
    pub words_handicap: f64,
    /// What Han text must say for another language than Mandarin, nats.
    pub han_prior: f64,
    /// Traditional and simplified characters.
    pub han: HanForms,
    pub calibration: Calibration,
    /// Scripts with enough held-out text for a fit of their own.
    pub calibration_by_script: BTreeMap<String, Calibration>,
}

/// The weights, ready for look-up.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub header: Header,
    /// Hashes of n-grams, ascending.
    pub keys: Vec<u32>,
    /// Entries of key `i`: `starts[i]..starts[i + 1]`.
    pub starts: Vec<u32>,
    /// Parts of the entries, ascending within a key.
    pub parts: Vec<u16>,
    /// Weights of the entries, in steps.
    pub weights: Vec<u8>,
    index: Vec<u32>,
}

/// Why a model file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not compressed data, or damaged.
    #[error("the identifier's model is no zstd data")]
    Compression(#[source] std::io::Error),
    /// Another kind or version of file.
    #[error("the identifier's model does not begin with {expected:?}")]
    Magic {
        /// What it must begin with.
        expected: &'static str,
    },
    /// The header does not parse.
    #[error("the header of the identifier's model is unreadable")]
    Header(#[source] serde_json::Error),
    /// Less data than the header says, or parts that do not exist.
    #[error("the identifier's model ends early or contradicts itself at byte {at}")]
    Torn {
        /// Where, after decompression.
        at: usize,
    },
}

impl isogloss_record::Explain for ModelError {
    fn hint(&self) -> Option<String> {
        Some("write the file again with `cargo xtask identifier`".into())
    }
}

impl Model {
    pub(super) fn new(
        header: Header,
        keys: Vec<u32>,
        starts: Vec<u32>,
        parts: Vec<u16>,
        weights: Vec<u8>,
    ) -> Self {
        let mut index = vec![0_u32; (1 << INDEX_BITS) + 1];
        let mut next = 0;
        for (i, &key) in keys.iter().enumerate() {
            let slot = (key >> (32 - INDEX_BITS)) as usize;
            while next <= slot {
                index[next] = i as u32;
                next += 1;
            }
        }
        index[next..].fill(keys.len() as u32);
        Self {
            header,
            keys,
            starts,
            parts,
            weights,
            index,
        }
    }

    /// The entries of an n-gram: parts and their weights; empty where it is not known.
    pub(super) fn entries(&self, key: u32) -> (&[u16], &[u8]) {
        let slot = (key >> (32 - INDEX_BITS)) as usize;
        let (from, to) = (self.index[slot] as usize, self.index[slot + 1] as usize);
        for i in from..to {
            if self.keys[i] >= key {
                if self.keys[i] > key {
                    break;
                }
                let range = self.starts[i] as usize..self.starts[i + 1] as usize;
                return (&self.parts[range.clone()], &self.weights[range]);
            }
        }
        (&[], &[])
    }

    /// The file's bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, std::io::Error> {
        let header = serde_json::to_vec(&self.header)?;
        let mut bytes = MAGIC.to_vec();
        for n in [header.len(), self.keys.len(), self.parts.len()] {
            bytes.extend((n as u32).to_le_bytes());
        }
        bytes.extend(header);
        let mut last = 0;
        for &key in &self.keys {
            push(&mut bytes, key - last);
            last = key;
        }
        for bounds in self.starts.windows(2) {
            push(&mut bytes, bounds[1] - bounds[0]);
        }
        for bounds in self.starts.windows(2) {
            let mut last = 0;
            for &part in &self.parts[bounds[0] as usize..bounds[1] as usize] {
                push(&mut bytes, u32::from(part - last));
                last = part;
            }
        }
        bytes.extend(&self.weights);
        zstd::bulk::compress(&bytes, 22)
    }

    /// Reads the file's bytes.
    pub(super) fn decode(compressed: &[u8]) -> Result<Self, ModelError> {
        let bytes = zstd::stream::decode_all(compressed).map_err(ModelError::Compression)?;
        if !bytes.starts_with(MAGIC) {
            let expected = std::str::from_utf8(MAGIC)
                .expect("the magic is ASCII")
                .trim_end();
            return Err(ModelError::Magic { expected });
        }
        let mut reader = Reader {
            bytes: &bytes,
            at: MAGIC.len(),
        };
        let [n_header, n_keys, n_entries] = [reader.u32()?, reader.u32()?, reader.u32()?];
        let header: Header =
            serde_json::from_slice(reader.take(n_header)?).map_err(ModelError::Header)?;
        // Every key and every entry takes a byte at least: no length can ask for more memory than that.
        if n_keys.max(n_entries) > bytes.len() {
            return Err(reader.torn());
        }
        let mut keys = Vec::with_capacity(n_keys);
        let mut last = 0_u32;
        for _ in 0..n_keys {
            last = last.checked_add(reader.varint()?).ok_or(reader.torn())?;
            keys.push(last);
        }
        let mut starts = Vec::with_capacity(n_keys + 1);
        starts.push(0_u32);
        let mut n = 0_u32;
        for _ in 0..n_keys {
            n = n.checked_add(reader.varint()?).ok_or(reader.torn())?;
            starts.push(n);
        }
        if n as usize != n_entries {
            return Err(reader.torn());
        }
        let mut parts = Vec::with_capacity(n_entries);
        for bounds in starts.windows(2) {
            let mut last = 0_u32;
            for _ in bounds[0]..bounds[1] {
                last = last.checked_add(reader.varint()?).ok_or(reader.torn())?;
                if last as usize >= header.parts.len() {
                    return Err(reader.torn());
                }
                parts.push(last as u16);
            }
        }
        let weights = reader.take(n_entries)?.to_vec();
        let is_sound = header
            .parts
            .iter()
            .all(|part| part.label < header.labels.len() && part.script < header.scripts.len());
        if reader.at != bytes.len() || !is_sound {
            return Err(reader.torn());
        }
        Ok(Self::new(header, keys, starts, parts, weights))
    }
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn push(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn torn(&self) -> ModelError {
        ModelError::Torn { at: self.at }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], ModelError> {
        let end = self.at.checked_add(n).ok_or(self.torn())?;
        let taken = self.bytes.get(self.at..end).ok_or(self.torn())?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<usize, ModelError> {
        let bytes = self.take(4)?.try_into().map_err(|_| self.torn())?;
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn varint(&mut self) -> Result<u32, ModelError> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.bytes.get(self.at).ok_or(self.torn())?;
            self.at += 1;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.torn())
    }
}
