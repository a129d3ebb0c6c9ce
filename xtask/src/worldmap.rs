//! The land of the world, for the atlas's map: TopoJSON of Natural Earth -> `packs/map/land-110m.txt`.
//!
//! `cargo xtask worldmap FOLDER [--check]`, where FOLDER is the unpacked npm package
//! `world-atlas@2.0.2` (Natural Earth 4.1, public domain; packaging ISC). The written file keeps
//! degrees, so that the projection has one home (`isogloss-report`).

use std::fmt::Write as _;
use std::path::Path;

use isogloss_record::files;
use serde::Deserialize;

/// A point in degrees: longitude, latitude.
type Degrees = [f64; 2];

/// Rings wholly south of this are left out: no language has its home in Antarctica.
const SOUTHERN_LIMIT: f64 = -60.0;

#[derive(Deserialize)]
struct Topology {
    transform: Transform,
    arcs: Vec<Vec<[i64; 2]>>,
    objects: Objects,
}

#[derive(Deserialize)]
struct Transform {
    scale: [f64; 2],
    translate: [f64; 2],
}

#[derive(Deserialize)]
struct Objects {
    land: Collection,
}

#[derive(Deserialize)]
struct Collection {
    geometries: Vec<Geometry>,
}

#[derive(Deserialize)]
struct Geometry {
    /// Polygons of rings of arc numbers; a negative number is the arc `!number`, backwards.
    arcs: Vec<Vec<Vec<i64>>>,
}

