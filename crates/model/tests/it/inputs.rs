//! Gradients by the input embeddings, and low-rank adapters, against PyTorch and PEFT
//! (`golden/families/make_inputs.py`); adapters saved and opened again.

use std::collections::BTreeMap;
use std::sync::Arc;

use isogloss_model::adapter::Adapter;
use isogloss_model::checkpoint::{Checkpoint, Family};
use isogloss_model::engine::{EngineOptions, Network};
use isogloss_model::train::{AdamW, Keep, Lora, Sequence, TrainError, TrainOptions, Trainee};
use isogloss_record::Seed;
use serde::Deserialize;

use crate::families::{self, Stored, goldens, logprobs, values};
use crate::gradients::{derivatives, loss, peer, sequences};
use crate::tiny::{FAMILIES, Tiny, ids};

/// Largest allowed relative difference of a row's or tensor's gradient.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Goldens {
    inputs: Vec<Inputs>,
    lora: Vec<LoraCase>,
}

#[derive(Deserialize)]
struct Inputs {
    name: String,
    sequences: Vec<Vec<Gradient>>,
}

#[derive(Deserialize)]
struct Gradient {
    norm: f64,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct LoraCase {
    name: String,
    loss: f64,
    norm: f64,
    tensors: BTreeMap<String, Gradient>,
}

fn inputs() -> Goldens {
    serde_json::from_str(include_str!("../../../../golden/families/inputs.json")).unwrap()
}

/// ‖g − g'‖ / ‖g'‖, from a sample of the values and the norm.
fn difference(found: &[f32], want: &Gradient) -> f64 {
    let n = found.len();
    let norm = found.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let squares = want.values.iter().enumerate().map(|(i, want)| {
        let at = (i * 2_654_435_761 + 97) % n;
        (f64::from(found[at]) - want).powi(2)
    });
    let mean = squares.sum::<f64>() / want.values.len() as f64;
    (mean * n as f64)
        .sqrt()
        .max((norm.sqrt() - want.norm).abs())
        / want.norm
}

/// Nothing is trained: there is no gradient buffer at all, and the inputs have their gradients.
#[test]
fn inputs_have_the_gradients_of_pytorch() {
    let (peer, cases) = (peer(), goldens());
    let batch = sequences(&peer);
    let want = inputs().inputs;
    assert_eq!(want.len(), cases.len());
    for (case, want) in cases.iter().zip(&want) {
        assert_eq!(case.name, want.name);
        let checkpoint = families::checkpoint(case);
        for keep in [Keep::All, Keep::BlockInputs] {
            let options = TrainOptions {
                input_gradients: true,
                keep,
                ..TrainOptions::default()
            };
            let mut trainee =
                Trainee::load(&checkpoint.config, &checkpoint, |_| false, &options).unwrap();
            trainee.forward(&batch).unwrap();
            assert!(trainee.input_gradients().is_none(), "before backward");
            trainee.backward(&derivatives(&batch)).unwrap();
            assert_eq!(trainee.gradient_bytes(), 0);
            assert!(trainee.gradients().is_empty());
            let found = trainee.input_gradients().unwrap();
            assert_eq!(found.len(), want.sequences.len());
            for (found, want) in found.iter().zip(&want.sequences) {
                assert_eq!(found.len(), want.len(), "{}", case.name);
                for (position, (found, want)) in found.iter().zip(want).enumerate() {
                    let relative = difference(found, want);
                    assert!(
                        relative < TOLERANCE,
                        "{}, position {position}: {relative:.1e}",
                        case.name
                    );
                }
            }
        }
    }
}

/// The gradient of the table is the sum of its rows' gradients over the tokens.
#[test]
fn the_tables_gradient_is_the_sum_of_the_inputs() {
    for family in [Family::Gemma3, Family::Bloom] {
        let tiny = Tiny::new(family, 12);
        let mut config = tiny.config.clone();
        config.tied_embeddings = false;
        let mut tensors = tiny.tensors.clone();
        let table = tensors["model.embed_tokens.weight"].clone();
        tensors.insert("lm_head.weight".into(), table);
        let tiny = Tiny::from_tensors(config, tensors);
        let tokens = ids(5, 30, tiny.config.vocab_size);
        let options = TrainOptions {
            input_gradients: true,
            ..TrainOptions::default()
        };
        let is_table = |name: &str| name == "model.embed_tokens.weight";
        let mut trainee = Trainee::load(&tiny.config, &tiny, is_table, &options).unwrap();
        let d = vec![vec![-0.1; 29]];
        let batch = [Sequence::whole(tokens.clone())];
        trainee.forward_backward(&batch, &d).unwrap();
        let table = &trainee.gradients()["model.embed_tokens.weight"];
        let d_model = tiny.config.d_model;
        let mut sums = vec![0.0_f32; table.values.len()];
        for (token, row) in tokens.iter().zip(&trainee.input_gradients().unwrap()[0]) {
            for (sum, x) in sums[*token as usize * d_model..].iter_mut().zip(row) {
                *sum += x;
            }
        }
        for (found, want) in table.values.iter().zip(&sums) {
            assert!((found - want).abs() < 1e-5, "{found} is not {want}");
        }
    }
}

const ALL: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

fn lora(targets: &[&str]) -> Lora {
    Lora {
        rank: 4,
        alpha: 6.0,
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        seed: Seed(3),
    }
}

fn load(checkpoint: &Checkpoint, lora: &Lora) -> Trainee {
    let options = TrainOptions::default();
    Trainee::load_lora(&checkpoint.config, checkpoint, lora, &options).unwrap()
}

/// Our name of what PEFT stores.
fn own(stored: &str) -> &str {
    stored.strip_prefix("base_model.model.").unwrap()
}

#[test]
fn adapters_have_the_gradients_of_peft() {
    let peer = peer();
    let batch = sequences(&peer);
    let d = derivatives(&batch);
    let cases = inputs().lora;
    assert_eq!(cases.len(), 4);
    for want in cases {
        let case = goldens().into_iter().find(|case| case.name == want.name);
        let checkpoint = families::checkpoint(&case.unwrap());
        let mut trainee = load(&checkpoint, &lora(&ALL));
        let shapes = trainee.weights(true);
        assert_eq!(shapes.len(), want.tensors.len());
        for stored in want.tensors.keys() {
            let made = Stored {
                shape: shapes[own(stored)].shape.clone(),
                scale: 0.4,
                offset: 0.0,
            };
            let made = values(&format!("adapter:{stored}"), &made);
            trainee.set_weight(own(stored), &made).unwrap();
        }
        let logprobs = trainee.forward(&batch).unwrap();
        let relative = (loss(&logprobs, &d) / want.loss - 1.0).abs();
        assert!(relative < 1e-5, "{}: loss off by {relative:.1e}", want.name);
        trainee.backward(&d).unwrap();
        let relative = (trainee.gradient_norm() / want.norm - 1.0).abs();
        assert!(relative < TOLERANCE, "{}: {relative:.1e}", want.name);
        let gradients = trainee.gradients();
        assert!(
            gradients
                .keys()
                .eq(want.tensors.keys().map(|stored| own(stored)))
        );
        for (stored, want) in &want.tensors {
            let relative = difference(&gradients[own(stored)].values, want);
            assert!(relative < TOLERANCE, "{stored}: {relative:.1e}");
        }
        // The model itself costs no gradient: those of the adapters are all there is, rows padded
        // to at most 48 values more.
        let rows: usize = gradients
            .values()
            .map(|g| g.shape[0] * (g.shape[1].next_multiple_of(32) + 16))
            .sum();
        assert_eq!(trainee.gradient_bytes(), 4 * rows);
    }
}

/// Three steps, saved, opened over the model again: the same log-probabilities, over Hugging Face
/// layout and over llama.cpp's order of heads.
#[test]
fn saved_adapters_open_again() {
    for name in ["llama", "gemma3", "llama_gguf"] {
        let base = || {
            if name == "llama_gguf" {
                return families::gguf_checkpoint(name);
            }
            let case = goldens().into_iter().find(|case| case.name == name);
            families::checkpoint(&case.unwrap())
        };
        let mut trainee = load(&base(), &lora(&["q_proj", "k_proj", "mlp.down_proj"]));
        let tokens: Vec<u32> = (0..20).map(|i| (7 * i * i + 3 * i + 1) % 48).collect();
        let batch = [Sequence::whole(tokens.clone())];
        let d = [vec![-1.0 / 19.0; 19]];
        let adamw = AdamW {
            learning_rate: 0.05,
            ..AdamW::default()
        };
        let before = trainee.forward(&batch).unwrap();
        for _ in 0..3 {
            trainee.forward_backward(&batch, &d).unwrap();
            trainee.clip_gradients(1.0);
            trainee.update(&adamw);
        }
        let after = trainee.forward(&batch).unwrap();
        let mean = |logprobs: &[Vec<f64>]| logprobs[0].iter().sum::<f64>() / 19.0;
        assert!(mean(&after) > mean(&before) + 0.1, "{name} learns");

        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("adapter");
        trainee.save_lora(&folder, name).unwrap();
        let mut adapted = base();
        Adapter::open(&folder).unwrap().apply(&mut adapted).unwrap();
        let config = adapted.config.clone();
        let options = EngineOptions::default();
        let network = Network::load(&config, Arc::new(adapted), name, None, &options).unwrap();
        let found = logprobs(&network, &tokens, config.vocab_size);
        for (i, want) in after[0].iter().enumerate() {
            let found = found[i][tokens[i + 1] as usize];
            assert!((found - want).abs() < 2e-5, "{name}: {found} is not {want}");
        }
    }
}

/// A new adapter changes nothing; the seed decides how it begins.
#[test]
fn a_new_adapter_is_the_model() {
    let tiny = Tiny::new(Family::Qwen2, 14);
    let batch = [Sequence::whole(ids(6, 40, tiny.config.vocab_size))];
    let options = TrainOptions::default();
    let load = |lora: &Lora| Trainee::load_lora(&tiny.config, &tiny, lora, &options).unwrap();
    let mut plain = Trainee::load(&tiny.config, &tiny, |_| true, &options).unwrap();
    let mut adapted = load(&lora(&["o_proj", "up_proj"]));
    assert_eq!(
        plain.forward(&batch).unwrap(),
        adapted.forward(&batch).unwrap()
    );
    let other = Lora {
        seed: Seed(4),
        ..lora(&["o_proj", "up_proj"])
    };
    let weights = adapted.weights(true);
    assert_eq!(weights.len(), 3 * 2 * 2);
    assert_eq!(weights, load(&lora(&["o_proj", "up_proj"])).weights(true));
    assert_ne!(weights, load(&other).weights(true));
    for (name, a) in weights.iter().filter(|(name, _)| name.contains("lora_A")) {
        let bound = 1.0 / (a.shape[1] as f32).sqrt();
        let largest = a.values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        assert!(
            largest <= bound && largest > 0.8 * bound,
            "{name}: {largest}"
        );
    }
}

#[test]
fn adapters_that_cannot_be_are_refused_in_words() {
    let options = TrainOptions::default();
    let refused = |family: Family, lora: &Lora| {
        let tiny = Tiny::new(family, 1);
        let loaded = Trainee::load_lora(&tiny.config, &tiny, lora, &options);
        match loaded.err() {
            Some(TrainError::Lora { what }) => what,
            other => panic!("{other:?}"),
        }
    };
    let llama = Family::Llama;
    assert!(refused(llama, &lora(&["c_attn"])).contains("c_attn"));
    assert!(refused(llama, &lora(&[])).contains("no projection"));
    assert!(refused(llama, &lora(&["embed_tokens"])).contains("embed_tokens"));
    let no_rank = Lora {
        rank: 0,
        ..lora(&["q_proj"])
    };
    assert!(refused(llama, &no_rank).contains("rank 0"));
    assert!(refused(Family::Phi3, &lora(&["q_proj"])).contains("stored as one"));
    let tiny = Tiny::new(llama, 1);
    let mut plain = Trainee::load(&tiny.config, &tiny, |_| true, &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        plain.save_lora(folder.path(), "m"),
        Err(TrainError::Lora { .. })
    ));
    for (name, n) in [("model.norm.weight", 3), ("model.none.weight", 40)] {
        let wrong = plain.set_weight(name, &vec![0.0; n]);
        assert!(matches!(wrong, Err(TrainError::Tensor { .. })), "{wrong:?}");
    }
}

