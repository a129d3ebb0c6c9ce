//! Adapters that do not fit, are damaged or hostile: one error each, with a hint.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_model::adapter::{Adapter, AdapterError};
use isogloss_model::checkpoint::write::{OwnedTensor, safetensors};
use isogloss_model::checkpoint::{Checkpoint, Dtype};
use isogloss_record::Explain;
use isogloss_record::files::write_atomic;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::adapters::{Case, case, f32_tensor};

type Weights = BTreeMap<String, OwnedTensor>;

fn apply(
    checkpoint: &mut Checkpoint,
    config: &Value,
    weights: &Weights,
) -> Result<(), AdapterError> {
    let config = config.to_string().into_bytes();
    Adapter::of_bytes(config, safetensors(weights))?.apply(checkpoint)
}

#[track_caller]
fn refused(case: &Case, weights: &Weights, want: &str) -> AdapterError {
    let mut checkpoint = case.base();
    let error = apply(&mut checkpoint, &case.config, weights).expect_err(want);
    assert!(error.to_string().contains(want), "{error}\nwant: {want}");
    assert!(error.hint().is_some(), "{error}");
    error
}

const Q_1: &str = "base_model.model.model.layers.1.self_attn.q_proj";

#[test]
fn an_adapter_of_another_model() {
    // Another family.
    let (llama, gpt2) = (case("lora"), case("gpt2"));
    let mut base = gpt2.base();
    let error = apply(&mut base, &llama.config, &llama.weights()).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("changes `model.layers.0.mlp.down_proj`, which"),
        "{said}"
    );
    assert!(
        said.contains("(a gpt2 of 2 layers) does not have"),
        "{said}"
    );
    assert_eq!(
        error.hint().unwrap(),
        "the adapter says that it was made for `llama`"
    );
    let mut base = llama.base();
    let error = apply(&mut base, &gpt2.config, &gpt2.weights()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("changes `transformer.h.0.attn.c_attn`"),
        "{error}"
    );

    // Other sizes: of the inputs, of the outputs, of the vocabulary.
    let mut weights = llama.weights();
    weights.insert(
        format!("{Q_1}.lora_A.weight"),
        f32_tensor(&[4, 64], &[0.0; 256]),
    );
    let want = "`base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight`: expected shape [4, 32], found [4, 64]";
    refused(&llama, &weights, want);
    let mut weights = llama.weights();
    weights.insert(
        format!("{Q_1}.lora_B.weight"),
        f32_tensor(&[31, 4], &[0.0; 124]),
    );
    refused(
        &llama,
        &weights,
        "lora_B.weight`: expected shape [32, 4], found [31, 4]",
    );
    let saved = case("saved");
    let mut weights = saved.weights();
    let name = "base_model.model.model.embed_tokens.weight";
    weights.insert(name.into(), f32_tensor(&[50, 32], &[0.0; 1600]));
    refused(&saved, &weights, "expected shape [48, 32], found [50, 32]");
    let fused = case("gpt2_positions");
    let mut weights = fused.weights();
    let name = "base_model.model.transformer.wpe.weight";
    weights.insert(name.into(), f32_tensor(&[32, 32], &[0.0; 1024]));
    refused(&fused, &weights, "expected shape [64, 32], found [32, 32]");

    // More layers, and fewer.
    let mut weights = llama.weights();
    for part in ["A", "B"] {
        let own = weights[&format!("{Q_1}.lora_{part}.weight")].clone();
        weights.insert(
            format!("{Q_1}.lora_{part}.weight").replace("layers.1", "layers.2"),
            own,
        );
    }
    refused(
        &llama,
        &weights,
        "changes `model.layers.2.self_attn.q_proj`",
    );
    let mut weights = llama.weights();
    weights.retain(|name, _| !name.starts_with(Q_1));
    let want = "has no tensor `base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight`: this module of other";
    refused(&llama, &weights, want);

    // A head that decoders do not have.
    let mut weights = llama.weights();
    weights.insert(
        "base_model.model.score.weight".into(),
        f32_tensor(&[2, 32], &[0.0; 64]),
    );
    refused(&llama, &weights, "changes `score.weight`");
}

