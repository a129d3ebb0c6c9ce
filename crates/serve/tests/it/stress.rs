//! Many requests over many connections, some of whose clients go away: every answer that is read is
//! the right one, and none is lost.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use isogloss_record::Seed;
use isogloss_serve::{Limits, Served};
use serde_json::json;

use crate::client::{Client, Running, TOKEN};
use crate::model::{Model, continuation, logprobs, text_of};

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Requests with a right answer.
    pub(crate) n_right: usize,
    /// Requests whose client went away while the request was sent or the answer awaited.
    pub(crate) n_killed: usize,
    /// Requests with a malformed body, refused with 400.
    pub(crate) n_malformed: usize,
    pub(crate) served: Served,
}

/// What a client does.
enum Act {
    Score,
    Generate,
    Stream,
    Malformed,
    /// Reads its answer byte by byte.
    ReadSlowly,
    /// Goes away after so many bytes of its request.
    CutSending(usize),
    /// Goes away without reading.
    CutWaiting,
}

fn act(seed: u64, i: usize) -> Act {
    use rand_chacha::rand_core::Rng;
    let draw = Seed(seed).rng("stress", i as u64).next_u64();
    match draw % 20 {
        0..8 => Act::Score,
        8..14 => Act::Generate,
        14..16 => Act::Stream,
        16 => Act::Malformed,
        17 => Act::CutSending((draw >> 8) as usize % 200),
        18 => Act::ReadSlowly,
        _ => Act::CutWaiting,
    }
}

/// Sends requests over as many connections at once.
///
/// # Panics
/// Where an answer is missing, refused or another request's.
pub(crate) fn stress(n_requests: usize, n_connections: usize, seed: u64) -> Figures {
    let server = Running::start(Arc::new(Model::open()), Limits::default());
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
                    let counter = match one(&mut client, &act(seed, i), i) {
                        None => {
                            client = server.connect();
                            &killed
                        }
                        Some(true) => &right,
                        Some(false) => &malformed,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    Figures {
        n_right: right.into_inner(),
        n_killed: killed.into_inner(),
        n_malformed: malformed.into_inner(),
        served: server.stop(),
    }
}

/// One request; whether it was answered, or refused as it should be; `None`: its client is gone.
fn one(client: &mut Client, act: &Act, i: usize) -> Option<bool> {
    // Each prompt is one of its own, in ids and in length.
    let ids: Vec<u32> = (0..=i % 37)
        .map(|k| (i * 31 + k) as u32 % 250)
        .chain([i as u32 % 250])
        .collect();
    let (new, new_logprobs) = continuation(&ids, 1 + i % 5);
    let score = json!({"prompt": ids, "max_tokens": 0, "echo": true, "logprobs": i % 3});
    let generate = json!({"prompt": ids, "max_tokens": new.len(), "logprobs": 0, "stream": matches!(act, Act::Stream)});
    match act {
        Act::Score => {
            let answer = client.post("/v1/completions", &score).json();
            let found = answer["choices"][0]["logprobs"]["token_logprobs"]
                .as_array()
                .unwrap();
            let found: Vec<Option<f32>> =
                found.iter().map(|x| x.as_f64().map(|x| x as f32)).collect();
            assert_eq!(found, logprobs(&ids), "request {i}");
            Some(true)
        }
        Act::Generate => {
            let answer = client.post("/v1/completions", &generate).json();
            let choice = &answer["choices"][0];
            assert_eq!(choice["text"], text_of(&new), "request {i}");
            let found = choice["logprobs"]["token_logprobs"].as_array().unwrap();
            let found: Vec<f32> = found.iter().map(|x| x.as_f64().unwrap() as f32).collect();
            assert_eq!(found, new_logprobs, "request {i}");
            Some(true)
        }
        Act::Stream => {
            let events = client.post("/v1/completions", &generate).events();
            let texts = events
                .iter()
                .map(|event| event["choices"][0]["text"].as_str().unwrap());
            assert_eq!(texts.collect::<String>(), text_of(&new), "request {i}");
            Some(true)
        }
        Act::Malformed => {
            let reply = client.post_text("/v1/completions", "{\"prompt\": [1, \"a\"]}");
            assert_eq!(reply.status, 400, "request {i}");
            Some(false)
        }
        Act::ReadSlowly => {
            client
                .send_post("/v1/completions", &score.to_string())
                .unwrap();
            let mut bytes = Vec::new();
            // The head, then as many bytes as it says.
            let body_at = loop {
                bytes.push(client.byte());
                if bytes.ends_with(b"\r\n\r\n") {
                    break bytes.len();
                }
            };
            let head = String::from_utf8_lossy(&bytes).to_lowercase();
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            while bytes.len() < body_at + length {
                thread::yield_now();
                bytes.push(client.byte());
            }
            let answer: serde_json::Value = serde_json::from_slice(&bytes[body_at..]).unwrap();
            let found = &answer["choices"][0]["logprobs"]["token_logprobs"];
            assert_eq!(found.as_array().unwrap().len(), ids.len(), "request {i}");
            Some(true)
        }
        Act::CutSending(n) => {
            let body = score.to_string();
            let head = format!(
                "POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let bytes = [head.as_bytes(), body.as_bytes()].concat();
            let _ = client
                .stream
                .get_mut()
                .write_all(&bytes[..(*n).min(bytes.len() - 1)]);
            None
        }
        Act::CutWaiting => {
            let _ = client.send_post("/v1/completions", &generate.to_string());
            None
        }
    }
}

#[test]
fn no_answer_is_lost_or_mixed() {
    let figures = stress(200, 20, 1);
    assert_eq!(
        figures.n_right + figures.n_killed + figures.n_malformed,
        200
    );
    assert!(
        figures.n_killed > 10 && figures.n_right > 120,
        "{figures:?}"
    );
    assert!(
        figures.served.n_answered >= figures.n_right as u64,
        "{figures:?}"
    );
}
