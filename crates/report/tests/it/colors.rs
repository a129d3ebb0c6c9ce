//! The colors of the style sheet: contrast by WCAG 2.2, and apart for the color-blind.

use std::collections::BTreeMap;

use isogloss_report::{AtlasOptions, atlas_html};

use crate::fixture;

type Rgb = [f64; 3];

/// `--name: #rrggbb` of the light theme and of the dark one, as linear light.
fn themes() -> [BTreeMap<String, Rgb>; 2] {
    let html = atlas_html(&fixture::survey(), None, &AtlasOptions::default()).unwrap();
    let start = html.find("<style>").unwrap();
    let css = &html[start..html.find("</style>").unwrap()];
    let dark = css.find("prefers-color-scheme: dark").unwrap();
    let light = variables(&css[css.find(":root {").unwrap()..dark]);
    let mut both = light.clone();
    let end = dark + css[dark..].find("\n}\n").unwrap();
    both.extend(variables(&css[dark..end]));
    [light, both]
}

fn variables(css: &str) -> BTreeMap<String, Rgb> {
    css.split("--")
        .skip(1)
        .filter_map(|part| {
            let (name, rest) = part.split_once(": #")?;
            let hex = rest.get(..6)?;
            let channel = |i: usize| -> Option<f64> {
                let value = u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()?;
                let c = f64::from(value) / 255.0;
                // sRGB, IEC 61966-2-1.
                Some(if c <= 0.040_45 {
                    c / 12.92
                } else {
                    ((c + 0.055) / 1.055).powf(2.4)
                })
            };
            Some((name.to_owned(), [channel(0)?, channel(2)?, channel(4)?]))
        })
        .collect()
}

/// WCAG 2.2, "contrast ratio": (L1 + 0.05) / (L2 + 0.05), from 1 to 21.
fn contrast(a: Rgb, b: Rgb) -> f64 {
    let luminance = |c: Rgb| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    a.max(b) / a.min(b)
}

#[test]
fn text_has_the_contrast_of_wcag_aa() {
    // Black on white is 21 by definition: (1 + .05) / (0 + .05).
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    let text = [
        "ink",
        "soft",
        "faint",
        "served",
        "partly",
        "not",
        "unknown",
        "reference",
        "m1",
        "m2",
        "m3",
    ];
    for (theme, colors) in ["light", "dark"].into_iter().zip(themes()) {
        // What text stands on: the page, the row under the pointer, the sea.
        for ground in ["paper", "tint", "sea"] {
            for name in text {
                let ratio = contrast(colors[name], colors[ground]);
                assert!(ratio >= 4.5, "{theme}: {name} on {ground} is {ratio:.2}");
            }
        }
        // Signs also lie on land; graphics need 3.
        for name in ["served", "partly", "not", "unknown", "reference"] {
            let ratio = contrast(colors[name], colors["land"]);
            assert!(ratio >= 3.0, "{theme}: {name} on land is {ratio:.2}");
        }
    }
}

#[test]
fn verdicts_stay_apart_for_the_color_blind() {
    // Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; on linear light.
    let eyes: [(&str, [[f64; 3]; 3]); 4] = [
        ("usual", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanope",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranope",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
        (
            "tritanope",
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ),
    ];
    let verdicts = ["served", "partly", "not", "unknown", "reference"];
    for (theme, colors) in ["light", "dark"].into_iter().zip(themes()) {
        for (eye, matrix) in eyes {
            let seen = |name: &str| {
                let color = colors[name];
                lab(matrix.map(|row| {
                    let light = row[0] * color[0] + row[1] * color[1] + row[2] * color[2];
                    light.clamp(0.0, 1.0)
                }))
            };
            for (i, a) in verdicts.iter().enumerate() {
                for b in &verdicts[i + 1..] {
                    let distance = seen(a)
                        .iter()
                        .zip(seen(b))
                        .map(|(x, y)| (x - y).powi(2))
                        .sum::<f64>()
                        .sqrt();
                    // About 2.3 is just noticed; side by side, 18 is told at a glance.
                    assert!(
                        distance >= 18.0,
                        "{theme}, {eye}: {a} and {b} are {distance:.1} apart"
                    );
                }
            }
        }
    }
}

/// CIE 1976 L*a*b* of linear sRGB, white D65.
fn lab(c: Rgb) -> Rgb {
    let rows = [
        ([0.4124, 0.3576, 0.1805], 0.950_47),
        ([0.2126, 0.7152, 0.0722], 1.0),
        ([0.0193, 0.1192, 0.9505], 1.088_83),
    ];
    let [x, y, z] = rows.map(|(row, white)| {
        let t = (row[0] * c[0] + row[1] * c[1] + row[2] * c[2]) / white;
        if t > 0.008_856 {
            t.cbrt()
        } else {
            7.787 * t + 16.0 / 116.0
        }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[test]
fn nothing_on_the_page_moves() {
    let html = atlas_html(&fixture::survey(), None, &AtlasOptions::default()).unwrap();
    for motion in [
        "transition",
        "animation",
        "@keyframes",
        "smooth",
        "<animate",
    ] {
        assert!(!html.contains(motion), "`{motion}`");
    }
}
