//! Speed of the kernels alone, for the benchmark program.

use std::time::Instant;

use crate::kernel::{Isa, Packed, Rows, gemm};

/// GFLOP/s of one matrix product `[m, k] · [n, k]ᵀ`, repeated for about a tenth of a second.
pub fn gemm_gflops(isa: Isa, threads: usize, m: usize, n: usize, k: usize) -> f64 {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
        return f64::NAN;
    };
    let fill = |i: usize, row: &mut [f32]| {
        for (j, x) in row.iter_mut().enumerate() {
            *x = ((i * 31 + j * 17) % 101) as f32 / 101.0 - 0.5;
        }
    };
    pool.install(|| {
        let Ok(w) = Packed::new(n, k, fill) else {
            return f64::NAN;
        };
        let (mut x, mut y) = (Rows::new(k), Rows::new(n));
        x.set_rows(m);
        for i in 0..m {
            fill(i + 7, x.row_mut(i));
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

/// The best that this machine does on fused multiply-adds from the first cache, GFLOP/s: a small
/// product on every thread.
pub fn peak_gflops(isa: Isa, threads: usize) -> f64 {
    let one = || gemm_gflops(isa, 1, 12, 32, 256);
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
