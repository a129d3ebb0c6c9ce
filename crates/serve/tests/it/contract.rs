//! What the OpenAI completions contract promises.

use std::sync::Arc;

use isogloss_serve::Limits;
use serde_json::{Value, json};

use crate::client::{Client, Running};
use crate::model::{BOS, Model, POISON, continuation, logprobs, text_of};

fn start() -> Running {
    Running::start(Arc::new(Model::open()), Limits::default())
}

fn ids(text: &str) -> Vec<u32> {
    std::iter::once(BOS)
        .chain(text.bytes().map(u32::from))
        .collect()
}

#[track_caller]
fn f32s(value: &Value) -> Vec<Option<f32>> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().map(|x| x as f32)).collect()
}

fn complete(client: &mut Client, body: &Value) -> Value {
    let reply = client.post("/v1/completions", body);
    assert_eq!(
        reply.status,
        200,
        "{}",
        String::from_utf8_lossy(&reply.body)
    );
    reply.json()
}

#[test]
fn a_text_is_echoed_with_its_log_probabilities() {
    let server = start();
    let mut client = server.connect();
    let body = json!({
        "model": "bytes", "prompt": "aก", "max_tokens": 0, "echo": true, "logprobs": 2,
        "return_token_ids": true,
    });
    let answer = complete(&mut client, &body);
    let choice = &answer["choices"][0];
    assert_eq!(choice["text"], "aก");
    assert_eq!(choice["prompt_token_ids"], json!(ids("aก")));
    assert_eq!(choice["token_ids"], json!([]));
    assert_eq!(choice["finish_reason"], "length");
    let found = &choice["logprobs"];
    // ก is E0 B8 81, and no byte of it is a character alone.
    assert_eq!(
        found["tokens"],
        json!(["<bos>", "a", "bytes:\\xE0", "bytes:\\xB8", "bytes:\\x81"])
    );
    assert_eq!(f32s(&found["token_logprobs"]), logprobs(&ids("aก")));
    assert_eq!(found["text_offset"], json!([0, 0, 1, 2, 2]));
    assert_eq!(found["top_logprobs"][0], Value::Null);
    assert_eq!(found["top_logprobs"][1]["?"], -0.125);
    assert_eq!(found["top_logprobs"][1]["a"], found["token_logprobs"][1]);
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5});
    assert_eq!(answer["usage"], usage);
}

#[test]
fn the_call_of_the_harness_gives_one_token_more() {
    let server = start();
    let prompt = vec![10, 20, 30, 40];
    let body = json!({
        "model": "bytes", "prompt": [prompt], "max_tokens": 1, "temperature": 0, "logprobs": 1,
        "seed": 1234, "echo": true,
    });
    let answer = complete(&mut server.connect(), &body);
    let (new, new_logprobs) = continuation(&prompt, 1);
    let mut want = logprobs(&prompt);
    want.push(Some(new_logprobs[0]));
    let found = &answer["choices"][0]["logprobs"];
    assert_eq!(f32s(&found["token_logprobs"]), want);
    assert_eq!(found["tokens"][4], text_of(&new));
    assert_eq!(found["top_logprobs"].as_array().unwrap().len(), 5);
}

#[test]
fn prompts_of_every_form_are_answered_in_their_order() {
    let server = start();
    let mut client = server.connect();
    for (prompt, all) in [
        (json!("सत"), vec![ids("सत")]),
        (json!(["x", "", "ไทย"]), vec![ids("x"), ids(""), ids("ไทย")]),
        (json!([7, 8]), vec![vec![7, 8]]),
        (json!([[1], [2, 3]]), vec![vec![1], vec![2, 3]]),
    ] {
        let body = json!({"prompt": prompt, "max_tokens": 3, "return_token_ids": true});
        let answer = complete(&mut client, &body);
        let choices = answer["choices"].as_array().unwrap();
        assert_eq!(choices.len(), all.len());
        for (index, (choice, ids)) in choices.iter().zip(&all).enumerate() {
            let (new, _) = continuation(ids, 3);
            assert_eq!(choice["index"], index);
            assert_eq!(choice["prompt_token_ids"], json!(ids));
            assert_eq!(choice["token_ids"], json!(new));
            assert_eq!(choice["text"], text_of(&new));
            assert_eq!(choice["logprobs"], Value::Null);
        }
    }
}

