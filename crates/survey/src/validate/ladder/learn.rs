//! Training one model of the ladder, from nothing to its weights; taken up where it was stopped.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_model::tokenizer::learn::BEGIN_ID;
use isogloss_model::train::{
    AdamW, Precision, Sequence, Shape, TrainOptions, Trainee, write_untrained,
};
use isogloss_record::{Seed, files};
use serde::{Deserialize, Serialize};

use super::LadderError;
use super::exposure::Mixture;

/// How the models are trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Tokens of a step at least.
    pub n_step_tokens: usize,
    /// Largest step size, reached after 4 % of the steps; then it falls as a cosine to a tenth.
    pub learning_rate: f64,
}

/// Steps between two states on disk.
const N_STEPS_KEPT: usize = 200;

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learning {
    /// Sequences read.
    pub n_done: usize,
    /// Sequences to read.
    pub n: usize,
    /// Mean loss of the last step, in nats a token.
    pub loss: f64,
}

/// Where training stands, beside the weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Place {
    n_sequences: usize,
    n_steps: usize,
}

/// What a model is trained with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) mixture: &'a Mixture<'a>,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) shape: &'a Shape,
    pub(super) schedule: &'a Schedule,
    pub(super) seed: Seed,
    pub(super) threads: Option<NonZeroUsize>,
}

/// Trains a model and leaves `config.json` and `model.safetensors` in the folder. Returns whether it
/// was trained to the end: false where `stop` was raised; the next call goes on there, with the same
/// bytes at the end.
pub(super) fn learn(
    folder: &Path,
    run: &Run<'_>,
    stop: &AtomicBool,
    on_progress: &mut dyn FnMut(Learning),
) -> Result<bool, LadderError> {
    let &Run {
        mixture,
        tokenizer,
        shape,
        schedule,
        seed,
        threads,
    } = run;
    let place_path = folder.join("place.json");
    // Named after its step, so that a place never meets the state of another step.
    let state = |place: Place| folder.join(format!("state-{}.safetensors", place.n_steps));
    let done = folder.join("trained.json");
    if done.is_file() {
        return Ok(true);
    }
    if !folder.join("config.json").is_file() {
        write_untrained(folder, shape, seed)?;
    }
    let options = TrainOptions {
        threads,
        precision: Precision::Bf16,
        ..TrainOptions::default()
    };
    let checkpoint = Checkpoint::open(folder)?;
    let mut trainee = Trainee::load(&checkpoint.config, &checkpoint, |_| true, &options)?;
    drop(checkpoint);
    let mut place = Place {
        n_sequences: 0,
        n_steps: 0,
    };
    if place_path.is_file() {
        let text = files::read_to_string(&place_path)?;
        place = serde_json::from_str(&text).map_err(|source| LadderError::Json {
            path: place_path.clone(),
            source,
        })?;
        trainee.load_state(&state(place))?;
    }
    let n = mixture.len();
    let mut kept = place;
    let mut loss = f64::NAN;
    while place.n_sequences < n {
        let mut batch = Vec::new();
        let mut n_tokens = 0;
        while n_tokens < schedule.n_step_tokens && place.n_sequences < n {
            let mut ids = vec![BEGIN_ID];
            ids.extend(tokenizer.tokenize(&mixture.text(place.n_sequences)));
            ids.truncate(shape.context_length);
            place.n_sequences += 1;
            if ids.len() > 1 {
                n_tokens += ids.len() - 1;
                batch.push(Sequence::whole(ids));
            }
        }
        if batch.is_empty() {
            break;
        }
        let derivatives: Vec<Vec<f64>> = batch
            .iter()
            .map(|sequence| vec![-1.0 / n_tokens as f64; sequence.scored.len()])
            .collect();
        let logprobs = trainee.forward_backward(&batch, &derivatives)?;
        loss = -logprobs.iter().flatten().sum::<f64>() / n_tokens as f64;
        trainee.clip_gradients(1.0);
        // Sequences are mixed evenly, so their share is the share of the training.
        let learning_rate = schedule.rate(place.n_sequences as f64 / n as f64);
        trainee.update(&AdamW {
            learning_rate,
            beta2: 0.98,
            weight_decay: 0.05,
            ..AdamW::default()
        });
        place.n_steps += 1;
        on_progress(Learning {
            n_done: place.n_sequences,
            n,
            loss,
        });
        let stops = stop.load(Ordering::Relaxed);
        if stops || place.n_steps.is_multiple_of(N_STEPS_KEPT) {
            trainee.save_state(&state(place))?;
            let text = serde_json::to_string(&place).expect("two numbers");
            files::write_atomic(&place_path, text.as_bytes())?;
            files::remove_if_there(&state(kept))?;
            kept = place;
        }
        if stops {
            return Ok(false);
        }
    }
    trainee.save_weights(folder)?;
    let trained = serde_json::json!({
        "n_tokens": mixture.n_tokens, "n_sequences": n, "n_steps": place.n_steps, "last_loss": loss,
    });
    files::write_atomic(&done, format!("{trained}\n").as_bytes())?;
    files::remove_if_there(&place_path)?;
    files::remove_if_there(&state(kept))?;
    Ok(true)
}

impl Schedule {
    /// Step size where so large a share of the training is done.
    fn rate(&self, share: f64) -> f64 {
        const WARM_UP: f64 = 0.04;
        const LAST: f64 = 0.1;
        if share < WARM_UP {
            return self.learning_rate * share / WARM_UP;
        }
        let along = (share - WARM_UP) / (1.0 - WARM_UP);
        let cosine = f64::midpoint(1.0, (std::f64::consts::PI * along).cos());
        self.learning_rate * (LAST + (1.0 - LAST) * cosine)
    }
}
