//! Training against PyTorch: the families' tiny models, log-probabilities, every tensor's gradient
//! (`golden/families/make_gradients.py`), steps of AdamW; and what must hold without a peer.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use isogloss_model::Isa;
use isogloss_model::checkpoint::{Checkpoint, Config, Family, NormKind};
use isogloss_model::train::{
    AdamW, Keep, Precision, Sequence, TrainError, TrainOptions, Trainee, Values,
};
use serde::Deserialize;

use crate::families::{Case, checkpoint, goldens, with_values};
use crate::tiny::{FAMILIES, Tiny, config, ids};

/// Largest allowed ‖g − g'‖ / ‖g'‖ of a tensor, and relative error of norms.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
pub(crate) struct Goldens {
    sequences: Vec<Vec<u32>>,
    steps: Vec<Step>,
    cases: Vec<Golden>,
}

#[derive(Deserialize)]
struct Step {
    loss: f64,
    norm: f64,
}

#[derive(Deserialize)]
struct Golden {
    name: String,
    loss: f64,
    norm: f64,
    logprobs: Vec<Vec<f64>>,
    tensors: BTreeMap<String, GoldenTensor>,
}

#[derive(Deserialize)]
struct GoldenTensor {
    norm: f64,
    values: Vec<f64>,
}

pub(crate) fn peer() -> Goldens {
    let json = include_str!("../../../../golden/families/gradients.json");
    serde_json::from_str(json).unwrap()
}

pub(crate) fn sequences(goldens: &Goldens) -> Vec<Sequence> {
    goldens
        .sequences
        .iter()
        .cloned()
        .map(Sequence::whole)
        .collect()
}

/// Derivatives of the script's loss, −Σ w · log p.
pub(crate) fn derivatives(batch: &[Sequence]) -> Vec<Vec<f64>> {
    let weight = |s: usize, p: usize| (((5 * p + 3 * s) % 7) as f64 - 1.0) / 20.0;
    (batch.iter().enumerate())
        .map(|(s, sequence)| sequence.scored.iter().map(|p| -weight(s, *p)).collect())
        .collect()
}

pub(crate) fn loss(logprobs: &[Vec<f64>], derivatives: &[Vec<f64>]) -> f64 {
    let (logprobs, derivatives) = (logprobs.concat(), derivatives.concat());
    logprobs.iter().zip(derivatives).map(|(l, d)| l * d).sum()
}

fn options(threads: usize, keep: Keep) -> TrainOptions {
    TrainOptions {
        threads: NonZeroUsize::new(threads),
        keep,
        ..TrainOptions::default()
    }
}

fn load(checkpoint: &Checkpoint) -> Trainee {
    let options = options(2, Keep::All);
    Trainee::load(&checkpoint.config, checkpoint, |_| true, &options).unwrap()
}

/// Where each value of each canonical tensor is stored: (stored tensor, index), read through the
/// same views as the weights, from a checkpoint whose values are their own numbers.
fn places(case: &Case) -> BTreeMap<String, Vec<(String, usize)>> {
    let mut firsts: Vec<(usize, String)> = Vec::new();
    let numbered = with_values(case, |name, stored| {
        let n: usize = stored.shape.iter().product();
        let first = firsts.last().map_or(0, |(first, last)| {
            first + case.tensors[last].shape.iter().product::<usize>()
        });
        firsts.push((first, name.to_owned()));
        assert!(first + n < 1 << 24, "exact in f32");
        (first..first + n).map(|i| i as f32).collect()
    });
    let place = |x: f32| {
        let at = x as usize;
        let (first, name) = &firsts[firsts.partition_point(|(first, _)| *first <= at) - 1];
        (name.clone(), at - first)
    };
    (numbered.tensor_names())
        .map(|name| {
            let numbers = numbered.tensor(name).unwrap().to_f32();
            (name.to_owned(), numbers.into_iter().map(place).collect())
        })
        .collect()
}

