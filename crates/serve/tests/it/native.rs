//! A real model asked on this machine and over HTTP: the same ids, the same numbers, bit by bit.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use isogloss_client::{ServerAddress, ServerModel, ServerSettings, Token};
use isogloss_model::engine::{Engine, EngineOptions};
use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Explain, Message, Prompt, Request, Response, Role, Sampling, Span};
use isogloss_serve::Limits;
use serde_json::json;

use crate::client::{Running, TOKEN};

const TEXTS: [(&str, &str); 7] = [
    (
        "The capital of France is",
        " Paris, and it lies on the Seine.",
    ),
    ("عاصمة فرنسا هي", " باريس، وتقع على نهر السين."),
    ("फ़्रांस की राजधानी", " पेरिस है।"),
    ("เมืองหลวงของฝรั่งเศสคือ", "ปารีส"),
    ("法国的首都是", "巴黎，位于塞纳河畔。"),
    ("Η πρωτεύουσα της Γαλλίας", " είναι το Παρίσι."),
    // Combining marks on their own.
    ("e\u{301}a\u{328}\u{301}", "o\u{302}\u{323} x\u{336}"),
];

fn engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    let open = || {
        let path = isogloss_testkit::model_path("smollm2-135m");
        Arc::new(Engine::open(&path, "smollm2-135m", &EngineOptions::default()).unwrap())
    };
    ENGINE.get_or_init(open).clone()
}

fn serve() -> (Running, ServerModel) {
    let server = Running::start(engine(), Limits::default());
    let address = format!("http://{}/v1#smollm2-135m", server.address);
    let settings = ServerSettings {
        key: Token::new(TOKEN),
        n_prompts: 3,
        ..ServerSettings::default()
    };
    let model = ServerModel::open(&ServerAddress::parse(&address).unwrap(), &settings, None);
    (server, model.unwrap())
}

fn ask(backend: &dyn Backend, requests: &[Request]) -> (Vec<Encoded>, Vec<Response>) {
    let jobs: Vec<Encoded> = requests
        .iter()
        .map(|r| backend.encode(r).unwrap())
        .collect();
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 4,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut responses: Vec<Option<Response>> = vec![None; jobs.len()];
    let on_response = &mut |index: usize, response| {
        assert!(
            responses[index].replace(response).is_none(),
            "{index} twice"
        );
    };
    backend.run(&jobs, &settings, on_response).unwrap();
    (jobs, responses.into_iter().map(Option::unwrap).collect())
}

fn score(context: &str, continuation: &str, span: Span) -> Request {
    Request::Score {
        context: Prompt::Text(context.into()),
        continuation: continuation.into(),
        span,
        pool: false,
    }
}

fn generate(prompt: Prompt, temperature: f32, stop: &[&str]) -> Request {
    Request::Generate {
        prompt,
        sampling: Sampling {
            max_tokens: 12,
            temperature,
            seed: u64::MAX - 5,
            stop: stop.iter().map(|&stop| stop.to_owned()).collect(),
        },
    }
}

#[test]
fn over_http_the_answers_are_the_native_ones() {
    let (_server, remote) = serve();
    remote.check_scoring().unwrap();
    let native = engine();
    assert_eq!(remote.fingerprint(), native.fingerprint());
    let mut requests = Vec::new();
    for (context, continuation) in TEXTS {
        requests.push(score("", &[context, continuation].concat(), Span::All));
        requests.push(score(context, continuation, Span::Continuation));
        requests.push(score(&format!("{context} \n"), continuation, Span::All));
        requests.push(Request::Choose {
            context: Prompt::Text(context.into()),
            labels: TEXTS.iter().map(|(_, label)| (*label).to_owned()).collect(),
        });
        requests.push(generate(Prompt::Text(context.into()), 0.0, &[]));
        requests.push(generate(
            Prompt::Text(context.into()),
            0.9,
            &["।", ".", "\n"],
        ));
        let message = |role, content: &str| Message {
            role,
            content: content.into(),
        };
        let dialogue = vec![
            message(Role::System, continuation),
            message(Role::User, context),
        ];
        requests.push(generate(Prompt::Chat(dialogue), 0.0, &[]));
    }
    let (native_jobs, native_answers) = ask(&*native, &requests);
    let (remote_jobs, remote_answers) = ask(&remote, &requests);
    assert_eq!(remote_jobs, native_jobs);
    for (i, (remote, native)) in remote_answers.iter().zip(&native_answers).enumerate() {
        // `f32` compared as numbers of 32 bits: no tolerance.
        assert_eq!(remote, native, "{:?}", requests[i]);
    }
}

#[test]
fn hidden_states_stay_behind() {
    let (_server, remote) = serve();
    assert!(!remote.capabilities().hidden_states);
    let pooled = Request::Score {
        context: Prompt::Text("a".into()),
        continuation: " b".into(),
        span: Span::All,
        pool: true,
    };
    let error = remote.encode(&pooled).unwrap_err();
    assert!(matches!(error, BackendError::Unsupported { .. }), "{error}");
    let dialogue = Request::Choose {
        context: Prompt::Chat(Vec::new()),
        labels: vec!["a".into()],
    };
    assert!(matches!(
        remote.encode(&dialogue).unwrap_err(),
        BackendError::Unsupported { .. }
    ));
}

