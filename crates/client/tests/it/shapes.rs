//! Answers in the exact shapes of two servers: llama.cpp (as it was seen to answer, build 1-8733e0c) and
//! vLLM (`entrypoints/openai/protocol.py` and `serving_completion.py`, 0.8).

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use isogloss_client::{ServerAddress, ServerError, ServerModel, ServerSettings};
use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Prompt, Request, Response, Sampling, Span};
use isogloss_testkit::{Answer, HttpRequest, MockServer};
use serde_json::{Value, json};

/// llama.cpp: no `echo` (refused with status 500), log-probabilities in the shape of chats, none for
/// `"logprobs": 0`, the context of a slot in `/props`.
fn llama(request: &HttpRequest) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match request.path.as_str() {
        "/v1/models" => Answer::ok(
            json!({"object": "list", "data": [{
                "id": "/models/m.gguf", "object": "model", "created": 1, "owned_by": "llamacpp",
                "meta": {"vocab_type": 2, "n_vocab": 49152, "n_ctx_train": 8192, "n_embd": 576,
                         "n_params": 134_515_008, "size": 96_576_768},
            }]})
            .to_string(),
        ),
        "/props" => Answer::ok(
            json!({"default_generation_settings": {"id": 0, "n_ctx": 1024}, "total_slots": 2})
                .to_string(),
        ),
        "/tokenize" => {
            let ids: Vec<u32> = (body["content"].as_str().into_iter())
                .flat_map(str::bytes)
                .map(u32::from)
                .collect();
            Answer::ok(json!({"tokens": ids}).to_string())
        }
        "/apply-template" => Answer::ok(json!({"prompt": "<u>hi</u>"}).to_string()),
        "/v1/completions" if body["echo"] == true => Answer::error(
            500,
            json!({"error": {"code": 500, "message": "Only no echo is supported", "type": "server_error"}})
                .to_string(),
        ),
        "/v1/completions" => {
            let content = json!([
                {"id": 260, "token": " the", "bytes": [32, 116], "logprob": -1.987_863,
                 "top_logprobs": [{"id": 260, "token": " the", "logprob": -1.987_863}]},
                {"id": 1797, "token": " United", "bytes": [32, 85], "logprob": -0.786_65,
                 "top_logprobs": []},
            ]);
            let wants = body["logprobs"].as_u64().unwrap() > 0;
            let logprobs = if wants { json!({"content": content}) } else { Value::Null };
            Answer::ok(
                json!({"choices": [{"text": " the United", "index": 0, "logprobs": logprobs,
                                    "finish_reason": "length"}],
                       "created": 1, "model": "gpt-3.5-turbo", "object": "text_completion",
                       "timings": {"prompt_n": 3}})
                .to_string(),
            )
        }
        _ => Answer::status(404),
    }
}

/// vLLM: `max_tokens` 0 with `echo`, a list of one more most probable token than was asked for where
/// the token itself is not among them, −9999 for −∞, ids on request.
fn vllm(request: &HttpRequest) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match request.path.as_str() {
        "/v1/models" => Answer::ok(
            json!({"object": "list", "data": [{
                "id": "org/m", "object": "model", "created": 1, "owned_by": "vllm", "root": "org/m",
                "parent": null, "max_model_len": 2048, "permission": [{"id": "modelperm-1"}],
            }]})
            .to_string(),
        ),
        "/tokenize" if body["messages"].is_null() => {
            let bos = (body["add_special_tokens"] == true).then_some(1);
            let bytes = body["prompt"].as_str().unwrap().bytes().map(u32::from);
            let ids: Vec<u32> = bos.into_iter().chain(bytes).collect();
            Answer::ok(
                json!({"count": ids.len(), "max_model_len": 2048, "tokens": ids, "token_strs": null})
                    .to_string(),
            )
        }
        "/v1/completions" => {
            let prompts = body["prompt"].as_array().unwrap();
            let n_new = body["max_tokens"].as_u64().unwrap() as usize;
            let choice = |(index, prompt): (usize, &Value)| {
                let ids: Vec<u32> = serde_json::from_value(prompt.clone()).unwrap();
                let mut logprobs = Vec::new();
                if body["echo"] == true {
                    let mut state = 0;
                    for (at, id) in ids.iter().enumerate() {
                        state = (state * 7 + id) % 101;
                        let x = -0.25 - f64::from(state) / 16.0;
                        logprobs.push((at > 0).then_some(x));
                    }
                }
                logprobs.extend(vec![Some(-0.5); n_new]);
                let top: Vec<Value> = (logprobs.iter())
                    .map(|x| x.map_or(Value::Null, |x| json!({"a": x, "b": -9999.0})))
                    .collect();
                json!({
                    "index": index, "text": "x".repeat(n_new), "finish_reason": "length",
                    "stop_reason": null, "prompt_logprobs": null,
                    "logprobs": {"text_offset": [], "token_logprobs": logprobs, "tokens": [],
                                 "top_logprobs": top},
                    "token_ids": (body["return_token_ids"] == true).then(|| vec![120; n_new]),
                })
            };
            let choices: Vec<Value> = prompts.iter().enumerate().map(choice).collect();
            Answer::ok(
                json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "org/m",
                       "choices": choices, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
                .to_string(),
            )
        }
        _ => Answer::status(404),
    }
}