#[test]
fn tensors_that_contradict_the_settings() {
    let mut lora = case("lora");
    for (gone, want) in [
        ("lora_A", "`lora_B.weight` of this module is there"),
        ("lora_B", "`lora_A.weight` of this"),
    ] {
        let mut weights = lora.weights();
        weights.remove(&format!("{Q_1}.{gone}.weight"));
        let error = refused(&lora, &weights, want);
        assert!(
            error.to_string().contains(&format!("{Q_1}.{gone}")),
            "{error}"
        );
    }
    let weights = lora.weights();
    lora.config["r"] = json!(8);
    refused(&lora, &weights, "expected shape [8, 40], found [4, 40]");
    lora.config["r"] = json!(4);
    lora.config["use_dora"] = json!(true);
    refused(
        &lora,
        &weights,
        "lora_magnitude_vector`: the settings say `use_dora`",
    );
    lora.config["use_dora"] = json!(false);
    lora.config["target_modules"] = json!(["q_proj"]);
    refused(
        &lora,
        &weights,
        "a module that `target_modules` names, found model.layers.0.mlp.down_proj",
    );

    let mut dora = case("dora");
    let weights = dora.weights();
    dora.config["use_dora"] = json!(false);
    refused(&dora, &weights, "expected `use_dora` in the settings");
    dora.config["use_dora"] = json!(true);
    let mut short = weights.clone();
    short.insert(
        format!("{Q_1}.lora_magnitude_vector"),
        f32_tensor(&[31], &[1.0; 31]),
    );
    refused(
        &dora,
        &short,
        "lora_magnitude_vector`: expected shape [32], found [31]",
    );
    let mut alone = weights.clone();
    alone.retain(|name, _| !name.starts_with(Q_1) || name.ends_with("vector"));
    dora.config["exclude_modules"] = json!(["x"]); // for the layers' own check
    refused(
        &dora,
        &alone,
        "expected a low-rank change beside it, found none",
    );

    let mut rows = case("token_rows");
    let weights = rows.weights();
    rows.config["trainable_token_indices"] = json!([1, 2, 3]);
    refused(
        &rows,
        &weights,
        "trainable_tokens_delta`: expected shape [3, 32], found [4, 32]",
    );
    rows.config["trainable_token_indices"] = json!([1, 2, 3, 48]);
    refused(&rows, &weights, "expected token ids below 48, found 48");
    rows.config["trainable_token_indices"] = json!(null);
    refused(
        &rows,
        &weights,
        "expected trained tokens of this module in the settings, found none",
    );
    let lora = case("lora");
    let mut rows = case("lora");
    rows.config["trainable_token_indices"] = json!([1]);
    refused(&rows, &lora.weights(), "the settings name trained tokens");
}