#[test]
fn listed_tokens_are_the_most_probable_and_no_more_than_one() {
    let (server, _) = serve();
    let body = json!({
        "prompt": "สวัสดี The capital of France is", "max_tokens": 2, "temperature": 0,
        "echo": true, "logprobs": 20, "return_token_ids": true,
    });
    let answer = server.connect().post("/v1/completions", &body).json();
    let logprobs = &answer["choices"][0]["logprobs"];
    let tops = logprobs["top_logprobs"].as_array().unwrap();
    let own = logprobs["token_logprobs"].as_array().unwrap();
    let n_new = answer["usage"]["completion_tokens"].as_u64().unwrap() as usize;
    for (at, (top, own)) in tops.iter().zip(own).enumerate().skip(1) {
        let listed: Vec<f64> = top
            .as_object()
            .unwrap()
            .values()
            .map(|x| x.as_f64().unwrap())
            .collect();
        let sum: f64 = listed.iter().map(|x| x.exp()).sum();
        assert!(sum <= 1.0 + 1e-6 && sum > 0.05, "{at}: {sum}");
        assert!(listed.is_sorted_by(|a, b| a >= b));
        let own = own.as_f64().unwrap();
        assert!(listed[0] >= own);
        if at >= tops.len() - n_new {
            // Drawn greedily: the first of the list, to the last bit.
            assert_eq!(listed[0], own);
        }
    }
}

#[test]
fn a_dialogue_streamed_is_the_dialogue_whole() {
    let (server, _) = serve();
    let mut body = json!({
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello in Thai."}]}],
        "max_tokens": 24, "temperature": 0.7, "seed": 3, "logprobs": true, "top_logprobs": 0,
    });
    let mut client = server.connect();
    let whole = client.post("/v1/chat/completions", &body).json();
    let choice = &whole["choices"][0];
    assert_eq!(whole["object"], "chat.completion");
    body["stream"] = true.into();
    let events = client.post("/v1/chat/completions", &body).events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[0]["object"], "chat.completion.chunk");
    let parts = events
        .iter()
        .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap());
    assert_eq!(parts.collect::<String>(), choice["message"]["content"]);
    let tokens = events.iter().flat_map(|event| {
        event["choices"][0]["logprobs"]["content"]
            .as_array()
            .unwrap()
            .clone()
    });
    assert_eq!(
        json!(tokens.collect::<Vec<_>>()),
        choice["logprobs"]["content"]
    );
    assert!(events.len() > 5, "{}", events.len());
    let entry = &choice["logprobs"]["content"][0];
    assert!(entry["logprob"].as_f64().unwrap() < 0.0);
    assert!(entry["bytes"].is_array() && entry["top_logprobs"] == json!([]));
}

#[test]
fn without_the_key_the_server_says_what_to_set() {
    let (server, _) = serve();
    let address = ServerAddress::parse(&format!("http://{}/v1", server.address)).unwrap();
    let error = ServerModel::open(&address, &ServerSettings::default(), None).unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    assert!(error.hint().unwrap().contains("ISOGLOSS_API_KEY"));
}

#[test]
fn a_generation_ends_where_its_listener_says_so_and_no_other() {
    let engine = engine();
    let requests = [
        generate(Prompt::Text("The capital of France is".into()), 0.0, &[]),
        generate(Prompt::Text("法国的首都是".into()), 0.0, &[]),
    ];
    let (jobs, whole) = ask(&*engine, &requests);
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 4,
        share_prefixes: true,
        cancel: &cancel,
    };
    let (mut heard, mut answers) = (vec![Vec::new(); 2], vec![None; 2]);
    engine
        .run_streaming(
            &jobs,
            &settings,
            &mut |job, id, logprob| {
                heard[job].push((id, logprob));
                job == 1 || heard[0].len() < 3
            },
            &mut |job, response| answers[job] = Some(response),
        )
        .unwrap();
    assert_eq!(answers[1].as_ref(), Some(&whole[1]));
    for (job, n) in [(0, 3), (1, heard[1].len())] {
        let Response::Generate {
            token_ids: Some(token_ids),
            logprobs: Some(logprobs),
            ..
        } = &whole[job]
        else {
            panic!("{:?}", whole[job]);
        };
        let want: Vec<(u32, f32)> = token_ids
            .iter()
            .copied()
            .zip(logprobs.iter().copied())
            .collect();
        assert_eq!(heard[job], want[..n]);
        let Some(Response::Generate {
            token_ids: Some(ended),
            ..
        }) = &answers[job]
        else {
            panic!("{:?}", answers[job]);
        };
        assert_eq!(ended[..], token_ids[..n]);
    }
}

