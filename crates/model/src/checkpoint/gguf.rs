//! The GGUF container: metadata and where tensors lie. Versions 2 and 3, little endian.
//!
//! ```text
//! "GGUF" | version u32 | n_tensors u64 | n_metadata u64
//! metadata: key string, type u32, value       (string = u64 length + UTF-8 bytes)
//! tensors:  name string, n_dims u32, dims u64 × n_dims (fastest first), type u32, offset u64
//! padding to the alignment, then the tensor data; offsets count from here
//! ```
//! Nothing in the file is believed: each length is compared with what is left before it is used.
//!
//! Source: `docs/gguf.md` of ggml.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;

use super::CheckpointError;
use super::tensor::Dtype;

/// Parsed head of a GGUF file.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: Vec<TensorInfo>,
}

/// A tensor of the file.
#[derive(Debug)]
pub(crate) struct TensorInfo {
    /// Name as in the file.
    pub(crate) name: String,
    /// Row-major: slowest axis first (the file has them the other way round).
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
    /// Bytes in the file.
    pub(crate) range: Range<usize>,
}

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any signed or unsigned whole number.
    Int(i128),
    /// f32 or f64.
    Float(f64),
    Bool(bool),
    String(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Bools(Vec<bool>),
    Strings(Vec<String>),
}

const MAX_DIMS: u32 = 4;
const DEFAULT_ALIGNMENT: usize = 32;

/// Parses the head; tensor data is only checked to lie inside the file.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Gguf, CheckpointError> {
    let mut reader = Reader { bytes, at: 0, path };
    let magic = reader.take(4, "the magic")?;
    if magic != b"GGUF" {
        return Err(reader.damaged(
            "the magic",
            "`GGUF`",
            &format!("`{}`", magic.escape_ascii()),
        ));
    }
    let version = reader.u32("the version")?;
    if version.swap_bytes() == 2 || version.swap_bytes() == 3 {
        return Err(CheckpointError::Unsupported {
            path: path.to_owned(),
            what: "a big-endian GGUF file".into(),
        });
    }
    if !(2..=3).contains(&version) {
        return Err(reader.damaged("the version", "2 or 3", &version.to_string()));
    }
    let n_tensors = reader.count("the number of tensors", 24)?;
    let n_metadata = reader.count("the number of metadata entries", 13)?;

    let mut metadata = BTreeMap::new();
    for i in 0..n_metadata {
        let key = reader.string(&format!("metadata key {i}"))?;
        let value = reader.value(&key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(reader.damaged(&format!("metadata `{key}`"), "one entry", "two"));
        }
    }

    let mut heads = Vec::new();
    let mut names = HashSet::new();
    for i in 0..n_tensors {
        let head = reader.tensor(i)?;
        if !names.insert(head.name.clone()) {
            return Err(reader.damaged(&format!("tensor `{}`", head.name), "one entry", "two"));
        }
        heads.push(head);
    }
    let alignment = alignment(&metadata, &reader)?;
    let data_start = reader.at.next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(heads.len());
    for head in heads {
        tensors.push(locate(head, data_start, alignment, &reader)?);
    }
    check_overlaps(&tensors, &reader)?;
    Ok(Gguf { metadata, tensors })
}

/// A tensor before its place is known to be inside the file.
struct TensorHead {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    offset: u64,
}

fn alignment(
    metadata: &BTreeMap<String, Value>,
    reader: &Reader<'_>,
) -> Result<usize, CheckpointError> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Int(n)) if (1..=1 << 20).contains(n) && (*n as usize).is_power_of_two() => {
            Ok(*n as usize)
        }
        Some(value) => Err(reader.damaged(
            "`general.alignment`",
            "a power of two up to 1,048,576",
            &value.describe(),
        )),
    }
}

fn locate(
    head: TensorHead,
    data_start: usize,
    alignment: usize,
    reader: &Reader<'_>,
) -> Result<TensorInfo, CheckpointError> {
    let TensorHead {
        name,
        shape,
        dtype,
        offset,
    } = head;
    let what = format!("tensor `{name}`");
    let row_len = shape.last().copied().unwrap_or(0);
    if !row_len.is_multiple_of(dtype.block_len()) {
        return Err(reader.damaged(
            &what,
            &format!(
                "rows of a multiple of {} values ({dtype})",
                dtype.block_len()
            ),
            &row_len.to_string(),
        ));
    }
    let n_values = shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d));
    let n_bytes = n_values.and_then(|n| dtype.n_bytes(n)).ok_or_else(|| {
        reader.damaged(
            &what,
            "a size that a computer can hold",
            &format!("shape {shape:?}"),
        )
    })?;
    if !offset.is_multiple_of(alignment as u64) {
        return Err(reader.damaged(
            &what,
            &format!("an offset that is a multiple of {alignment}"),
            &offset.to_string(),
        ));
    }
    let start = usize::try_from(offset)
        .ok()
        .and_then(|offset| offset.checked_add(data_start));
    let range = start.and_then(|start| Some(start..start.checked_add(n_bytes)?));
    match range {
        Some(range) if range.end <= reader.bytes.len() => Ok(TensorInfo {
            name,
            shape,
            dtype,
            range,
        }),
        _ => Err(reader.damaged(
            &what,
            &format!("{n_bytes} bytes at offset {offset}"),
            &format!(
                "{} bytes of tensor data in all",
                reader.bytes.len().saturating_sub(data_start)
            ),
        )),
    }
}

