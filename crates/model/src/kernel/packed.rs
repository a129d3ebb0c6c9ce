//! A weight matrix in panels of 32 outputs, each in the form its rows are stored in.

use rayon::prelude::*;

use super::form::{Form, Quants};
use super::{Compute, NR};

/// The rows of a matrix, as they are stored; called from several threads.
pub(crate) trait WeightRows: Sync {
    /// How row `row` is stored.
    fn form(&self, row: usize) -> Form;

    /// Row `row` as floats.
    fn values(&self, row: usize, to: &mut [f32]);

    /// The 16-bit floats of a row stored as [`Form::F16`] or [`Form::Bf16`].
    fn halves(&self, row: usize, to: &mut [u16]);

    /// The integers of a row stored as [`Form::Grid`].
    fn quants(&self, row: usize, to: &mut Quants);
}

/// Sixteen floats of one cache line, so that no vector straddles two.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A panel: where it begins, in lines, and how it is stored.
#[derive(Debug, Clone, Copy)]
struct Panel {
    form: Form,
    first: usize,
}

/// A weight matrix `[n_out, n_in]` in panels of 32 outputs; missing outputs of the last are 0.
#[derive(Debug)]
pub(crate) struct Packed {
    n_out: usize,
    n_in: usize,
    compute: Compute,
    panels: Vec<Panel>,
    lines: Vec<Line>,
}

/// Panels of a matrix and its lines.
fn layout(
    n_out: usize,
    n_in: usize,
    compute: Compute,
    rows: &impl WeightRows,
) -> (Vec<Panel>, usize) {
    let mut n_lines = 0;
    let panels: Vec<Panel> = (0..n_out.div_ceil(NR))
        .map(|p| {
            let stored = rows.form(p * NR);
            let same = (p * NR..n_out.min(p * NR + NR)).all(|i| rows.form(i) == stored);
            let wanted = match compute {
                Compute::Bf16 => Form::Bf16,
                Compute::F32 | Compute::Int8 if same => stored,
                Compute::F32 | Compute::Int8 => Form::F32,
            };
            let form = if wanted.fits(n_in) { wanted } else { Form::F32 };
            let first = n_lines;
            n_lines += form.panel_bytes(n_in) / size_of::<Line>();
            Panel { form, first }
        })
        .collect();
    (panels, n_lines)
}

