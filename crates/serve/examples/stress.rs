//! The stress test at any size:
//! `cargo run --release -p isogloss-serve --example stress 10000 200` on the scripted model,
//! `… --example stress 2000 100 PATH` on the engine with a model's files.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    reason = "a tool for developers"
)]

#[path = "../tests/it/client.rs"]
mod client;
#[path = "../tests/it/model.rs"]
mod model;
#[path = "../tests/it/stress.rs"]
mod stress;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use isogloss_model::engine::{Engine, EngineOptions};
use isogloss_model::{Backend, RunSettings};
use isogloss_record::{Encoded, Prompt, Request, Response, Sampling, Span};
use isogloss_serve::Limits;
use serde_json::{Value, json};

use crate::client::Running;

/// Different requests, asked again and again.
const N_KINDS: usize = 96;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| arguments[i].parse().unwrap();
    let (n_requests, n_connections) = (number(0), number(1));
    let begun = std::time::Instant::now();
    if let Some(path) = arguments.get(2) {
        engine(path.as_ref(), n_requests, n_connections);
    } else {
        let figures = stress::stress(n_requests, n_connections, 1);
        println!("{figures:#?}");
    }
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    let status = isogloss_record::files::read_to_string("/proc/self/status".as_ref());
    for line in status
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("VmHWM"))
    {
        println!("{line}");
    }
}

/// Scores and continuations in seven scripts, with clients that go away and malformed bodies between;
/// every answer is held against the one of the engine alone.
fn engine(path: &Path, n_requests: usize, n_connections: usize) {
    let engine = Arc::new(Engine::open(path, "m", &EngineOptions::default()).unwrap());
    let texts = [
        "The capital of France is",
        "عاصمة فرنسا هي",
        "फ़्रांस की राजधानी",
        "เมืองหลวงของฝรั่งเศสคือ",
        "法国的首都是",
        "Η πρωτεύουσα της Γαλλίας",
        "e\u{301}a\u{328}\u{301}",
    ];
    let jobs: Vec<Encoded> = (0..N_KINDS)
        .map(|i| {
            let text = format!("{} {i}", texts[i % texts.len()]);
            let request = if i % 3 == 0 {
                Request::Generate {
                    prompt: Prompt::Text(text),
                    sampling: Sampling {
                        max_tokens: 1 + i / 6,
                        temperature: (i % 2) as f32,
                        seed: i as u64,
                        stop: Vec::new(),
                    },
                }
            } else {
                Request::Score {
                    context: Prompt::Text(String::new()),
                    continuation: text.repeat(1 + i % 4),
                    span: Span::All,
                    pool: false,
                }
            };
            engine.encode(&request).unwrap()
        })
        .collect();
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 1,
        share_prefixes: false,
        cancel: &cancel,
    };
    let mut want: Vec<Vec<Option<f32>>> = vec![Vec::new(); N_KINDS];
    let on_response = &mut |i: usize, response| {
        want[i] = match response {
            Response::Score { logprobs, .. } => logprobs,
            Response::Generate { logprobs, .. } => {
                logprobs.into_iter().flatten().map(Some).collect()
            }
            Response::Choose { .. } => Vec::new(),
        };
    };
    engine.run(&jobs, &settings, on_response).unwrap();
    let bodies: Vec<Value> = (jobs.iter())
        .map(|job| match job {
            Encoded::Generate {
                token_ids,
                sampling,
            } => json!({"prompt": token_ids, "max_tokens": sampling.max_tokens,
                "temperature": sampling.temperature, "seed": sampling.seed, "logprobs": 0}),
            Encoded::Score { token_ids, .. } | Encoded::Choose { token_ids, .. } => {
                json!({"prompt": token_ids, "max_tokens": 0, "echo": true, "logprobs": 0})
            }
        })
        .collect();
    let server = Running::start(engine, Limits::default());
    let (next, right, killed, malformed) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    thread::scope(|scope| {
        for _ in 0..n_connections {
            scope.spawn(|| {
                let mut client = server.connect();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n_requests {
                        return;
                    }
                    let kind = i * 31 % N_KINDS;
                    let body = &bodies[kind];
                    if i % 13 == 5 {
                        // Goes away without reading.
                        let _ = client.send_post("/v1/completions", &body.to_string());
                        client = server.connect();
                        killed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    if i % 17 == 3 {
                        let reply = client.post_text("/v1/completions", "{\"prompt\": [1, \"a\"]}");
                        assert_eq!(reply.status, 400);
                        malformed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let answer = client.post("/v1/completions", body).json();
                    let found = &answer["choices"][0]["logprobs"]["token_logprobs"];
                    let found: Vec<Option<f32>> = (found.as_array().unwrap().iter())
                        .map(|x| x.as_f64().map(|x| x as f32))
                        .collect();
                    assert_eq!(found, want[kind], "request {i}");
                    right.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{} right to the last bit, {} clients gone, {} malformed; {:?}",
        right.into_inner(),
        killed.into_inner(),
        malformed.into_inner(),
        server.stop()
    );
}
