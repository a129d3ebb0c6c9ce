//! The world map: land, and one sign per language at its home, as one SVG.
//!
//! Projection: Equal Earth, so that an area of the page is the same area everywhere on the globe.
//! Source: Šavrič, Patterson and Jenny 2018, "The Equal Earth map projection", eq. 8 to 10.

use std::fmt::Write as _;

use crate::escape;
use crate::marks;
use crate::place::{self, Dot, Label};
use isogloss_record::survey::Verdict;

/// Natural Earth's land in tenths of degrees, one ring a line.
const LAND: &str = include_str!("../../../packs/map/land-110m.txt");

/// Width of the drawing in its own units; the page scales it.
const WIDTH: f64 = 1000.0;
/// Latitudes that are shown; beyond them no language has its home.
const SOUTH: f64 = -57.0;
const NORTH: f64 = 80.0;

/// A language on the map.
pub(crate) struct Place<'a> {
    pub(crate) code: &'a str,
    pub(crate) name: &'a str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) verdict: Verdict,
    pub(crate) provisional: bool,
    /// The sentence of the tooltip.
    pub(crate) reason: &'a str,
    /// Larger is labelled first.
    pub(crate) weight: u64,
}

/// Whether the map reaches so far north or south, in degrees.
pub(crate) fn shows(latitude: f64) -> bool {
    (SOUTH..=NORTH).contains(&latitude)
}

