//! Our side of `bench/llama.py`: one sequence, as llama-bench measures it.
//!
//! ```text
//! single --model MODEL.gguf --threads N --compute f32|bf16|int8
//! ```
//! Prints tokens per second of prefill (256 and 512 tokens, the last one scored) and of decoding (64
//! tokens after the first), and the seconds from the beginning of loading to the first score.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use isogloss_model::engine::{Engine, EngineOptions};
use isogloss_model::{Backend, Compute, RunSettings};
use isogloss_record::{Encoded, Response, Sampling};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: BTreeMap<&str, &str> = (arguments.chunks_exact(2))
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let flag = |name: &str| {
        given
            .get(name)
            .copied()
            .ok_or(format!("`{name}` is missing"))
    };
    let compute = flag("--compute")?;
    let options = EngineOptions {
        compute: (Compute::ALL.into_iter().find(|c| c.name() == compute))
            .ok_or(format!("`{compute}` is none of f32, bf16, int8"))?,
        threads: NonZeroUsize::new(flag("--threads")?.parse()?),
        cache_bytes: 0,
        ..EngineOptions::default()
    };
    let start = Instant::now();
    let engine = Engine::open(Path::new(flag("--model")?), "model", &options)?;
    seconds(&engine, &score(&engine, 0, 16))?;
    let mut answer = BTreeMap::from([("load".to_owned(), start.elapsed().as_secs_f64())]);
    for n in [256, 512] {
        seconds(&engine, &score(&engine, 1, n))?;
        let rate = f64::from(n) / seconds(&engine, &score(&engine, 2, n))?;
        answer.insert(format!("prefill {n}"), rate);
    }
    // The first new token comes with the prompt: 64 steps after it, fewer where the text ends.
    let (whole, n_new) = generate(&engine, 65)?;
    let (prompt, _) = generate(&engine, 1)?;
    answer.insert(
        "decode 64".to_owned(),
        (n_new - 1) as f64 / (whole - prompt),
    );
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

/// Pseudo-random ids.
fn ids(engine: &Engine, seed: u32, n: u32) -> Vec<u32> {
    let n_vocab = engine.config().vocab_size as u32;
    (0..n)
        .map(|i| (seed * 7919 + i).wrapping_mul(2_654_435_761) % n_vocab)
        .collect()
}

/// `n` tokens, of which the last is scored.
fn score(engine: &Engine, seed: u32, n: u32) -> Encoded {
    Encoded::Score {
        token_ids: ids(engine, seed, n + 1),
        n_context: n as usize,
        scored_from: n as usize,
        n_pooled: 0,
    }
}

/// Seconds, and new tokens.
fn generate(engine: &Engine, max_tokens: usize) -> Result<(f64, usize), Box<dyn Error>> {
    let job = Encoded::Generate {
        token_ids: ids(engine, 3, 8),
        sampling: Sampling {
            max_tokens,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        },
    };
    run(engine, &job)
}

fn seconds(engine: &Engine, job: &Encoded) -> Result<f64, Box<dyn Error>> {
    Ok(run(engine, job)?.0)
}

/// Seconds, and new tokens (0 of a score).
fn run(engine: &Engine, job: &Encoded) -> Result<(f64, usize), Box<dyn Error>> {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 1,
        share_prefixes: false,
        cancel: &cancel,
    };
    let mut n_new = 0;
    let start = Instant::now();
    engine.run(std::slice::from_ref(job), &settings, &mut |_, answer| {
        if let Response::Generate { token_ids, .. } = answer {
            n_new = token_ids.as_ref().map_or(0, Vec::len);
        }
    })?;
    Ok((start.elapsed().as_secs_f64(), n_new))
}
