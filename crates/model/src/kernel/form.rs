//! How the weights of a panel lie in memory.
//!
//! A panel holds 32 outputs. Weights that a checkpoint stores in blocks of small integers stay
//! integers, so a model takes as much memory here as on disk, and few rows (decoding) read few
//! bytes. Every form gives the same `f32` weight as reading the checkpoint does, bit for bit.
//!
//! | form | one step of a panel | bytes |
//! |---|---|---|
//! | [`Form::F32`] | one input: 32 values | 128 |
//! | [`Form::F16`] | one input: 32 halves | 64 |
//! | [`Form::Bf16`] | two inputs: for each output a pair | 128 |
//! | [`Form::Grid`] | 16 or 32 inputs: 32 scales, 32 minima (if any), the integers | see [`Grid`] |

use super::NR;

/// Storage of one panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    F32,
    F16,
    Bf16,
    Grid(Grid),
}

/// Integers on a grid: `scale · (q − zero) + minimum`, one scale for `group` neighboring inputs.
///
/// Integers of four neighboring inputs of one output are neighbors (what a dot product of bytes
/// takes at once), sixteen outputs follow each other, then the other sixteen. With 4 bits, a byte
/// holds input k + i in its low half and k + 4 + i in its high one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// 4 or 8.
    pub(crate) bits: usize,
    /// Inputs that share a scale: 16 or 32.
    pub(crate) group: usize,
    /// The integer that stands for 0.
    pub(crate) zero: u8,
    pub(crate) has_minimum: bool,
}

impl Grid {
    /// Floats before the integers of a group.
    pub(crate) fn n_floats(self) -> usize {
        if self.has_minimum { 2 * NR } else { NR }
    }

    /// Bytes of one group of a panel.
    pub(crate) fn group_bytes(self) -> usize {
        self.n_floats() * size_of::<f32>() + self.group * NR * self.bits / 8
    }
}

impl Form {
    /// Inputs of one step.
    pub(crate) fn step(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Bf16 => 2,
            Self::Grid(grid) => grid.group,
        }
    }

    /// Bytes of one step.
    pub(crate) fn step_bytes(self) -> usize {
        match self {
            Self::F32 | Self::Bf16 => NR * size_of::<f32>(),
            Self::F16 => NR * 2,
            Self::Grid(grid) => grid.group_bytes(),
        }
    }

    /// Whether rows of `n_in` are a whole number of steps.
    pub(crate) fn fits(self, n_in: usize) -> bool {
        n_in.is_multiple_of(self.step())
    }

    /// Bytes of a panel with `n_in` inputs.
    pub(crate) fn panel_bytes(self, n_in: usize) -> usize {
        n_in / self.step() * self.step_bytes()
    }
}

/// The integers of one row, with their scales and minima.
#[derive(Debug, Default, Clone)]
pub(crate) struct Quants {
    /// One for each input.
    pub(crate) q: Vec<u8>,
    /// One for each group.
    pub(crate) scales: Vec<f32>,
    /// One for each group; zeros where the grid has none.
    pub(crate) minima: Vec<f32>,
}

impl Quants {
    /// Room for a row of `n_in`.
    pub(crate) fn new(n_in: usize, group: usize) -> Self {
        Self {
            q: vec![0; n_in],
            scales: vec![0.0; n_in / group],
            minima: vec![0.0; n_in / group],
        }
    }
}
