//! Products of integers: weights as they are stored in blocks, rows rounded to bytes.
//!
//! A row is cut into groups of 32 inputs, each with its own scale `d = max |x| / 127` and bytes
//! `round(x / d)`. Within a group of weights the products are summed exactly, as integers; each
//! output is the chain `c = fma(scale · Σ (q − zero) · a, d, c)`, then (where the grid has minima)
//! `c = fma(minimum, d · Σ a, c)`, over the groups in order. Integers are exact and the rest is a
//! fixed order of operations, so every instruction set gives the same bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use rayon::prelude::*;

use super::form::{Form, Grid};
use super::vector::by_isa;
use super::{Isa, NR, Rows};

/// Inputs of a row that share a scale.
const GROUP: usize = 32;
/// Smallest group of weights: sums of the bytes are kept for each.
const PART: usize = 16;
/// Values below which rounding rows is not worth a thread.
const ROW_WORK: usize = 1 << 14;
/// Most rows of a tile: their sums, twice sixteen outputs each in two kinds, fill the registers.
pub(crate) const INT8_ROWS: usize = 6;

/// Rows as bytes with their scales.
#[derive(Debug, Default)]
pub(crate) struct Int8Rows {
    n_in: usize,
    /// `[row][n_in]`.
    data: Vec<i8>,
    /// `[row][n_in / 32]`.
    scales: Vec<f32>,
    /// Sums of the bytes, `[row][n_in / 16]`.
    sums: Vec<i32>,
}

impl Int8Rows {
    /// Rounds all rows; the width is a whole number of groups.
    pub(crate) fn set(&mut self, isa: Isa, x: &Rows) {
        let (n_in, n_rows) = (x.width(), x.n_rows());
        self.n_in = n_in;
        if self.data.len() < n_rows * n_in {
            self.data.resize(n_rows * n_in, 0);
            self.scales.resize(n_rows * n_in / GROUP, 0.0);
            self.sums.resize(n_rows * n_in / PART, 0);
        }
        let (data, scales, sums) = (
            &mut self.data[..n_rows * n_in],
            &mut self.scales[..n_rows * n_in / GROUP],
            &mut self.sums[..n_rows * n_in / PART],
        );
        (data.par_chunks_mut(n_in))
            .zip(scales.par_chunks_mut(n_in / GROUP))
            .zip(sums.par_chunks_mut(n_in / PART))
            .enumerate()
            .with_min_len((ROW_WORK / n_in).max(1))
            .for_each(|(i, ((data, scales), sums))| round_row(isa, x.row(i), data, scales, sums));
    }
}

/// A row as bytes. A group that holds a value that is not finite gets a scale that is not a number,
/// so that the fault shows in the product.
fn round_row(isa: Isa, x: &[f32], to: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        #[expect(unsafe_code, reason = "needs the instruction set")]
        // SAFETY: an `Isa` is only made where the processor has it.
        unsafe {
            avx512::round_row(x, to, scales, sums);
        };
        return;
    }
    let _ = isa;
    each_group(x, to, scales, sums, round_group);
}

/// Calls `f` for every group with its bytes, its scale and the sums of its parts.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into each version of its callers"
)]
fn each_group(
    x: &[f32],
    to: &mut [i8],
    scales: &mut [f32],
    sums: &mut [i32],
    f: impl Fn(&[f32; GROUP], &mut [i8; GROUP], &mut f32, &mut [i32; GROUP / PART]),
) {
    let (groups, _) = x.as_chunks::<GROUP>();
    let (bytes, _) = to.as_chunks_mut::<GROUP>();
    let (sums, _) = sums.as_chunks_mut::<{ GROUP / PART }>();
    for (((x, to), scale), sums) in groups.iter().zip(bytes).zip(scales).zip(sums) {
        f(x, to, scale, sums);
    }
}

/// One group as bytes, with its scale and the sums of its two parts.
fn round_group(
    x: &[f32; GROUP],
    to: &mut [i8; GROUP],
    scale: &mut f32,
    sums: &mut [i32; GROUP / PART],
) {
    let largest = x
        .iter()
        .fold(0.0_f32, |a, x| if x.abs() > a { x.abs() } else { a });
    let finite = x.iter().all(|x| x.is_finite());
    *scale = if finite { largest / 127.0 } else { f32::NAN };
    let inverse = if finite && largest > 0.0 {
        127.0 / largest
    } else {
        0.0
    };
    for (x, to) in x.iter().zip(to.iter_mut()) {
        // |x · inverse| ≤ 127 up to one rounding: adding 1.5 · 2²³ rounds to an integer.
        let rounded = (x * inverse + 12_582_912.0).to_bits() as i8;
        *to = if finite { rounded } else { 0 };
    }
    for (sum, to) in sums.iter_mut().zip(to.as_chunks::<PART>().0) {
        *sum = to.iter().map(|x| i32::from(*x)).sum();
    }
}

