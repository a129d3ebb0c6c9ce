//! Speed of the kernels alone and of the memory, for the benchmark programs.

use std::time::Instant;

use rayon::prelude::*;

use crate::kernel::form::{Form, Grid, Quants};
use crate::kernel::{Compute, Isa, Packed, Rows, WeightRows, gemm};

/// Made-up weights: floats, or for [`Compute::Int8`] 4-bit integers with minima.
struct Made(Compute);

const GRID: Grid = Grid {
    bits: 4,
    group: 32,
    zero: 0,
    has_minimum: true,
};

fn value(i: usize, j: usize) -> f32 {
    ((i * 31 + j * 17) % 101) as f32 / 101.0 - 0.5
}

impl WeightRows for Made {
    fn form(&self, _: usize) -> Form {
        match self.0 {
            Compute::Int8 => Form::Grid(GRID),
            Compute::F32 | Compute::Bf16 => Form::F32,
        }
    }
    fn values(&self, row: usize, to: &mut [f32]) {
        for (k, x) in to.iter_mut().enumerate() {
            *x = value(row, k);
        }
    }
    fn halves(&self, _: usize, _: &mut [u16]) {}
    fn quants(&self, row: usize, to: &mut Quants) {
        for (k, q) in to.q.iter_mut().enumerate() {
            *q = ((row * 7 + k * 5) % 16) as u8;
        }
        to.scales.fill(0.01);
        to.minima.fill(-0.08);
    }
}

/// GFLOP/s of one matrix product `[m, k] · [n, k]ᵀ` in `compute` (integer operations count as
/// floating-point ones), repeated for about a tenth of a second; `k` is a multiple of 32.
pub fn gemm_gflops(
    isa: Isa,
    threads: usize,
    compute: Compute,
    (m, n, k): (usize, usize, usize),
) -> f64 {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
        return f64::NAN;
    };
    pool.install(|| {
        let Ok(w) = Packed::of_rows(n, k, compute, &Made(compute)) else {
            return f64::NAN;
        };
        let (mut x, mut y) = (Rows::new(k), Rows::new(n));
        x.set_rows(m);
        for i in 0..m {
            for (j, x) in x.row_mut(i).iter_mut().enumerate() {
                *x = value(i + 7, j);
            }
        }
        gemm(isa, &x, &w, &mut y);
        let flops = 2.0 * m as f64 * n as f64 * k as f64;
        let n_times = (1e10 / flops).clamp(1.0, 2_000.0) as usize;
        let start = Instant::now();
        for _ in 0..n_times {
            gemm(isa, &x, &w, &mut y);
        }
        flops * n_times as f64 / start.elapsed().as_secs_f64() / 1e9
    })
}

/// The best that this machine does on a product in `compute` from the caches, GFLOP/s: a small one
/// on every thread.
pub fn peak_gflops(isa: Isa, threads: usize, compute: Compute) -> f64 {
    let one = || gemm_gflops(isa, 1, compute, (48, 32, 512));
    let mut best: f64 = 0.0;
    for _ in 0..5 {
        let sum = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            handles
                .into_iter()
                .filter_map(|h| h.join().ok())
                .sum::<f64>()
        });
        best = best.max(sum);
    }
    best
}

/// GB/s at which `threads` threads read memory that no cache holds: the best of five passes over
/// 256 MB.
pub fn read_gigabytes_per_second(threads: usize) -> f64 {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
        return f64::NAN;
    };
    let data = vec![1_u64; 32 << 20];
    let part = data.len() / threads.max(1);
    pool.install(|| {
        let mut best: f64 = 0.0;
        for _ in 0..5 {
            let start = Instant::now();
            let sum: u64 = data
                .par_chunks(part.max(1))
                .map(|part| part.iter().fold(0, |sum: u64, x| sum.wrapping_add(*x)))
                .sum();
            std::hint::black_box(sum);
            best = best.max(size_of_val(data.as_slice()) as f64 / start.elapsed().as_secs_f64());
        }
        best / 1e9
    })
}
