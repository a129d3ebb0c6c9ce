//! AdamW: moments and weights updated in one pass, in place.

use super::gradients::Gradients;
use super::rows::each_two;
use crate::kernel::vector::by_isa;
use crate::kernel::{Isa, Rows};

/// The optimizer's settings; the moments are the trainee's.
///
/// Weight decay is decoupled and acts on every trained tensor. Source: Loshchilov & Hutter 2019,
/// arXiv:1711.05101; the order of roundings is PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Step size, 0 or more; may be changed between steps.
    pub learning_rate: f64,
    /// How slowly the mean gradient forgets, 0 to 1.
    pub beta1: f64,
    /// How slowly the mean square forgets, 0 to 1.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a weight that a step of size 1 takes away.
    pub weight_decay: f64,
}

/// Steps so far, and by tensor its moments: a row's means, then its mean squares.
#[derive(Debug, Default)]
pub(super) struct Moments {
    n_steps: i32,
    of: Vec<Option<Rows>>,
}

impl Default for AdamW {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// The scalars of a step.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    keep: f32,
    /// 1 − β₁ and 1 − β₂, rounded once: in f32 a difference from 1 has few digits.
    fresh1: f32,
    beta2: f32,
    fresh2: f32,
    size: f32,
    /// √(1 − β₂ⁿ).
    correction: f32,
    epsilon: f32,
}

impl Moments {
    /// Updates every tensor that has a gradient.
    pub(super) fn step(
        &mut self,
        isa: Isa,
        adamw: &AdamW,
        values: &mut [Rows],
        gradients: &Gradients,
    ) {
        self.n_steps += 1;
        self.of.resize_with(values.len(), || None);
        let step = Step {
            keep: (1.0 - adamw.learning_rate * adamw.weight_decay) as f32,
            fresh1: (1.0 - adamw.beta1) as f32,
            beta2: adamw.beta2 as f32,
            fresh2: (1.0 - adamw.beta2) as f32,
            size: (adamw.learning_rate / (1.0 - adamw.beta1.powi(self.n_steps))) as f32,
            correction: (1.0 - adamw.beta2.powi(self.n_steps)).sqrt() as f32,
            epsilon: adamw.epsilon as f32,
        };
        for (id, (weights, moments)) in values.iter_mut().zip(&mut self.of).enumerate() {
            let Some(gradient) = gradients.of(id) else {
                continue;
            };
            let width = weights.width();
            let moments = moments.get_or_insert_with(|| {
                let mut moments = Rows::new(2 * width);
                moments.set_rows(weights.n_rows());
                moments
            });
            each_two(weights, moments, |i, weights, moments| {
                let (means, squares) = moments.split_at_mut(width);
                update(isa, weights, means, squares, gradient.row(i), step);
            });
        }
    }

    /// Steps so far.
    pub(super) fn n_steps(&self) -> i32 {
        self.n_steps
    }

    /// A tensor's moments, row by row; `None` before its first step.
    pub(super) fn values(&self, id: usize) -> Option<Vec<f32>> {
        let rows = self.of.get(id)?.as_ref()?;
        Some(
            (0..rows.n_rows())
                .flat_map(|i| rows.row(i))
                .copied()
                .collect(),
        )
    }

    /// Puts back what [`Moments::values`] gave of a tensor like this one; false where it does not
    /// fit.
    pub(super) fn restore(&mut self, id: usize, values: Option<Vec<f32>>, like: &Rows) -> bool {
        self.of.resize_with(self.of.len().max(id + 1), || None);
        self.of[id] = None;
        let Some(values) = values else {
            return true;
        };
        let mut rows = Rows::new(2 * like.width());
        rows.set_rows(like.n_rows());
        if values.len() != rows.n_rows() * rows.width() {
            return false;
        }
        for (i, row) in values.chunks_exact(rows.width()).enumerate() {
            rows.row_mut(i).copy_from_slice(row);
        }
        self.of[id] = Some(rows);
        true
    }

    /// Puts back how many steps there were.
    pub(super) fn restore_steps(&mut self, n_steps: i32) {
        self.n_steps = n_steps;
    }
}

by_isa! {
    /// One row of one step.
    pub(crate) fn update(weights: &mut [f32], means: &mut [f32], squares: &mut [f32], gradient: &[f32], step: Step) {
        let moments = means.iter_mut().zip(squares);
        for ((w, (m, v)), g) in weights.iter_mut().zip(moments).zip(gradient) {
            *m = step.fresh1.mul_add(g - *m, *m);
            *v = v.mul_add(step.beta2, step.fresh2 * g * g);
            let root = v.sqrt() / step.correction + step.epsilon;
            *w = (-step.size).mul_add(*m / root, *w * step.keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First step, w = 1, g = 0.5, rate 0.1, decay 0.01: means and squares are corrected to g and
    /// g², so w becomes 1 · (1 − 0.001) − 0.1 · 0.5 / (0.5 + 1e-8) = 0.899.
    #[test]
    fn a_worked_step() {
        for isa in Isa::available() {
            let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
            let step = Step {
                keep: 0.999,
                fresh1: 0.1,
                beta2: 0.999,
                fresh2: 0.001,
                size: 0.1 / 0.1,
                correction: 0.001_f32.sqrt(),
                epsilon: 1e-8,
            };
            update(isa, &mut w, &mut m, &mut v, &[0.5], step);
            assert!((w[0] - 0.899).abs() < 1e-6, "{w:?}");
            assert!((m[0] - 0.05).abs() < 1e-7 && (v[0] - 0.000_25).abs() < 1e-9);
        }
    }
}