/// Gradients as the file stores its tensors.
fn as_stored(case: &Case, gradients: &BTreeMap<String, Values>) -> BTreeMap<String, Vec<f64>> {
    let mut stored: BTreeMap<String, Vec<f64>> = (case.tensors.iter())
        .map(|(name, tensor)| (name.clone(), vec![f64::NAN; tensor.shape.iter().product()]))
        .collect();
    for (name, places) in places(case) {
        let values = &gradients[&name].values;
        assert_eq!(values.len(), places.len(), "{name}");
        for ((tensor, at), g) in places.into_iter().zip(values) {
            let to = &mut stored.get_mut(&tensor).unwrap()[at];
            assert!(to.is_nan(), "{tensor} {at} is one value only");
            *to = f64::from(*g);
        }
    }
    for (name, gradient) in &stored {
        assert!(!gradient.iter().any(|g| g.is_nan()), "{name} is whole");
    }
    stored
}

/// Differences that are too large, in words; and the largest.
fn differences(
    case: &Case,
    golden: &Golden,
    gradients: &BTreeMap<String, Values>,
) -> (Vec<String>, f64) {
    let (mut found, mut worst) = (Vec::new(), 0.0_f64);
    let stored = as_stored(case, gradients);
    assert!(stored.keys().eq(golden.tensors.keys()), "{}", case.name);
    for (name, gradient) in stored {
        let want = &golden.tensors[&name];
        let n = gradient.len();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let squares = want.values.iter().enumerate().map(|(i, want)| {
            let at = (i * 2_654_435_761 + 97) % n;
            (gradient[at] - want).powi(2)
        });
        // ‖g − g'‖, from a sample of the values.
        let mean = squares.sum::<f64>() / want.values.len() as f64;
        let difference = (mean * n as f64).sqrt().max((norm - want.norm).abs());
        let relative = difference / want.norm;
        worst = worst.max(relative);
        if relative >= TOLERANCE {
            found.push(format!("{} {name}: {relative:.1e}", case.name));
        }
    }
    (found, worst)
}

#[test]
fn every_family_has_the_gradients_of_pytorch() {
    let peer = peer();
    let (cases, batch) = (goldens(), sequences(&peer));
    assert_eq!((cases.len(), peer.cases.len()), (23, 23));
    let d = derivatives(&batch);
    let mut worst = 0.0_f64;
    for (case, golden) in cases.iter().zip(&peer.cases) {
        assert_eq!(case.name, golden.name);
        let mut trainee = load(&checkpoint(case));
        let logprobs = trainee.forward(&batch).unwrap();
        for (found, want) in logprobs.concat().iter().zip(golden.logprobs.concat()) {
            assert!(
                (found - want).abs() < 2e-5,
                "{}: {found} is not {want}",
                case.name
            );
        }
        let difference = (loss(&logprobs, &d) - golden.loss).abs();
        assert!(difference < 2e-5, "{}: {difference}", case.name);
        trainee.backward(&d).unwrap();
        let (wrong, relative) = differences(case, golden, &trainee.gradients());
        assert!(wrong.is_empty(), "{wrong:#?}");
        worst = worst.max(relative);
        let norm = trainee.gradient_norm();
        assert!(
            (norm / golden.norm - 1.0).abs() < TOLERANCE,
            "{}: {norm}",
            case.name
        );
    }
    assert!(worst > 0.0, "something was compared");
}

/// The comparison sees what it must see: one gain's gradient dropped, a sign turned, one sequence
/// that sees the other.
#[test]
fn a_planted_fault_is_seen() {
    let peer = peer();
    let batch = sequences(&peer);
    let d = derivatives(&batch);
    for (case, golden) in goldens().iter().zip(&peer.cases) {
        let mut trainee = load(&checkpoint(case));
        trainee.forward(&batch).unwrap();
        trainee.backward(&d).unwrap();
        let gradients = trainee.gradients();
        for (name, values) in &gradients {
            let norm = values
                .values
                .iter()
                .map(|g| f64::from(*g).powi(2))
                .sum::<f64>()
                .sqrt();
            if norm < 1e-3 * golden.norm {
                continue;
            }
            let mut faulty = gradients.clone();
            faulty.get_mut(name).unwrap().values.fill(0.0);
            let (wrong, _) = differences(case, golden, &faulty);
            assert_eq!(wrong.len(), 1, "{} {name}", case.name);
        }
        if checkpoint(case).config.context_length < 33 {
            continue;
        }
        let joined = [Sequence {
            tokens: peer.sequences.concat(),
            scored: (1..33).filter(|p| *p != 20).collect(),
        }];
        trainee.clear_gradients();
        trainee.forward(&joined).unwrap();
        trainee.backward(&[d.concat()]).unwrap();
        let (wrong, _) = differences(case, golden, &trainee.gradients());
        assert!(wrong.len() > 3, "{}: {wrong:?}", case.name);
    }
}