/// Rows `first..first + rows` (at most 6) times a panel of [`Form::Grid`].
///
/// # Safety
/// `c` is writable for `rows` rows of 32 and nobody else uses it meanwhile.
#[expect(unsafe_code, reason = "raw output; all inputs are checked here")]
pub(crate) unsafe fn product(
    isa: Isa,
    x: &Int8Rows,
    (first, rows): (usize, usize),
    grid: Grid,
    panel: &[u8],
    c: *mut f32,
    c_stride: usize,
) {
    let n_in = x.n_in;
    let part = Part {
        n_in,
        data: &x.data[first * n_in..(first + rows) * n_in],
        scales: &x.scales[first * (n_in / GROUP)..(first + rows) * (n_in / GROUP)],
        sums: &x.sums[first * (n_in / PART)..(first + rows) * (n_in / PART)],
    };
    assert!(
        panel.len() == Form::Grid(grid).panel_bytes(n_in) && rows <= INT8_ROWS,
        "the panel has the rows' width"
    );
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: sizes were checked above, the processor has the instructions, and the caller
        // promises the output.
        unsafe { avx512::product(&part, rows, grid, panel, c, c_stride) };
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if isa != Isa::Portable {
        // SAFETY: as above; both other sets have AVX2.
        unsafe { avx2::product(&part, rows, grid, panel, c, c_stride) };
        return;
    }
    for i in 0..rows {
        let sums = chain(isa, &part, i, grid, panel);
        // SAFETY: the caller promises row `i` of the output.
        unsafe {
            c.add(i * c_stride)
                .cast::<[f32; NR]>()
                .write_unaligned(sums);
        };
    }
}

/// Some neighboring rows of [`Int8Rows`].
pub(crate) struct Part<'a> {
    n_in: usize,
    data: &'a [i8],
    scales: &'a [f32],
    sums: &'a [i32],
}

impl Part<'_> {
    /// Scale of the inputs of group `g` of a grid, and the sum of their bytes.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "compiled into each version of its callers"
    )]
    fn of_group(&self, row: usize, g: usize, grid: Grid) -> (f32, i32) {
        let scale = self.scales[row * (self.n_in / GROUP) + g * grid.group / GROUP];
        let sums = &self.sums[row * (self.n_in / PART)..];
        let sum = if grid.group == PART {
            sums[g]
        } else {
            sums[2 * g] + sums[2 * g + 1]
        };
        (scale, sum)
    }
}

by_isa! {
    /// One row times one panel.
    pub(crate) fn chain(x: &Part<'_>, row: usize, grid: Grid, panel: &[u8]) -> [f32; NR] {
        let mut acc = [0.0_f32; NR];
        let data = &x.data[row * x.n_in..(row + 1) * x.n_in];
        let groups = panel.chunks_exact(grid.group_bytes());
        for (g, (bytes, a)) in groups.zip(data.chunks_exact(grid.group)).enumerate() {
            let (numbers, integers) = bytes.split_at(4 * grid.n_floats());
            let number = |at: usize| {
                let bytes = &numbers[4 * at..4 * at + 4];
                f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
            };
            let (scale, sum) = x.of_group(row, g, grid);
            let mut dots = [-i32::from(grid.zero) * sum; NR];
            let together = 32 / grid.bits;
            let (words, _) = integers.as_chunks::<{ 4 * NR }>();
            for (words, a) in words.iter().zip(a.chunks_exact(together)) {
                for (dot, word) in dots.iter_mut().zip(words.as_chunks::<4>().0) {
                    let word = u32::from_ne_bytes(*word);
                    for (i, a) in a.iter().enumerate() {
                        let q = if grid.bits == 4 {
                            word >> (8 * (i % 4) + i / 4 * 4) & 15
                        } else {
                            word >> (8 * i) & 255
                        };
                        *dot += q as i32 * i32::from(*a);
                    }
                }
            }
            for (j, (acc, dot)) in acc.iter_mut().zip(dots).enumerate() {
                *acc = (dot as f32 * number(j)).mul_add(scale, *acc);
                if grid.has_minimum {
                    *acc = number(NR + j).mul_add(scale * sum as f32, *acc);
                }
            }
        }
        acc
    }
}
