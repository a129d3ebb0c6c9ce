//! Few rows times a compact panel (decoding): weights are unpacked in registers and never stored.
//!
//! The same chain of the same weights as [`super::unpack`] followed by [`super::micro`] computes,
//! so the same bytes. Only for 512-bit vectors; others unpack first.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, __m512i, _mm_cvtsi32_si128, _mm256_loadu_si256, _mm512_add_ps, _mm512_and_si512,
    _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32,
    _mm512_srl_epi32, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::form::{Form, Grid};
use super::{Isa, NR};

/// Most rows that are worth unpacking weights for in registers.
pub(crate) const THIN_ROWS: usize = 4;

/// `c[i][j] = Σ_k a[i][k] · w[j][k]` for 1 to 4 rows and the 32 outputs of one panel.
pub(crate) struct Thin<'a> {
    pub(crate) form: Form,
    pub(crate) panel: &'a [u8],
    pub(crate) n_in: usize,
    /// `rows` rows of at least `n_in`, `a_stride` apart.
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_stride: usize,
}

impl Thin<'_> {
    /// Computes it; `false`: not for this instruction set or form, nothing was done.
    ///
    /// # Safety
    /// `c` is writable for `rows` rows of 32 and nobody else uses it meanwhile.
    #[expect(unsafe_code, reason = "raw output; all inputs are checked here")]
    pub(crate) unsafe fn run(&self, isa: Isa) -> bool {
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512 && (1..=THIN_ROWS).contains(&self.rows) {
            assert!(
                self.a.len() >= (self.rows - 1) * self.a_stride + self.n_in,
                "the rows lie in their buffer"
            );
            assert!(
                self.form.fits(self.n_in) && self.panel.len() == self.form.panel_bytes(self.n_in),
                "the panel has the rows' width"
            );
            // SAFETY: sizes were checked above, `c` by the caller; the processor has AVX-512.
            unsafe {
                match self.rows {
                    1 => self.by_form::<1>(),
                    2 => self.by_form::<2>(),
                    3 => self.by_form::<3>(),
                    _ => self.by_form::<4>(),
                }
            }
            return self.form != Form::F32;
        }
        let _ = isa;
        false
    }

    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "raw kernels")]
    unsafe fn by_form<const ROWS: usize>(&self) {
        // SAFETY: passed on from the caller.
        unsafe {
            match self.form {
                Form::F32 => {}
                Form::F16 => self.f16::<ROWS>(),
                Form::Bf16 => self.bf16::<ROWS>(),
                Form::Grid(g) => match (g.bits, g.has_minimum) {
                    (4, false) => self.grid::<ROWS, 4, false>(g),
                    (4, true) => self.grid::<ROWS, 4, true>(g),
                    (_, false) => self.grid::<ROWS, 8, false>(g),
                    (_, true) => self.grid::<ROWS, 8, true>(g),
                },
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "raw loads, bounds checked in `run`")]
    unsafe fn f16<const ROWS: usize>(&self) {
        let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
        // SAFETY: `run` checked the sizes.
        unsafe {
            for k in 0..self.n_in {
                let at = self.panel.as_ptr().add(k * 2 * NR);
                for half in 0..2 {
                    let w = _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32 * half).cast()));
                    self.step(&mut acc, half, k, w);
                }
            }
            self.store(&acc);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "raw loads, bounds checked in `run`")]
    unsafe fn bf16<const ROWS: usize>(&self) {
        let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
        let high = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
        // SAFETY: `run` checked the sizes.
        unsafe {
            for k in (0..self.n_in).step_by(2) {
                let at = self.panel.as_ptr().add(k * 2 * NR);
                for half in 0..2 {
                    let pair = _mm512_loadu_si512(at.add(64 * half).cast());
                    self.step(&mut acc, half, k, as_floats(_mm512_slli_epi32::<16>(pair)));
                    self.step(
                        &mut acc,
                        half,
                        k + 1,
                        as_floats(_mm512_and_si512(pair, high)),
                    );
                }
            }
            self.store(&acc);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "raw loads, bounds checked in `run`")]
    #[expect(clippy::cast_ptr_alignment, reason = "groups begin on a cache line")]
    unsafe fn grid<const ROWS: usize, const BITS: usize, const MINIMUM: bool>(&self, grid: Grid) {
        let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
        let zero = _mm512_set1_ps(f32::from(grid.zero));
        let mask = _mm512_set1_epi32(if BITS == 4 { 15 } else { 255 });
        // Inputs whose integers share 32 bits.
        let together = 32 / BITS;
        // SAFETY: `run` checked the sizes.
        unsafe {
            for g in 0..self.n_in / grid.group {
                let at = self.panel.as_ptr().add(g * grid.group_bytes());
                let numbers = at.cast::<f32>();
                let integers = at.add(grid.n_floats() * size_of::<f32>());
                for half in 0..2 {
                    let scale = _mm512_loadu_ps(numbers.add(16 * half));
                    let minimum = if MINIMUM {
                        _mm512_loadu_ps(numbers.add(NR + 16 * half))
                    } else {
                        zero
                    };
                    for t in 0..grid.group / together {
                        let words = _mm512_loadu_si512(integers.add(t * 4 * NR + 64 * half).cast());
                        for i in 0..together {
                            let shift = if BITS == 4 {
                                8 * (i % 4) + i / 4 * 4
                            } else {
                                8 * i
                            };
                            let q = shifted(words, shift as i32);
                            // The last byte has nothing above it.
                            let q = if shift + BITS == 32 {
                                q
                            } else {
                                _mm512_and_si512(q, mask)
                            };
                            let q = _mm512_cvtepi32_ps(q);
                            let w = if MINIMUM {
                                _mm512_add_ps(_mm512_mul_ps(scale, q), minimum)
                            } else {
                                _mm512_mul_ps(scale, _mm512_sub_ps(q, minimum))
                            };
                            self.step(&mut acc, half, g * grid.group + t * together + i, w);
                        }
                    }
                }
            }
            self.store(&acc);
        }
    }

    /// One input of half a panel, for all rows.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[inline]
    #[expect(unsafe_code, reason = "raw loads, bounds checked in `run`")]
    unsafe fn step<const ROWS: usize>(
        &self,
        acc: &mut [[__m512; 2]; ROWS],
        half: usize,
        k: usize,
        w: __m512,
    ) {
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: k < n_in, and `run` checked that the rows lie in `a`.
            let a = unsafe { *self.a.as_ptr().add(i * self.a_stride + k) };
            acc[half] = _mm512_fmadd_ps(_mm512_set1_ps(a), w, acc[half]);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[inline]
    #[expect(unsafe_code, reason = "raw stores, promised by the caller of `run`")]
    unsafe fn store<const ROWS: usize>(&self, acc: &[[__m512; 2]; ROWS]) {
        for (i, acc) in acc.iter().enumerate() {
            for (half, acc) in acc.iter().enumerate() {
                // SAFETY: the caller of `run` promises `rows` rows of 32.
                unsafe { _mm512_storeu_ps(self.c.add(i * self.c_stride + 16 * half), *acc) }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn shifted(words: __m512i, shift: i32) -> __m512i {
    // The loops around it are unrolled: the shift becomes an immediate.
    match shift {
        0 => words,
        4 => _mm512_srli_epi32::<4>(words),
        8 => _mm512_srli_epi32::<8>(words),
        12 => _mm512_srli_epi32::<12>(words),
        16 => _mm512_srli_epi32::<16>(words),
        20 => _mm512_srli_epi32::<20>(words),
        24 => _mm512_srli_epi32::<24>(words),
        28 => _mm512_srli_epi32::<28>(words),
        other => _mm512_srl_epi32(words, _mm_cvtsi32_si128(other)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn as_floats(bits: __m512i) -> __m512 {
    std::arch::x86_64::_mm512_castsi512_ps(bits)
}
