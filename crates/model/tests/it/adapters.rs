//! Adapters against PEFT: tiny seeded adapters over the families' tiny models
//! (`golden/families/make_adapters.py`), logits at every position.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use isogloss_model::Backend;
use isogloss_model::adapter::Adapter;
use isogloss_model::checkpoint::write::{OwnedTensor, safetensors};
use isogloss_model::checkpoint::{Checkpoint, Dtype};
use isogloss_model::engine::{Engine, EngineOptions, Network};
use isogloss_record::files::{create_dir_all, write_atomic};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::families::{self, Stored, TOLERANCE, compare, logprobs, values};
use crate::files::{llama_config, llama_gguf, llama_tensors, on_disk};

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    name: String,
    base: String,
    pub(crate) config: Value,
    tensors: BTreeMap<String, AdapterTensor>,
    ids: Vec<u32>,
    logits: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct AdapterTensor {
    #[serde(flatten)]
    stored: Stored,
    /// Another tensor with the same values.
    same_as: Option<String>,
}

pub(crate) fn goldens() -> Vec<Case> {
    let json = include_str!("../../../../golden/families/adapters.json");
    serde_json::from_str::<Goldens>(json).unwrap().cases
}

pub(crate) fn case(name: &str) -> Case {
    goldens()
        .into_iter()
        .find(|case| case.name == name)
        .unwrap()
}

