//! Every decoder family against transformers: tiny seeded models in their own spelling and storage
//! (`golden/families`), logits at every position.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isogloss_model::RunSettings;
use isogloss_model::checkpoint::write::{OwnedTensor, safetensors};
use isogloss_model::checkpoint::{Checkpoint, Dtype};
use isogloss_model::engine::{EngineOptions, Network};
use isogloss_record::{Encoded, Response, files};
use serde::Deserialize;

/// Largest allowed difference of a log-probability, in nats.
pub(crate) const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) config: serde_json::Value,
    pub(crate) tensors: BTreeMap<String, Stored>,
    ids: Vec<u32>,
    logits: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
pub(crate) struct Stored {
    pub(crate) shape: Vec<usize>,
    pub(crate) scale: f32,
    pub(crate) offset: f32,
}

pub(crate) fn goldens() -> Vec<Case> {
    let json = include_str!("../../../../golden/families/families.json");
    serde_json::from_str::<Goldens>(json).unwrap().cases
}

/// The same as `values` in `golden/families/make.py`.
pub(crate) fn values(name: &str, stored: &Stored) -> Vec<f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    (0..stored.shape.iter().product::<usize>() as u64)
        .map(|i| {
            let z = seed.wrapping_add(i).wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let z = z ^ (z >> 31);
            let u = (z >> 40) as f32 / (1 << 23) as f32 - 1.0;
            u * stored.scale + stored.offset
        })
        .collect()
}

pub(crate) fn checkpoint(case: &Case) -> Checkpoint {
    with_values(case, values)
}

/// The case's model with other values, as it is stored.
pub(crate) fn with_values(
    case: &Case,
    mut values: impl FnMut(&str, &Stored) -> Vec<f32>,
) -> Checkpoint {
    let tensors = case.tensors.iter().map(|(name, stored)| {
        let tensor = OwnedTensor {
            shape: stored.shape.clone(),
            dtype: Dtype::F32,
            bytes: values(name, stored)
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
        };
        (name.clone(), tensor)
    });
    Checkpoint::of_safetensors_bytes(&case.config, safetensors(&tensors.collect())).unwrap()
}

/// The same as llama.cpp's converter writes it.
pub(crate) fn gguf_checkpoint(name: &str) -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/families");
    let name = format!("{name}.gguf.zst");
    let compressed = files::read(&folder.join(&name)).unwrap();
    let bytes = zstd::decode_all(&compressed[..]).unwrap();
    Checkpoint::of_gguf_bytes(&name, bytes).unwrap()
}

/// Log-probabilities of every token at every position, from one choice a position.
pub(crate) fn logprobs(network: &Network, ids: &[u32], n_vocab: usize) -> Vec<Vec<f64>> {
    let labels: Vec<Vec<u32>> = (0..n_vocab as u32).map(|id| vec![id]).collect();
    let jobs: Vec<Encoded> = (1..=ids.len())
        .map(|n| Encoded::Choose {
            token_ids: ids[..n].to_vec(),
            labels: labels.clone(),
        })
        .collect();
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 64,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut rows = vec![Vec::new(); ids.len()];
    let no_text = |_: &[u32]| String::new();
    network
        .run(&jobs, &settings, &[], &no_text, &mut |i, response| {
            let Response::Choose { logprobs } = response else {
                panic!("a choice is answered by a choice")
            };
            rows[i] = logprobs.into_iter().map(f64::from).collect();
        })
        .unwrap();
    rows
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    let total = logits.iter().map(|l| (l - max).exp()).sum::<f64>().ln() + max;
    logits.iter().map(|l| l - total).collect()
}

/// Largest difference of a log-probability from the golden logits, and where.
pub(crate) fn compare(checkpoint: Checkpoint, ids: &[u32], logits: &[Vec<f64>]) -> (f64, usize) {
    let config = checkpoint.config.clone();
    let options = EngineOptions::default();
    let network = Network::load(&config, Arc::new(checkpoint), "tiny", None, &options).unwrap();
    let found = logprobs(&network, ids, config.vocab_size);
    assert_eq!(found.len(), logits.len());
    let mut worst = (0.0, 0);
    for (position, (want, found)) in logits.iter().zip(&found).enumerate() {
        assert_eq!(found.len(), want.len());
        for (want, found) in log_softmax(want).iter().zip(found) {
            let difference = (want - found).abs();
            if difference > worst.0 {
                worst = (difference, position);
            }
        }
    }
    worst
}

#[test]
fn every_family_agrees_with_transformers() {
    let cases = goldens();
    assert_eq!(cases.len(), 23);
    for case in &cases {
        let (difference, position) = compare(checkpoint(case), &case.ids, &case.logits);
        assert!(
            difference < TOLERANCE,
            "{}: {difference:.2e} nats at position {position}",
            case.name
        );
    }
}

/// The same families as llama.cpp's converter writes them.
#[test]
fn every_family_agrees_with_transformers_in_gguf() {
    #[derive(Deserialize)]
    struct Goldens {
        cases: Vec<GgufCase>,
    }
    #[derive(Deserialize)]
    struct GgufCase {
        name: String,
        ids: Vec<u32>,
        logits: Vec<Vec<f64>>,
    }
    let json = include_str!("../../../../golden/families/gguf.json");
    let cases = serde_json::from_str::<Goldens>(json).unwrap().cases;
    assert_eq!(cases.len(), 11);
    for case in cases {
        let (name, checkpoint) = (&case.name, gguf_checkpoint(&case.name));
        let (difference, position) = compare(checkpoint, &case.ids, &case.logits);
        assert!(
            difference < TOLERANCE,
            "{name}: {difference:.2e} nats at position {position}"
        );
    }
}

/// The goldens see what they must see: with a switch turned, the model is another one.
#[test]
fn a_turned_switch_is_seen() {
    for (name, key, value) in [
        ("llama_linear", "rope_scaling", serde_json::json!(null)),
        ("llama_yarn", "rope_theta", serde_json::json!(11_000.0)),
        ("mistral_window", "sliding_window", serde_json::json!(7)),
        ("gemma2", "attn_logit_softcapping", serde_json::json!(null)),
        ("gemma2", "final_logit_softcapping", serde_json::json!(null)),
        (
            "phi3_longrope",
            "original_max_position_embeddings",
            serde_json::json!(64),
        ),
        ("cohere", "logit_scale", serde_json::json!(0.3)),
        (
            "gpt_neox",
            "use_parallel_residual",
            serde_json::json!(false),
        ),
        ("gpt_neox", "rotary_pct", serde_json::json!(0.5)),
        ("gpt_neox", "hidden_act", serde_json::json!("gelu_new")),
        ("bloom", "n_head", serde_json::json!(4)),
    ] {
        let mut case = goldens()
            .into_iter()
            .find(|case| case.name == name)
            .unwrap();
        case.config[key] = value;
        let (difference, _) = compare(checkpoint(&case), &case.ids, &case.logits);
        assert!(difference > TOLERANCE, "{name}, {key}: {difference:.2e}");
    }
}