#[test]
fn a_stop_text_ends_a_continuation() {
    let server = start();
    let text = text_of(&continuation(&ids("a"), 16).0);
    let (before, rest) = text.split_at(5);
    let body = json!({"prompt": "a", "stop": [&rest[..2], "never"]});
    let answer = complete(&mut server.connect(), &body);
    assert_eq!(answer["choices"][0]["text"], before);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_stream_says_the_same_in_parts() {
    let server = start();
    let mut client = server.connect();
    let stop = text_of(&continuation(&ids("b"), 16).0)[9..11].to_owned();
    for (n_top, echo) in [(Value::Null, false), (json!(0), false), (json!(2), true)] {
        let mut body = json!({
            "prompt": ["a", "b"], "max_tokens": 12, "logprobs": n_top, "echo": echo, "stop": stop,
        });
        let whole = complete(&mut client, &body);
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        let reply = client.post("/v1/completions", &body);
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        let events = reply.events();
        let (usage, parts) = events.split_last().unwrap();
        assert_eq!(usage["usage"], whole["usage"]);
        for (index, choice) in whole["choices"].as_array().unwrap().iter().enumerate() {
            let own = parts.iter().map(|part| &part["choices"][0]);
            let own: Vec<&Value> = own.filter(|part| part["index"] == index).collect();
            let texts = own.iter().map(|part| part["text"].as_str().unwrap());
            assert_eq!(texts.collect::<String>(), choice["text"].as_str().unwrap());
            assert_eq!(
                own.last().unwrap()["finish_reason"],
                choice["finish_reason"]
            );
            assert!(echo || own.len() > 3, "{own:?}");
            for list in ["tokens", "token_logprobs", "text_offset"] {
                let joined = own
                    .iter()
                    .filter_map(|part| part["logprobs"][list].as_array());
                let joined: Vec<Value> = joined.flatten().cloned().collect();
                let want = choice["logprobs"][list]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                assert_eq!(joined, want, "{list}");
            }
        }
    }
}

#[test]
fn one_bad_prompt_does_not_cost_its_neighbors_their_answers() {
    let model = Arc::new(Model::shut());
    let server = Running::start(model.clone(), Limits::default());
    let ask =
        |prompt: Value| json!({"prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 0});
    let mut first = server.connect();
    first
        .send_post("/v1/completions", &ask(json!("first")).to_string())
        .unwrap();
    model.wait_for_calls(1);
    // Both wait, and go through the model in one call.
    let (mut bad, mut good) = (server.connect(), server.connect());
    bad.send_post("/v1/completions", &ask(json!([1, POISON])).to_string())
        .unwrap();
    good.send_post("/v1/completions", &ask(json!("good")).to_string())
        .unwrap();
    model.unlock();
    assert_eq!(first.reply().unwrap().status, 200);
    let refused = bad.reply().unwrap();
    assert_eq!(refused.status, 500);
    assert!(
        refused.message().contains("not finite"),
        "{}",
        refused.message()
    );
    let answer = good.reply().unwrap().json();
    let found = f32s(&answer["choices"][0]["logprobs"]["token_logprobs"]);
    assert_eq!(found, logprobs(&ids("good")));
}

#[test]
fn waiting_prompts_are_asked_together() {
    let model = Arc::new(Model::shut());
    let limits = Limits {
        n_waiting: 8,
        ..Limits::default()
    };
    let server = Running::start(model.clone(), limits);
    let mut clients: Vec<Client> = (0..9).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        let body = json!({"prompt": format!("prompt {i}"), "max_tokens": 2});
        client
            .send_post("/v1/completions", &body.to_string())
            .unwrap();
        if i == 0 {
            model.wait_for_calls(1);
        }
    }
    // What never fits is told how many wait.
    let nine = json!({"prompt": vec!["x"; 9]});
    while !server
        .connect()
        .post("/v1/completions", &nine)
        .message()
        .starts_with('8')
    {
        std::thread::yield_now();
    }
    model.unlock();
    for (i, client) in clients.iter_mut().enumerate() {
        let answer = client.reply().unwrap().json();
        let (new, _) = continuation(&ids(&format!("prompt {i}")), 2);
        assert_eq!(answer["choices"][0]["text"], text_of(&new));
    }
    assert_eq!(model.largest_batch(), 8);
}

#[test]
fn the_other_routes() {
    let server = start();
    let mut client = server.connect();
    let models = client.get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], "bytes");
    assert_eq!(models["data"][0]["fingerprint"]["hash"], "00");
    assert_eq!(client.get("/health").json(), json!({"status": "ok"}));
    for (body, want) in [
        (json!({"prompt": "ก"}), json!([BOS, 0xE0, 0xB8, 0x81])),
        (
            json!({"prompt": "ก", "add_special_tokens": false}),
            json!([0xE0, 0xB8, 0x81]),
        ),
        (json!({"content": "a"}), json!([97])),
        (
            json!({"content": "a", "add_special": true}),
            json!([BOS, 97]),
        ),
        (
            json!({"prompt": "", "content": "", "add_special": false}),
            json!([]),
        ),
    ] {
        let reply = client.post("/tokenize", &body).json();
        assert_eq!(reply["tokens"], want, "{body}");
    }
    let text = client
        .post("/detokenize", &json!({"tokens": [BOS, 97, 98]}))
        .json();
    assert_eq!(text, json!({"prompt": "ab", "content": "ab"}));
    let chat = client.post(
        "/v1/chat/completions",
        &json!({"messages": [{"role": "user", "content": "a"}]}),
    );
    assert_eq!(chat.status, 400);
    assert!(chat.message().contains("no chat template"));
}
