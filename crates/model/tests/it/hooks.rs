//! Hooks against PyTorch's (`golden/families/make_hooks.py`): what they read, what they change, and
//! that nothing of an edited run stays behind.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isogloss_model::checkpoint::Family;
use isogloss_model::engine::{EngineOptions, Network, Point, Site, Visit};
use isogloss_model::{BackendError, RunSettings};
use isogloss_record::{Encoded, Response};
use serde::Deserialize;

use crate::families::{checkpoint, goldens};
use crate::tiny::{FAMILIES, Tiny, ids};

const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Goldens {
    positions: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    ids: Vec<u32>,
    logprobs: Vec<f64>,
    read: BTreeMap<String, Vec<Vec<f64>>>,
    lens: Vec<Vec<f64>>,
    edits: Vec<Edit>,
}

#[derive(Deserialize)]
struct Edit {
    point: String,
    layer: usize,
    start: usize,
    end: usize,
    kind: String,
    logprobs: Vec<f64>,
}

const POINTS: [(&str, Point); 5] = [
    ("BlockInput", Point::BlockInput),
    ("AttentionOutput", Point::AttentionOutput),
    ("MlpActivation", Point::MlpActivation),
    ("MlpOutput", Point::MlpOutput),
    ("BlockOutput", Point::BlockOutput),
];

fn point(name: &str) -> Point {
    POINTS.iter().find(|(known, _)| *known == name).unwrap().1
}

fn hooks() -> Goldens {
    serde_json::from_str(include_str!("../../../../golden/families/hooks.json")).unwrap()
}

fn network(case: &Case) -> Network {
    let family = goldens().into_iter().find(|known| known.name == case.name);
    let checkpoint = checkpoint(&family.unwrap());
    let config = checkpoint.config.clone();
    let options = EngineOptions::default();
    Network::load(&config, Arc::new(checkpoint), "tiny", None, &options).unwrap()
}

#[track_caller]
fn close(what: &str, found: &[f32], want: &[f64]) {
    assert_eq!(found.len(), want.len(), "{what}");
    let scale = want.iter().fold(1.0_f64, |max, x| max.max(x.abs()));
    for (i, (found, want)) in found.iter().zip(want).enumerate() {
        let difference = (f64::from(*found) - want).abs();
        assert!(
            difference < TOLERANCE * scale,
            "{what}, {i}: {found}, {want}"
        );
    }
}

/// What the script does to a row.
fn edit(kind: &str, values: &mut [f32]) {
    for (j, x) in values.iter_mut().enumerate() {
        let v = ((7 * j % 11) as f32 - 5.0) / 10.0;
        match kind {
            "zero" => *x = 0.0,
            "add" => *x += v,
            "scale" => *x *= -0.5,
            "replace" => *x = v,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn hooks_read_what_those_of_pytorch_read() {
    let golden = hooks();
    assert_eq!(golden.cases.len(), 6);
    for case in &golden.cases {
        let network = network(case);
        let sites: Vec<Site> = (case.read.keys())
            .map(|key| {
                let (layer, name) = key.split_once(' ').unwrap();
                Site {
                    layer: layer.parse().unwrap(),
                    point: point(name),
                }
            })
            .collect();
        let mut seen: BTreeMap<(Site, usize), Vec<f32>> = BTreeMap::new();
        let sequences = [case.ids.clone()];
        let logprobs = network
            .trace(&sequences, &sites, &mut |visit: Visit<'_>| {
                let key = (visit.site, visit.position);
                assert!(seen.insert(key, visit.values.to_vec()).is_none(), "once");
            })
            .unwrap();
        close(&case.name, &logprobs[0], &case.logprobs);
        assert_eq!(seen.len(), sites.len() * case.ids.len());
        for (site, (key, want)) in sites.iter().zip(&case.read) {
            for (position, want) in golden.positions.iter().zip(want) {
                let what = format!("{} {key} {position}", case.name);
                close(&what, &seen[&(*site, *position)], want);
            }
        }
        let after = Site {
            layer: 0,
            point: Point::BlockOutput,
        };
        for (position, want) in golden.positions.iter().zip(&case.lens) {
            let logits = network.lens(&seen[&(after, *position)]).unwrap();
            close(&format!("{} lens {position}", case.name), &logits, want);
        }
    }
}

#[test]
fn hooks_change_what_those_of_pytorch_change() {
    for case in &hooks().cases {
        let network = network(case);
        assert_eq!(case.edits.len(), 7);
        for want in &case.edits {
            let site = Site {
                layer: want.layer,
                point: point(&want.point),
            };
            let what = format!("{} {site:?} {}", case.name, want.kind);
            let trace = |factor: f32| {
                let mut hook = |visit: Visit<'_>| {
                    if (want.start..want.end).contains(&visit.position) {
                        edit(&want.kind, visit.values);
                        visit.values[0] += factor;
                    }
                };
                network
                    .trace(std::slice::from_ref(&case.ids), &[site], &mut hook)
                    .unwrap()
            };
            close(&what, &trace(0.0)[0], &want.logprobs);
            // A fault is seen: one value of the edit is off.
            let off = trace(0.3);
            let worst = (off[0].iter().zip(&want.logprobs))
                .map(|(a, b)| (f64::from(*a) - b).abs())
                .fold(0.0, f64::max);
            assert!(worst > 10.0 * TOLERANCE, "{what}: {worst}");
        }
    }
}

fn score(network: &Network, tokens: &[u32]) -> Vec<f32> {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 4,
        share_prefixes: true,
        cancel: &cancel,
    };
    let job = Encoded::Score {
        token_ids: tokens.to_vec(),
        n_context: 0,
        scored_from: 1,
        n_pooled: 0,
    };
    let mut answers = Vec::new();
    let no_text = |_: &[u32]| String::new();
    network
        .run(&[job], &settings, &[], &no_text, &mut |_, a| {
            answers.push(a);
        })
        .unwrap();
    let Some(Response::Score { logprobs, .. }) = answers.pop() else {
        panic!("a score is answered by a score")
    };
    logprobs.into_iter().flatten().collect()
}