type Bodies = Arc<Mutex<Vec<Value>>>;

/// A server that remembers what it was asked to complete.
fn start(answer: fn(&HttpRequest) -> Answer) -> (MockServer, Bodies) {
    let bodies = Bodies::default();
    let server = MockServer::start({
        let bodies = bodies.clone();
        move |request| {
            if request.path == "/v1/completions" {
                let body = serde_json::from_slice(&request.body).unwrap();
                bodies.lock().unwrap().push(body);
            }
            answer(request)
        }
    });
    (server, bodies)
}

fn open(server: &MockServer) -> ServerModel {
    let address = ServerAddress::parse(&format!("{}/v1", server.url)).unwrap();
    ServerModel::open(&address, &ServerSettings::default(), None).unwrap()
}

fn run(model: &ServerModel, job: Encoded) -> Response {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut answer = None;
    let jobs = [job];
    let on_response = &mut |_: usize, response| answer = Some(response);
    model.run(&jobs, &settings, on_response).unwrap();
    answer.unwrap()
}

fn generate(prompt: Prompt, temperature: f32) -> Request {
    Request::Generate {
        prompt,
        sampling: Sampling {
            max_tokens: 2,
            temperature,
            seed: 7,
            stop: Vec::new(),
        },
    }
}

fn score() -> Request {
    Request::Score {
        context: Prompt::Text("ab".into()),
        continuation: " c".into(),
        span: Span::All,
        pool: false,
    }
}

#[test]
fn llama_cpp_generates_with_ids_and_is_refused_by_name_for_scores() {
    let (server, bodies) = start(llama);
    let model = open(&server);
    assert_eq!(model.fingerprint().context_length, 1024, "of one slot");
    assert!(!model.capabilities().logprobs && model.capabilities().chat);
    let refused = model.check_scoring().unwrap_err();
    assert!(matches!(refused, ServerError::NotReal { .. }));
    let told = refused.to_string();
    for part in [
        "/models/m.gguf",
        "refuses `echo`",
        "Only no echo is supported",
    ] {
        assert!(told.contains(part), "{told}");
    }
    // Asked once each way, not again and again: the refusal is no passing trouble.
    let n_echo = |bodies: &Bodies| {
        let bodies = bodies.lock().unwrap();
        bodies.iter().filter(|body| body["echo"] == true).count()
    };
    assert_eq!(n_echo(&bodies), 2);
    let error = model.encode(&score()).unwrap_err();
    assert!(matches!(error, BackendError::Failed { .. }), "{error}");
    let job = model
        .encode(&generate(Prompt::Text("ab".into()), 0.5))
        .unwrap();
    let Response::Generate {
        token_ids,
        logprobs,
        text,
        ..
    } = run(&model, job)
    else {
        panic!()
    };
    assert_eq!(text, " the United");
    assert_eq!(token_ids, Some(vec![260, 1797]));
    assert_eq!(logprobs, Some(vec![-1.987_863, -0.786_65]));
    let bodies = bodies.lock().unwrap();
    let last = bodies.last().unwrap();
    // Its own defaults would cut the distribution.
    assert_eq!(
        (
            &last["top_k"],
            &last["top_p"],
            &last["min_p"],
            &last["seed"]
        ),
        (&json!(-1), &json!(1.0), &json!(0.0), &json!(7))
    );
}

#[test]
fn vllm_scores_and_generates() {
    let (server, bodies) = start(vllm);
    let model = open(&server);
    model.check_scoring().unwrap();
    assert_eq!(model.fingerprint().context_length, 2048);
    let job = model.encode(&score()).unwrap();
    let Response::Score {
        logprobs, greedy, ..
    } = run(&model, job)
    else {
        panic!()
    };
    // BOS 1, then `ab c`: states 1, 1·7 + 97 = 104 → 3, 21 + 98 = 119 → 18, 126 + 32 = 158 → 57,
    // 399 + 99 = 498 → 94.
    let want = [3.0, 18.0, 57.0, 94.0].map(|state: f32| Some(-0.25 - state / 16.0));
    assert_eq!(logprobs[0], None);
    assert_eq!(logprobs[1..], want);
    assert!(greedy, "each is the most probable that is listed");
    let job = model
        .encode(&generate(Prompt::Text("ab".into()), 0.0))
        .unwrap();
    let Response::Generate {
        token_ids,
        logprobs,
        ..
    } = run(&model, job)
    else {
        panic!()
    };
    assert_eq!(token_ids, Some(vec![120, 120]));
    assert_eq!(logprobs, Some(vec![-0.5, -0.5]));
    let bodies = bodies.lock().unwrap();
    assert_eq!(bodies.last().unwrap()["logprobs"], 0, "it tells them for 0");
}
