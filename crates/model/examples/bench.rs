//! Our side of `bench/score.py`: one job on given token ids, its seconds and log-probabilities.
//!
//! ```text
//! bench --model MODEL.gguf --job score|continue --threads N --ids FILE [--compute f32|bf16|int8]
//! ```
//! Prints `{"seconds": s, "logprobs": [[…], …]}`. The job runs twice and the second run counts,
//! as the peer is warm too; no computed prefix is kept between them. `speed` says where time goes.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use isogloss_model::engine::{Engine, EngineOptions};
use isogloss_model::{Backend, Compute, RunSettings};
use isogloss_record::{Encoded, Response, files};
use serde::Deserialize;

#[derive(Deserialize)]
struct Ids {
    score: Vec<Vec<u32>>,
    context: Vec<u32>,
    continuations: Vec<Vec<u32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: BTreeMap<&str, &str> = arguments
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let flag = |name: &str| {
        given
            .get(name)
            .copied()
            .ok_or(format!("`{name}` is missing"))
    };
    let ids: Ids = serde_json::from_str(&files::read_to_string(Path::new(flag("--ids")?))?)?;
    let jobs: Vec<Encoded> = match flag("--job")? {
        "score" => ids.score.into_iter().map(|ids| job(ids, 0)).collect(),
        "continue" => {
            let whole = |new: &Vec<u32>| [&ids.context[..], new].concat();
            let n_context = ids.context.len();
            let continuations = ids.continuations.iter();
            continuations
                .map(|new| job(whole(new), n_context))
                .collect()
        }
        other => return Err(format!("unknown job `{other}`").into()),
    };
    let compute = given.get("--compute").copied().unwrap_or("f32");
    let options = EngineOptions {
        compute: (Compute::ALL.into_iter().find(|c| c.name() == compute))
            .ok_or(format!("`{compute}` is none of f32, bf16, int8"))?,
        threads: NonZeroUsize::new(flag("--threads")?.parse()?),
        cache_bytes: 0,
        ..EngineOptions::default()
    };
    let engine = Engine::open(Path::new(flag("--model")?), "model", &options)?;
    run(&engine, &jobs)?;
    let start = Instant::now();
    let logprobs = run(&engine, &jobs)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({"seconds": seconds, "logprobs": logprobs})
    );
    Ok(())
}

/// A value for every token after the context, or for all but the first where there is none.
fn job(token_ids: Vec<u32>, n_context: usize) -> Encoded {
    Encoded::Score {
        token_ids,
        n_context,
        scored_from: n_context.max(1),
        n_pooled: 0,
    }
}

fn run(engine: &Engine, jobs: &[Encoded]) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 64,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut answers = vec![Vec::new(); jobs.len()];
    engine.run(jobs, &settings, &mut |i, answer| {
        if let Response::Score { logprobs, .. } = answer {
            answers[i] = logprobs.into_iter().flatten().collect();
        }
    })?;
    Ok(answers)
}
