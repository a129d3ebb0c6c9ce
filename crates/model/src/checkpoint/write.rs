//! Writing checkpoints: GGUF files and Hugging Face folders.
//!
//! Used by tests (tiny random models that must open again) and by whatever saves a model.
//!
//! ```
//! use isogloss_model::checkpoint::Dtype;
//! use isogloss_model::checkpoint::write::{GgufWriter, quantize};
//! let mut gguf = GgufWriter::new("llama");
//! gguf.u32("llama.block_count", 1);
//! gguf.tensor("output_norm.weight", &[32], Dtype::Q8_0, quantize(Dtype::Q8_0, &[0.5; 32]));
//! assert!(gguf.to_bytes().starts_with(b"GGUF"));
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_record::files::{self, FileError};

use super::gguf::type_id;
pub use super::quantize::{WRITABLE, quantize};
use super::tensor::Dtype;

/// A tensor to be written: shape (slowest axis first), format, bytes.
#[derive(Debug, Clone)]
pub struct OwnedTensor {
    /// Row-major, slowest axis first.
    pub shape: Vec<usize>,
    /// Storage format of `bytes`.
    pub dtype: Dtype,
    /// As many as shape and format need.
    pub bytes: Vec<u8>,
}

/// Collects metadata and tensors of a GGUF file (version 3).
#[derive(Debug, Clone)]
pub struct GgufWriter {
    /// Encoded entries, in the order of their addition.
    metadata: Vec<Vec<u8>>,
    tensors: Vec<(String, OwnedTensor)>,
}

const ALIGNMENT: usize = 32;

impl GgufWriter {
    /// A file with `general.architecture` and nothing else.
    pub fn new(architecture: &str) -> Self {
        let mut writer = Self {
            metadata: Vec::new(),
            tensors: Vec::new(),
        };
        writer.string("general.architecture", architecture);
        writer
    }

    /// Adds a whole number.
    pub fn u32(&mut self, key: &str, value: u32) {
        self.entry(key, 4, &value.to_le_bytes());
    }

    /// Adds a number.
    pub fn f32(&mut self, key: &str, value: f32) {
        self.entry(key, 6, &value.to_le_bytes());
    }

    /// Adds a truth value.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.entry(key, 7, &[u8::from(value)]);
    }

    /// Adds a text.
    pub fn string(&mut self, key: &str, value: &str) {
        self.entry(key, 8, &string(value));
    }

    /// Adds a list of texts.
    pub fn strings(&mut self, key: &str, values: &[&str]) {
        let items: Vec<u8> = values.iter().flat_map(|value| string(value)).collect();
        self.array(key, 8, values.len(), &items);
    }

    /// Adds a list of whole numbers.
    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        let items: Vec<u8> = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.array(key, 5, values.len(), &items);
    }

    /// Adds a list of numbers.
    pub fn f32s(&mut self, key: &str, values: &[f32]) {
        let items: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.array(key, 6, values.len(), &items);
    }

    /// Adds a tensor; `shape` is row-major, slowest axis first.
    ///
    /// # Panics
    /// If `bytes` does not fit shape and format.
    pub fn tensor(&mut self, name: &str, shape: &[usize], dtype: Dtype, bytes: Vec<u8>) {
        assert_eq!(
            dtype.n_bytes(shape.iter().product()),
            Some(bytes.len()),
            "bytes of `{name}`"
        );
        let tensor = OwnedTensor {
            shape: shape.to_vec(),
            dtype,
            bytes,
        };
        self.tensors.push((name.to_owned(), tensor));
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        out.extend(self.metadata.iter().flatten());
        let mut offset = 0;
        for (name, tensor) in &self.tensors {
            out.extend(string(name));
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for n in tensor.shape.iter().rev() {
                out.extend((*n as u64).to_le_bytes());
            }
            out.extend(type_id(tensor.dtype).to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset = (offset + tensor.bytes.len()).next_multiple_of(ALIGNMENT);
        }
        for (_, tensor) in &self.tensors {
            out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
            out.extend(&tensor.bytes);
        }
        out
    }

    /// Writes the file in one step.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        files::write_atomic(path, &self.to_bytes())
    }

    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        let mut entry = string(key);
        entry.extend(kind.to_le_bytes());
        entry.extend(value);
        self.metadata.push(entry);
    }

    fn array(&mut self, key: &str, kind: u32, n_items: usize, items: &[u8]) {
        let mut value = kind.to_le_bytes().to_vec();
        value.extend((n_items as u64).to_le_bytes());
        value.extend(items);
        self.entry(key, 9, &value);
    }
}

/// Length and UTF-8 bytes.
fn string(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

/// A safetensors file (F32, F16 or BF16 tensors).
///
/// # Panics
/// For a quantized tensor, or bytes that do not fit the shape.
pub fn safetensors(tensors: &BTreeMap<String, OwnedTensor>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, tensor)| {
        let dtype = match tensor.dtype {
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::BF16 => safetensors::Dtype::BF16,
            other => panic!("safetensors cannot hold {other}"),
        };
        let view = safetensors::tensor::TensorView::new(dtype, tensor.shape.clone(), &tensor.bytes);
        (name, view.expect("bytes fit shape and format"))
    });
    safetensors::serialize(views, None).expect("a map of tensors can be written")
}

/// A Hugging Face folder: `config.json` and `model.safetensors`.
///
/// # Panics
/// See [`safetensors()`].
pub fn hf_folder(
    folder: &Path,
    config: &serde_json::Value,
    tensors: &BTreeMap<String, OwnedTensor>,
) -> Result<(), FileError> {
    files::create_dir_all(folder)?;
    files::write_atomic(&folder.join("config.json"), config.to_string().as_bytes())?;
    files::write_atomic(&folder.join("model.safetensors"), &safetensors(tensors))
}
