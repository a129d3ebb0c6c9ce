//! The arithmetic of the engine: matrix products, norms, rotations, softmax, on plain `f32` rows.
//!
//! One rule makes every result independent of batch size, threads, prefix sharing and instruction
//! set: **each output element is one chain of operations in a fixed order.** A matrix product is
//! a chain of fused multiply-adds over k = 0, 1, 2 …; a sum over a row runs in sixteen lanes (lane =
//! index modulo 16) that are folded in a fixed tree. Blocking, threads and vectors only decide
//! *which* elements are computed side by side, never the order inside one.
//!
//! ```text
//! gemm (packed weights)      \
//!                            micro (tiles of 12 × 32)   vector, gradient (rows: norm, softmax, gates, exp)
//! product (changing weights) /
//!            \______________________ parallel (thread split) ______________________/
//! ```

pub(crate) mod gemm;
pub(crate) mod gradient;
mod micro;
mod parallel;
pub(crate) mod product;
mod rows;
mod transpose;
pub(crate) mod vector;

pub(crate) use gemm::{Packed, gemm};
pub(crate) use micro::{MAX_ROWS, NR, Tile, tile};
pub(crate) use parallel::{Disjoint, parallel};
pub(crate) use rows::Rows;
pub(crate) use transpose::transpose;

/// Instruction set that the kernels use. All give the same bytes; only the speed differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors.
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// What the compiler makes of plain Rust.
    Portable,
}

impl Isa {
    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// All that this processor can run, best first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have one only")]
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.insert(0, Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
            {
                all.insert(0, Self::Avx512);
            }
        }
        all
    }
}
