//! Speed of the engine on a model file: tokens per second and share of the arithmetic peak.
//!
//! ```text
//! cargo run --release -p isogloss-model --example speed -- MODEL.gguf [THREADS [COMPUTE [CASE [ISA]]]]
//! ```
//! Where the time goes, for work on the kernels; `bench` is our side of the comparison with a peer.
//! Medians of five runs, by the clock and by processor time (what a machine of its own would give:
//! the latter leaves out time in which other programs had the processors). Token ids are pseudo-random, prefixes are not kept between runs.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use isogloss_model::engine::{Engine, EngineOptions, measure};
use isogloss_model::{Backend, Compute, Isa, RunSettings};
use isogloss_record::{Encoded, Sampling};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .ok_or("usage: speed MODEL [THREADS [COMPUTE [CASE [ISA]]]]")?;
    let threads: usize = args.next().map_or(Ok(2), |n| n.parse())?;
    let compute = compute(args.next().as_deref())?;
    let only = args.next().unwrap_or_default();
    let isa = match args.next() {
        Some(name) => (Isa::available().into_iter())
            .find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&name))
            .ok_or(format!("this processor has no `{name}`"))?,
        None => Isa::detect(),
    };
    let options = EngineOptions {
        isa: Some(isa),
        threads: NonZeroUsize::new(threads),
        cache_bytes: 0,
        compute,
        ..EngineOptions::default()
    };
    let peak = measure::peak_gflops(isa, threads, compute);
    let memory = measure::read_gigabytes_per_second(threads);
    println!(
        "{isa:?}, {threads} threads, {}: measured peak {peak:.0} GFLOP/s, memory {memory:.1} GB/s",
        compute.name()
    );
    let shapes = [
        (1, 3072, 576),
        (8, 3072, 576),
        (64, 3072, 576),
        (512, 3072, 576),
        (512, 576, 1536),
        (512, 960, 576),
    ];
    for (m, n, k) in shapes.into_iter().filter(|_| only.is_empty()) {
        let mut rates = Vec::new();
        for _ in 0..5 {
            let cpu = cpu_seconds();
            let start = Instant::now();
            let gflops = measure::gemm_gflops(isa, threads, compute, (m, n, k));
            let share = (cpu_seconds() - cpu) / threads as f64 / start.elapsed().as_secs_f64();
            rates.push((gflops, gflops / share.min(1.0)));
        }
        let (clock, cpu): (Vec<f64>, Vec<f64>) = rates.into_iter().unzip();
        let (clock, cpu) = (median_of(clock), median_of(cpu));
        println!(
            "product {m:>4} × {k:>4} × {n:>4}: {clock:>6.1} GFLOP/s by the clock ({:>3.0} % of peak), {cpu:>6.1} by processor time",
            100.0 * clock / peak
        );
    }
    let start = Instant::now();
    let engine = Engine::open(path.as_ref(), "model", &options)?;
    println!("opened in {:.2} s", start.elapsed().as_secs_f64());
    let vocab = engine.config().vocab_size as u32;
    let ids = |seed: u32, n: u32| -> Vec<u32> {
        (0..n)
            .map(|i| (seed * 7919 + i).wrapping_mul(2_654_435_761) % vocab)
            .collect()
    };
    let score = |token_ids: Vec<u32>, from: usize| Encoded::Score {
        n_context: from,
        scored_from: from,
        n_pooled: 0,
        token_ids,
    };
    let generate = |seed| Encoded::Generate {
        token_ids: ids(seed, 32),
        sampling: Sampling {
            max_tokens: 64,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        },
    };
    let context = ids(99, 256);
    let cases: Vec<(&str, usize, Vec<Encoded>)> = vec![
        (
            "score 8 × 256, all positions",
            8 * 256,
            (0..8).map(|i| score(ids(i, 257), 1)).collect(),
        ),
        (
            "score 8 × 256, body only",
            8 * 256,
            (0..8).map(|i| score(ids(i, 257), 256)).collect(),
        ),
        (
            "15 continuations of 24 after 256 (of 15 × 280)",
            15 * 280,
            (0..15)
                .map(|i| score([&context[..], &ids(i, 24)].concat(), 256))
                .collect(),
        ),
        (
            "48 items of 12 tokens, 4 scored",
            48 * 12,
            (0..48).map(|i| score(ids(i, 12), 8)).collect(),
        ),
        ("decode 1 (prompt 32, 64 new)", 64, vec![generate(1)]),
        (
            "decode 8 (prompt 32, 64 new)",
            8 * 64,
            (0..8).map(generate).collect(),
        ),
    ];
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 64,
        share_prefixes: true,
        cancel: &cancel,
    };
    for (name, n_tokens, jobs) in cases.into_iter().filter(|c| c.0.contains(&only)) {
        let mut times = Vec::new();
        for _ in 0..5 {
            let (start, cpu) = (Instant::now(), cpu_seconds());
            engine.run(&jobs, &settings, &mut |_, _| {})?;
            times.push((
                start.elapsed().as_secs_f64(),
                (cpu_seconds() - cpu) / threads as f64,
            ));
        }
        let (seconds, mut cpu): (Vec<f64>, Vec<f64>) = times.iter().copied().unzip();
        let seconds = median_of(seconds);
        cpu.retain(|s| *s > 0.0);
        let cpu = median_of(cpu);
        let rate = |s: f64| n_tokens as f64 / s;
        // What bounds it: arithmetic where many rows share the weights, memory where one row reads
        // them all. (Every parameter is multiplied once: the embedding is the output layer too.)
        let n_parameters = engine.fingerprint().n_parameters.unwrap_or(0) as f64;
        let share = match name {
            "score 8 × 256, all positions" => 2e-9 * n_parameters * rate(seconds) / peak,
            "decode 1 (prompt 32, 64 new)" => {
                1e-9 * engine.network().weight_bytes() as f64 * rate(seconds) / memory
            }
            _ => f64::NAN,
        };
        let share = if share.is_nan() {
            String::new()
        } else {
            format!(", {:.0} % of the limit", 100.0 * share)
        };
        println!(
            "{name:<48} {:>7.0} tokens/s by the clock, {:>7.0} by processor time{share}",
            rate(seconds),
            rate(cpu)
        );
    }
    let status =
        isogloss_record::files::read_to_string("/proc/self/status".as_ref()).unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("most memory: {}", peak.trim_start_matches("VmHWM:").trim());
    }
    Ok(())
}

fn compute(name: Option<&str>) -> Result<Compute, String> {
    let name = name.unwrap_or("f32");
    (Compute::ALL.into_iter().find(|c| c.name() == name))
        .ok_or(format!("`{name}` is none of f32, bf16, int8"))
}

fn median_of(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds of processor time of this process so far (Linux; elsewhere 0), in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat =
        isogloss_record::files::read_to_string("/proc/self/stat".as_ref()).unwrap_or_default();
    // After the name in parentheses: user and system time are the 12th and 13th fields.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
