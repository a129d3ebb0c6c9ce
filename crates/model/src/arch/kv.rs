//! Keys and values of one run of tokens (a segment), in the layout that attention reads.

use crate::checkpoint::Config;
use crate::kernel::NR;

/// Sizes that all segments of a model share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KvShape {
    pub(crate) n_layers: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) d_head: usize,
    /// Width of a stored value row: `d_head` rounded up to whole panels.
    pub(crate) d_value: usize,
}

impl KvShape {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            n_layers: config.n_layers,
            n_kv_heads: config.n_kv_heads,
            d_head: config.d_head,
            d_value: config.d_head.next_multiple_of(NR),
        }
    }

    /// Floats per token over all layers and heads.
    pub(crate) fn floats_per_token(&self) -> usize {
        self.n_layers * self.n_kv_heads * (self.d_head + self.d_value)
    }
}

/// Keys and values of up to `capacity` tokens, `[layer][head][keys | values]`.
///
/// Keys lie in blocks of 32 tokens as `[d_head][32]` (the last block as narrow as it is), values
/// as `[token][d_value]`: both are the right-hand side of a matrix tile. Room that is not yet
/// filled holds finite numbers, because masked positions are multiplied by zero.
#[derive(Debug)]
pub(crate) struct Kv {
    shape: KvShape,
    capacity: usize,
    data: Vec<f32>,
}

impl Kv {
    pub(crate) fn new(shape: KvShape, capacity: usize) -> Self {
        Self {
            shape,
            capacity,
            data: vec![0.0; capacity * shape.floats_per_token()],
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The same keys and values of the first `n` tokens, with room for `capacity`.
    pub(crate) fn with_capacity(&self, n: usize, capacity: usize) -> Self {
        let mut grown = Self::new(self.shape, capacity);
        let KvShape {
            n_layers,
            n_kv_heads,
            d_head,
            d_value,
        } = self.shape;
        let (old_len, new_len) = (self.head_len(), grown.head_len());
        for head in 0..n_layers * n_kv_heads {
            let old = &self.data[head * old_len..][..old_len];
            let new = &mut grown.data[head * new_len..][..new_len];
            for at in 0..n {
                let (block, column) = (at / NR, at % NR);
                let (from, to) = (
                    block_width(self.capacity, block),
                    block_width(capacity, block),
                );
                let first = block * NR * d_head + column;
                for k in 0..d_head {
                    new[first + k * to] = old[first + k * from];
                }
            }
            let (from, to) = (self.capacity * d_head, capacity * d_head);
            new[to..to + n * d_value].copy_from_slice(&old[from..from + n * d_value]);
        }
        grown
    }

    fn head_len(&self) -> usize {
        self.capacity * (self.shape.d_head + self.shape.d_value)
    }

    /// One head of one layer.
    pub(crate) fn head(&self, layer: usize, head: usize) -> KvHead<'_> {
        let start = (layer * self.shape.n_kv_heads + head) * self.head_len();
        let data = &self.data[start..start + self.head_len()];
        KvHead {
            shape: self.shape,
            capacity: self.capacity,
            data,
        }
    }

    /// Stores keys and values of tokens `at..at + n` of one layer; `row(i)` is the i-th token's
    /// keys of all heads followed by its values of all heads.
    pub(crate) fn write<'a>(
        &mut self,
        layer: usize,
        at: usize,
        n: usize,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        let KvShape {
            n_kv_heads,
            d_head,
            d_value,
            ..
        } = self.shape;
        let (capacity, head_len) = (self.capacity, self.head_len());
        for head in 0..n_kv_heads {
            let start = (layer * n_kv_heads + head) * head_len;
            let (keys, values) = self.data[start..start + head_len].split_at_mut(capacity * d_head);
            for i in 0..n {
                let row = row(i);
                let key = &row[head * d_head..(head + 1) * d_head];
                let value = &row[(n_kv_heads + head) * d_head..][..d_head];
                let (block, column) = ((at + i) / NR, (at + i) % NR);
                let width = block_width(capacity, block);
                for (k, slot) in key.iter().zip(
                    keys[block * NR * d_head + column..]
                        .iter_mut()
                        .step_by(width),
                ) {
                    *slot = *k;
                }
                values[(at + i) * d_value..][..d_head].copy_from_slice(value);
            }
        }
    }
}

/// Width of the n-th key block: 32, but for the last one.
fn block_width(capacity: usize, block: usize) -> usize {
    NR.min(capacity - block * NR)
}

/// Keys and values of one head.
#[derive(Clone, Copy)]
pub(crate) struct KvHead<'a> {
    shape: KvShape,
    capacity: usize,
    data: &'a [f32],
}

impl<'a> KvHead<'a> {
    /// The n-th block of keys, `[d_head][width]`, with at least 32 readable floats from the start
    /// of every row, and its width.
    pub(crate) fn keys(&self, block: usize) -> (&'a [f32], usize) {
        let start = block * NR * self.shape.d_head;
        let width = block_width(self.capacity, block);
        // The values follow: a row of 32 read from the last, narrower row ends inside them.
        (
            &self.data[start..start + (self.shape.d_head - 1) * width + NR],
            width,
        )
    }

    /// Values from the n-th token on, `[token][d_value]`.
    pub(crate) fn values(&self, from: usize) -> &'a [f32] {
        &self.data[self.capacity * self.shape.d_head + from * self.shape.d_value..]
    }
}
