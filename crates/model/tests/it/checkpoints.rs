//! Checkpoints written here open again, in both formats, with every spelling of their settings.

use std::path::Path;

use isogloss_model::checkpoint::write::{self, GgufWriter};
use isogloss_model::checkpoint::{
    Activation, Checkpoint, CheckpointError, Config, Dtype, Family, HeadNorm, NormKind, Positions,
    Residual, RopePairing, RopeScaling,
};
use isogloss_record::Explain;
use isogloss_testkit::model_path;
use serde_json::{Value, json};

use crate::files::{D_MODEL, VOCAB, llama_config, llama_gguf, llama_tensors, on_disk};

fn open_folder(config: &Value) -> Result<Checkpoint, CheckpointError> {
    let folder = tempfile::tempdir().unwrap();
    write::hf_folder(folder.path(), config, &llama_tensors(Dtype::F32)).unwrap();
    Checkpoint::open(folder.path())
}

/// The settings with some replaced; `null` removes one.
#[expect(clippy::needless_pass_by_value, reason = "called with `json!`")]
fn with(changes: Value) -> Value {
    let mut config = llama_config();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[test]
fn both_formats_give_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    write::hf_folder(folder.path(), &llama_config(), &llama_tensors(Dtype::F32)).unwrap();
    let hf = Checkpoint::open(folder.path()).unwrap();
    let (_folder, path) = on_disk("m.gguf", &llama_gguf(Dtype::F32).to_bytes());
    let gguf = Checkpoint::open(&path).unwrap();

    assert!(hf.tensor_names().eq(gguf.tensor_names()));
    for name in hf.tensor_names() {
        let (a, b) = (hf.tensor(name).unwrap(), gguf.tensor(name).unwrap());
        assert_eq!((&a.shape, a.to_f32()), (&b.shape, b.to_f32()), "{name}");
    }
    let expected = Config {
        family: Family::Llama,
        n_layers: 1,
        d_model: D_MODEL,
        n_heads: 4,
        n_kv_heads: 2,
        d_head: 8,
        d_ff: 64,
        vocab_size: VOCAB,
        context_length: 128,
        norm: NormKind::Rms,
        norm_bias: false,
        norm_eps: 1e-5,
        norm_offset: 0.0,
        positions: Positions::Rotary,
        d_rotary: 8,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        rope_magnitude: 1.0,
        rope_theta_local: None,
        rope_pairing: RopePairing::Halves,
        sliding_window: None,
        sliding_layers: Vec::new(),
        attention_scale: 1.0 / 8.0_f32.sqrt(),
        attention_softcap: None,
        embedding_scale: 1.0,
        embedding_norm: false,
        qkv_bias: false,
        out_bias: false,
        ff_bias: false,
        head_norm: HeadNorm::None,
        pre_norms: true,
        post_norms: false,
        residual: Residual::Sequential,
        activation: Activation::Silu,
        gated: true,
        logit_scale: 1.0,
        logit_softcap: None,
        tied_embeddings: true,
        bos_id: Some(1),
        eos_ids: vec![2, 3],
    };
    assert_eq!(hf.config, expected);
    let expected = Config {
        rope_pairing: RopePairing::Neighbors,
        bos_id: None,
        eos_ids: Vec::new(),
        ..expected
    };
    assert_eq!(gguf.config, expected);
    // 64·32 + 32 (final norm) + 2·32 + 2·32·32 + 2·16·32 + 3·64·32
    assert_eq!(hf.n_parameters(), 2048 + 32 + 64 + 2048 + 1024 + 6144);
}

#[test]
fn rows_are_read_one_by_one_or_all_at_once() {
    for dtype in [
        Dtype::F32,
        Dtype::F16,
        Dtype::BF16,
        Dtype::Q8_0,
        Dtype::Q4_0,
    ] {
        let (_folder, path) = on_disk("m.gguf", &llama_gguf(dtype).to_bytes());
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tensor = checkpoint
            .tensor("model.layers.0.mlp.up_proj.weight")
            .unwrap();
        let all = tensor.to_f32();
        let mut row = vec![0.0; tensor.row_len()];
        for i in 0..tensor.n_rows() {
            tensor.dequantize_row(i, &mut row);
            assert_eq!(row, all[i * 32..(i + 1) * 32], "{dtype}, row {i}");
        }
    }
}

