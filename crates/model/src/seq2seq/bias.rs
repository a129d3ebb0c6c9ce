//! T5's position information: a bias for each head and each bucket of distances.

use crate::arch::memory::Distances;

/// Bucket of a distance (key position − query position); 0 ≤ bucket < `n_buckets`.
///
/// Half of the buckets (encoders: of those of each direction) are single distances, the rest grows
/// with the logarithm up to `max_distance`. In a decoder, where nothing later is seen, all buckets
/// are for the past.
///
/// Source: `_relative_position_bucket` of transformers 5.23, in f32 as there.
///
/// ```
/// use isogloss_model::seq2seq::bucket;
/// // An encoder's 32 buckets: 0 to 15 look back, 16 to 31 ahead; the first 8 are single distances.
/// assert_eq!([0, -1, -7, -8, -500].map(|d| bucket(d, true, 32, 128)), [0, 1, 7, 8, 15]);
/// assert_eq!(bucket(3, true, 32, 128), 16 + 3);
/// assert_eq!([-15, 4].map(|d| bucket(d, false, 32, 128)), [15, 0]);
/// ```
pub fn bucket(distance: isize, is_encoder: bool, n_buckets: usize, max_distance: usize) -> usize {
    let (n_buckets, first, distance) = if is_encoder {
        let half = n_buckets / 2;
        let first = if distance > 0 { half } else { 0 };
        (half, first, distance.unsigned_abs())
    } else {
        (n_buckets, 0, distance.min(0).unsigned_abs())
    };
    let n_exact = n_buckets / 2;
    if distance < n_exact {
        return first + distance;
    }
    let octaves = (max_distance as f64 / n_exact as f64).ln() as f32;
    let share = (distance as f32 / n_exact as f32).ln() / octaves;
    let step = (share * (n_buckets - n_exact) as f32) as usize;
    first + (n_exact + step).min(n_buckets - 1)
}

/// The biases of one table (`[n_buckets][n_heads]`) for all distances below `span`.
pub(crate) fn distances(
    table: &[f32],
    n_heads: usize,
    span: usize,
    is_encoder: bool,
    max_distance: usize,
) -> Distances {
    let n_buckets = table.len() / n_heads;
    Distances::new(n_heads, span, |head, distance| {
        table[bucket(distance, is_encoder, n_buckets, max_distance) * n_heads + head]
    })
}
