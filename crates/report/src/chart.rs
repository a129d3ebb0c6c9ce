//! Dots with intervals, as small SVG cells that line up under one another.

use std::fmt::Write as _;

use crate::escape;
use crate::measure::{Axis, Reading};
use isogloss_record::number::decimal;

/// Width and side margin of a cell; the margin leaves room for half a dot.
const WIDTH: f64 = 108.0;
const MARGIN: f64 = 5.0;
/// Height of one model's line in a cell.
pub(crate) const LINE: f64 = 13.0;

/// The lines behind a column of cells, once per page; cells refer to them by their column.
pub(crate) fn grids(axes: &[Axis], marks: &[Vec<f64>], n_models: usize) -> String {
    let height = height(n_models);
    let mut svg = String::from(
        r#"<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>"#,
    );
    for (column, (axis, marks)) in axes.iter().zip(marks).enumerate() {
        write!(svg, r#"<g id="grid-{column}">"#).expect("writing to a string");
        for tick in axis.ticks() {
            write!(
                svg,
                r#"<path class="grid" d="M{:.1} 0V{height}"/>"#,
                x_of(*axis, tick)
            )
            .expect("writing to a string");
        }
        for mark in marks {
            write!(
                svg,
                r#"<path class="threshold" d="M{:.1} 0V{height}"/>"#,
                x_of(*axis, *mark)
            )
            .expect("writing to a string");
        }
        svg.push_str("</g>");
    }
    svg.push_str("</defs></svg>");
    svg
}

fn height(n_models: usize) -> f64 {
    LINE * n_models.max(1) as f64 + 4.0
}

/// One line per model: the interval, the value, and the floor as a tick under it, over the grid of
/// `column` (see [`grids`]); its `label` is what a screen reader says, nothing without one.
pub(crate) fn cell(
    column: usize,
    axis: Axis,
    readings: &[Option<Reading>],
    label: Option<&str>,
) -> String {
    let height = height(readings.len());
    let role = label.map_or_else(
        || r#"aria-hidden="true""#.to_owned(),
        |label| format!(r#"role="img" aria-label="{}""#, escape::html(label)),
    );
    let mut svg = format!(
        r##"<svg class="cell" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" {role}><use href="#grid-{column}"/>"##
    );
    for (model, reading) in readings.iter().enumerate() {
        let y = LINE * (model as f64 + 0.5) + 2.0;
        let Some(reading) = reading else { continue };
        let [low, value, high] = [reading.low, reading.value, reading.high].map(|x| x_of(axis, x));
        let class = model % N_MODEL_STYLES;
        if let Some(floor) = reading.floor {
            let x = x_of(axis, floor);
            let (top, bottom) = (y - 5.0, y + 5.0);
            write!(
                svg,
                r#"<path class="floor" d="M{x:.1} {top:.1}V{bottom:.1}"/>"#
            )
            .expect("writing to a string");
        }
        write!(
            svg,
            r#"<path class="m{class} range" d="M{low:.1} {y:.1}H{high:.1}"/><circle class="m{class} value" cx="{value:.1}" cy="{y:.1}" r="3.1"/>"#
        )
        .expect("writing to a string");
    }
    svg.push_str("</svg>");
    svg
}

/// Looks of models in the charts; the style sheet has as many.
pub(crate) const N_MODEL_STYLES: usize = 4;

/// The axis above a column of cells.
pub(crate) fn header(axis: Axis, marks: &[f64]) -> String {
    let height = 18.0;
    let mut svg = format!(
        r#"<svg class="cell axis" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" aria-hidden="true">"#
    );
    for tick in axis.ticks() {
        let x = x_of(axis, tick);
        let anchor = match x {
            x if x < 8.0 => "start",
            x if x > WIDTH - 8.0 => "end",
            _ => "middle",
        };
        let digits = if tick.fract().abs() < 1e-9 {
            0
        } else if (tick * 10.0).fract().abs() < 1e-6 {
            1
        } else {
            2
        };
        write!(
            svg,
            r#"<path class="grid" d="M{x:.1} 14V18"/><text x="{x:.1}" y="11" text-anchor="{anchor}">{}</text>"#,
            decimal(tick, digits)
        )
        .expect("writing to a string");
    }
    for &mark in marks {
        let x = x_of(axis, mark);
        write!(svg, r#"<path class="threshold" d="M{x:.1} 12V18"/>"#).expect("writing to a string");
    }
    svg.push_str("</svg>");
    svg
}

fn x_of(axis: Axis, value: f64) -> f64 {
    MARGIN + axis.place(value) * (WIDTH - 2.0 * MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_drawn_where_it_lies() {
        let axis = Axis {
            min: 0.0,
            max: 1.0,
            logarithmic: false,
        };
        let reading = Reading {
            value: 0.5,
            low: 0.25,
            high: 2.0,
            n: 12,
            floor: Some(0.0),
            details: Vec::new(),
        };
        let svg = cell(0, axis, &[None, Some(reading)], Some("a \"b\""));
        // 5 + 0.5 · 98 = 54; 5 + 0.25 · 98 = 29.5; beyond the axis sits on its end, 103.
        assert!(svg.contains(r#"cx="54.0" cy="21.5""#), "{svg}");
        assert!(svg.contains(r#"d="M29.5 21.5H103.0""#), "{svg}");
        assert!(svg.contains(r#"class="floor" d="M5.0"#), "{svg}");
        assert!(svg.contains(r#"aria-label="a &quot;b&quot;""#), "{svg}");
        assert!(cell(0, axis, &[], None).contains("aria-hidden"));
    }
}