#[test]
fn shards_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = llama_tensors(Dtype::BF16);
    write::hf_folder(folder.path(), &llama_config(), &tensors).unwrap();
    let whole = Checkpoint::open(folder.path()).unwrap();

    let sharded = tempfile::tempdir().unwrap();
    let mut map = serde_json::Map::new();
    for shard in 0..2 {
        let name = format!("model-0000{}-of-00002.safetensors", shard + 1);
        let part = tensors.iter().enumerate().filter(|(i, _)| i % 2 == shard);
        let part: std::collections::BTreeMap<_, _> = part
            .map(|(_, (name, tensor))| (name.clone(), tensor.clone()))
            .collect();
        for tensor in part.keys() {
            map.insert(tensor.clone(), json!(name));
        }
        save(sharded.path(), &name, &write::safetensors(&part));
    }
    save(
        sharded.path(),
        "config.json",
        llama_config().to_string().as_bytes(),
    );
    let index = |map: &serde_json::Map<String, Value>| json!({"weight_map": map}).to_string();
    let index_name = "model.safetensors.index.json";
    save(sharded.path(), index_name, index(&map).as_bytes());
    let parts = Checkpoint::open(sharded.path()).unwrap();
    for name in whole.tensor_names() {
        assert_eq!(
            whole.tensor(name).unwrap().to_f32(),
            parts.tensor(name).unwrap().to_f32()
        );
    }
    assert_eq!(parts.fingerprint("m").quantization, "BF16");

    // A shard outside the folder is not read.
    map.insert("x".into(), json!("../secret.safetensors"));
    save(sharded.path(), index_name, index(&map).as_bytes());
    let error = Checkpoint::open(sharded.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
}

fn save(folder: &Path, name: &str, bytes: &[u8]) {
    isogloss_record::files::write_atomic(&folder.join(name), bytes).unwrap();
}

#[test]
fn settings_are_read_in_old_and_new_spellings() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64});
    let scaled = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context_length: 64,
    };
    let mut in_parameters = llama3.clone();
    in_parameters["rope_theta"] = json!(500_000.0);
    for config in [
        with(json!({"rope_theta": 500_000.0, "rope_scaling": llama3})),
        with(json!({"rope_theta": null, "rope_parameters": in_parameters})),
    ] {
        let checkpoint = open_folder(&config).unwrap();
        assert_eq!(checkpoint.config.rope_theta, 500_000.0);
        assert_eq!(checkpoint.config.rope_scaling, scaled);
    }
    for key in ["type", "rope_type"] {
        let config = with(json!({"rope_scaling": {key: "linear", "factor": 2.5}}));
        let scaling = open_folder(&config).unwrap().config.rope_scaling;
        assert_eq!(scaling, RopeScaling::Linear { factor: 2.5 });
    }
    let config = with(json!({"architectures": ["MistralForCausalLM"], "sliding_window": null}));
    let mistral = open_folder(&config).unwrap().config;
    assert_eq!(
        (mistral.family, mistral.sliding_window),
        (Family::Mistral, None)
    );
    // Without the setting, the class's own default.
    let config = with(json!({"architectures": ["MistralForCausalLM"]}));
    let mistral = open_folder(&config).unwrap().config;
    assert_eq!(mistral.sliding_window, Some(4096));
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    for (changes, want) in [
        (
            json!({"rope_scaling": {"rope_type": "proportional", "factor": 4.0}}),
            "rotary scaling `proportional`",
        ),
        (json!({"hidden_act": "relu2"}), "the activation `relu2`"),
        (
            json!({"use_bidirectional_attention": true}),
            "`use_bidirectional_attention`",
        ),
        (
            json!({"quantization_config": {"bits": 4}}),
            "quantized weights",
        ),
        (
            json!({"architectures": ["GPT2LMHeadModel"], "scale_attn_weights": false}),
            "`scale_attn_weights: false`",
        ),
    ] {
        let error = open_folder(&with(changes)).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Unsupported { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(want), "{error}");
    }
    let error = open_folder(&with(json!({"architectures": ["RwkvForCausalLM"]}))).unwrap_err();
    assert!(error.to_string().contains("`RwkvForCausalLM`"), "{error}");
    assert!(error.hint().unwrap().contains("Gemma 3"));
    let (_folder, path) = on_disk("m.gguf", &GgufWriter::new("mamba").to_bytes());
    let error = Checkpoint::open(&path).unwrap_err();
    assert!(error.to_string().contains("`mamba`"), "{error}");
}

