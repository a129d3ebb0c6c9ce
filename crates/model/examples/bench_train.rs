//! Our side of `bench/train.py`: forward and backward on given token ids, all weights trained.
//!
//! ```text
//! bench_train --model MODEL.gguf --ids FILE --threads N --keep all|inputs --precision f32|bf16
//! ```
//! Prints `{"seconds": [s, s, s], "loss": …, "norm": …, "peak_kb": …, "peak_share": …}`: three steps
//! after one that grows the buffers; `peak_share` is the model's arithmetic (6 operations a weight and
//! token) per second as a share of what the kernels reach in the first cache.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::engine::measure::peak_gflops;
use isogloss_model::train::{Keep, Precision, Sequence, TrainOptions, Trainee};
use isogloss_model::{Compute, Isa};
use isogloss_record::files;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: BTreeMap<&str, &str> = arguments
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let flag = |name: &str| {
        let value = given.get(name).copied();
        value.ok_or_else(|| format!("`{name}` is missing"))
    };
    let ids: Vec<Vec<u32>> =
        serde_json::from_str(&files::read_to_string(Path::new(flag("--ids")?))?)?;
    let threads: usize = flag("--threads")?.parse()?;
    let options = TrainOptions {
        threads: NonZeroUsize::new(threads),
        keep: match flag("--keep")? {
            "all" => Keep::All,
            "inputs" => Keep::BlockInputs,
            other => return Err(format!("`{other}` is neither `all` nor `inputs`").into()),
        },
        precision: match flag("--precision")? {
            "f32" => Precision::F32,
            "bf16" => Precision::Bf16,
            other => return Err(format!("`{other}` is neither `f32` nor `bf16`").into()),
        },
        ..TrainOptions::default()
    };
    let checkpoint = Checkpoint::open(Path::new(flag("--model")?))?;
    let mut trainee = Trainee::load(&checkpoint.config, &checkpoint, |_| true, &options)?;
    drop(checkpoint);
    let batch: Vec<Sequence> = ids.into_iter().map(Sequence::whole).collect();
    let n_tokens: usize = batch.iter().map(|sequence| sequence.scored.len()).sum();
    let derivatives: Vec<Vec<f64>> = (batch.iter())
        .map(|sequence| vec![-1.0 / n_tokens as f64; sequence.scored.len()])
        .collect();
    let (mut seconds, mut loss) = (Vec::new(), 0.0);
    for _ in 0..4 {
        trainee.clear_gradients();
        let start = Instant::now();
        let logprobs = trainee.forward_backward(&batch, &derivatives)?;
        seconds.push(start.elapsed().as_secs_f64());
        loss = -logprobs.iter().flatten().sum::<f64>() / n_tokens as f64;
    }
    let status = files::read_to_string("/proc/self/status".as_ref()).unwrap_or_default();
    let peak_kb: Option<u64> = (status.lines())
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|kb| kb.trim_end_matches("kB").trim().parse().ok());
    let n_weights: usize = trainee.gradients().values().map(|g| g.values.len()).sum();
    let best = seconds[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let gflops = 6.0 * n_weights as f64 * n_tokens as f64 / best / 1e9;
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds[1..], "loss": loss, "norm": trainee.gradient_norm(),
            "peak_kb": peak_kb, "peak_share": gflops / peak_gflops(Isa::detect(), threads, Compute::F32),
        })
    );
    Ok(())
}
