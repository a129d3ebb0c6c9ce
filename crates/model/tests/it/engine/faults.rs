//! Refusals, damaged weights, overflows, cancelled calls.

use super::*;

#[test]
fn what_cannot_be_computed_is_refused_before_any_work() {
    let network = load(Tiny::new(Family::Llama, 11), STRAIGHT);
    let fails = |job: Encoded| {
        try_run(&network, STRAIGHT, &[score(vec![1, 2], 1, 1, 0), job])
            .unwrap_err()
            .to_string()
    };
    assert!(
        fails(score(vec![1, 1_100], 1, 1, 0)).contains("token id 1100 is outside the vocabulary")
    );
    assert!(fails(score(ids(1, 201, VOCAB), 1, 1, 0)).contains("201 tokens, `tiny` can hold 200"));
    assert!(fails(score(vec![1, 2], 3, 1, 0)).contains("cannot have 3 of context"));
    assert!(
        fails(Encoded::Choose {
            token_ids: vec![1],
            labels: vec![vec![]]
        })
        .contains("one token or more")
    );
    assert!(
        fails(Encoded::Generate {
            token_ids: vec![],
            sampling: greedy(3)
        })
        .contains("one token or more")
    );
    let hot = Sampling {
        temperature: f32::NAN,
        ..greedy(3)
    };
    assert!(
        fails(Encoded::Generate {
            token_ids: vec![1],
            sampling: hot
        })
        .contains("temperature")
    );
}

#[test]
fn damaged_weights_are_named() {
    let load_error = |change: &dyn Fn(&mut Tiny)| {
        let mut model = Tiny::new(Family::Llama, 12);
        change(&mut model);
        let model = Tiny::from_tensors(model.config, model.tensors);
        let config = model.config.clone();
        Network::load(
            &config,
            Arc::new(model),
            "tiny",
            None,
            &EngineOptions::default(),
        )
        .err()
        .map(|e| e.to_string())
    };
    assert_eq!(load_error(&|_| {}), None);
    let nan = load_error(&|m| {
        m.tensors
            .get_mut("model.layers.1.mlp.up_proj.weight")
            .unwrap()
            .1[90] = f32::NAN;
    });
    // d_model 40: value 90 is in row 2
    assert_eq!(
        nan.unwrap(),
        "tensor `model.layers.1.mlp.up_proj.weight` holds a value that is not finite (row 2)"
    );
    let inf = load_error(&|m| m.tensors.get_mut("model.norm.weight").unwrap().1[0] = f32::INFINITY);
    assert!(inf.unwrap().contains("`model.norm.weight`"));
    let missing = load_error(&|m| drop(m.tensors.remove("model.layers.2.self_attn.k_proj.weight")));
    assert!(
        missing
            .unwrap()
            .contains("no tensor `model.layers.2.self_attn.k_proj.weight`")
    );
    let shape = load_error(&|m| m.config.d_ff = 51);
    assert!(
        shape
            .unwrap()
            .contains("has shape [52, 40], the model expects [51, 40]")
    );
}

#[test]
fn an_overflow_inside_is_named_by_its_block() {
    let mut model = Tiny::new(Family::Llama, 13);
    model
        .tensors
        .get_mut("model.layers.1.mlp.down_proj.weight")
        .unwrap()
        .1
        .fill(3e38);
    let network = load(Tiny::from_tensors(model.config, model.tensors), STRAIGHT);
    let error = try_run(&network, STRAIGHT, &[score(vec![1, 2, 3], 0, 1, 0)]).unwrap_err();
    assert!(
        matches!(&error, BackendError::NotFinite { place, .. } if place == "block 1 of 3"),
        "{error}"
    );
}

#[test]
fn a_cancelled_call_ends_and_the_next_one_is_whole() {
    let network = load(Tiny::new(Family::Llama, 14), STRAIGHT);
    let want = run(
        &load(Tiny::new(Family::Llama, 14), STRAIGHT),
        STRAIGHT,
        &mixed_jobs(),
    );
    let cancel = AtomicBool::new(true);
    let settings = RunSettings {
        batch_size: 4,
        share_prefixes: true,
        cancel: &cancel,
    };
    let error = network
        .run(
            &mixed_jobs(),
            &settings,
            &[],
            &|_| String::new(),
            &mut |_, _| {},
        )
        .unwrap_err();
    assert!(matches!(error, BackendError::Canceled));
    let way = Way {
        share_prefixes: true,
        ..STRAIGHT
    };
    assert_same(
        "after a cancelled call",
        &want,
        &run(&network, way, &mixed_jobs()),
    );
}