#[test]
fn impossible_settings_name_the_setting() {
    for (changes, want) in [
        (
            json!({"hidden_size": null}),
            "`hidden_size`: expected a size from 1 to 2147483647, found nothing",
        ),
        (json!({"hidden_size": 0}), "`hidden_size`"),
        (json!({"hidden_size": -5}), "found -5"),
        (json!({"num_attention_heads": 3}), "key and value heads"),
        (
            json!({"num_hidden_layers": 2_000_000_000}),
            "`num_hidden_layers`: expected at most 11",
        ),
        (
            json!({"rms_norm_eps": "x"}),
            "`rms_norm_eps`: expected a number above 0, found \"x\"",
        ),
        (
            json!({"eos_token_id": 64}),
            "`eos_token_id`: expected token ids below 64, found 64",
        ),
        (json!({"head_dim": 7}), "head width"),
        (json!({"tie_word_embeddings": 1}), "`tie_word_embeddings`"),
        (json!({"architectures": []}), "`architectures`"),
    ] {
        let error = open_folder(&with(changes)).unwrap_err();
        assert!(matches!(error, CheckpointError::Setting { .. }), "{error}");
        assert!(error.to_string().contains(want), "{error}\nwant: {want}");
    }
}

#[test]
fn weights_must_be_those_of_the_settings() {
    let error = open_folder(&with(json!({"intermediate_size": 63}))).unwrap_err();
    assert_eq!(
        error.to_string().split_once(": ").unwrap().1,
        "tensor `model.layers.0.mlp.gate_proj.weight` has shape [64, 32], the settings say [63, 32]"
    );
    let error = open_folder(&with(json!({"tie_word_embeddings": false}))).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has no tensor `lm_head.weight`"),
        "{error}"
    );
    // A tensor that the architecture does not have would be ignored without a word.
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = llama_tensors(Dtype::F32);
    let bias = tensors["model.norm.weight"].clone();
    tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), bias);
    write::hf_folder(folder.path(), &llama_config(), &tensors).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, CheckpointError::UnexpectedTensor { .. }),
        "{error}"
    );
}