#[test]
fn steps_of_adamw_are_those_of_pytorch() {
    let peer = peer();
    let batch = sequences(&peer);
    let d = derivatives(&batch);
    let mut trainee = load(&checkpoint(&goldens()[0]));
    let adamw = AdamW {
        learning_rate: 0.01,
        weight_decay: 0.1,
        ..AdamW::default()
    };
    assert_eq!(peer.steps.len(), 5);
    for (i, step) in peer.steps.iter().enumerate() {
        let logprobs = trainee.forward(&batch).unwrap();
        trainee.backward(&d).unwrap();
        let (loss, norm) = (loss(&logprobs, &d), trainee.gradient_norm());
        assert!(
            (loss / step.loss - 1.0).abs() < TOLERANCE,
            "step {i}: {loss}"
        );
        assert!(
            (norm / step.norm - 1.0).abs() < TOLERANCE,
            "step {i}: {norm}"
        );
        trainee.update(&adamw);
    }
}

/// One batch of each tiny family: odd sizes, a sequence of one token, one of which little counts.
fn tiny_batch(tiny: &Tiny) -> Vec<Sequence> {
    let n_vocab = tiny.config.vocab_size;
    vec![
        Sequence::whole(ids(1, 70, n_vocab)),
        Sequence::whole(ids(2, 1, n_vocab)),
        Sequence {
            tokens: ids(3, 23, n_vocab),
            scored: vec![4, 5, 20],
        },
    ]
}

fn run(
    tiny: &Tiny,
    options: &TrainOptions,
    is_trainable: impl Fn(&str) -> bool,
) -> (Vec<Vec<f64>>, BTreeMap<String, Values>) {
    let batch = tiny_batch(tiny);
    let mut trainee = Trainee::load(&tiny.config, tiny, is_trainable, options).unwrap();
    let logprobs = trainee.forward(&batch).unwrap();
    trainee.backward(&derivatives(&batch)).unwrap();
    (logprobs, trainee.gradients())
}

#[test]
fn threads_memory_and_instructions_change_no_byte() {
    for family in FAMILIES {
        let tiny = Tiny::new(family, 5);
        let want = run(&tiny, &options(1, Keep::All), |_| true);
        assert_eq!(
            want,
            run(&tiny, &options(2, Keep::All), |_| true),
            "{family:?}"
        );
        assert_eq!(
            want,
            run(&tiny, &options(3, Keep::BlockInputs), |_| true),
            "{family:?}"
        );
        for isa in Isa::available() {
            let options = TrainOptions {
                isa: Some(isa),
                ..options(2, Keep::BlockInputs)
            };
            assert_eq!(want, run(&tiny, &options, |_| true), "{family:?} {isa:?}");
        }
    }
}

/// Products in bfloat16: near the gradients of f32, and not they; the same bytes for any threads and
/// whatever is kept. Each product is off by some 2⁻⁹ of its terms.
#[test]
fn products_in_bfloat16_are_near_and_repeatable() {
    let length = |gradients: &BTreeMap<String, Values>| {
        let values = gradients.values().flat_map(|g| &g.values);
        values.map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt()
    };
    for family in FAMILIES {
        let tiny = Tiny::new(family, 17);
        let with = |precision, threads, keep| {
            let options = TrainOptions {
                precision,
                ..options(threads, keep)
            };
            run(&tiny, &options, |_| true)
        };
        let (exact, want) = with(Precision::F32, 2, Keep::All);
        let rounded = with(Precision::Bf16, 1, Keep::All);
        assert_eq!(rounded, with(Precision::Bf16, 3, Keep::BlockInputs));
        for (a, b) in exact.concat().iter().zip(rounded.0.concat()) {
            assert!((a - b).abs() < 0.1, "{family:?}: {a}, {b}");
        }
        let mut difference = rounded.1;
        for (name, g) in &mut difference {
            for (g, want) in g.values.iter_mut().zip(&want[name].values) {
                *g -= want;
            }
        }
        let relative = length(&difference) / length(&want);
        assert!((1e-4..0.05).contains(&relative), "{family:?}: {relative}");
    }
}

