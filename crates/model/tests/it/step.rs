//! One training step of a real model against PyTorch: `golden/engine/make_step.py`.

use std::collections::BTreeMap;

use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::train::{AdamW, Keep, Sequence, TrainOptions, Trainee};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<Vec<u32>>,
    loss: f64,
    norm: f64,
    loss_after: f64,
    norms: BTreeMap<String, f64>,
    values: BTreeMap<String, Vec<f64>>,
}

/// Mean of −log p, and its derivative by each log p.
fn mean(logprobs: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
    let n = logprobs.iter().map(Vec::len).sum::<usize>() as f64;
    let derivatives = logprobs.iter().map(|l| vec![-1.0 / n; l.len()]).collect();
    (-logprobs.iter().flatten().sum::<f64>() / n, derivatives)
}

#[track_caller]
fn close(what: &str, found: f64, want: f64) {
    let relative = (found / want - 1.0).abs();
    assert!(relative < 2e-5, "{what}: {found} is not {want}");
}

/// Hugging Face keeps the two halves of a head's 64 queries or keys apart, GGUF interleaves them:
/// row 32 h + j is row 2 j + h. Rows have 576 values.
fn as_in_gguf(name: &str, at: usize) -> usize {
    if !name.contains("q_proj") && !name.contains("k_proj") {
        return at;
    }
    let (row, column) = (at / 576, at % 576);
    let (head, h, j) = (row / 64, row % 64 / 32, row % 32);
    (head * 64 + 2 * j + h) * 576 + column
}

/// Loss and norm of the gradient, the gradients of three blocks, embedding and last norm, and the
/// loss after a step of AdamW.
#[test]
fn a_step_of_smollm2_is_that_of_pytorch() {
    let json = include_str!("../../../../golden/engine/smollm2-135m-step.json");
    let golden: Golden = serde_json::from_str(json).unwrap();
    let batch: Vec<_> = golden.ids.iter().cloned().map(Sequence::whole).collect();
    let checkpoint = Checkpoint::open(&isogloss_testkit::model_path("smollm2-135m")).unwrap();
    let options = TrainOptions {
        keep: Keep::BlockInputs,
        ..TrainOptions::default()
    };
    let mut trainee = Trainee::load(&checkpoint.config, &checkpoint, |_| true, &options).unwrap();

    let (loss, derivatives) = mean(&trainee.forward(&batch).unwrap());
    close("loss", loss, golden.loss);
    trainee.backward(&derivatives).unwrap();
    close("norm", trainee.gradient_norm(), golden.norm);
    let gradients = trainee.gradients();
    assert_eq!(gradients.len(), 2 + 9 * 30);
    assert_eq!(golden.norms.len(), 2 + 9 * 3);
    for (name, want) in &golden.norms {
        let values = &gradients[name].values;
        let n = values.len();
        let norm = values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        close(name, norm.sqrt(), *want);
        for (i, want) in golden.values[name].iter().enumerate() {
            let at = as_in_gguf(name, (i * 2_654_435_761 + 97) % n);
            let found = f64::from(values[at]);
            // As large as the norm's share of one value, or as the value.
            let scale = golden.norms[name] / (n as f64).sqrt() + want.abs();
            assert!(
                (found - want).abs() < 1e-3 * scale,
                "{name}, place {i}: {found} is not {want}"
            );
        }
    }
    drop(gradients);
    trainee.update(&AdamW {
        learning_rate: 1e-4,
        weight_decay: 0.01,
        ..AdamW::default()
    });
    let (loss, _) = mean(&trainee.forward(&batch).unwrap());
    close("loss after the step", loss, golden.loss_after);
}
