//! Servers that are asked for log-probabilities: good ones, and those that only seem so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isogloss_client::{ServerAddress, ServerError, ServerModel, ServerSettings, Token};
use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Explain, Prompt, Request, Response, Sampling, Span};
use isogloss_testkit::{Answer, HttpRequest, MockServer};
use serde_json::{Value, json};

/// How a server answers `/v1/completions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Real log-probabilities, with or without new tokens.
    Honest,
    /// As older servers: at least one new token must be asked for.
    OneTokenAtLeast,
    /// Answers as if only a continuation had been asked for.
    IgnoresEcho,
    IgnoresLogprobs,
    /// As llama.cpp: another shape.
    ChatShape,
    Zeros,
    Constant,
    /// The log-probability of a token hangs on the token alone.
    IgnoresContext,
    /// Lists that add up to more than 1.
    TooMuch,
    Positive,
    Refuses,
}

fn logprobs(habit: Habit, ids: &[u32]) -> Vec<Value> {
    let mut state = 7_u32;
    let mut all = vec![Value::Null];
    for id in &ids[1..] {
        state = if habit == Habit::IgnoresContext {
            *id
        } else {
            state.wrapping_mul(31).wrapping_add(*id)
        };
        all.push(match habit {
            Habit::Zeros => json!(0.0),
            Habit::Constant => json!(-1.5),
            Habit::Positive => json!(0.5),
            _ => json!(-0.5 - f64::from(state % 97) / 8.0),
        });
    }
    all
}

fn complete(habit: Habit, body: &Value) -> Answer {
    let n_new = body["max_tokens"].as_u64().unwrap() as usize;
    if habit == Habit::Refuses || (habit == Habit::OneTokenAtLeast && n_new == 0) {
        let error = json!({"error": {"message": "max_tokens must be at least 1"}});
        return Answer::bad_request(error.to_string());
    }
    let echo = body["echo"] == true && habit != Habit::IgnoresEcho;
    let prompts = body["prompt"].as_array().unwrap();
    let choice = |(index, prompt): (usize, &Value)| {
        let ids: Vec<u32> = serde_json::from_value(prompt.clone()).unwrap();
        let mut all = if echo {
            logprobs(habit, &ids)
        } else {
            Vec::new()
        };
        all.extend(vec![json!(-0.25); n_new]);
        let p = if habit == Habit::TooMuch { -0.1 } else { -1.0 };
        let top: Vec<Value> = all
            .iter()
            .map(|x| match x.as_f64() {
                None => Value::Null,
                Some(x) => json!({"a": x.max(p), "b": p}),
            })
            .collect();
        let logprobs = match habit {
            Habit::IgnoresLogprobs => Value::Null,
            Habit::ChatShape => json!({"content": [{"token": "a", "logprob": -1.0}]}),
            _ => json!({"tokens": [], "token_logprobs": all, "top_logprobs": top}),
        };
        json!({"index": index, "text": "x".repeat(n_new), "logprobs": logprobs, "finish_reason": "length"})
    };
    let mut choices: Vec<Value> = prompts.iter().enumerate().map(choice).collect();
    // The order is not promised.
    choices.reverse();
    Answer::ok(json!({"choices": choices}).to_string())
}

fn answer(habit: Habit, request: &HttpRequest) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match request.path.as_str() {
        "/v1/models" => Answer::ok(
            json!({"data": [{"id": "m", "max_model_len": 64}, {"id": "other"}]}).to_string(),
        ),
        "/tokenize" if body["messages"].is_null() => {
            let text = body["prompt"].as_str().unwrap();
            let bos = body["add_special_tokens"].as_bool().unwrap().then_some(500);
            let ids: Vec<u32> = bos.into_iter().chain(text.bytes().map(u32::from)).collect();
            Answer::ok(json!({"tokens": ids}).to_string())
        }
        "/v1/completions" => complete(habit, &body),
        _ => Answer::status(404),
    }
}

fn settings() -> ServerSettings {
    ServerSettings {
        key: Token::new("very-secret"),
        retry_wait: Duration::from_millis(1),
        timeout_answer: Duration::from_secs(5),
        ..ServerSettings::default()
    }
}