/// The land and the frame, drawn once per page and used by every map.
pub(crate) fn background() -> String {
    let height = height();
    let mut svg = String::from(
        r#"<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><clipPath id="frame"><path d=""#,
    );
    let edge = |longitude: f64| {
        (0..=24).map(move |i| (longitude, SOUTH + (NORTH - SOUTH) * f64::from(i) / 24.0))
    };
    let outline: Vec<(f64, f64)> = edge(180.0)
        .chain(edge(-180.0).rev())
        .map(|(lon, lat)| project(lon, lat))
        .collect();
    let frame = path(&outline, true);
    svg.push_str(&frame);
    svg.push_str(r#""/></clipPath><g id="land"><path class="sea" d=""#);
    svg.push_str(&frame);
    svg.push_str(r#""/><g clip-path="url(#frame)"><path class="graticule" d=""#);
    for meridian in (-150..180).step_by(30) {
        let line: Vec<_> = edge(f64::from(meridian))
            .map(|(lon, lat)| project(lon, lat))
            .collect();
        svg.push_str(&path(&line, false));
    }
    for parallel in [-30.0, 0.0, 30.0, 60.0] {
        svg.push_str(&path(
            &[project(-180.0, parallel), project(180.0, parallel)],
            false,
        ));
    }
    svg.push_str(r#""/><path class="land" d=""#);
    for ring in LAND.lines().filter(|line| !line.starts_with('#')) {
        let points: Vec<_> = ring.split(' ').filter_map(point).collect();
        svg.push_str(&path(&points, true));
    }
    svg.push_str("\"/></g></g></defs></svg>");
    debug_assert!(height > 0.0);
    svg
}

/// A map of signs over the background.
pub(crate) fn draw(places: &[Place], title: &str) -> String {
    let radius = match places.len() {
        0..=40 => 6.6,
        41..=120 => 4.6,
        _ => 3.4,
    };
    // Languages that are served are drawn over those that are not.
    let mut order: Vec<&Place> = places.iter().collect();
    order.sort_by_key(|place| {
        (
            std::cmp::Reverse(marks::rank(place.verdict)),
            std::cmp::Reverse(place.weight),
            place.code,
        )
    });
    let mut dots: Vec<Dot> = order
        .iter()
        .map(|place| {
            let (x, y) = project(place.longitude, place.latitude);
            // A provisional sign has a ring around it.
            let radius = if place.provisional {
                radius * 1.5
            } else {
                radius
            };
            Dot { x, y, radius }
        })
        .collect();
    place::spread(&mut dots);
    let mut by_weight: Vec<usize> = (0..order.len()).collect();
    by_weight.sort_by_key(|&i| (std::cmp::Reverse(order[i].weight), order[i].code));
    let names: Vec<(usize, &str)> = by_weight.iter().map(|&i| (i, order[i].name)).collect();
    let labels = place::labels(&dots, &names, (WIDTH, height()));

    let mut svg = format!(
        r##"<svg class="map" viewBox="0 0 {WIDTH} {:.0}" role="group" aria-label="{}"><use href="#land"/>"##,
        height(),
        escape::html(title),
    );
    let scale = radius / 5.0;
    for (place, dot) in order.iter().zip(&dots) {
        let id = marks::id(place.verdict);
        let ring = if place.provisional {
            r##"<use href="#g-provisional"/>"##
        } else {
            ""
        };
        let provisional = if place.provisional {
            " (provisional)"
        } else {
            ""
        };
        write!(
            svg,
            concat!(
                r##"<a href="#lang-{code}" data-code="{code}" class="dot {id}"><title>{name}: {word}{provisional}. {reason}</title>"##,
                r##"<g transform="translate({x:.1} {y:.1})"><g class="sign" transform="scale({scale:.2})"><circle r="10" class="touch"/><circle r="6.6" class="halo"/><use href="#g-{id}"/>{ring}</g></g></a>"##,
            ),
            code = escape::html(place.code),
            id = id,
            name = escape::html(place.name),
            word = marks::word(place.verdict),
            provisional = provisional,
            reason = escape::html(place.reason),
            x = dot.x,
            y = dot.y,
            scale = scale,
            ring = ring,
        )
        .expect("writing to a string");
    }
    for Label { dot, x, y, anchor } in labels {
        write!(
            svg,
            r#"<text data-code="{}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" aria-hidden="true">{}</text>"#,
            escape::html(order[dot].code),
            escape::html(order[dot].name),
        )
        .expect("writing to a string");
    }
    svg.push_str("</svg>");
    svg
}

/// Equal Earth: degrees -> units of the drawing, y downward from its upper edge.
fn project(longitude: f64, latitude: f64) -> (f64, f64) {
    let (x, y) = equal_earth(longitude, latitude);
    let scale = WIDTH / (2.0 * equal_earth(180.0, 0.0).0);
    (
        WIDTH / 2.0 + x * scale,
        (equal_earth(0.0, NORTH).1 - y) * scale,
    )
}

fn height() -> f64 {
    project(0.0, SOUTH).1
}

/// Equal Earth on the unit sphere. Range: |x| ≤ 2.7066, |y| ≤ 1.3174.
fn equal_earth(longitude: f64, latitude: f64) -> (f64, f64) {
    const A: [f64; 4] = [1.340_264, -0.081_106, 0.000_893, 0.003_796];
    let root = 3.0_f64.sqrt();
    let theta = (root / 2.0 * latitude.to_radians().sin()).asin();
    let (t2, t6) = (theta.powi(2), theta.powi(6));
    let slope = 9.0 * A[3] * t6 * t2 + 7.0 * A[2] * t6 + 3.0 * A[1] * t2 + A[0];
    let x = 2.0 * root * longitude.to_radians() * theta.cos() / (3.0 * slope);
    let y = theta * (A[3] * t6 * t2 + A[2] * t6 + A[1] * t2 + A[0]);
    (x, y)
}

/// `longitude,latitude` in tenths of degrees -> projected point.
fn point(text: &str) -> Option<(f64, f64)> {
    let (longitude, latitude) = text.split_once(',')?;
    Some(project(
        longitude.parse::<f64>().ok()? / 10.0,
        latitude.parse::<f64>().ok()? / 10.0,
    ))
}

/// An SVG path in relative steps of a tenth of a unit; points closer than half a unit are skipped.
fn path(points: &[(f64, f64)], closed: bool) -> String {
    let tenths = |x: f64| (x * 10.0).round() as i64;
    let mut text = String::new();
    let mut last: Option<(i64, i64)> = None;
    for (i, &(x, y)) in points.iter().enumerate() {
        let (x, y) = (tenths(x), tenths(y));
        match last {
            None => write!(text, "M{} {}l", tenth(x), tenth(y)).expect("writing to a string"),
            Some((x0, y0)) => {
                if (x - x0).abs() + (y - y0).abs() < 5 && i + 1 < points.len() {
                    continue;
                }
                write!(text, "{} {} ", tenth(x - x0), tenth(y - y0)).expect("writing to a string");
            }
        }
        last = Some((x, y));
    }
    let mut text = text.trim_end().to_owned();
    if closed {
        text.push('Z');
    }
    text
}

/// A tenth, without a needless `.0`.
fn tenth(x: i64) -> String {
    if x % 10 == 0 {
        (x / 10).to_string()
    } else {
        format!("{:.1}", x as f64 / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_has_the_published_extent() {
        // Equal Earth's width is 2.7066 to each side and its height 1.3174 (Šavrič et al., §4).
        let (x, y) = equal_earth(180.0, 0.0);
        assert!((x - 2.706_63).abs() < 1e-4, "{x}");
        assert!(y.abs() < 1e-12);
        let (x, y) = equal_earth(0.0, 90.0);
        assert!(x.abs() < 1e-12);
        assert!((y - 1.317_36).abs() < 1e-4, "{y}");
    }

    #[test]
    fn the_projection_keeps_areas() {
        // The Jacobian over cos(latitude) is the same everywhere on an equal-area map.
        let density = |lon: f64, lat: f64| {
            let h = 1e-4;
            let (x1, y1) = equal_earth(lon, lat);
            let (x2, y2) = equal_earth(lon + h, lat);
            let (x3, y3) = equal_earth(lon, lat + h);
            ((x2 - x1) * (y3 - y1) - (x3 - x1) * (y2 - y1)) / (h * h * lat.to_radians().cos())
        };
        let equator = density(0.0, 0.0);
        for (lon, lat) in [(0.0, 60.0), (150.0, -35.0), (-100.0, 45.0), (20.0, 75.0)] {
            let ratio = density(lon, lat) / equator;
            assert!((ratio - 1.0).abs() < 1e-3, "{lon} {lat}: {ratio}");
        }
    }

    #[test]
    fn every_ring_of_the_land_is_drawn() {
        let rings = LAND.lines().filter(|line| !line.starts_with('#'));
        for ring in rings.clone() {
            assert!(ring.split(' ').all(|text| point(text).is_some()), "{ring}");
        }
        assert!(rings.count() > 100);
        assert_eq!(
            path(&[(0.0, 0.0), (10.0, 0.5), (10.1, 0.5), (0.0, 3.0)], true),
            "M0 0l10 0.5 -10 2.5Z"
        );
    }
}