fn check_overlaps(tensors: &[TensorInfo], reader: &Reader<'_>) -> Result<(), CheckpointError> {
    let mut by_start: Vec<&TensorInfo> = tensors.iter().collect();
    by_start.sort_by_key(|tensor| tensor.range.start);
    for pair in by_start.windows(2) {
        if pair[0].range.end > pair[1].range.start {
            return Err(reader.damaged(
                &format!("tensor `{}`", pair[1].name),
                "bytes of its own",
                &format!("bytes shared with tensor `{}`", pair[0].name),
            ));
        }
    }
    Ok(())
}

/// A cursor over the head.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: &'a Path,
}

impl<'a> Reader<'a> {
    fn damaged(&self, what: &str, expected: &str, found: &str) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.path.to_owned(),
            what: what.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    fn n_left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, n_bytes: usize, what: &str) -> Result<&'a [u8], CheckpointError> {
        if n_bytes > self.n_left() {
            return Err(self.damaged(
                what,
                &format!("{n_bytes} bytes at byte {}", self.at),
                &format!("{} bytes until the end of the file", self.n_left()),
            ));
        }
        let taken = &self.bytes[self.at..self.at + n_bytes];
        self.at += n_bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], CheckpointError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &str) -> Result<u32, CheckpointError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, CheckpointError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A number of things that take at least `min_bytes` each, so that no hostile count allocates.
    fn count(&mut self, what: &str, min_bytes: usize) -> Result<usize, CheckpointError> {
        let n = self.u64(what)?;
        let n_max = self.n_left() / min_bytes;
        match usize::try_from(n) {
            Ok(n) if n <= n_max => Ok(n),
            _ => Err(self.damaged(
                what,
                &format!(
                    "at most {n_max} (the file has {} bytes more)",
                    self.n_left()
                ),
                &n.to_string(),
            )),
        }
    }

    fn string(&mut self, what: &str) -> Result<String, CheckpointError> {
        let n_bytes = self.count(&format!("the length of {what}"), 1)?;
        let bytes = self.take(n_bytes, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.damaged(
                what,
                "UTF-8 text",
                &format!("an invalid byte at position {}", error.valid_up_to()),
            )),
        }
    }

    fn tensor(&mut self, index: usize) -> Result<TensorHead, CheckpointError> {
        let name = self.string(&format!("the name of tensor {index}"))?;
        let what = format!("tensor `{name}`");
        let n_dims = self.u32(&what)?;
        if !(1..=MAX_DIMS).contains(&n_dims) {
            return Err(self.damaged(
                &what,
                &format!("1 to {MAX_DIMS} dimensions"),
                &n_dims.to_string(),
            ));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            let n = self.u64(&what)?;
            match usize::try_from(n) {
                Ok(n) if n > 0 => shape.push(n),
                _ => return Err(self.damaged(&what, "dimensions from 1 on", &n.to_string())),
            }
        }
        shape.reverse();
        let type_id = self.u32(&what)?;
        let Some(dtype) = dtype_of(type_id) else {
            return Err(CheckpointError::Unsupported {
                path: self.path.to_owned(),
                what: format!("the storage format {} of {what}", type_name(type_id)),
            });
        };
        let offset = self.u64(&what)?;
        Ok(TensorHead {
            name,
            shape,
            dtype,
            offset,
        })
    }

    fn value(&mut self, key: &str) -> Result<Value, CheckpointError> {
        let what = format!("metadata `{key}`");
        let kind = self.u32(&what)?;
        Ok(match kind {
            0 => Value::Int(i128::from(self.array::<1>(&what)?[0])),
            1 => Value::Int(i128::from(i8::from_le_bytes(self.array(&what)?))),
            2 => Value::Int(i128::from(u16::from_le_bytes(self.array(&what)?))),
            3 => Value::Int(i128::from(i16::from_le_bytes(self.array(&what)?))),
            4 => Value::Int(i128::from(self.u32(&what)?)),
            5 => Value::Int(i128::from(i32::from_le_bytes(self.array(&what)?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.array(&what)?))),
            7 => Value::Bool(self.bool(&what)?),
            8 => Value::String(self.string(&what)?),
            9 => self.array_value(&what)?,
            10 => Value::Int(i128::from(self.u64(&what)?)),
            11 => Value::Int(i128::from(i64::from_le_bytes(self.array(&what)?))),
            12 => Value::Float(f64::from_le_bytes(self.array(&what)?)),
            _ => return Err(self.damaged(&what, "a value type from 0 to 12", &kind.to_string())),
        })
    }

    fn bool(&mut self, what: &str) -> Result<bool, CheckpointError> {
        match self.array::<1>(what)?[0] {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(self.damaged(what, "0 or 1", &byte.to_string())),
        }
    }

    fn array_value(&mut self, what: &str) -> Result<Value, CheckpointError> {
        let kind = self.u32(what)?;
        let n_of = format!("the length of {what}");
        Ok(match kind {
            0 => Value::Ints(self.numbers(&n_of, |[b]: [u8; 1]| i64::from(b))?),
            1 => Value::Ints(self.numbers(&n_of, |b| i64::from(i8::from_le_bytes(b)))?),
            2 => Value::Ints(self.numbers(&n_of, |b| i64::from(u16::from_le_bytes(b)))?),
            3 => Value::Ints(self.numbers(&n_of, |b| i64::from(i16::from_le_bytes(b)))?),
            4 => Value::Ints(self.numbers(&n_of, |b| i64::from(u32::from_le_bytes(b)))?),
            5 => Value::Ints(self.numbers(&n_of, |b| i64::from(i32::from_le_bytes(b)))?),
            6 => Value::Floats(self.numbers(&n_of, f32::from_le_bytes)?),
            7 => {
                let n = self.count(&n_of, 1)?;
                Value::Bools((0..n).map(|_| self.bool(what)).collect::<Result<_, _>>()?)
            }
            8 => {
                let n = self.count(&n_of, 8)?;
                let mut strings = Vec::with_capacity(n);
                for _ in 0..n {
                    strings.push(self.string(what)?);
                }
                Value::Strings(strings)
            }
            9 => {
                return Err(CheckpointError::Unsupported {
                    path: self.path.to_owned(),
                    what: format!("an array of arrays ({what})"),
                });
            }
            10 => Value::Ints(self.numbers(&n_of, |b| u64::from_le_bytes(b) as i64)?),
            11 => Value::Ints(self.numbers(&n_of, i64::from_le_bytes)?),
            12 => Value::Floats(self.numbers(&n_of, |b| f64::from_le_bytes(b) as f32)?),
            _ => return Err(self.damaged(what, "an element type from 0 to 12", &kind.to_string())),
        })
    }

    fn numbers<const N: usize, T>(
        &mut self,
        what: &str,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, CheckpointError> {
        let n = self.count(what, N)?;
        let bytes = self.take(n * N, what)?;
        Ok(bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|b| decode(*b))
            .collect())
    }
}