#[test]
fn damaged_tensors() {
    let lora = case("lora");
    for value in [f32::NAN, f32::INFINITY] {
        let mut weights = lora.weights();
        let tensor = weights.get_mut(&format!("{Q_1}.lora_A.weight")).unwrap();
        tensor.bytes[12..16].copy_from_slice(&value.to_le_bytes());
        let want = format!("expected finite values, found {value} (value 3)");
        refused(&lora, &weights, &want);
    }
    let mut weights = lora.weights();
    let own = weights[&format!("{Q_1}.lora_A.weight")].clone();
    weights.insert(format!("{Q_1}.lora_A.default.weight"), own);
    refused(
        &lora,
        &weights,
        "expected one spelling of a name, found two",
    );
    for name in [
        "base_model.model.x.hada_w1_a",
        "base_model.model.x.lora_B.bias",
        "prompt_embeddings",
    ] {
        let mut weights = lora.weights();
        weights.insert(name.into(), f32_tensor(&[2], &[0.0; 2]));
        refused(
            &lora,
            &weights,
            &format!("tensor `{name}`: expected the name of a low-rank change"),
        );
    }
    refused(&lora, &Weights::new(), "it holds no tensors at all");

    let mut checkpoint = lora.base();
    apply(&mut checkpoint, &lora.config, &lora.weights()).unwrap();
    let error = apply(&mut checkpoint, &lora.config, &lora.weights()).unwrap_err();
    assert!(error.to_string().contains("a second adapter"), "{error}");

    // What was refused has changed nothing.
    let mut checkpoint = lora.base();
    let before = checkpoint.fingerprint("x");
    assert!(apply(&mut checkpoint, &lora.config, &weights).is_err());
    assert_eq!(checkpoint.fingerprint("x"), before);

    // The file cut anywhere.
    let config = lora.config.to_string().into_bytes();
    let bytes = safetensors(&lora.weights());
    for n in (0..bytes.len()).step_by(101).chain([bytes.len() - 1]) {
        let error = Adapter::of_bytes(config.clone(), bytes[..n].to_vec()).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
    let error = Adapter::of_bytes(config[..config.len() / 2].to_vec(), bytes).unwrap_err();
    assert!(
        error.to_string().contains("expected JSON, found"),
        "{error}"
    );
}

#[test]
fn folders_that_hold_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &Path, want: &str| {
        let error = Adapter::open(path).unwrap_err();
        let expected =
            "expected a folder with adapter_config.json and adapter_model.safetensors, found";
        let want = format!("{expected} {want}");
        assert!(error.to_string().contains(&want), "{error}\nwant: {want}");
        assert!(error.hint().is_some());
    };
    check(folder.path(), "a folder without either");
    check(&folder.path().join("nowhere"), "nothing");
    let config = folder.path().join("adapter_config.json");
    write_atomic(&config, b"{\"peft_type\": \"LORA\"}").unwrap();
    check(&config, "a file");
    check(folder.path(), "a folder without adapter_model.safetensors");
    write_atomic(&folder.path().join("adapter_model.bin"), b"x").unwrap();
    check(folder.path(), "pickled weights");
    write_atomic(&folder.path().join("adapter_model.safetensors"), b"").unwrap();
    assert!(Adapter::open(folder.path()).is_err());
}

#[test]
fn a_16_bit_adapter_opens() {
    let lora = case("lora");
    let mut weights = lora.weights();
    for tensor in weights.values_mut() {
        let values = tensor
            .bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b));
        let values: Vec<f32> = values.collect();
        tensor.bytes = isogloss_model::checkpoint::write::quantize(Dtype::BF16, &values);
        tensor.dtype = Dtype::BF16;
    }
    apply(&mut lora.base(), &lora.config, &weights).unwrap();
}

proptest! {
    /// Whatever stands in a setting: an adapter or one error.
    #[test]
    fn hostile_settings(
        key in prop::sample::select(vec![
            "r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "modules_to_save",
            "trainable_token_indices", "layers_to_transform", "peft_type", "use_dora", "exclude_modules",
            "init_lora_weights", "base_model_name_or_path", "bias",
        ]),
        value in prop_oneof![
            Just(json!(null)), Just(json!({})), Just(json!([])), Just(json!([[]])), Just(json!(-1)),
            Just(json!(1e308)), Just(json!(u64::MAX)), Just(json!({"": 1})), Just(json!({"(": 2})),
            Just(json!({"a{9999}{9999}": 2})), Just(json!([u64::MAX])), Just(json!("(((((((((a")),
            "\\PC{0,20}".prop_map(|text| json!(text)),
            "\\PC{0,20}".prop_map(|text| json!([text])),
            any::<i64>().prop_map(|n| json!(n)),
        ],
    ) {
        let mut lora = case("one_layer");
        lora.config[key] = value;
        if let Err(error) = apply(&mut lora.base(), &lora.config, &lora.weights()) {
            prop_assert!(error.hint().is_some());
            prop_assert!(error.to_string().len() < 2000);
        }
    }
}
