//! The arithmetic of the engine: matrix products, norms, rotations, softmax, on plain `f32` rows.
//!
//! One rule makes every result independent of batch size, threads, prefix sharing and instruction
//! set: **each output element is one chain of operations in a fixed order.** A matrix product is
//! a chain of fused multiply-adds over k = 0, 1, 2 …; a sum over a row runs in sixteen lanes (lane =
//! index modulo 16) that are folded in a fixed tree. Blocking, threads and vectors only decide
//! *which* elements are computed side by side, never the order inside one. (The pair products of
//! [`bf16`] are the one exception: their inner rounding is the processor's.)
//!
//! ```text
//! packed (panels, form) -> gemm ---> unpack | thin (compact panels, in floats) \
//!                            |  \--> int8, bf16 (products of small numbers)     micro (tiles of 12 × 32)
//! product (changing weights) -------------------------------------------------- /
//! vector, gradient: rows (norm, softmax, gates, exp)      parallel: split over threads
//! ```

mod bf16;
pub(crate) mod form;
pub(crate) mod gemm;
pub(crate) mod gradient;
mod int8;
mod micro;
mod packed;
mod parallel;
pub(crate) mod product;
mod product_bf16;
mod rows;
#[cfg(test)]
mod tests;
mod thin;
mod transpose;
mod unpack;
pub(crate) mod vector;

pub(crate) use gemm::gemm;
pub(crate) use micro::{MAX_ROWS, NR, Tile, tile};
pub(crate) use packed::{Packed, WeightRows};
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

/// In what numbers the products with the weights are computed; everything else is `f32`.
///
/// One way of computing gives the same bytes for any batch and threads; two ways differ by their
/// rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// `f32`: the reference. Weights stored in fewer bits are unpacked exactly.
    #[default]
    F32,
    /// Weights and activations rounded to bfloat16, sums in `f32`.
    Bf16,
    /// Weights that the checkpoint stores in blocks of integers are multiplied as they are, with
    /// activations rounded to 8 bits (a scale for every 32 of a row); other weights as in
    /// [`Compute::F32`].
    Int8,
}

impl Compute {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Its name in commands and fingerprints: `f32`, `bf16`, `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}