pub(crate) fn f32_tensor(shape: &[usize], values: &[f32]) -> OwnedTensor {
    OwnedTensor {
        shape: shape.to_vec(),
        dtype: Dtype::F32,
        bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

impl Case {
    pub(crate) fn base(&self) -> Checkpoint {
        if self.base.ends_with("_gguf") {
            return families::gguf_checkpoint(&self.base);
        }
        let case = families::goldens()
            .into_iter()
            .find(|case| case.name == self.base);
        families::checkpoint(&case.unwrap())
    }

    pub(crate) fn weights(&self) -> BTreeMap<String, OwnedTensor> {
        let tensors = self.tensors.iter().map(|(name, tensor)| {
            let seed = format!("adapter:{}", tensor.same_as.as_ref().unwrap_or(name));
            let values = values(&seed, &tensor.stored);
            (name.clone(), f32_tensor(&tensor.stored.shape, &values))
        });
        tensors.collect()
    }

    pub(crate) fn adapted(&self, weights: &BTreeMap<String, OwnedTensor>) -> Checkpoint {
        let config = self.config.to_string().into_bytes();
        let mut checkpoint = self.base();
        let adapter = Adapter::of_bytes(config, safetensors(weights)).unwrap();
        if let Err(error) = adapter.apply(&mut checkpoint) {
            panic!("{}: {error}", self.name)
        }
        checkpoint
    }

    /// Largest difference from PEFT, in nats, and where.
    fn difference(&self, weights: &BTreeMap<String, OwnedTensor>) -> (f64, usize) {
        compare(self.adapted(weights), &self.ids, &self.logits)
    }
}

fn all_logprobs(checkpoint: Checkpoint, ids: &[u32]) -> Vec<Vec<f64>> {
    let config = checkpoint.config.clone();
    let options = EngineOptions::default();
    let network = Network::load(&config, Arc::new(checkpoint), "tiny", None, &options).unwrap();
    logprobs(&network, ids, config.vocab_size)
}

#[test]
fn every_adapter_agrees_with_peft() {
    let cases = goldens();
    assert_eq!(cases.len(), 36);
    let mut wrong = Vec::new();
    for case in &cases {
        let (difference, position) = case.difference(&case.weights());
        if difference >= TOLERANCE {
            wrong.push(format!(
                "{}: {difference:.2e} nats at position {position}",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The goldens see what they must see: with a setting turned, the model is another one.
#[test]
fn a_turned_setting_is_seen() {
    for (name, key, value) in [
        ("lora", "lora_alpha", json!(7)),
        ("lora", "use_rslora", json!(true)),
        ("rslora_patterns", "use_rslora", json!(false)),
        ("rslora_patterns", "alpha_pattern", json!({})),
        (
            "rslora_patterns",
            "alpha_pattern",
            json!({"layers.0.self_attn.v_proj": 20, "down_proj": 2}),
        ),
        ("embedding", "lora_alpha", json!(5)),
        ("dora", "lora_alpha", json!(7)),
        ("embedding_dora", "lora_alpha", json!(7)),
        (
            "token_rows",
            "trainable_token_indices",
            json!([41, 3, 17, 1]),
        ),
        (
            "gpt2_tied_rows",
            "trainable_token_indices",
            json!({"wte": [5, 8, 1]}),
        ),
        ("gemma3_tied_kept", "ensure_weight_tying", json!(false)),
        ("gemma3_tied_embedding", "ensure_weight_tying", json!(true)),
        ("gemma3_tied_saved", "modules_to_save", json!([])),
        ("llama_gguf", "lora_alpha", json!(7)),
    ] {
        let mut case = case(name);
        case.config[key] = value;
        let (difference, _) = case.difference(&case.weights());
        assert!(difference > TOLERANCE, "{name}, {key}: {difference:.2e}");
    }
}

/// A low-rank change of zero is none, to the last bit: whatever A is, and after DoRA's rescaling by
/// the lengths that the rows have anyway nearly so.
#[test]
fn zero_gives_the_bytes_of_the_base() {
    for name in [
        "lora",
        "gpt2",
        "gpt_neox",
        "phi3",
        "llama_gguf_saved",
        "gemma3_tied_embedding",
    ] {
        let mut case = case(name);
        case.config["modules_to_save"] = json!(null);
        let mut weights = case.weights();
        weights.retain(|name, _| name.contains("lora_"));
        for (name, tensor) in &mut weights {
            if name.contains("lora_B") || name.contains("embedding_B") {
                tensor.bytes.fill(0);
            }
        }
        let adapted = all_logprobs(case.adapted(&weights), &case.ids);
        assert_eq!(adapted, all_logprobs(case.base(), &case.ids), "{name}");
    }
}

/// Old spellings, and a tied output layer whose tensors are stored a second time.
#[test]
fn other_spellings_are_the_same_adapter() {
    let cases = [
        ("dora", ".lora_A.weight", ".lora_A.default.weight"),
        ("dora", ".lora_B.weight", ".lora_B.sw.weight"),
        (
            "dora",
            ".lora_magnitude_vector",
            ".lora_magnitude_vector.default.weight",
        ),
        ("dora", "base_model.model.model.", "base_model.model."),
        (
            "saved",
            "lm_head.weight",
            "lm_head.modules_to_save.default.weight",
        ),
        (
            "embedding",
            ".lora_embedding_A",
            ".lora_embedding_A.default",
        ),
        (
            "token_rows",
            ".trainable_tokens_delta",
            ".trainable_tokens_delta.default",
        ),
        ("gpt2", "base_model.model.transformer.", "base_model.model."),
        (
            "gemma3",
            "base_model.model.model.",
            "base_model.model.model.language_model.",
        ),
        (
            "gemma3",
            "base_model.model.model.",
            "base_model.model.language_model.model.",
        ),
    ];
    for (name, now, old) in cases {
        let case = case(name);
        let weights = case.weights().into_iter();
        let weights: BTreeMap<_, _> = weights.map(|(k, v)| (k.replace(now, old), v)).collect();
        assert!(weights.keys().any(|name| name.contains(old)), "{old}");
        let (difference, _) = case.difference(&weights);
        assert!(difference < TOLERANCE, "{name}, {old}: {difference:.2e}");
    }

    let case = case("gemma3_tied_kept");
    let mut weights = case.weights();
    let transposed = |name: &str| {
        let stored = &case.tensors[name].stored;
        let values = values(&format!("adapter:{name}"), stored);
        let [n, m] = stored.shape[..] else {
            panic!("a matrix")
        };
        let turned: Vec<f32> = (0..n * m).map(|i| values[i % n * m + i / n]).collect();
        f32_tensor(&[m, n], &turned)
    };
    let embedding = "base_model.model.model.embed_tokens.lora_embedding_";
    for (own, of) in [("A", "B"), ("B", "A")] {
        let name = format!("base_model.model.lm_head.lora_{own}.weight");
        weights.insert(name, transposed(&format!("{embedding}{of}")));
    }
    let (difference, _) = case.difference(&weights);
    assert!(difference < TOLERANCE, "{difference:.2e}");
}

/// The vision part of a multimodal model reads no text.
#[test]
fn tensors_of_a_vision_tower_are_left_out() {
    let case = case("gemma3");
    let mut weights = case.weights();
    for part in ["A", "B"] {
        let name = format!("base_model.model.model.vision_tower.x.q_proj.lora_{part}.weight");
        weights.insert(name, f32_tensor(&[4, 4], &[1.0; 16]));
    }
    let (difference, _) = case.difference(&weights);
    assert!(difference < TOLERANCE, "{difference:.2e}");
}

/// Any storage format below: W as it is read from the file, + s · B · A. Rows of a GGUF Llama's
/// queries take turns: row 1 of a head of 8 is row 4 of the adapter's B.
#[test]
fn quantized_weights_are_changed_as_they_are_read() {
    let config =
        json!({"peft_type": "LORA", "r": 1, "lora_alpha": 0.5, "target_modules": ["q_proj"]});
    let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    let a: Vec<f32> = (0..32).map(|j| j as f32).collect();
    let b: Vec<f32> = (0..32).map(|i| 10.0 * i as f32).collect();
    let weights = BTreeMap::from([
        (format!("{name}A.weight"), f32_tensor(&[1, 32], &a)),
        (format!("{name}B.weight"), f32_tensor(&[32, 1], &b)),
    ]);
    for dtype in [
        Dtype::F32,
        Dtype::F16,
        Dtype::BF16,
        Dtype::Q8_0,
        Dtype::Q4_0,
    ] {
        let open = || Checkpoint::of_gguf_bytes("m.gguf", llama_gguf(dtype).to_bytes()).unwrap();
        let (base, mut adapted) = (open(), open());
        let bytes = config.to_string().into_bytes();
        let adapter = Adapter::of_bytes(bytes, safetensors(&weights)).unwrap();
        adapter.apply(&mut adapted).unwrap();
        let q = "model.layers.0.self_attn.q_proj.weight";
        let (base, found) = (base.tensor(q).unwrap(), adapted.tensor(q).unwrap());
        assert_eq!(base.dtype, dtype);
        let (base, found) = (base.to_f32(), found.to_f32());
        for (row, stored) in [(0, 0), (1, 4), (2, 1), (7, 7), (9, 12), (31, 31)] {
            for j in 0..32 {
                let want = base[row * 32 + j] + 0.5 * b[stored] * a[j];
                assert_eq!(found[row * 32 + j], want, "{dtype}, row {row}, column {j}");
            }
        }
    }
}

/// A run with an adapter never mixes its answers with the base's, or with another adapter's.
#[test]
fn the_fingerprint_is_that_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    isogloss_model::checkpoint::write::hf_folder(
        &base,
        &llama_config(),
        &llama_tensors(Dtype::F32),
    )
    .unwrap();
    let adapter = |name: &str, alpha: f64, value: f32| {
        let path = folder.path().join(name);
        create_dir_all(&path).unwrap();
        let config =
            json!({"peft_type": "LORA", "r": 1, "lora_alpha": alpha, "target_modules": ["q_proj"]});
        let module = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
        let weights = BTreeMap::from([
            (
                format!("{module}A.weight"),
                f32_tensor(&[1, 32], &[value; 32]),
            ),
            (
                format!("{module}B.weight"),
                f32_tensor(&[32, 1], &[value; 32]),
            ),
        ]);
        write_atomic(
            &path.join("adapter_config.json"),
            config.to_string().as_bytes(),
        )
        .unwrap();
        write_atomic(
            &path.join("adapter_model.safetensors"),
            &safetensors(&weights),
        )
        .unwrap();
        path
    };
    let options = EngineOptions::default();
    let open = |adapter: &Path| {
        let engine = Engine::open_adapted(&base, adapter, "base+own", &options).unwrap();
        engine.fingerprint().clone()
    };
    let plain = Engine::open(&base, "base", &options).unwrap();
    let first = open(&adapter("first", 1.0, 0.5));
    assert_eq!(first.name, "base+own");
    let twin = open(&adapter("twin", 1.0, 0.5));
    assert_eq!(first.hash, twin.hash);
    let others = [
        plain.fingerprint().hash.clone(),
        first.hash.clone(),
        open(&adapter("alpha", 2.0, 0.5)).hash,
        open(&adapter("values", 1.0, 0.25)).hash,
    ];
    let different: std::collections::BTreeSet<_> = others.iter().collect();
    assert_eq!(different.len(), 4);
    assert_eq!(first.n_parameters, plain.fingerprint().n_parameters);

    // Where a GGUF file lies, and what it is called, does not count.
    let bytes = llama_gguf(Dtype::Q8_0).to_bytes();
    let hash = |name: &str| {
        let (_folder, path) = on_disk(name, &bytes);
        let mut checkpoint = Checkpoint::open(&path).unwrap();
        Adapter::open(&folder.path().join("first"))
            .unwrap()
            .apply(&mut checkpoint)
            .unwrap();
        checkpoint.fingerprint("x").hash
    };
    assert_eq!(hash("a.gguf"), hash("b.gguf"));
}
