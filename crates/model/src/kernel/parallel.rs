//! Splitting work over the current rayon pool, and writing to disjoint parts of one buffer.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// Calls `f` on ranges that cover `0..n`, each at least `min_len` long (but the last).
///
/// Runs on the calling thread where there is one thread or little work.
pub(crate) fn parallel(n: usize, min_len: usize, f: impl Fn(Range<usize>) + Sync + Send) {
    let n_threads = rayon::current_num_threads();
    let n_tasks = (n / min_len.max(1)).min(4 * n_threads);
    if n_threads == 1 || n_tasks <= 1 {
        if n > 0 {
            f(0..n);
        }
        return;
    }
    // Whole rounds: with fewer tasks than threads × rounds the last round would idle.
    let n_tasks = if n_tasks > n_threads {
        n_tasks / n_threads * n_threads
    } else {
        n_tasks
    };
    (0..n_tasks)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|t| f(t * n / n_tasks..(t + 1) * n / n_tasks));
}

/// A buffer to which several threads write, each to its own part.
#[derive(Clone, Copy)]
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

#[expect(
    unsafe_code,
    reason = "shared between the threads of one parallel section"
)]
// SAFETY: the pointer is only dereferenced through unsafe methods whose callers promise that
// concurrent parts do not overlap.
unsafe impl Send for Disjoint<'_> {}
#[expect(
    unsafe_code,
    reason = "shared between the threads of one parallel section"
)]
// SAFETY: as above.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(crate) fn new(buffer: &'a mut [f32]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            len: buffer.len(),
            life: PhantomData,
        }
    }

    /// Pointer to element `at`, with `n` elements behind it inside the buffer.
    pub(crate) fn pointer(self, at: usize, n: usize) -> *mut f32 {
        assert!(
            at.checked_add(n).is_some_and(|end| end <= self.len),
            "part lies in the buffer"
        );
        self.start.wrapping_add(at)
    }

    /// The part `at..at + n`.
    ///
    /// # Safety
    /// No other thread reads or writes this part while the slice lives.
    #[expect(unsafe_code, reason = "the caller's promise of disjoint parts")]
    pub(crate) unsafe fn part(self, at: usize, n: usize) -> &'a mut [f32] {
        let start = self.pointer(at, n);
        // SAFETY: `pointer` checked the bounds; the caller promises exclusive use.
        unsafe { std::slice::from_raw_parts_mut(start, n) }
    }
}