impl Packed {
    /// Packs `n_out` rows of `n_in` floats; `read_row(i, row)` fills row `i` and is called once for
    /// each, from several threads.
    ///
    /// `Err(i)`: row `i` holds a value that is not finite.
    #[cfg(test)]
    pub(crate) fn new(
        n_out: usize,
        n_in: usize,
        read_row: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Self, usize> {
        struct Floats<F>(F);
        impl<F: Fn(usize, &mut [f32]) + Sync> WeightRows for Floats<F> {
            fn form(&self, _: usize) -> Form {
                Form::F32
            }
            fn values(&self, row: usize, to: &mut [f32]) {
                (self.0)(row, to);
            }
            fn halves(&self, _: usize, _: &mut [u16]) {}
            fn quants(&self, _: usize, _: &mut Quants) {}
        }
        Self::of_rows(n_out, n_in, Compute::F32, &Floats(read_row))
    }

    /// Packs `n_out` rows of `n_in` in the form in which they are stored, for products in `compute`.
    /// A panel whose rows are stored in several forms, or one that rows of `n_in` do not fill, holds
    /// floats.
    ///
    /// `Err(i)`: row `i` holds a value that is not finite.
    pub(crate) fn of_rows(
        n_out: usize,
        n_in: usize,
        compute: Compute,
        rows: &impl WeightRows,
    ) -> Result<Self, usize> {
        let (panels, n_lines) = layout(n_out, n_in, compute, rows);
        let mut lines = vec![Line([0; 64]); n_lines];
        let mut pieces = Vec::with_capacity(panels.len());
        let mut rest = lines.as_mut_slice();
        for (p, panel) in panels.iter().enumerate() {
            let n = panel.form.panel_bytes(n_in) / size_of::<Line>();
            let (piece, after) = rest.split_at_mut(n);
            pieces.push((p, panel.form, piece));
            rest = after;
        }
        pieces.into_par_iter().try_for_each_init(
            Scratch::default,
            |scratch, (p, form, piece)| {
                let first = p * NR;
                let n = NR.min(n_out - first);
                pack(form, n_in, first..first + n, rows, piece, scratch)
            },
        )?;
        Ok(Self {
            n_out,
            n_in,
            compute,
            panels,
            lines,
        })
    }

    /// Bytes that [`Packed::of_rows`] would take; no value is read.
    pub(crate) fn bytes_of(
        n_out: usize,
        n_in: usize,
        compute: Compute,
        rows: &impl WeightRows,
    ) -> usize {
        layout(n_out, n_in, compute, rows).1 * size_of::<Line>()
    }

    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    /// In what products with it are computed.
    pub(crate) fn compute(&self) -> Compute {
        self.compute
    }

    /// Panels, the last one perhaps padded.
    pub(crate) fn n_panels(&self) -> usize {
        self.panels.len()
    }

    /// Bytes of memory.
    pub(crate) fn n_bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    /// One panel and its form: [`Form::panel_bytes`] bytes that begin on a cache line.
    pub(crate) fn panel(&self, panel: usize) -> (Form, &[u8]) {
        let Panel { form, first } = self.panels[panel];
        let n = form.panel_bytes(self.n_in) / size_of::<Line>();
        (form, bytes(&self.lines[first..first + n]))
    }

    /// One panel of floats, `[n_in][32]`.
    pub(crate) fn floats(panel: &[u8]) -> &[f32] {
        floats(panel)
    }

    /// Whether some panel is stored as integers, so that the rows are wanted as bytes too.
    pub(crate) fn has_grid(&self) -> bool {
        self.panels
            .iter()
            .any(|panel| matches!(panel.form, Form::Grid(_)))
    }
}

/// Rows before they are put side by side.
#[derive(Default)]
struct Scratch {
    floats: Vec<f32>,
    halves: Vec<u16>,
    quants: Vec<Quants>,
}

/// Fills one panel with rows `range`; `Err(i)`: row `i` is not finite.
fn pack(
    form: Form,
    n_in: usize,
    range: std::ops::Range<usize>,
    rows: &impl WeightRows,
    panel: &mut [Line],
    scratch: &mut Scratch,
) -> Result<(), usize> {
    match form {
        Form::F32 => {
            let values = values(n_in, range.clone(), rows, scratch)?;
            let (columns, _) = floats_mut(panel).as_chunks_mut::<NR>();
            for (k, column) in columns.iter_mut().enumerate() {
                for (j, x) in column.iter_mut().take(range.len()).enumerate() {
                    *x = values[j * n_in + k];
                }
            }
        }
        Form::Bf16 if rows.form(range.start) != Form::Bf16 => {
            // Rounded here; stored bfloat16 is taken as it is below.
            let values = values(n_in, range.clone(), rows, scratch)?;
            let (pairs, _) = halves_mut(panel).as_chunks_mut::<{ 2 * NR }>();
            for (k, pair) in pairs.iter_mut().enumerate() {
                for j in 0..range.len() {
                    for i in 0..2 {
                        pair[2 * j + i] = super::bf16::rounded(values[j * n_in + 2 * k + i]);
                    }
                }
            }
        }
        Form::F16 | Form::Bf16 => {
            scratch.halves.resize(NR * n_in, 0);
            for (row, to) in range.clone().zip(scratch.halves.chunks_exact_mut(n_in)) {
                rows.halves(row, to);
                let largest = if form == Form::F16 { 0x7C00 } else { 0x7F80 };
                if to.iter().any(|bits| bits & largest == largest) {
                    return Err(row);
                }
            }
            let n_together = form.step();
            let columns = halves_mut(panel).chunks_exact_mut(n_together * NR);
            for (k, column) in columns.enumerate() {
                for j in 0..range.len() {
                    for i in 0..n_together {
                        column[n_together * j + i] = scratch.halves[j * n_in + n_together * k + i];
                    }
                }
            }
        }
        Form::Grid(grid) => {
            scratch.quants.resize(NR, Quants::default());
            for (row, to) in range.clone().zip(&mut scratch.quants) {
                if to.q.len() != n_in || to.scales.len() != n_in / grid.group {
                    *to = Quants::new(n_in, grid.group);
                }
                rows.quants(row, to);
                if !(to.scales.iter().chain(&to.minima)).all(|x| x.is_finite()) {
                    return Err(row);
                }
            }
            let groups = bytes_mut(panel).chunks_exact_mut(grid.group_bytes());
            for (g, to) in groups.enumerate() {
                let (numbers, integers) = to.split_at_mut(grid.n_floats() * size_of::<f32>());
                let (numbers, _) = numbers.as_chunks_mut::<4>();
                for (j, row) in scratch.quants.iter().take(range.len()).enumerate() {
                    numbers[j] = row.scales[g].to_ne_bytes();
                    if grid.has_minimum {
                        numbers[NR + j] = row.minima[g].to_ne_bytes();
                    }
                    let (fours, _) = row.q[g * grid.group..][..grid.group].as_chunks::<4>();
                    let (words, _) = integers.as_chunks_mut::<4>();
                    if grid.bits == 8 {
                        for (k, four) in fours.iter().enumerate() {
                            words[k * NR + j] = *four;
                        }
                    } else {
                        let (pairs, _) = fours.as_chunks::<2>();
                        for (k, [low, high]) in pairs.iter().enumerate() {
                            let both = u32::from_ne_bytes(*low) | u32::from_ne_bytes(*high) << 4;
                            words[k * NR + j] = both.to_ne_bytes();
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Rows `range` as floats, one after the other.
fn values<'a>(
    n_in: usize,
    range: std::ops::Range<usize>,
    rows: &impl WeightRows,
    scratch: &'a mut Scratch,
) -> Result<&'a [f32], usize> {
    scratch.floats.resize(NR * n_in, 0.0);
    for (row, to) in range.zip(scratch.floats.chunks_exact_mut(n_in)) {
        rows.values(row, to);
        // A sum of zeros times values is 0 unless one is infinite or not a number.
        if !to.iter().map(|x| x * 0.0).sum::<f32>().is_finite() {
            return Err(row);
        }
    }
    Ok(&scratch.floats)
}

#[expect(unsafe_code, reason = "lines seen as bytes")]
fn bytes(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 bytes without padding, and bytes may hold anything.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

#[expect(unsafe_code, reason = "lines seen as bytes")]
fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: as above; the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}

#[expect(unsafe_code, reason = "lines seen as floats")]
fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: a line is sixteen floats, aligned; every bit pattern is a float.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines) / 4) }
}

#[expect(unsafe_code, reason = "lines seen as 16-bit floats")]
fn halves_mut(lines: &mut [Line]) -> &mut [u16] {
    // SAFETY: a line is 32 halves, aligned; every bit pattern is valid.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines) / 2) }
}

#[expect(unsafe_code, reason = "bytes of a panel seen as floats")]
fn floats(panel: &[u8]) -> &[f32] {
    // SAFETY: every bit pattern is a float; an unaligned or torn end is left out.
    let (before, floats, after) = unsafe { panel.align_to::<f32>() };
    assert!(
        before.is_empty() && after.is_empty(),
        "panels begin on a line and hold whole floats"
    );
    floats
}