#[test]
fn what_is_trained_has_a_gradient_and_what_is_frozen_has_none() {
    for family in FAMILIES {
        let tiny = Tiny::new(family, 6);
        let (_, all) = run(&tiny, &options(2, Keep::All), |_| true);
        assert!(all.keys().eq(tiny.tensors.keys()), "{family:?}");
        for (name, gradient) in &all {
            assert_eq!(gradient.shape, tiny.tensors[name].0, "{family:?} {name}");
            assert!(
                gradient.values.iter().any(|g| *g != 0.0),
                "{family:?} {name}"
            );
        }
        let choices: [fn(&str) -> bool; 5] = [
            |name| name.contains("layers.1.self_attn"),
            |name| name.ends_with("norm.weight"),
            |name| name == "model.norm.weight",
            |name| name.contains("layers.2") && name.contains("bias") || name.contains("o_proj"),
            |name| name.contains("embed") || name.contains("lm_head"),
        ];
        for is_trainable in choices {
            for keep in [Keep::All, Keep::BlockInputs] {
                let (_, some) = run(&tiny, &options(2, keep), is_trainable);
                let want: BTreeMap<_, _> =
                    all.iter().filter(|(name, _)| is_trainable(name)).collect();
                assert!(
                    some.iter().eq(want),
                    "{family:?}: the same as when all are trained"
                );
            }
        }
    }
}

/// A tied embedding gets the gradients of both uses: those of an untied model with equal tables.
#[test]
fn a_tied_embedding_gets_the_sum_of_both_uses() {
    let tied = Tiny::new(Family::Llama, 7);
    let mut tensors = tied.tensors.clone();
    let table = tensors["model.embed_tokens.weight"].clone();
    tensors.insert("lm_head.weight".into(), table);
    let mut config = tied.config.clone();
    config.tied_embeddings = false;
    let untied = Tiny::from_tensors(config, tensors);
    let options = options(2, Keep::All);
    let (logprobs, tied) = run(&tied, &options, |_| true);
    let (same, untied) = run(&untied, &options, |_| true);
    assert_eq!(logprobs, same);
    let (embedding, head) = (
        &untied["model.embed_tokens.weight"],
        &untied["lm_head.weight"],
    );
    let both = embedding.values.iter().zip(&head.values);
    for (found, (a, b)) in tied["model.embed_tokens.weight"].values.iter().zip(both) {
        assert!((found - (a + b)).abs() < 1e-6, "{found} is not {a} + {b}");
    }
}

/// Gradients add up over batches, and two halves of a batch give the whole.
#[test]
fn gradients_add_up() {
    for family in [Family::Llama, Family::Gpt2] {
        let tiny = Tiny::new(family, 8);
        let batch = tiny_batch(&tiny);
        let d = derivatives(&batch);
        let (_, whole) = run(&tiny, &options(2, Keep::All), |_| true);
        let mut trainee =
            Trainee::load(&tiny.config, &tiny, |_| true, &options(2, Keep::All)).unwrap();
        for (part, d) in [(&batch[..1], &d[..1]), (&batch[1..], &d[1..])] {
            trainee.forward(part).unwrap();
            trainee.backward(d).unwrap();
        }
        for (name, parts) in trainee.gradients() {
            let whole = &whole[&name];
            let scale = whole.values.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
            for (a, b) in parts.values.iter().zip(&whole.values) {
                assert!(
                    (a - b).abs() <= 1e-5 * scale + 1e-7,
                    "{name}: {a} is not {b}"
                );
            }
        }
    }
}

