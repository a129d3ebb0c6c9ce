//! Compact panels and small numbers: every form, every instruction set.

use proptest::prelude::*;

use super::form::{Form, Grid, Quants};
use super::gemm::{dot, gemm};
use super::{Compute, Isa, Packed, Rows, WeightRows};

/// A pseudo-random number of its place.
fn mixed(seed: u32, i: usize, j: usize) -> u32 {
    (seed ^ (i as u32).wrapping_mul(0x9E37_79B9) ^ (j as u32).wrapping_mul(0x85EB_CA6B))
        .wrapping_mul(0xC2B2_AE35)
        .rotate_left(13)
        .wrapping_mul(0x27D4_EB2F)
}

/// In −1..1.
fn value(seed: u32, i: usize, j: usize) -> f32 {
    (mixed(seed, i, j) >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// Weights of one form, made up.
struct Made {
    form: Form,
    seed: u32,
}

impl Made {
    fn quant(&self, grid: Grid, row: usize, k: usize) -> (u8, f32, f32) {
        let q = mixed(self.seed, row, k) >> 16;
        let q = if grid.bits == 4 { q & 15 } else { q & 255 };
        let g = k / grid.group;
        let scale = value(!self.seed, row, g);
        let minimum = if grid.has_minimum {
            value(self.seed ^ 0x4D, row, g)
        } else {
            0.0
        };
        (q as u8, scale, minimum)
    }

    fn weight(&self, row: usize, k: usize) -> f32 {
        match self.form {
            Form::F32 => value(self.seed, row, k),
            Form::F16 => half::f16::from_bits(self.half(row, k)).to_f32(),
            Form::Bf16 => half::bf16::from_bits(self.half(row, k)).to_f32(),
            Form::Grid(grid) => {
                let (q, scale, minimum) = self.quant(grid, row, k);
                if grid.has_minimum {
                    scale * f32::from(q) + minimum
                } else {
                    scale * (f32::from(q) - f32::from(grid.zero))
                }
            }
        }
    }

    fn half(&self, row: usize, k: usize) -> u16 {
        let x = value(self.seed, row, k);
        if self.form == Form::F16 {
            half::f16::from_f32(x).to_bits()
        } else {
            half::bf16::from_f32(x).to_bits()
        }
    }
}

impl WeightRows for Made {
    fn form(&self, _: usize) -> Form {
        self.form
    }
    fn values(&self, row: usize, to: &mut [f32]) {
        for (k, x) in to.iter_mut().enumerate() {
            *x = self.weight(row, k);
        }
    }
    fn halves(&self, row: usize, to: &mut [u16]) {
        for (k, x) in to.iter_mut().enumerate() {
            *x = self.half(row, k);
        }
    }
    fn quants(&self, row: usize, to: &mut Quants) {
        let Form::Grid(grid) = self.form else { return };
        for k in 0..to.q.len() {
            let (q, scale, minimum) = self.quant(grid, row, k);
            (
                to.q[k],
                to.scales[k / grid.group],
                to.minima[k / grid.group],
            ) = (q, scale, minimum);
        }
    }
}

fn grids() -> Vec<Grid> {
    let grid = |bits, group, zero, has_minimum| Grid {
        bits,
        group,
        zero,
        has_minimum,
    };
    vec![
        grid(4, 32, 8, false),
        grid(4, 32, 0, true),
        grid(8, 32, 128, false),
        grid(8, 32, 0, true),
        grid(8, 16, 32, false),
        grid(4, 16, 0, true),
        grid(4, 16, 4, false),
    ]
}

fn rows(seed: u32, n: usize, width: usize) -> Rows {
    let mut rows = Rows::new(width);
    rows.set_rows(n);
    for i in 0..n {
        for (j, x) in rows.row_mut(i).iter_mut().enumerate() {
            *x = value(seed, i, j);
        }
    }
    rows
}

fn product(isa: Isa, x: &Rows, w: &Packed) -> Rows {
    let mut y = Rows::new(w.n_out());
    gemm(isa, x, w, &mut y);
    y
}

fn one(x: &Rows, i: usize) -> Rows {
    let mut row = Rows::new(x.width());
    row.set_rows(1);
    row.row_mut(0).copy_from_slice(x.row(i));
    row
}

/// A row as bytes, by the definition: (bytes, scales).
fn rounded(x: &[f32]) -> (Vec<i32>, Vec<f32>) {
    let mut bytes = Vec::new();
    let mut scales = Vec::new();
    for group in x.chunks(32) {
        let largest = group.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
        scales.push(largest / 127.0);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        bytes.extend(group.iter().map(|x| (x * inverse).round_ties_even() as i32));
    }
    (bytes, scales)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Weights of every form times floats: the chain over k of the unpacked weights, bit for bit,
    /// alone (in registers) as among many rows (unpacked first), on every instruction set.
    #[test]
    fn compact_weights_give_the_chain_of_their_values(m in 1..20_usize, n in 1..70_usize, steps in 1..5_usize, seed: u32) {
        let k = 32 * steps;
        let forms = grids().into_iter().map(Form::Grid).chain([Form::F32, Form::F16, Form::Bf16]);
        for form in forms {
            let made = Made { form, seed };
            let w = Packed::of_rows(n, k, Compute::F32, &made).unwrap();
            prop_assert_eq!(w.n_bytes(), n.div_ceil(32) * form.panel_bytes(k));
            let x = rows(!seed, m, k);
            for isa in Isa::available() {
                let y = product(isa, &x, &w);
                for i in 0..m {
                    let alone = product(isa, &one(&x, i), &w);
                    for j in 0..n {
                        let chain = (0..k).fold(0.0_f32, |sum, l| x.row(i)[l].mul_add(made.weight(j, l), sum));
                        prop_assert_eq!(y.row(i)[j].to_bits(), chain.to_bits(), "{:?} {:?}", form, isa);
                        prop_assert_eq!(alone.row(0)[j].to_bits(), chain.to_bits(), "{:?} {:?}", form, isa);
                    }
                }
            }
        }
    }

    /// Integers times bytes: the definition, bit for bit, alone as among others, on every
    /// instruction set.
    #[test]
    fn integers_give_the_chain_over_groups(m in 1..15_usize, n in 1..70_usize, steps in 1..5_usize, seed: u32) {
        let k = 32 * steps;
        for grid in grids() {
            let made = Made { form: Form::Grid(grid), seed };
            let w = Packed::of_rows(n, k, Compute::Int8, &made).unwrap();
            let x = rows(!seed, m, k);
            let rounded: Vec<_> = (0..m).map(|i| rounded(x.row(i))).collect();
            let want = |i: usize, j: usize| {
                let (bytes, scales) = &rounded[i];
                (0..k / grid.group).fold(0.0_f32, |sum, g| {
                    let inputs = g * grid.group..(g + 1) * grid.group;
                    let (_, scale, minimum) = made.quant(grid, j, inputs.start);
                    let d = scales[inputs.start / 32];
                    let dot: i32 = inputs.clone()
                        .map(|l| (i32::from(made.quant(grid, j, l).0) - i32::from(grid.zero)) * bytes[l])
                        .sum();
                    let total: i32 = inputs.map(|l| bytes[l]).sum();
                    let sum = (dot as f32 * scale).mul_add(d, sum);
                    if grid.has_minimum { minimum.mul_add(d * total as f32, sum) } else { sum }
                })
            };
            for isa in Isa::available() {
                let y = product(isa, &x, &w);
                for i in 0..m {
                    for j in 0..n {
                        prop_assert_eq!(y.row(i)[j].to_bits(), want(i, j).to_bits(), "{:?} {:?}", grid, isa);
                    }
                    let j = (seed as usize + i) % n;
                    prop_assert_eq!(dot(isa, &one(&x, i), &w, j).to_bits(), want(i, j).to_bits());
                }
            }
        }
    }

    /// bfloat16: near the sum of the rounded numbers, and the same bits alone as among others.
    #[test]
    fn bfloat16_gives_the_sum_of_rounded_numbers(m in 1..30_usize, n in 1..70_usize, steps in 1..40_usize, seed: u32) {
        let k = 2 * steps;
        let made = Made { form: Form::F32, seed };
        let w = Packed::of_rows(n, k, Compute::Bf16, &made).unwrap();
        let x = rows(!seed, m, k);
        let round = |x: f32| f64::from(half::bf16::from_f32(x).to_f32());
        for isa in Isa::available() {
            let y = product(isa, &x, &w);
            for i in 0..m {
                let alone = product(isa, &one(&x, i), &w);
                for j in 0..n {
                    let terms = (0..k).map(|l| round(x.row(i)[l]) * round(made.weight(j, l)));
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                    prop_assert!((f64::from(y.row(i)[j]) - sum).abs() <= 1e-6 * size, "{:?}", isa);
                    prop_assert_eq!(y.row(i)[j].to_bits(), alone.row(0)[j].to_bits());
                }
            }
        }
    }

    /// The fast rounding is the library's.
    #[test]
    fn bfloat16_is_rounded_to_nearest_even(bits: u32) {
        let x = f32::from_bits(bits);
        let (found, want) = (super::bf16::rounded(x), half::bf16::from_f32(x));
        if x.is_nan() {
            prop_assert!(half::bf16::from_bits(found).is_nan());
        } else {
            prop_assert_eq!(found, want.to_bits());
        }
    }
}

/// A row that is not finite does not become a plain number when it is rounded to bytes.
#[test]
fn a_fault_shows_through_bytes() {
    let made = Made {
        form: Form::Grid(grids()[1]),
        seed: 3,
    };
    let w = Packed::of_rows(40, 96, Compute::Int8, &made).unwrap();
    for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = rows(5, 3, 96);
        x.row_mut(1)[70] = fault;
        for isa in Isa::available() {
            let y = product(isa, &x, &w);
            assert!(y.row(1).iter().all(|y| y.is_nan()));
            assert!(y.row(0).iter().chain(y.row(2)).all(|y| y.is_finite()));
        }
    }
}

/// A scale that is not finite is found, and so are halves.
#[test]
fn weights_that_are_not_finite_are_found() {
    struct Bad(Form);
    impl WeightRows for Bad {
        fn form(&self, _: usize) -> Form {
            self.0
        }
        fn values(&self, _: usize, _: &mut [f32]) {}
        fn halves(&self, row: usize, to: &mut [u16]) {
            to.fill(if row == 35 { 0xFF80 } else { 0x3C00 });
        }
        fn quants(&self, row: usize, to: &mut Quants) {
            to.scales.fill(if row == 35 { f32::INFINITY } else { 1.0 });
        }
    }
    for form in [Form::F16, Form::Bf16, Form::Grid(grids()[0])] {
        let found = Packed::of_rows(40, 32, Compute::F32, &Bad(form));
        assert_eq!(found.unwrap_err(), 35, "{form:?}");
    }
}
