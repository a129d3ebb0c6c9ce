//! The inner tile of every matrix product: up to 12 rows × 32 columns, kept in registers.
//!
//! Each element is the chain `c = fma(a[k], b[k], c)` over k in order, on every instruction set.
//! Twelve rows of two 512-bit vectors are 24 accumulators: enough to hide the latency of the
//! fused multiply-add, few enough for 32 registers.

use super::Isa;

/// Columns of a tile and of a weight panel.
pub(crate) const NR: usize = 32;
/// Most rows of a tile.
pub(crate) const MAX_ROWS: usize = 12;

/// One tile of work: `c[i][j] (+)= Σ_k a[i][k] · b[k][j]` for i < rows, j < 32.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Rows, 1 to 12.
    pub(crate) rows: usize,
    /// Length of the chain.
    pub(crate) k: usize,
    pub(crate) a: *const f32,
    /// Floats between rows of `a`.
    pub(crate) a_stride: usize,
    pub(crate) b: *const f32,
    /// Floats between rows (k) of `b`.
    pub(crate) b_stride: usize,
    pub(crate) c: *mut f32,
    /// Floats between rows of `c`.
    pub(crate) c_stride: usize,
    /// Whether the chain goes on from what `c` holds; else it starts at 0.
    pub(crate) resume: bool,
}

/// Computes a tile.
///
/// # Safety
/// `a` must be readable for `rows` rows of `k`, `b` for `k` rows of 32, `c` writable for `rows`
/// rows of 32 (32 columns even where fewer are wanted), `c` must not overlap the others, and the
/// processor must have `isa`.
#[expect(
    unsafe_code,
    reason = "raw tiles: bounds are checked once per matrix, not per tile"
)]
pub(crate) unsafe fn tile(isa: Isa, t: &Tile) {
    macro_rules! by_rows {
        ($kernel:ident) => {
            // SAFETY: passed on from the caller.
            unsafe {
                match t.rows {
                    1 => $kernel::<1>(t),
                    2 => $kernel::<2>(t),
                    3 => $kernel::<3>(t),
                    4 => $kernel::<4>(t),
                    5 => $kernel::<5>(t),
                    6 => $kernel::<6>(t),
                    7 => $kernel::<7>(t),
                    8 => $kernel::<8>(t),
                    9 => $kernel::<9>(t),
                    10 => $kernel::<10>(t),
                    11 => $kernel::<11>(t),
                    12 => $kernel::<12>(t),
                    rows => unreachable!("a tile has 1 to 12 rows, not {rows}"),
                }
            }
        };
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => by_rows!(tile_avx512),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => by_rows!(tile_avx2),
        _ => by_rows!(tile_portable),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile_avx512<const ROWS: usize>(t: &Tile) {
    use std::arch::x86_64::{
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: all pointers stay within the ranges that the caller of `tile` promises.
    unsafe {
        if t.resume {
            for (i, acc) in acc.iter_mut().enumerate() {
                acc[0] = _mm512_loadu_ps(t.c.add(i * t.c_stride));
                acc[1] = _mm512_loadu_ps(t.c.add(i * t.c_stride + 16));
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let b0 = _mm512_loadu_ps(b);
            let b1 = _mm512_loadu_ps(b.add(16));
            for (i, acc) in acc.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(i * t.a_stride));
                acc[0] = _mm512_fmadd_ps(a, b0, acc[0]);
                acc[1] = _mm512_fmadd_ps(a, b1, acc[1]);
            }
            a = a.add(1);
            b = b.add(t.b_stride);
        }
        for (i, acc) in acc.iter().enumerate() {
            _mm512_storeu_ps(t.c.add(i * t.c_stride), acc[0]);
            _mm512_storeu_ps(t.c.add(i * t.c_stride + 16), acc[1]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile_avx2<const ROWS: usize>(t: &Tile) {
    // Sixteen registers hold 3 rows × 4 vectors: taller tiles are done three rows at a time.
    let mut first = 0;
    while first < ROWS {
        let part = Tile {
            a: t.a.wrapping_add(first * t.a_stride),
            c: t.c.wrapping_add(first * t.c_stride),
            ..*t
        };
        // SAFETY: rows `first..` of the caller's tile.
        unsafe {
            match ROWS - first {
                1 => strip_avx2::<1>(&part),
                2 => strip_avx2::<2>(&part),
                _ => strip_avx2::<3>(&part),
            }
        }
        first += 3;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn strip_avx2<const ROWS: usize>(t: &Tile) {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mut acc = [[_mm256_setzero_ps(); 4]; ROWS];
    // SAFETY: all pointers stay within the ranges that the caller of `tile` promises.
    unsafe {
        if t.resume {
            for (i, acc) in acc.iter_mut().enumerate() {
                for (j, acc) in acc.iter_mut().enumerate() {
                    *acc = _mm256_loadu_ps(t.c.add(i * t.c_stride + 8 * j));
                }
            }
        }
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k {
            let mut a_rows = [_mm256_setzero_ps(); ROWS];
            for (i, a_row) in a_rows.iter_mut().enumerate() {
                *a_row = _mm256_set1_ps(*a.add(i * t.a_stride));
            }
            for j in 0..4 {
                let b = _mm256_loadu_ps(b.add(8 * j));
                for (acc, a_row) in acc.iter_mut().zip(a_rows) {
                    acc[j] = _mm256_fmadd_ps(a_row, b, acc[j]);
                }
            }
            a = a.add(1);
            b = b.add(t.b_stride);
        }
        for (i, acc) in acc.iter().enumerate() {
            for (j, acc) in acc.iter().enumerate() {
                _mm256_storeu_ps(t.c.add(i * t.c_stride + 8 * j), *acc);
            }
        }
    }
}

#[expect(unsafe_code, reason = "raw tiles")]
unsafe fn tile_portable<const ROWS: usize>(t: &Tile) {
    for i in 0..ROWS {
        // SAFETY: row `i` of the ranges that the caller of `tile` promises.
        unsafe {
            let a = t.a.add(i * t.a_stride);
            let c = t.c.add(i * t.c_stride).cast::<[f32; NR]>();
            let mut acc = if t.resume {
                c.read_unaligned()
            } else {
                [0.0; NR]
            };
            for k in 0..t.k {
                let (a, b) = (*a.add(k), &*t.b.add(k * t.b_stride).cast::<[f32; NR]>());
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = a.mul_add(*b, *acc);
                }
            }
            c.write_unaligned(acc);
        }
    }
}
