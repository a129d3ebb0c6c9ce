//! A checkpoint in another format: what it will be when it is deployed.
//!
//! ```text
//! Checkpoint -> at(Format): each matrix row -> f32 -> blocks of its format (mixture) -> Checkpoint
//! ```
//!
//! Bytes are those that `llama-quantize` writes for the same tensors; nothing is written to disk. A
//! matrix that has the format already keeps its bytes. Rows are independent, so it does not matter
//! whether queries, keys and values lie in one tensor, in which order rows lie, or transposed.

use std::path::Path;

use rayon::prelude::*;

use super::mapped::MappedFile;
use super::mixture::Format;
use super::quantize::quantize;
use super::tensor::View;
use super::{Checkpoint, Entry};

impl Checkpoint {
    /// The same model in another format, in memory. Adapters are laid over it afterwards, as
    /// llama.cpp does.
    ///
    /// Takes as long as reading every weight and, for the K formats, some twenty trials of each
    /// group: seconds for 135 M parameters.
    #[must_use]
    pub fn at(mut self, format: Format) -> Self {
        let is_tied = !self.has_tensor("lm_head.weight");
        let file = self.files.len();
        let mut bytes: Vec<u8> = Vec::new();
        let mut changed = Vec::new();
        for (name, entry) in &self.tensors {
            let [n_rows, row_len] = entry.shape[..] else {
                continue;
            };
            let chosen = format.of_tensor(name, row_len, &self.config, is_tied);
            let Some(dtype) = chosen.filter(|dtype| *dtype != entry.dtype) else {
                continue;
            };
            let tensor = entry.tensor(name, &self.files);
            let row_bytes = dtype
                .n_bytes(row_len)
                .expect("a format is chosen that divides the rows");
            let start = bytes.len();
            bytes.resize(start + n_rows * row_bytes, 0);
            bytes[start..]
                .par_chunks_exact_mut(row_bytes)
                .enumerate()
                .for_each_init(
                    || vec![0.0; row_len],
                    |values, (row, out)| {
                        tensor.dequantize_row(row, values);
                        out.copy_from_slice(&quantize(dtype, values));
                    },
                );
            let entry = Entry {
                file,
                range: start..bytes.len(),
                dtype,
                shape: entry.shape.clone(),
                view: View::Whole,
            };
            changed.push((name.clone(), entry));
        }
        self.files
            .push(MappedFile::owned(Path::new(&format!("at-{format}")), bytes));
        self.tensors.extend(changed);
        self.quantization = format!(
            "{} from {}",
            format.name().to_uppercase(),
            self.quantization
        );
        self
    }
}