/// The same log-probabilities as the engine that scores.
#[test]
fn training_and_scoring_agree() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use isogloss_model::RunSettings;
    use isogloss_model::engine::{EngineOptions, Network};
    use isogloss_record::{Encoded, Response};

    for family in FAMILIES {
        let tiny = Tiny::new(family, 9);
        let config = tiny.config.clone();
        let tokens = ids(4, 100, config.vocab_size);
        let mut trainee =
            Trainee::load(&config, &tiny, |_| true, &TrainOptions::default()).unwrap();
        let found = trainee
            .forward(&[Sequence::whole(tokens.clone())])
            .unwrap()
            .concat();
        let network = Network::load(
            &config,
            Arc::new(tiny),
            "tiny",
            None,
            &EngineOptions::default(),
        )
        .unwrap();
        let cancel = AtomicBool::new(false);
        let settings = RunSettings {
            batch_size: 1,
            share_prefixes: false,
            cancel: &cancel,
        };
        let job = Encoded::Score {
            n_context: 1,
            scored_from: 1,
            n_pooled: 0,
            token_ids: tokens,
        };
        let mut answers = Vec::new();
        network
            .run(
                &[job],
                &settings,
                &[],
                &|_| String::new(),
                &mut |_, answer| answers.push(answer),
            )
            .unwrap();
        let Response::Score { logprobs, .. } = &answers[0] else {
            panic!("scores answer a score job")
        };
        let scored: Vec<f32> = logprobs.iter().flatten().copied().collect();
        assert_eq!(scored.len(), found.len());
        for (scored, trained) in scored.iter().zip(&found) {
            assert!(
                (f64::from(*scored) - trained).abs() < 2e-5,
                "{family:?}: {scored}, {trained}"
            );
        }
    }
}

/// Log-probabilities of a model without blocks, weights in f64.
fn without_blocks(tiny: &Tiny, tensors: &BTreeMap<String, Vec<f64>>, tokens: &[u32]) -> Vec<f64> {
    let c = &tiny.config;
    let d = c.d_model;
    let norm = |x: &[f64], name: &str| -> Vec<f64> {
        let n = x.len() as f64;
        let is_layer = c.norm == NormKind::Layer;
        let mean = if is_layer {
            x.iter().sum::<f64>() / n
        } else {
            0.0
        };
        let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (square + f64::from(c.norm_eps)).sqrt();
        let weight = &tensors[&format!("{name}.weight")];
        let bias = tensors.get(&format!("{name}.bias"));
        (0..d)
            .map(|j| {
                let gain = weight[j] + f64::from(c.norm_offset);
                (x[j] - mean) * scale * gain + bias.map_or(0.0, |bias| bias[j])
            })
            .collect()
    };
    let table = &tensors["model.embed_tokens.weight"];
    let output = tensors.get("lm_head.weight").unwrap_or(table);
    (1..tokens.len())
        .map(|p| {
            let at = tokens[p - 1] as usize * d;
            let mut x: Vec<f64> = (table[at..at + d].iter())
                .map(|x| x * f64::from(c.embedding_scale))
                .collect();
            if let Some(positions) = tensors.get("model.embed_positions.weight") {
                (0..d).for_each(|j| x[j] += positions[(p - 1) * d + j]);
            }
            if c.embedding_norm {
                x = norm(&x, "model.embed_layernorm");
            }
            let x = norm(&x, "model.norm");
            let logits: Vec<f64> = (output.chunks(d))
                .map(|row| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>())
                .map(|logit| logit * f64::from(c.logit_scale))
                .map(|logit| match c.logit_softcap {
                    Some(cap) => f64::from(cap) * (logit / f64::from(cap)).tanh(),
                    None => logit,
                })
                .collect();
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            logits[tokens[p] as usize] - total.ln()
        })
        .collect()
}

