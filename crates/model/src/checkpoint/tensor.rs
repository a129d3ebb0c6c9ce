//! A tensor as it lies in its file, and the storage formats.

use std::borrow::Cow;

use super::quant;
use crate::adapter::Change;

/// Storage format of a tensor.
///
/// ```
/// use isogloss_model::checkpoint::Dtype;
/// // Q4_0: 32 values share a 16-bit scale: 2 + 32 / 2 = 18 bytes.
/// assert_eq!((Dtype::Q4_0.block_len(), Dtype::Q4_0.block_bytes()), (32, 18));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(non_camel_case_types, reason = "the formats' own names")]
#[allow(missing_docs, reason = "the formats' own names")]
pub enum Dtype {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
}

impl Dtype {
    /// Every format, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
    ];

    /// Values of one block; 1 for plain floats. The last axis is a whole number of blocks.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::IQ4_NL => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::IQ4_XS => 136,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Bytes of `n_values` values; `None` if they are no whole number of blocks or overflow.
    pub fn n_bytes(self, n_values: usize) -> Option<usize> {
        if !n_values.is_multiple_of(self.block_len()) {
            return None;
        }
        (n_values / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Name as the formats spell it (`Q4_1`).
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
            Self::IQ4_XS => "IQ4_XS",
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A tensor, all of a stored one or a part of it.
///
/// Some families store several projections as one matrix, or transposed: each is read through a
/// view, row by row, and never copied.
#[derive(Debug, Clone)]
pub struct Tensor<'a> {
    /// Name in Hugging Face layout (`model.layers.0.self_attn.q_proj.weight`), whatever the file's.
    pub name: Cow<'a, str>,
    /// Row-major: `[n_out, n_in]` for a projection; the last axis is contiguous (and blocked).
    pub shape: Vec<usize>,
    /// Storage format.
    pub dtype: Dtype,
    /// The memory-mapped bytes of the stored tensor.
    pub bytes: &'a [u8],
    /// Where the rows lie in those bytes.
    pub view: View,
    /// What an adapter does to the rows.
    pub change: Option<&'a Change>,
}

/// How the rows of a tensor lie in the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// One after the other, nothing else beside them.
    Whole,
    /// Rows (of a vector: values) in blocks: row i is stored row `first + i / block · stride + i % block`.
    Rows {
        /// Stored row of row 0.
        first: usize,
        /// Neighboring rows.
        block: usize,
        /// Stored rows from block to block.
        stride: usize,
    },
    /// Stored transposed, as `[n_in, n_stored]`: row i is column `first + i`. Plain floats only.
    Columns {
        /// Column of row 0.
        first: usize,
        /// Columns of the stored tensor.
        n_stored: usize,
    },
}

impl View {
    /// Which stored row (with [`View::Columns`]: column) row `row` is.
    pub(crate) fn stored_row(self, row: usize) -> usize {
        match self {
            Self::Whole => row,
            Self::Rows {
                first,
                block,
                stride,
            } => first + row / block * stride + row % block,
            Self::Columns { first, .. } => first + row,
        }
    }
}

impl Tensor<'_> {
    /// Values of one row (the last axis); a vector is a column of rows of one value.
    pub fn row_len(&self) -> usize {
        match self.shape.as_slice() {
            [.., _, n] => *n,
            _ => 1,
        }
    }

    /// Rows: the product of all axes but the last; the length of a vector.
    pub fn n_rows(&self) -> usize {
        match self.shape.as_slice() {
            [rows @ .., _] if !rows.is_empty() => rows.iter().product(),
            shape => shape.iter().product(),
        }
    }

    /// Writes one row as f32; 0 ≤ `row` < `n_rows`, `out` has `row_len` values. Rows may be done in
    /// parallel.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let stored = self.view.stored_row(row);
        if let View::Columns { n_stored, .. } = self.view {
            let n_bytes = self.dtype.block_bytes();
            for (j, x) in out.iter_mut().enumerate() {
                let at = (j * n_stored + stored) * n_bytes;
                let bytes = &self.bytes[at..at + n_bytes];
                quant::dequantize_row(self.dtype, bytes, std::slice::from_mut(x));
            }
        } else {
            quant::dequantize_row(self.dtype, self.stored_row(row), out);
        }
        if let Some(change) = self.change {
            change.apply(row, out);
        }
    }

    /// Whether rows lie in the file as [`Tensor::stored_row`] gives them: not transposed, and not
    /// changed by an adapter.
    pub(crate) fn has_stored_rows(&self) -> bool {
        self.change.is_none() && !matches!(self.view, View::Columns { .. })
    }

    /// The bytes of one row in the tensor's own format.
    pub(crate) fn stored_row(&self, row: usize) -> &[u8] {
        let stored = self.view.stored_row(row);
        let n_bytes = self.row_len() / self.dtype.block_len() * self.dtype.block_bytes();
        &self.bytes[stored * n_bytes..(stored + 1) * n_bytes]
    }

    /// The whole tensor as f32, row-major, on the calling thread.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.row_len() * self.n_rows()];
        if self.view == View::Whole && self.change.is_none() {
            quant::dequantize_row(self.dtype, self.bytes, &mut out);
        } else {
            for (i, row) in out.chunks_exact_mut(self.row_len()).enumerate() {
                self.dequantize_row(i, row);
            }
        }
        out
    }
}
