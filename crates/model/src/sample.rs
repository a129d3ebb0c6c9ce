//! Drawing the next token: greedy, or by temperature with a seed.

use isogloss_record::{Sampling, Seed};
use rand_chacha::rand_core::Rng;

/// The token drawn from `logits` at a temperature above 0.
///
/// Draw `step` of a generation depends on the seed and the step alone: not on other sequences,
/// threads or earlier draws. The cumulative sum runs over ids in order, in `f64`.
pub(crate) fn draw(logits: &[f32], sampling: &Sampling, step: u64) -> u32 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let temperature = f64::from(sampling.temperature);
    let weight = |x: &f32| ((f64::from(*x) - f64::from(max)) / temperature).exp();
    let total: f64 = logits.iter().map(weight).sum();
    // 53 random bits: uniform in [0, 1).
    let uniform =
        (Seed(sampling.seed).rng("sample", step).next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let target = uniform * total;
    let mut sum = 0.0;
    let mut last = 0;
    for (id, x) in logits.iter().enumerate() {
        let w = weight(x);
        if w > 0.0 {
            last = id as u32;
        }
        sum += w;
        if sum > target {
            return id as u32;
        }
    }
    // Rounding may leave the target just above the sum: the last token that can be drawn.
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f32, seed: u64) -> Sampling {
        Sampling {
            max_tokens: 1,
            temperature,
            seed,
            stop: Vec::new(),
        }
    }

    #[test]
    fn draws_follow_the_distribution() {
        // logits ln 1, ln 3 at temperature 1: shares ¼ and ¾; 4,000 draws, sd of the share .0068
        let logits = [0.0, 3.0_f32.ln()];
        let ones = (0..4_000)
            .filter(|step| draw(&logits, &sampling(1.0, 7), *step) == 1)
            .count();
        assert!((ones as f64 / 4_000.0 - 0.75).abs() < 0.03, "{ones}");
    }

    #[test]
    fn a_low_temperature_takes_the_most_probable() {
        let logits = [0.0, 1.0, 0.5];
        assert!((0..100).all(|step| draw(&logits, &sampling(0.01, 1), step) == 1));
    }

    #[test]
    fn equal_seeds_draw_equally() {
        let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32 / 3.0).collect();
        let draws = |seed| {
            (0..40)
                .map(|s| draw(&logits, &sampling(1.0, seed), s))
                .collect::<Vec<_>>()
        };
        assert_eq!(draws(3), draws(3));
        assert_ne!(draws(3), draws(4));
    }
}