fn open(server: &MockServer) -> Result<ServerModel, ServerError> {
    let address = ServerAddress::parse(&format!("{}/v1#m", server.url)).unwrap();
    ServerModel::open(&address, &settings(), None)
}

fn score(text: &str) -> Request {
    Request::Score {
        context: Prompt::Text("ab".into()),
        continuation: text.into(),
        span: Span::Continuation,
        pool: false,
    }
}

fn run(model: &ServerModel, jobs: &[Encoded]) -> Result<Vec<Response>, BackendError> {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut responses = vec![None; jobs.len()];
    model.run(jobs, &settings, &mut |index, response| {
        responses[index] = Some(response);
    })?;
    Ok(responses.into_iter().map(Option::unwrap).collect())
}

#[test]
fn honest_servers_are_believed() {
    for habit in [Habit::Honest, Habit::OneTokenAtLeast] {
        let server = MockServer::start(move |request| answer(habit, request));
        let model = open(&server).unwrap();
        model.check_scoring().unwrap();
        assert_eq!(model.fingerprint().context_length, 64);
        let jobs: Vec<Encoded> = (0..40)
            .map(|i| model.encode(&score(&format!(" {i}"))).unwrap())
            .collect();
        for (job, response) in jobs.iter().zip(run(&model, &jobs).unwrap()) {
            let Encoded::Score {
                token_ids,
                n_context,
                ..
            } = job
            else {
                panic!("{job:?}");
            };
            assert_eq!((token_ids[0], *n_context), (500, 3));
            let want = logprobs(habit, token_ids);
            let want: Vec<Option<f32>> = (want.iter().enumerate())
                .map(|(at, x)| x.as_f64().map(|x| x as f32).filter(|_| at >= 3))
                .collect();
            let Response::Score { logprobs, .. } = response else {
                panic!("{response:?}");
            };
            assert_eq!(logprobs, want);
        }
        let bodies = server
            .seen()
            .into_iter()
            .filter(|r| r.path == "/v1/completions");
        for request in bodies {
            assert_eq!(request.header("authorization"), Some("Bearer very-secret"));
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert!(body["prompt"].as_array().unwrap().len() <= 16);
        }
        let too_long = model.encode(&score(&"x".repeat(62))).unwrap_err();
        assert!(matches!(
            too_long,
            BackendError::TooLong {
                found: 65,
                limit: 64,
                ..
            }
        ));
    }
}

#[test]
fn servers_whose_numbers_are_not_real_are_refused_by_name() {
    for (habit, why) in [
        (Habit::IgnoresEcho, "ignores `echo`"),
        (Habit::IgnoresLogprobs, "ignores `logprobs`"),
        (Habit::ChatShape, "not those of a completion"),
        (Habit::Zeros, "all of them are 0"),
        (Habit::Constant, "all of them are the same"),
        (Habit::IgnoresContext, "has the same one"),
        (Habit::TooMuch, "add up to"),
        (Habit::Positive, "0.5"),
        (Habit::Refuses, "must be at least 1"),
    ] {
        let server = MockServer::start(move |request| answer(habit, request));
        let model = open(&server).unwrap();
        let error = model.check_scoring().unwrap_err();
        assert!(
            matches!(error, ServerError::NotReal { .. }),
            "{habit:?}: {error}"
        );
        let message = error.to_string();
        assert!(
            message.contains("`m`") && message.contains(&server.url),
            "{message}"
        );
        assert!(message.contains(why), "{habit:?}: {message}");
        assert!(!model.capabilities().logprobs);
        // Refused before any work, with the same words.
        let refused = model.encode(&score(" c")).unwrap_err();
        assert_eq!(refused.to_string(), message);
        assert!(refused.hint().unwrap().contains("isogloss serve"));
    }
}

#[test]
fn a_server_without_real_numbers_still_generates() {
    let server = MockServer::start(|request| answer(Habit::ChatShape, request));
    let model = open(&server).unwrap();
    let job = model.encode(&Request::Generate {
        prompt: Prompt::Text("a".into()),
        sampling: Sampling {
            max_tokens: 5,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        },
    });
    let responses = run(&model, &[job.unwrap()]).unwrap();
    assert!(matches!(&responses[0], Response::Generate { text, .. } if text == "xxxxx"));
}

