//! What an adapter does to the rows of one tensor.
//!
//! ```text
//! row i of the model -> + s · B[i] · A -> scaled to its new length (DoRA) -> row i as it is used
//!                    \-> a row of its own (trained tokens)
//! ```
//! Rows are changed as they are read, so that no changed matrix is kept beside the packed one.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Columns whose sums stay in registers.
const CHUNK: usize = 64;

/// What becomes of a tensor's rows. Empty: nothing.
#[derive(Debug, Default)]
pub struct Change {
    pub(super) low_rank: Option<LowRank>,
    pub(super) length: Length,
    /// Rows that take the place of the model's.
    pub(super) rows: BTreeMap<usize, Vec<f32>>,
}

/// `s · left · right` is added. Source: Hu et al. 2021, arXiv:2106.09685.
#[derive(Debug)]
pub(super) struct LowRank {
    pub(super) scale: f32,
    /// `[n_rows, r]`.
    pub(super) left: Vec<f32>,
    /// `[r, n]`, shared by the projections that the model stores as one.
    pub(super) right: Arc<Vec<f32>>,
    pub(super) rank: usize,
}

/// Lengths after the low-rank sum. Source: Liu et al. 2024, arXiv:2402.09353.
#[derive(Debug, Default)]
pub(super) enum Length {
    /// As they come.
    #[default]
    Own,
    /// Of each row.
    Rows(Vec<f32>),
    /// What each column is multiplied by: its new length by its length (embeddings).
    Columns(Vec<f32>),
}

impl Change {
    /// Changes row `i` of the model's tensor.
    pub(crate) fn apply(&self, i: usize, row: &mut [f32]) {
        if let Some(own) = self.rows.get(&i) {
            row.copy_from_slice(own);
            return;
        }
        if let Some(low_rank) = &self.low_rank {
            low_rank.add(i, row);
        }
        match &self.length {
            Length::Own => {}
            Length::Rows(lengths) => {
                let squares: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
                let scale = (f64::from(lengths[i]) / squares.sqrt()) as f32;
                for x in row.iter_mut() {
                    *x *= scale;
                }
            }
            Length::Columns(scales) => {
                for (x, scale) in row.iter_mut().zip(scales) {
                    *x *= scale;
                }
            }
        }
    }
}

impl LowRank {
    fn add(&self, i: usize, row: &mut [f32]) {
        let n = row.len();
        let weights = &self.left[i * self.rank..(i + 1) * self.rank];
        for (chunk, out) in row.chunks_mut(CHUNK).enumerate() {
            let mut sums = [0.0_f32; CHUNK];
            let sums = &mut sums[..out.len()];
            for (k, weight) in weights.iter().enumerate() {
                let right = &self.right[k * n + chunk * CHUNK..][..out.len()];
                sums.iter_mut()
                    .zip(right)
                    .for_each(|(s, a)| *s += weight * a);
            }
            out.iter_mut()
                .zip(sums)
                .for_each(|(x, s)| *x += self.scale * *s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low_rank() -> LowRank {
        // B = [[1, 0], [2, -1]], A = [[1, 2, 3], [0, 1, 0]], s = 0.5:
        // s · B · A = [[0.5, 1, 1.5], [1, 1.5, 3]].
        LowRank {
            scale: 0.5,
            left: vec![1.0, 0.0, 2.0, -1.0],
            right: Arc::new(vec![1.0, 2.0, 3.0, 0.0, 1.0, 0.0]),
            rank: 2,
        }
    }

    #[test]
    fn a_low_rank_sum_is_added() {
        let change = Change {
            low_rank: Some(low_rank()),
            ..Change::default()
        };
        let mut rows = [[1.0, 1.0, 1.0], [0.0, 0.0, -3.0]];
        for (i, row) in rows.iter_mut().enumerate() {
            change.apply(i, row);
        }
        assert_eq!(rows, [[1.5, 2.0, 2.5], [1.0, 1.5, 0.0]]);
    }

    #[test]
    fn rows_get_their_new_lengths() {
        let change = Change {
            low_rank: Some(low_rank()),
            length: Length::Rows(vec![10.0, 0.5]),
            ..Change::default()
        };
        // [2.5, -1, 4.5] + [0.5, 1, 1.5] = [3, 0, 6], of length √45; its new length is 10.
        let mut row = [2.5, -1.0, 4.5];
        change.apply(0, &mut row);
        let by = 10.0 / 45.0_f32.sqrt();
        for (found, want) in row.iter().zip([3.0 * by, 0.0, 6.0 * by]) {
            assert!((found - want).abs() < 1e-6, "{row:?}");
        }
    }

    #[test]
    fn columns_are_scaled_and_rows_replaced() {
        let change = Change {
            length: Length::Columns(vec![2.0, 0.0]),
            rows: BTreeMap::from([(1, vec![7.0, 8.0])]),
            ..Change::default()
        };
        let mut rows = [[1.0, 1.0], [1.0, 1.0], [3.0, 4.0]];
        for (i, row) in rows.iter_mut().enumerate() {
            change.apply(i, row);
        }
        assert_eq!(rows, [[2.0, 0.0], [7.0, 8.0], [6.0, 0.0]]);
    }

    /// Rows wider than a chunk, and not a multiple of one.
    #[test]
    fn wide_rows() {
        let n = 2 * CHUNK + 3;
        let change = Change {
            low_rank: Some(LowRank {
                scale: 2.0,
                left: vec![0.5],
                right: Arc::new((0..n).map(|j| j as f32).collect()),
                rank: 1,
            }),
            ..Change::default()
        };
        let mut row = vec![1.0; n];
        change.apply(0, &mut row);
        assert!(row.iter().enumerate().all(|(j, x)| *x == 1.0 + j as f32));
    }
}
