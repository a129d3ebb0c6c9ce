//! A reusable row-major buffer: the engine's only kind of activation storage.

/// `n_rows × width` floats with a padded row stride.
///
/// The stride leaves room for whole 32-column panels and is an odd multiple of 64 bytes, so that
/// equal columns of neighboring rows do not fall into one cache set. Growing keeps the memory.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    data: Vec<f32>,
    len: usize,
    width: usize,
    stride: usize,
}

impl Rows {
    /// An empty buffer of this width.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            data: Vec::new(),
            len: 0,
            width,
            stride: width.next_multiple_of(32) + 16,
        }
    }

    /// Sets the number of rows; what they hold is unspecified but finite where it was.
    pub(crate) fn set_rows(&mut self, n_rows: usize) {
        self.len = n_rows;
        if self.data.len() < n_rows * self.stride {
            self.data.resize(n_rows * self.stride, 0.0);
        }
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.len
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Floats from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.stride..i * self.stride + self.width]
    }

    pub(crate) fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.stride..i * self.stride + self.width]
    }

    /// All rows with their padding, `n_rows × stride`.
    pub(crate) fn padded(&self) -> &[f32] {
        &self.data[..self.len * self.stride]
    }

    /// All rows with their padding, `n_rows × stride`.
    pub(crate) fn padded_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len * self.stride]
    }
}
