//! Rotary position embedding: frequencies, their stretching, and the rotation of a head.

use crate::checkpoint::{Config, RopePairing, RopeScaling};

/// Cosines and sines of one base, for positions `0..n_positions`.
#[derive(Debug)]
pub(crate) struct Rope {
    frequencies: Vec<f32>,
    pairing: RopePairing,
    /// Multiplies cosines and sines.
    magnitude: f32,
    /// `[position][2][d_rotary / 2]`: cosines, then sines.
    table: Vec<f32>,
}

impl Rope {
    /// The tables of full-attention layers.
    pub(crate) fn global(config: &Config) -> Self {
        Self {
            magnitude: config.rope_magnitude,
            ..Self::new(config, config.rope_theta, &config.rope_scaling)
        }
    }

    /// The tables of sliding-window layers: their own base, never stretched.
    pub(crate) fn local(config: &Config) -> Self {
        match config.rope_theta_local {
            Some(theta) => Self::new(config, theta, &RopeScaling::None),
            None => Self::global(config),
        }
    }

    fn new(config: &Config, theta: f64, scaling: &RopeScaling) -> Self {
        Self {
            frequencies: frequencies(config.d_rotary, theta, scaling),
            pairing: config.rope_pairing,
            magnitude: 1.0,
            table: Vec::new(),
        }
    }

    /// Makes sure that positions below `n` can be rotated.
    pub(crate) fn extend_to(&mut self, n: usize) {
        let half = self.frequencies.len();
        let have = self.table.len() / (2 * half).max(1);
        if n <= have {
            return;
        }
        // Doubling: a sequence that grows token by token does not rebuild each time.
        for position in have..n.max(2 * have).max(256) {
            // The angle is rounded to f32 as the reference implementations do.
            let angles = self
                .frequencies
                .iter()
                .map(|f| f64::from(position as f32 * f));
            let (cos, sin): (Vec<f32>, Vec<f32>) = angles
                .map(|a| (a.cos() as f32, a.sin() as f32))
                .map(|(cos, sin)| (cos * self.magnitude, sin * self.magnitude))
                .unzip();
            self.table.extend(cos);
            self.table.extend(sin);
        }
    }

    /// Rotates the first `d_rotary` values of a head in place to `position`.
    pub(crate) fn rotate(&self, head: &mut [f32], position: usize) {
        self.turn(head, position, |(a, b), (cos, sin)| {
            (a * cos - b * sin, b * cos + a * sin)
        });
    }

    /// The transpose of [`Rope::rotate`]: from the gradient by the rotated head to that by the head.
    pub(crate) fn rotate_back(&self, head: &mut [f32], position: usize) {
        self.turn(head, position, |(a, b), (cos, sin)| {
            (a * cos + b * sin, b * cos - a * sin)
        });
    }

    fn turn(
        &self,
        head: &mut [f32],
        position: usize,
        turn: impl Fn((f32, f32), (f32, f32)) -> (f32, f32),
    ) {
        let half = self.frequencies.len();
        let head = &mut head[..2 * half];
        let (cos, sin) = self.table[position * 2 * half..(position + 1) * 2 * half].split_at(half);
        match self.pairing {
            RopePairing::Halves => {
                let (first, second) = head.split_at_mut(half);
                for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*a, *b) = turn((*a, *b), (*c, *s));
                }
            }
            RopePairing::Neighbors => {
                for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                    (pair[0], pair[1]) = turn((pair[0], pair[1]), (*c, *s));
                }
            }
        }
    }
}

/// Radians per position of each pair of dimensions: `θ^(−2i/d)`, stretched.
///
/// Source: Su et al. 2021, arXiv:2104.09864; Llama 3.1's reference code for its smooth stretching.
fn frequencies(d_rotary: usize, theta: f64, scaling: &RopeScaling) -> Vec<f32> {
    let plain =
        (0..d_rotary / 2).map(|i| (1.0 / theta.powf(2.0 * i as f64 / d_rotary as f64)) as f32);
    match scaling {
        RopeScaling::None => plain.collect(),
        RopeScaling::Linear { factor } => plain.map(|f| (f64::from(f) / factor) as f32).collect(),
        RopeScaling::Factors(factors) => plain
            .enumerate()
            .map(|(i, f)| f / factors.get(i).copied().unwrap_or(1.0))
            .collect(),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context_length,
        } => {
            let original = *original_context_length as f64;
            let stretch = |f: f32| {
                let f = f64::from(f);
                let turns = original * f / (2.0 * std::f64::consts::PI);
                // Turns within the original context: few are stretched, many are kept.
                let keep = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor))
                    .clamp(0.0, 1.0);
                ((1.0 - keep) * f / factor + keep * f) as f32
            };
            plain.map(stretch).collect()
        }
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            truncate,
            original_context_length,
        } => {
            // Index of the pair that turns so many times within the original context.
            let pair = |turns: f64| {
                let wavelength =
                    *original_context_length as f64 / (turns * 2.0 * std::f64::consts::PI);
                d_rotary as f64 * wavelength.ln() / (2.0 * theta.ln())
            };
            let (mut low, mut high) = (pair(*beta_fast), pair(*beta_slow));
            if *truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(d_rotary as f64 - 1.0));
            if low == high {
                high += 0.001; // a ramp needs a width
            }
            let stretch = |(i, f): (usize, f32)| {
                let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let f = f64::from(f);
                (f / factor * slow + f * (1.0 - slow)) as f32
            };
            plain.enumerate().map(stretch).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_frequencies_are_powers_of_the_base() {
        // d = 4, θ = 10000: 10000^0 = 1, 10000^(−1/2) = 0.01
        let f = frequencies(4, 10_000.0, &RopeScaling::None);
        assert!(
            (f[0] - 1.0).abs() < 1e-9 && (f[1] - 0.01).abs() < 1e-9,
            "{f:?}"
        );
    }

    /// For a linear map R and its transpose: (R x) · y = x · (Rᵀ y).
    #[test]
    fn rotating_back_is_the_transpose() {
        for pairing in [RopePairing::Halves, RopePairing::Neighbors] {
            let mut rope = Rope {
                frequencies: frequencies(4, 100.0, &RopeScaling::None),
                pairing,
                magnitude: 1.3,
                table: Vec::new(),
            };
            rope.extend_to(8);
            // The last value does not rotate.
            let (x, y) = ([0.3, -1.0, 0.7, 2.0, 5.0], [1.5, 0.2, -0.4, 1.0, -3.0]);
            let (mut turned, mut back) = (x, y);
            rope.rotate(&mut turned, 7);
            rope.rotate_back(&mut back, 7);
            let dot = |a: [f32; 5], b: [f32; 5]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert!((dot(turned, y) - dot(x, back)).abs() < 1e-5, "{pairing:?}");
            assert!((dot(turned, y) - dot(x, y)).abs() > 0.1, "it turns");
            assert_eq!((turned[4], back[4]), (5.0, -3.0));
        }
    }

    #[test]
    fn llama3_keeps_fast_pairs_and_divides_slow_ones() {
        // original 8192, low 1, high 4: the fast pair turns 8192 / 2π = 1304 times (kept);
        // the slow one 8192 · 1e-4 / 2π = 0.13 times (divided by 8).
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context_length: 8192,
        };
        let f = frequencies(4, 1e8, &scaling);
        assert!((f[0] - 1.0).abs() < 1e-7, "{f:?}");
        assert!((f[1] - 1e-4 / 8.0).abs() < 1e-10, "{f:?}");
    }
}