impl Value {
    /// For messages: the value, or what kind of array.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::String(text) => format!("`{text}`"),
            Self::Ints(v) => format!("an array of {} whole numbers", v.len()),
            Self::Floats(v) => format!("an array of {} numbers", v.len()),
            Self::Bools(v) => format!("an array of {} booleans", v.len()),
            Self::Strings(v) => format!("an array of {} strings", v.len()),
        }
    }
}

/// Numbers of the formats in the file.
const TYPE_IDS: [(u32, Dtype); 15] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (6, Dtype::Q5_0),
    (7, Dtype::Q5_1),
    (8, Dtype::Q8_0),
    (10, Dtype::Q2_K),
    (11, Dtype::Q3_K),
    (12, Dtype::Q4_K),
    (13, Dtype::Q5_K),
    (14, Dtype::Q6_K),
    (20, Dtype::IQ4_NL),
    (23, Dtype::IQ4_XS),
    (30, Dtype::BF16),
];

fn dtype_of(type_id: u32) -> Option<Dtype> {
    let known = TYPE_IDS.iter().find(|(id, _)| *id == type_id);
    known.map(|(_, dtype)| *dtype)
}

/// Number of a format in the file.
pub(crate) fn type_id(dtype: Dtype) -> u32 {
    let known = TYPE_IDS.iter().find(|(_, known)| *known == dtype);
    known.map(|(id, _)| *id).expect("every format has a number")
}

/// Names of formats that are recognized only to be refused clearly.
fn type_name(type_id: u32) -> String {
    let name = match type_id {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return format!("number {type_id}"),
    };
    name.to_owned()
}