/// Embedding, last norm, output layer and log-softmax by central differences in f64: scaled, with
/// positions, normed, tied and not, with soft cap and scale.
#[test]
fn embedding_and_head_agree_with_differences() {
    for family in FAMILIES {
        let config = Config {
            n_layers: 0,
            d_model: 5,
            vocab_size: 7,
            context_length: 6,
            logit_softcap: (family == Family::Gemma2).then_some(0.5),
            ..config(family)
        };
        let tiny = Tiny::with_config(config, 11);
        let tokens = vec![3, 6, 6, 1, 0, 3];
        let d = vec![0.3, -0.2, 0.0, 1.0, 0.5];
        let mut trainee =
            Trainee::load(&tiny.config, &tiny, |_| true, &options(2, Keep::All)).unwrap();
        let found = trainee.forward(&[Sequence::whole(tokens.clone())]).unwrap();
        trainee.backward(std::slice::from_ref(&d)).unwrap();
        let mut tensors: BTreeMap<String, Vec<f64>> = (tiny.tensors.iter())
            .map(|(name, (_, x))| (name.clone(), x.iter().map(|x| f64::from(*x)).collect()))
            .collect();
        let loss = |tensors: &BTreeMap<String, Vec<f64>>| -> f64 {
            let logprobs = without_blocks(&tiny, tensors, &tokens);
            logprobs.iter().zip(&d).map(|(l, d)| l * d).sum()
        };
        let want = without_blocks(&tiny, &tensors, &tokens);
        for (found, want) in found[0].iter().zip(&want) {
            assert!(
                (found - want).abs() < 1e-5,
                "{family:?}: {found} is not {want}"
            );
        }
        for (name, gradient) in trainee.gradients() {
            for (i, found) in gradient.values.iter().enumerate() {
                let mut moved = |by: f64| {
                    tensors.get_mut(&name).unwrap()[i] += by;
                    let loss = loss(&tensors);
                    tensors.get_mut(&name).unwrap()[i] -= by;
                    loss
                };
                let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let close = (f64::from(*found) - want).abs() < 2e-5 * (1.0 + want.abs());
                assert!(close, "{family:?} {name} {i}: {found} is not {want}");
            }
        }
    }
}

#[test]
fn what_cannot_be_computed_is_refused_in_words() {
    let tiny = Tiny::new(Family::Llama, 10);
    let load = |is_trainable: fn(&str) -> bool| {
        Trainee::load(&tiny.config, &tiny, is_trainable, &options(1, Keep::All))
    };
    assert!(matches!(
        load(|_| false).err(),
        Some(TrainError::AllFrozen { n_tensors: 29 })
    ));
    let mut trainee = load(|_| true).unwrap();
    let sequence = |tokens: Vec<u32>, scored: Vec<usize>| Sequence { tokens, scored };
    for bad in [
        sequence(vec![1, 1_100], vec![1]),
        sequence(vec![1; 201], vec![1]),
        sequence(vec![1, 2, 3], vec![0]),
        sequence(vec![1, 2, 3], vec![3]),
        sequence(vec![1, 2, 3], vec![2, 1]),
        sequence(Vec::new(), vec![1]),
    ] {
        let error = trainee
            .forward(&[Sequence::whole(vec![1, 2]), bad])
            .unwrap_err();
        assert!(
            matches!(error, TrainError::Sequence { index: 1, .. }),
            "{error}"
        );
    }
    for nothing in [vec![], vec![Sequence::whole(vec![5])]] {
        assert!(matches!(
            trainee.forward(&nothing),
            Err(TrainError::NothingScored)
        ));
    }
    let refused = |result| matches!(result, Err(TrainError::Derivatives { .. }));
    assert!(refused(trainee.backward(&[vec![1.0]])), "no forward pass");
    trainee.forward(&[Sequence::whole(vec![1, 2, 3])]).unwrap();
    assert!(refused(trainee.backward(&[vec![1.0]])), "too few");
    trainee.forward(&[Sequence::whole(vec![1, 2, 3])]).unwrap();
    let not_a_number = trainee.backward(&[vec![1.0, f64::NAN]]);
    assert!(matches!(not_a_number, Err(TrainError::NotFinite { .. })));
    trainee.forward(&[Sequence::whole(vec![1, 2, 3])]).unwrap();
    trainee.backward(&[vec![1.0, 0.0]]).unwrap();
    assert!(
        refused(trainee.backward(&[vec![1.0, 0.0]])),
        "once for each forward pass"
    );
}