/// ‖g‖ = n, clipped at n / 2: every gradient is halved; clipped at 2 n: as it was.
#[test]
fn gradients_are_clipped_by_their_length() {
    let tiny = Tiny::new(Family::Llama, 15);
    let options = TrainOptions::default();
    let mut trainee = Trainee::load(&tiny.config, &tiny, |_| true, &options).unwrap();
    let batch = [Sequence::whole(ids(7, 20, tiny.config.vocab_size))];
    trainee.forward_backward(&batch, &[vec![-0.3; 19]]).unwrap();
    let (norm, before) = (trainee.gradient_norm(), trainee.gradients());
    assert_eq!(trainee.clip_gradients(2.0 * norm), norm);
    assert_eq!(trainee.gradients(), before);
    assert_eq!(trainee.clip_gradients(0.5 * norm), norm);
    assert!((trainee.gradient_norm() / (0.5 * norm) - 1.0).abs() < 1e-6);
    for (name, half) in trainee.gradients() {
        let pairs = half.values.iter().zip(&before[&name].values);
        assert!(
            pairs
                .into_iter()
                .all(|(half, g)| (half - 0.5 * g).abs() <= 1e-6 * g.abs())
        );
    }
}

/// Both passes in one: the same log-probabilities and gradients, whatever is kept.
#[test]
fn both_passes_in_one_give_the_same() {
    for family in FAMILIES {
        let tiny = Tiny::new(family, 16);
        let n_vocab = tiny.config.vocab_size;
        let batch = [
            Sequence::whole(ids(8, 60, n_vocab)),
            Sequence {
                tokens: ids(9, 20, n_vocab),
                scored: vec![3, 4, 17],
            },
        ];
        let d = derivatives(&batch);
        let load = |keep| {
            let options = TrainOptions {
                keep,
                ..TrainOptions::default()
            };
            Trainee::load(&tiny.config, &tiny, |_| true, &options).unwrap()
        };
        let mut apart = load(Keep::All);
        let logprobs = apart.forward(&batch).unwrap();
        apart.backward(&d).unwrap();
        for keep in [Keep::All, Keep::BlockInputs] {
            let mut both = load(keep);
            assert_eq!(both.forward_backward(&batch, &d).unwrap(), logprobs);
            assert_eq!(both.gradients(), apart.gradients(), "{family:?}");
            let again = both.backward(&d);
            assert!(matches!(again, Err(TrainError::Derivatives { .. })));
        }
    }
}