/// A run that writes nothing is a score; one that writes changes no score before or after it; and
/// neither threads nor the other sequences of a call change a bit.
#[test]
fn edited_runs_leave_nothing_behind() {
    for family in FAMILIES {
        let load = |threads: usize| {
            let tiny = Tiny::new(family, 21);
            let options = EngineOptions {
                threads: NonZeroUsize::new(threads),
                ..EngineOptions::default()
            };
            Network::load(&tiny.config.clone(), Arc::new(tiny), "tiny", None, &options).unwrap()
        };
        let (network, other) = (load(2), load(1));
        let texts: Vec<Vec<u32>> = (0..12)
            .map(|i| ids(30 + i, 1 + 15 * i as usize, 1_100))
            .collect();
        let site = Site {
            layer: 1,
            point: Point::MlpActivation,
        };
        let before = score(&network, &texts[5]);
        let plain = network.trace(&texts, &[], &mut |_| {}).unwrap();
        assert_eq!(plain[5], before, "{family:?}");
        let mut add = |visit: Visit<'_>| edit("add", visit.values);
        let edited = network.trace(&texts, &[site], &mut add).unwrap();
        assert_ne!(edited[5], before);
        assert_eq!(score(&network, &texts[5]), before, "{family:?}");
        assert_eq!(score(&other, &texts[5]), before);
        for (text, edited) in texts.iter().zip(&edited) {
            let alone = other.trace(std::slice::from_ref(text), &[site], &mut add);
            assert_eq!(&alone.unwrap()[0], edited, "{family:?}");
            assert_eq!(edited.len(), text.len() - 1);
        }
    }
}

#[test]
fn what_cannot_be_traced_is_refused_in_words() {
    let tiny = Tiny::new(Family::Llama, 22);
    let options = EngineOptions::default();
    let config = tiny.config.clone();
    let network = Network::load(&config, Arc::new(tiny), "tiny", None, &options).unwrap();
    let site = |layer| Site {
        layer,
        point: Point::BlockInput,
    };
    let trace = |tokens: Vec<u32>, layer: usize, value: f32| {
        let mut hook = |visit: Visit<'_>| visit.values[0] = value;
        network.trace(&[tokens], &[site(layer)], &mut hook).err()
    };
    let invalid = |error| matches!(error, Some(BackendError::Invalid(_)));
    assert!(invalid(trace(vec![1, 2], 3, 0.0)), "three blocks");
    assert!(invalid(trace(vec![1, 1_100], 0, 0.0)), "unknown token");
    assert!(invalid(trace(Vec::new(), 0, 0.0)), "nothing");
    let long = trace(vec![1; 201], 0, 0.0);
    assert!(matches!(long, Some(BackendError::TooLong { .. })));
    for value in [f32::NAN, f32::INFINITY] {
        let error = trace(vec![1, 2, 3], 1, value);
        assert!(
            matches!(error, Some(BackendError::NotFinite { .. })),
            "{error:?}"
        );
    }
    assert!(matches!(
        network.lens(&[0.0; 3]),
        Err(BackendError::Invalid(_))
    ));
    let not_finite = network.lens(&[f32::NAN; 40]);
    assert!(matches!(not_finite, Err(BackendError::NotFinite { .. })));
    assert_eq!(
        network.trace(&[], &[], &mut |_| {}).unwrap(),
        Vec::<Vec<f32>>::new()
    );
}