#[test]
fn the_most_probable_are_those_that_scoring_finds() {
    let engine = engine();
    let ids = engine.tokenize("the quick brown fox").unwrap();
    let cancel = AtomicBool::new(false);
    let top = |positions, n, share_prefixes| {
        let settings = RunSettings {
            batch_size: 4,
            share_prefixes,
            cancel: &cancel,
        };
        engine.most_probable(&ids, positions, n, &settings)
    };
    let last = ids.len();
    let five = top(last..last + 1, 5, false).unwrap();
    assert_eq!(five, top(last..last + 1, 5, true).unwrap());
    assert_eq!(top(last..last + 1, 1, true).unwrap()[0], five[0][..1]);
    for (id, logprob) in &five[0] {
        let job = Encoded::Score {
            token_ids: ids.iter().chain([id]).copied().collect(),
            n_context: last,
            scored_from: last,
            n_pooled: 0,
        };
        let settings = RunSettings {
            batch_size: 1,
            share_prefixes: false,
            cancel: &cancel,
        };
        let check = &mut |_, response| {
            let Response::Score { logprobs, .. } = response else {
                panic!("{response:?}");
            };
            assert_eq!(logprobs[last], Some(*logprob));
        };
        engine.run(&[job], &settings, check).unwrap();
    }
    // All of them are a distribution.
    let all = top(1..2, usize::MAX, true).unwrap();
    let sum: f64 = all[0].iter().map(|(_, x)| f64::from(*x).exp()).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    assert!(top(0..1, 1, true).is_err());
    assert!(top(last..last + 2, 1, true).is_err());
}

/// Without a seed a prompt that is asked twice is drawn twice; with one it is the same.
#[test]
fn a_seed_that_is_not_given_is_not_zero() {
    let (server, _) = serve();
    let mut client = server.connect();
    let mut drawn = |seed: Option<u64>| {
        let mut body = json!({"prompt": "The", "max_tokens": 12, "temperature": 1.0});
        if let Some(seed) = seed {
            body["seed"] = seed.into();
        }
        let answer = client.post("/v1/completions", &body).json();
        answer["choices"][0]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(drawn(Some(0)), drawn(Some(0)));
    let free: std::collections::BTreeSet<String> = (0..4).map(|_| drawn(None)).collect();
    assert!(free.len() > 1, "{free:?}");
}

/// Many clients at once on the real engine: every answer is the one of the model alone, and a short
/// score comes while a long continuation runs.
#[test]
fn clients_at_once_get_the_answers_of_the_model_alone() {
    let (server, _) = serve();
    let engine = engine();
    let requests: Vec<Request> = (0..24)
        .map(|i| {
            let text = format!("{} {i}", TEXTS[i % TEXTS.len()].0);
            if i % 3 == 0 {
                let sampling = Sampling {
                    max_tokens: 4 + i,
                    temperature: 0.8,
                    seed: i as u64,
                    stop: Vec::new(),
                };
                Request::Generate {
                    prompt: Prompt::Text(text),
                    sampling,
                }
            } else {
                score(&text, " and more", Span::All)
            }
        })
        .collect();
    let (_, want) = ask(&*engine, &requests);
    std::thread::scope(|scope| {
        for (request, want) in requests.iter().zip(&want) {
            let (server, engine) = (&server, &engine);
            scope.spawn(move || {
                let body = match engine.encode(request).unwrap() {
                    Encoded::Generate {
                        token_ids,
                        sampling,
                    } => json!({"prompt": token_ids, "max_tokens": sampling.max_tokens,
                        "temperature": sampling.temperature, "seed": sampling.seed, "logprobs": 0}),
                    Encoded::Score { token_ids, .. } => {
                        json!({"prompt": token_ids, "max_tokens": 0, "echo": true, "logprobs": 0})
                    }
                    Encoded::Choose { .. } => unreachable!(),
                };
                let answer = server.connect().post("/v1/completions", &body).json();
                let found = &answer["choices"][0]["logprobs"]["token_logprobs"];
                let found: Vec<Option<f32>> = (found.as_array().unwrap().iter())
                    .map(|x| x.as_f64().map(|x| x as f32))
                    .collect();
                let want: Vec<Option<f32>> = match want {
                    Response::Score { logprobs, .. } => logprobs.clone(),
                    Response::Generate { logprobs, .. } => {
                        logprobs.iter().flatten().map(|x| Some(*x)).collect()
                    }
                    Response::Choose { .. } => unreachable!(),
                };
                assert_eq!(found, want);
            });
        }
    });
    // A continuation of many tokens, streamed, and a score beside it.
    let mut long = server.connect();
    let body =
        json!({"prompt": "Once", "max_tokens": 400, "temperature": 1.5, "seed": 1, "stream": true});
    long.send_post("/v1/completions", &body.to_string())
        .unwrap();
    let beside = json!({"prompt": "A short text", "max_tokens": 0, "echo": true, "logprobs": 0});
    assert_eq!(
        server.connect().post("/v1/completions", &beside).status,
        200
    );
    long.stream.get_mut().set_nonblocking(true).unwrap();
    let mut early = Vec::new();
    let _ = std::io::Read::read_to_end(&mut long.stream, &mut early);
    let early = String::from_utf8_lossy(&early).into_owned();
    assert!(
        !early.contains("[DONE]"),
        "the score came after the continuation"
    );
}
