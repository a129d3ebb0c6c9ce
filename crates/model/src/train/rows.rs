//! Steps over whole activation buffers: copies, sums, two buffers written side by side.

use crate::arch::forward::each_row;
use crate::kernel::vector::add;
use crate::kernel::{Disjoint, Isa, Rows, parallel};

/// Rows below which two buffers are not worth a thread.
const MIN_ROWS: usize = 8;

/// `to = from`.
pub(super) fn copy(from: &Rows, to: &mut Rows) {
    to.set_rows(from.n_rows());
    each_row(to, |i, row| row.copy_from_slice(from.row(i)));
}

/// `to += from`.
pub(super) fn add_rows(isa: Isa, from: &Rows, to: &mut Rows) {
    each_row(to, |i, row| add(isa, row, from.row(i)));
}

/// As many zero rows as said.
pub(super) fn zero(rows: &mut Rows, n_rows: usize) {
    rows.set_rows(n_rows);
    each_row(rows, |_, row| row.fill(0.0));
}

/// Calls `f` on every row of two buffers of equal height.
#[expect(unsafe_code, reason = "threads write disjoint rows")]
pub(super) fn each_two(
    a: &mut Rows,
    b: &mut Rows,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send,
) {
    assert_eq!(a.n_rows(), b.n_rows(), "buffers of equal height");
    let n = a.n_rows();
    let (a_stride, a_width) = (a.stride(), a.width());
    let (b_stride, b_width) = (b.stride(), b.width());
    let (a, b) = (Disjoint::new(a.padded_mut()), Disjoint::new(b.padded_mut()));
    parallel(n, MIN_ROWS, |range| {
        for i in range {
            // SAFETY: ranges do not overlap, and each row of each buffer is visited once.
            let (a, b) = unsafe { (a.part(i * a_stride, a_width), b.part(i * b_stride, b_width)) };
            f(i, a, b);
        }
    });
}