#[test]
fn what_may_pass_is_sent_again_and_told() {
    let n_asked = Arc::new(AtomicUsize::new(0));
    let server = MockServer::start({
        let n_asked = n_asked.clone();
        move |request| {
            if request.path != "/v1/completions" {
                return answer(Habit::Honest, request);
            }
            match n_asked.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::status(429).header("Retry-After", "0"),
                1 => Answer::status(503),
                2 => Answer::ok("{\"choices\": [").cut_after(3),
                _ => answer(Habit::Honest, request),
            }
        }
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let address = ServerAddress::parse(&format!("{}/v1#m", server.url)).unwrap();
    let on_retry = Arc::new({
        let told = told.clone();
        move |why: &str, wait_ms: u64| told.lock().unwrap().push((why.to_owned(), wait_ms))
    });
    let model = ServerModel::open(&address, &settings(), Some(on_retry)).unwrap();
    model.check_scoring().unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].0.contains("429") && told[0].1 == 0, "{told:?}");
    assert!(told[1].0.contains("503"), "{told:?}");
}

#[test]
fn a_server_that_asks_to_wait_too_long_is_given_up() {
    let server = MockServer::start(|request| match request.path.as_str() {
        "/v1/models" => Answer::status(503).header("Retry-After", "3600"),
        _ => Answer::status(404),
    });
    let error = open(&server).unwrap_err();
    assert!(matches!(
        error,
        ServerError::Unreachable { n_retries: 0, .. }
    ));
    assert!(error.to_string().contains("3600 s"), "{error}");
}

#[test]
fn other_failures_are_named() {
    let with = |status: u16| MockServer::start(move |_| Answer::status(status));
    let unauthorized = open(&with(401)).unwrap_err();
    assert!(matches!(
        unauthorized,
        ServerError::Refused { status: 401, .. }
    ));
    assert!(!format!("{unauthorized} {unauthorized:?}").contains("very-secret"));
    assert!(unauthorized.hint().unwrap().contains("ISOGLOSS_API_KEY"));
    assert!(matches!(
        open(&with(302)).unwrap_err(),
        ServerError::Refused { status: 302, .. }
    ));
    let server = MockServer::start(|request| match request.path.as_str() {
        "/tokenize" => Answer::status(404),
        _ => answer(Habit::Honest, request),
    });
    let error = open(&server).unwrap_err();
    assert!(matches!(error, ServerError::NoTokenizer { .. }), "{error}");
    let server = MockServer::start(|request| answer(Habit::Honest, request));
    let address = |model: &str| ServerAddress::parse(&format!("{}/v1{model}", server.url)).unwrap();
    for model in ["", "#nobody"] {
        let error = ServerModel::open(&address(model), &settings(), None).unwrap_err();
        assert!(matches!(error, ServerError::NoModel { .. }), "{error}");
        assert!(error.to_string().contains("`m`, `other`"), "{error}");
    }
    // A port where nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", free.local_addr().unwrap());
    drop(free);
    let settings = ServerSettings {
        n_retries: 1,
        ..settings()
    };
    let error = ServerModel::open(&ServerAddress::parse(&address).unwrap(), &settings, None);
    let error = error.unwrap_err();
    assert!(matches!(
        error,
        ServerError::Unreachable { n_retries: 1, .. }
    ));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn the_user_can_stop_while_a_server_is_silent() {
    let silent = Arc::new(AtomicBool::new(false));
    let server = MockServer::start({
        let silent = silent.clone();
        move |request| {
            let answer = answer(Habit::Honest, request);
            if silent.load(Ordering::SeqCst) {
                answer.hang()
            } else {
                answer
            }
        }
    });
    let model = open(&server).unwrap();
    let job = model.encode(&score(" c")).unwrap();
    silent.store(true, Ordering::SeqCst);
    let cancel = AtomicBool::new(true);
    let settings = RunSettings {
        batch_size: 8,
        share_prefixes: true,
        cancel: &cancel,
    };
    let error = model.run(&[job], &settings, &mut |_, _| panic!("no answer"));
    assert!(matches!(error.unwrap_err(), BackendError::Canceled));
}