#[test]
fn gemma_settings_of_all_generations() {
    let base = json!({"num_hidden_layers": 11, "rms_norm_eps": 1e-6});
    let parse = |changes: Value| {
        let mut text = base.clone();
        for (key, value) in changes.as_object().unwrap() {
            text[key] = value.clone();
        }
        // Nested as in `Gemma3ForConditionalGeneration`; the error names a missing tensor, since
        // only the settings are of interest here.
        json!({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": text})
    };
    let config = |json: Value| gemma_config(&json);
    let pattern: Vec<bool> = (1..=11).map(|n| n % 6 != 0).collect();
    let old = config(parse(
        json!({"sliding_window_pattern": 6, "rope_local_base_freq": 10_000.0,
        "rope_theta": 1e6, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 512}),
    ));
    let types: Vec<&str> = pattern
        .iter()
        .map(|slides| {
            if *slides {
                "sliding_attention"
            } else {
                "full_attention"
            }
        })
        .collect();
    let new = config(parse(
        json!({"layer_types": types, "sliding_window": 512, "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}}}),
    ));
    assert_eq!(old, new);
    assert_eq!(old.sliding_layers, pattern);
    assert_eq!(
        (old.sliding_window, old.rope_theta_local),
        (Some(512), Some(10_000.0))
    );
    assert_eq!(old.rope_scaling, RopeScaling::Linear { factor: 8.0 });
    // The class's defaults: 2304 wide, scale 1/√256, embeddings times √2304 = 48.
    assert_eq!(
        (old.d_model, old.attention_scale, old.embedding_scale),
        (2304, 1.0 / 16.0, 48.0)
    );
    assert_eq!(
        (old.norm_offset, old.tied_embeddings, old.d_head),
        (1.0, true, 256)
    );
}

/// Settings of a Gemma folder, whose weights are made up to fit them in number.
fn gemma_config(json: &Value) -> Config {
    isogloss_model::checkpoint::config_of_json(Path::new("config.json"), json, 1000).unwrap()
}

#[test]
fn a_fingerprint_tells_contents_not_names() {
    let bytes = llama_gguf(Dtype::Q4_0).to_bytes();
    let hash = |name: &str, bytes: &[u8]| {
        let (_folder, path) = on_disk(name, bytes);
        Checkpoint::open(&path).unwrap().fingerprint("m")
    };
    let first = hash("a.gguf", &bytes);
    assert_eq!(first, hash("b.gguf", &bytes));
    assert_eq!(
        (first.architecture.as_str(), first.quantization.as_str()),
        ("llama", "Q4_0")
    );
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    assert_ne!(first.hash, hash("a.gguf", &changed).hash);
}

#[test]
fn the_real_models_open() {
    let checkpoint = Checkpoint::open(&model_path("smollm2-135m")).unwrap();
    assert_eq!(checkpoint.n_parameters(), 134_515_008);
    assert_eq!(checkpoint.license.as_deref(), Some("apache-2.0"));
    assert_eq!(checkpoint.config.rope_pairing, RopePairing::Neighbors);
    let checkpoint = Checkpoint::open(&model_path("gemma3-270m")).unwrap();
    let config = &checkpoint.config;
    assert_eq!(checkpoint.n_parameters(), 268_098_176);
    assert_eq!((config.d_head, config.sliding_window), (256, Some(512)));
    let full: Vec<usize> = (0..18).filter(|layer| !config.is_sliding(*layer)).collect();
    assert_eq!(full, [5, 11, 17]);
    assert_eq!(
        (config.norm_offset, config.embedding_scale),
        (0.0, 640.0_f32.sqrt())
    );
    // A norm of the file holds w + 1: near 1, not near 0, before training moved it.
    let norm = checkpoint
        .tensor("model.layers.0.self_attn.q_norm.weight")
        .unwrap()
        .to_f32();
    assert!(norm.iter().sum::<f32>() / norm.len() as f32 > 0.5);
}

#[test]
fn every_stretching_key_of_a_gguf_file_is_read_or_refused() {
    let open = |keys: &[(&str, f32)], kind: &str| {
        let mut gguf = llama_gguf(Dtype::F32);
        gguf.string("llama.rope.scaling.type", kind);
        for (key, value) in keys {
            gguf.f32(&format!("llama.rope.scaling.{key}"), *value);
        }
        Checkpoint::of_gguf_bytes("m.gguf", gguf.to_bytes()).map(|checkpoint| checkpoint.config)
    };
    let betas = |config: Config| match config.rope_scaling {
        RopeScaling::Yarn {
            beta_fast,
            beta_slow,
            ..
        } => (beta_fast, beta_slow, config.rope_magnitude),
        other => panic!("{other:?}"),
    };
    let e = std::f32::consts::E;
    // 1 + .1 ln e = 1.1, times the factor that holds for every kind.
    let plain = open(&[("factor", e), ("attn_factor", 0.5)], "yarn").unwrap();
    assert_eq!(betas(plain), (32.0, 1.0, 0.55));
    let stated = [
        ("factor", e),
        ("yarn_ext_factor", 1.0),
        ("yarn_attn_factor", 1.5),
        ("yarn_beta_fast", 16.0),
        ("yarn_beta_slow", 2.0),
    ];
    assert_eq!(betas(open(&stated, "yarn").unwrap()), (16.0, 2.0, 1.5));
    let linear = open(&[("factor", 2.0), ("attn_factor", 0.5)], "linear").unwrap();
    assert_eq!(linear.rope_magnitude, 0.5);
    for (key, value) in [("yarn_ext_factor", 0.5), ("yarn_log_multiplier", 0.1)] {
        let error = open(&[("factor", e), (key, value)], "yarn").unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

/// A broken copy opens, has the same values in other places, and leaves what was not to be broken.
#[test]
fn broken_copies_are_models_with_the_same_values_elsewhere() {
    use isogloss_model::checkpoint::damage::{Damage, write_damaged};
    use isogloss_record::Seed;
    let (folder, path) = on_disk("m.gguf", &llama_gguf(Dtype::Q8_0).to_bytes());
    let hf = folder.path().join("hf");
    write::hf_folder(&hf, &llama_config(), &llama_tensors(Dtype::F32)).unwrap();
    for (path, copy) in [(path, "copy.gguf"), (hf, "copy")] {
        let original = Checkpoint::open(&path).unwrap();
        let values =
            |checkpoint: &Checkpoint, name: &str| checkpoint.tensor(name).unwrap().to_f32();
        let sorted = |mut values: Vec<f32>| {
            values.sort_unstable_by(f32::total_cmp);
            values
        };
        for damage in Damage::ALL {
            let copy = folder.path().join(format!("{}-{copy}", damage.id()));
            write_damaged(&original, damage, Seed(1), &copy).unwrap();
            let broken = Checkpoint::open(&copy).unwrap();
            assert_eq!(broken.config, original.config);
            for name in original.tensor_names() {
                let (was, is) = (values(&original, name), values(&broken, name));
                let changes = match damage {
                    Damage::ShuffledEmbeddings => name == "model.embed_tokens.weight",
                    Damage::ScrambledWeights => !name.ends_with("norm.weight"),
                };
                assert_eq!(was != is, changes, "{name} {damage:?}");
                assert_eq!(sorted(was), sorted(is), "{name} {damage:?}");
            }
        }
    }
}