/// Writes the map's land, or checks that the committed one is what it would write.
pub(crate) fn run(folder: &Path, check: bool) -> Result<String, String> {
    let source = folder.join("land-110m.json");
    let json = files::read_to_string(&source).map_err(|error| error.to_string())?;
    let text = land(&json).map_err(|error| format!("`{}`: {error}", source.display()))?;
    let target = crate::root().join("packs/map/land-110m.txt");
    let n_rings = text.lines().filter(|line| !line.starts_with('#')).count();
    let what = format!("{n_rings} rings, {} bytes", text.len());
    if check {
        let committed = files::read_to_string(&target).map_err(|error| error.to_string())?;
        if committed != text {
            return Err(
                "`packs/map/land-110m.txt` is not what the package gives; run without `--check`"
                    .into(),
            );
        }
        return Ok(format!("the map is fresh: {what}"));
    }
    files::create_dir_all(&crate::root().join("packs/map")).map_err(|error| error.to_string())?;
    files::write_atomic(&target, text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(format!("wrote packs/map/land-110m.txt: {what}"))
}

/// One ring a line, `longitude,latitude` in tenths of a degree, separated by spaces.
fn land(topojson: &str) -> Result<String, String> {
    let topology: Topology = serde_json::from_str(topojson).map_err(|error| error.to_string())?;
    let mut text = String::from(
        "# Land of the world, 1:110 million: Natural Earth 4.1 (public domain), from the npm package\n\
         # world-atlas 2.0.2 (ISC). One ring a line: longitude,latitude in tenths of a degree.\n\
         # Rings are cut where they cross the antimeridian; Antarctica is left out.\n\
         # Written by `cargo xtask worldmap`; do not edit.\n",
    );
    let rings = topology
        .objects
        .land
        .geometries
        .iter()
        .flat_map(|geometry| geometry.arcs.iter().flatten());
    for ring in rings {
        for piece in cut_at_antimeridian(&points(&topology, ring)?) {
            let mut tenths: Vec<[i64; 2]> = piece
                .iter()
                .map(|point| point.map(|degrees| (degrees * 10.0).round() as i64))
                .collect();
            tenths.dedup();
            let drawn = piece.iter().any(|point| point[1] > SOUTHERN_LIMIT);
            if !drawn || tenths.len() < 4 {
                continue;
            }
            for (i, [lon, lat]) in tenths.iter().enumerate() {
                let space = if i == 0 { "" } else { " " };
                write!(text, "{space}{lon},{lat}").expect("writing to a string");
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// The points of one ring, its arcs joined end to end.
fn points(topology: &Topology, ring: &[i64]) -> Result<Vec<Degrees>, String> {
    let Transform { scale, translate } = &topology.transform;
    let mut points: Vec<Degrees> = Vec::new();
    for &number in ring {
        let index = if number < 0 { !number } else { number } as usize;
        let arc = topology.arcs.get(index).ok_or(format!("no arc {index}"))?;
        let (mut x, mut y) = (0, 0);
        let mut decoded: Vec<Degrees> = arc
            .iter()
            .map(|[dx, dy]| {
                x += dx;
                y += dy;
                [
                    x as f64 * scale[0] + translate[0],
                    y as f64 * scale[1] + translate[1],
                ]
            })
            .collect();
        if number < 0 {
            decoded.reverse();
        }
        // The first point of an arc is the last of the one before.
        points.extend(decoded.iter().skip(usize::from(!points.is_empty())));
    }
    Ok(points)
}

/// Splits a ring wherever its longitude jumps by more than 180°, else it would draw a bar across
/// the map. Each piece is led to the edge of the map at the latitude of the crossing.
fn cut_at_antimeridian(ring: &[Degrees]) -> Vec<Vec<Degrees>> {
    let mut pieces: Vec<Vec<Degrees>> = vec![Vec::new()];
    for (i, &point) in ring.iter().enumerate() {
        if i > 0 {
            let before = ring[i - 1];
            if (point[0] - before[0]).abs() > 180.0 {
                let edge = 180.0_f64.copysign(before[0]);
                let (to_edge, from_edge) = (180.0 - before[0].abs(), 180.0 - point[0].abs());
                let share = if to_edge + from_edge > 0.0 {
                    to_edge / (to_edge + from_edge)
                } else {
                    0.5
                };
                let latitude = before[1] + share * (point[1] - before[1]);
                pieces
                    .last_mut()
                    .expect("never empty")
                    .push([edge, latitude]);
                pieces.push(vec![[-edge, latitude]]);
            }
        }
        pieces.last_mut().expect("never empty").push(point);
    }
    // The ring began somewhere in the middle of a piece: its end continues its beginning.
    if pieces.len() > 1 {
        let mut last = pieces.pop().expect("more than one");
        last.extend(pieces[0].iter().skip(1));
        pieces[0] = last;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_over_the_antimeridian_becomes_two() {
        // A square from 179° E to 179° W, 0° to 2° N: the crossings are half-way, at 180°.
        let ring = [
            [179.0, 0.0],
            [-179.0, 0.0],
            [-179.0, 2.0],
            [179.0, 2.0],
            [179.0, 0.0],
        ];
        let pieces = cut_at_antimeridian(&ring);
        assert_eq!(
            pieces,
            [
                vec![[180.0, 2.0], [179.0, 2.0], [179.0, 0.0], [180.0, 0.0]],
                vec![[-180.0, 0.0], [-179.0, 0.0], [-179.0, 2.0], [-180.0, 2.0]],
            ]
        );
    }

    #[test]
    fn a_ring_elsewhere_stays_whole() {
        let ring = [[10.0, 0.0], [20.0, 0.0], [20.0, 9.0], [10.0, 0.0]];
        assert_eq!(cut_at_antimeridian(&ring), [ring.to_vec()]);
    }

    #[test]
    fn arcs_are_decoded_joined_and_reversed() {
        // Arc 0 runs (0,0) (10,0) (10,10); arc 1, used backwards, runs (0,0) (0,10) (10,10).
        let json = r#"{
            "transform": {"scale": [1, 1], "translate": [0, 0]},
            "arcs": [[[0, 0], [10, 0], [0, 10]], [[0, 0], [0, 10], [10, 0]]],
            "objects": {"land": {"geometries": [{"arcs": [[[0, -2]]]}]}}
        }"#;
        let text = land(json).unwrap();
        assert_eq!(text.lines().last().unwrap(), "0,0 100,0 100,100 0,100 0,0");
        assert!(land("{}").unwrap_err().contains("missing field"));
    }
}
