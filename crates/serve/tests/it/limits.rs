//! A full queue, too many connections, clients that do not read or go away, a stop.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use isogloss_serve::{Limits, Served};
use serde_json::{Value, json};

use crate::client::{Client, Running};
use crate::model::{LONG, Model, continuation, text_of};

fn prompt(id: u32) -> Value {
    json!({"prompt": [[id]], "max_tokens": 1})
}

#[track_caller]
fn check(client: &mut Client, id: u32) {
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 200);
    let want = text_of(&continuation(&[id], 1).0);
    assert_eq!(reply.json()["choices"][0]["text"], want);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let model = Arc::new(Model::shut());
    let limits = Limits {
        n_waiting: 2,
        ..Limits::default()
    };
    let server = Running::start(model.clone(), limits);
    let mut running = server.connect();
    running
        .send_post("/v1/completions", &prompt(1).to_string())
        .unwrap();
    model.wait_for_calls(1);
    // One request of two prompts fills the line.
    let mut waiting = server.connect();
    let two = json!({"prompt": [[2], [3]], "max_tokens": 1}).to_string();
    waiting.send_post("/v1/completions", &two).unwrap();
    let refused = loop {
        // Until the other connection has put its prompts in line, there is room for one.
        let mut client = server.connect();
        let reply = client.post("/v1/completions", &json!({"prompt": [[4], [5], [6]]}));
        if reply.message().starts_with('2') {
            break reply;
        }
    };
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    model.unlock();
    check(&mut running, 1);
    let answer = waiting.reply().unwrap().json();
    for (index, id) in [2, 3].into_iter().enumerate() {
        let want = text_of(&continuation(&[id], 1).0);
        assert_eq!(answer["choices"][index]["text"], want);
    }
}

#[test]
fn too_many_connections_are_told() {
    let limits = Limits {
        n_connections: 2,
        ..Limits::default()
    };
    let server = Running::start(Arc::new(Model::open()), limits);
    let (mut a, mut b) = (server.connect(), server.connect());
    for client in [&mut a, &mut b] {
        assert_eq!(client.get("/health").status, 200);
    }
    let reply = server.connect().reply().unwrap();
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1"))
    );
    drop(a);
    // The place is free as soon as the server has seen that it is.
    while server.connect().get("/health").status != 200 {
        thread::yield_now();
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let limits = Limits {
        timeout_write: Duration::from_millis(500),
        ..Limits::default()
    };
    let server = Running::start(Arc::new(Model::open()), limits);
    let mut slow = server.connect();
    // Some 20 MB: more than sockets hold.
    let body = json!({
        "prompt": [vec![LONG; 120_000]], "max_tokens": 0, "echo": true, "logprobs": 1,
    });
    slow.send_post("/v1/completions", &body.to_string())
        .unwrap();
    // The first byte of the answer, and no more.
    assert_eq!(slow.head().unwrap().status, 200);
    let mut other = server.connect();
    other
        .send_post("/v1/completions", &prompt(7).to_string())
        .unwrap();
    check(&mut other, 7);
    drop(other);
    // The server gives up on it: what is left to read ends before the answer does.
    let served = server.stop();
    assert_eq!(
        served,
        Served {
            n_answered: 1,
            n_refused: 0,
            n_gone: 1,
        }
    );
}

#[test]
fn a_client_that_goes_away_ends_its_continuation() {
    const N_TOKENS: usize = 1 << 20;
    let model = Arc::new(Model::shut());
    let server = Running::start(model.clone(), Limits::default());
    for stream in [true, false] {
        let before = model.n_drawn();
        let mut client = server.connect();
        let body = json!({"prompt": "a", "max_tokens": N_TOKENS, "stream": stream});
        client
            .send_post("/v1/completions", &body.to_string())
            .unwrap();
        model.permit(3);
        if stream {
            assert_eq!(client.head().unwrap().status, 200);
            assert!(!client.chunk().unwrap().is_empty());
        } else {
            while model.n_drawn() < before + 2 {
                thread::yield_now();
            }
        }
        drop(client);
        // The model goes on step by step; it must be told to end long before its last token.
        while !model.is_idle() {
            model.permit(1);
            thread::yield_now();
        }
        let n_drawn = model.n_drawn() - before;
        assert!(n_drawn < N_TOKENS as u64, "{n_drawn}");
    }
    model.unlock();
    assert_eq!(server.stop().n_gone, 2);
}

#[test]
fn a_stop_finishes_what_runs() {
    let model = Arc::new(Model::shut());
    let server = Running::start(model.clone(), Limits::default());
    let mut idle = server.connect();
    assert_eq!(idle.get("/health").status, 200);
    let mut client = server.connect();
    client
        .send_post("/v1/completions", &prompt(9).to_string())
        .unwrap();
    model.wait_for_calls(1);
    let stopping = thread::spawn(move || server.stop());
    // The idle connection ends first: the stop is seen.
    assert!(idle.head().is_err());
    model.unlock();
    check(&mut client, 9);
    assert_eq!(stopping.join().unwrap().n_answered, 2);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    const N_TOKENS: usize = 1 << 20;
    let model = Arc::new(Model::shut());
    let limits = Limits {
        timeout_stop: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Running::start(model.clone(), limits);
    let mut client = server.connect();
    let long = json!({"prompt": "a", "max_tokens": N_TOKENS});
    client
        .send_post("/v1/completions", &long.to_string())
        .unwrap();
    model.wait_for_calls(1);
    let stopping = thread::spawn(move || server.stop());
    while !stopping.is_finished() {
        model.permit(1);
        thread::yield_now();
    }
    assert!(model.n_drawn() < N_TOKENS as u64);
    assert_eq!(stopping.join().unwrap().n_answered, 0);
    // Half an answer is none.
    assert_eq!(client.reply().unwrap().status, 503);
}
