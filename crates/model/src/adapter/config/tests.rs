//! Tests of an adapter's settings.

use serde_json::json;

use super::*;

fn parse(json: &Value) -> Result<AdapterConfig, String> {
    AdapterConfig::parse(Path::new("adapter_config.json"), json).map_err(|e| e.to_string())
}

#[test]
fn scales() {
    let config = parse(&json!({
        "peft_type": "LORA", "r": 4, "lora_alpha": 16, "target_modules": ["q_proj"],
        "rank_pattern": {"k_proj": 2, r".*\.1\.mlp\.up_proj": 9}, "alpha_pattern": {"layers.0.k_proj": 3},
    }))
    .unwrap();
    assert_eq!(
        (
            config.rank("m.layers.0.q_proj"),
            config.scale("m.layers.0.q_proj")
        ),
        (4, 4.0)
    );
    assert_eq!(
        (
            config.rank("layers.0.k_proj"),
            config.scale("layers.0.k_proj")
        ),
        (2, 1.5)
    );
    assert_eq!(
        (
            config.rank("layers.1.k_proj"),
            config.scale("layers.1.k_proj")
        ),
        (2, 8.0)
    );
    assert_eq!(config.rank("model.layers.1.mlp.up_proj"), 9);
    assert_eq!(config.rank("model.layers.11.mlp.up_proj"), 4);
    let rs = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 16, "use_rslora": true});
    assert_eq!(parse(&rs).unwrap().scale("q_proj"), 8.0);
    // PEFT's defaults.
    assert_eq!(
        parse(&json!({"peft_type": "LORA"}))
            .unwrap()
            .scale("q_proj"),
        1.0
    );
}

/// Of several patterns the first of the file counts.
#[test]
fn patterns_in_the_order_of_the_file() {
    let text =
        r#"{"peft_type": "LORA", "rank_pattern": {"q_proj": 3, "b.q_proj": 5, "a.q_proj": 7}}"#;
    let config = parse(&serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(config.rank("b.q_proj"), 3);
    let text = r#"{"peft_type": "LORA", "rank_pattern": {"b.q_proj": 5, "q_proj": 3}}"#;
    let config = parse(&serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(config.rank("b.q_proj"), 5);
    assert_eq!(config.rank("xb.q_proj"), 3);
}

#[test]
fn targets_and_saved_modules() {
    let names = json!({"peft_type": "LORA", "target_modules": ["q_proj", "h.0.mlp"], "modules_to_save": ["lm_head"]});
    let config = parse(&names).unwrap();
    assert!(config.targets("model.layers.0.q_proj") && config.targets("h.0.mlp"));
    assert!(!config.targets("model.layers.0.xq_proj") && !config.targets("h.1.mlp"));
    assert!(config.saves("lm_head") && !config.saves("embed_tokens"));
    let pattern = json!({"peft_type": "LORA", "target_modules": r".*\.[02]\..*_proj"});
    let config = parse(&pattern).unwrap();
    assert!(config.targets("m.0.q_proj") && !config.targets("m.1.q_proj"));
    assert!(!config.targets("m.0.q_proj.x"));
}

#[test]
fn settings_that_are_not_computed_are_named() {
    for (key, value, said) in [
        ("peft_type", json!("IA3"), "the kind of adapter `IA3`"),
        (
            "peft_type",
            json!(null),
            "setting `peft_type`: expected `LORA`, found nothing",
        ),
        (
            "layer_replication",
            json!([[0, 2]]),
            "the setting `layer_replication`",
        ),
        (
            "alora_invocation_tokens",
            json!([1]),
            "the setting `alora_invocation_tokens`",
        ),
        ("use_qalora", json!(true), "the setting `use_qalora`"),
        ("something_new", json!(0.5), "the setting `something_new`"),
        ("lora_bias", json!(true), "the setting `lora_bias`"),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "`init_lora_weights: pissa_niter_4`",
        ),
        (
            "init_lora_weights",
            json!(3),
            "`init_lora_weights`: expected",
        ),
        ("r", json!(0), "`r`: expected a rank from 1"),
        ("r", json!(-1), "`r`: expected"),
        ("r", json!("8"), "`r`: expected"),
        (
            "lora_alpha",
            json!("x"),
            "`lora_alpha`: expected a finite number",
        ),
        (
            "lora_alpha",
            json!(1e300),
            "`lora_alpha`: expected a finite number",
        ),
        ("use_dora", json!(1), "`use_dora`: expected true or false"),
        (
            "target_modules",
            json!({}),
            "`target_modules`: expected a list",
        ),
        (
            "target_modules",
            json!("(?=a)"),
            "`target_modules`: expected a pattern",
        ),
        (
            "target_modules",
            json!("((a{99}){99}){99}"),
            "`target_modules`: expected a pattern",
        ),
        (
            "rank_pattern",
            json!([1]),
            "`rank_pattern`: expected an object",
        ),
        (
            "rank_pattern",
            json!({"q": 0}),
            "`rank_pattern.q`: expected",
        ),
        (
            "rank_pattern",
            json!({"(": 1}),
            "`rank_pattern`: expected a pattern",
        ),
        (
            "alpha_pattern",
            json!({"q": null}),
            "`alpha_pattern.q`: expected",
        ),
        (
            "modules_to_save",
            json!([""]),
            "`modules_to_save`: expected",
        ),
        (
            "trainable_token_indices",
            json!(5),
            "`trainable_token_indices`: expected",
        ),
        (
            "trainable_token_indices",
            json!([-5]),
            "`trainable_token_indices`: expected",
        ),
        (
            "layers_to_transform",
            json!("0"),
            "`layers_to_transform`: expected",
        ),
    ] {
        let mut json = json!({"peft_type": "LORA", "velora_config": null, "arrow_config": {}});
        json[key] = value;
        let error = parse(&json).unwrap_err();
        assert!(error.contains(said), "{key}: {error}");
    }
    assert!(
        parse(&json!([]))
            .unwrap_err()
            .contains("expected an object")
    );
}
