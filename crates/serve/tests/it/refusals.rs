//! What is refused, and how.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use isogloss_serve::Limits;
use serde_json::json;

use crate::client::{Client, Running, TOKEN};
use crate::model::Model;

fn start() -> Running {
    let limits = Limits {
        n_body_bytes: 2000,
        n_prompts: 4,
        n_tokens: 300,
        timeout_read: Duration::from_millis(300),
        ..Limits::default()
    };
    Running::start(Arc::new(Model::open()), limits)
}

#[test]
fn nothing_but_health_without_the_token() {
    let server = start();
    for authorization in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer\r\n",
        &format!("Authorization: Basic {TOKEN}\r\n"),
        &format!("X-Api-Key: {TOKEN}\r\n"),
    ] {
        for (method, path) in [
            ("GET", "/v1/models"),
            ("POST", "/v1/completions"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/tokenize"),
            ("POST", "/detokenize"),
        ] {
            let mut client = server.connect();
            let body = "{\"prompt\": \"a\"}";
            let request = format!(
                "{method} {path} HTTP/1.1\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            client.send(request.as_bytes()).unwrap();
            let reply = client.reply().unwrap();
            assert_eq!(reply.status, 401, "{path}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert!(!String::from_utf8_lossy(&reply.body).contains(TOKEN));
        }
    }
    let mut client = server.connect();
    client.send(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(client.reply().unwrap().status, 200);
}

#[test]
fn malformed_bodies_get_one_clear_error() {
    let server = start();
    let mut client = server.connect();
    for (path, body, part) in [
        ("/v1/completions", "", "empty"),
        ("/v1/completions", "{", "EOF"),
        ("/v1/completions", "[1, 2]", "cannot be read"),
        ("/v1/completions", "{}", "missing field `prompt`"),
        (
            "/v1/completions",
            "{\"prompt\": \"\u{fffd}\", \"max_token\": 1}",
            "unknown field `max_token`",
        ),
        ("/v1/completions", "{\"prompt\": 1}", "expected a text"),
        ("/v1/completions", "{\"prompt\": []}", "empty list"),
        ("/v1/completions", "{\"prompt\": [[]]}", "empty"),
        ("/v1/completions", "{\"prompt\": [1, \"a\"]}", "mixes"),
        ("/v1/completions", "{\"prompt\": [-1]}", "token id"),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"max_tokens\": -1}",
            "max_tokens\": -1",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"logprobs\": true}",
            "usize",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"logprobs\": 21}",
            "up to 20",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"n\": 2}",
            "`n` can only be 1",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"top_p\": 0.5}",
            "`top_p` can only be 1",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"temperature\": -1}",
            "from 0 to 100",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"stop\": \"\"}",
            "`stop`",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"suffix\": \"b\"}",
            "`suffix`",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"a\", \"seed\": 1.5}",
            "`seed`",
        ),
        (
            "/v1/completions",
            "{\"prompt\": \"\\ud800\"}",
            "cannot be read",
        ),
        (
            "/v1/chat/completions",
            "{\"messages\": []}",
            "`messages` is empty",
        ),
        (
            "/v1/chat/completions",
            "{\"messages\": [{\"role\": \"king\", \"content\": \"\"}]}",
            "king",
        ),
        (
            "/v1/chat/completions",
            "{\"messages\": [{\"role\": \"user\", \"content\": 1}]}",
            "`content`",
        ),
        (
            "/v1/chat/completions",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}], \"top_logprobs\": 1}",
            "needs",
        ),
        ("/tokenize", "{}", "only one of these"),
        ("/detokenize", "{\"tokens\": \"a\"}", "cannot be read"),
    ] {
        let reply = client.post_text(path, body);
        assert_eq!(reply.status, 400, "{body}");
        let error = &reply.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        let message = reply.message();
        let part = if part.starts_with("max_tokens") {
            "-1"
        } else {
            part
        };
        assert!(message.contains(part), "{body}: {message}");
    }
    // The connection is as good as new.
    let reply = client.post("/v1/completions", &json!({"prompt": "a"}));
    assert_eq!(reply.status, 200);
    // A body that is not UTF-8, and one nested without end.
    client.send(format!("POST /tokenize HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 14\r\n\r\n{{\"prompt\":\"").as_bytes()).unwrap();
    client.send(b"\xff\"}").unwrap();
    assert_eq!(client.reply().unwrap().status, 400);
    assert_eq!(
        client
            .post_text("/v1/completions", &"[".repeat(1999))
            .status,
        400
    );
    assert_eq!(
        client
            .post("/v1/completions", &json!({"prompt": "a"}))
            .status,
        200
    );
}

#[test]
fn too_much_is_refused_before_any_work() {
    let server = start();
    let post = |body: &str| server.connect().post_text("/v1/completions", body);
    let reply = post(&json!({"prompt": ["a", "b", "c", "d", "e"]}).to_string());
    assert_eq!(reply.status, 413);
    assert!(reply.message().contains("5 prompts"));
    let reply = post(&json!({"prompt": ["x".repeat(200), "x".repeat(200)]}).to_string());
    assert_eq!(reply.status, 413);
    assert!(reply.message().contains("300 tokens"));
    // The body is not even read, and still the client gets to know.
    let reply = post(&json!({"prompt": "x".repeat(300_000)}).to_string());
    assert_eq!(reply.status, 413);
    assert!(reply.message().contains("2000"));
    let mut client = server.connect();
    client
        .send(b"POST /v1/completions HTTP/1.1\r\nX: ")
        .unwrap();
    client.send(&vec![b'x'; 20_000]).unwrap();
    assert_eq!(client.reply().unwrap().status, 431);
}

#[test]
fn other_paths_methods_and_models() {
    let server = start();
    let reply = |method: &str, path: &str| {
        let mut client = server.connect();
        let request = format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        client.send(request.as_bytes()).unwrap();
        let reply = client.reply().unwrap();
        (reply.status, reply.message())
    };
    assert_eq!(reply("GET", "/v2/models").0, 404);
    assert_eq!(reply("GET", "/v1/../health").0, 404);
    let (status, message) = reply("GET", "/v1/completions");
    assert_eq!(status, 405);
    assert!(message.contains("POST"));
    let other = json!({"prompt": "a", "model": "other"});
    let reply = server.connect().post("/v1/completions", &other);
    assert_eq!(
        (reply.status, reply.message().contains("`bytes`")),
        (404, true)
    );
}

#[test]
fn requests_that_never_end_are_ended() {
    let server = start();
    for (bytes, part) in [
        (&b"POST /v1/compl"[..], "head"),
        (b"POST /tokenize HTTP/1.1\r\nAuthorization: Bearer secret-of-the-test\r\nContent-Length: 9\r\n\r\n{", "body"),
    ] {
        let mut client = server.connect();
        client.send(bytes).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!(reply.status, 408);
        assert!(reply.message().contains(part), "{}", reply.message());
        let mut rest = Vec::new();
        client.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let server = start();
    let mut client = server.connect();
    let one = |prompt: &str| {
        let body = json!({"prompt": prompt, "max_tokens": 0, "echo": true}).to_string();
        format!(
            "POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    client
        .send((one("first") + &one("second")).as_bytes())
        .unwrap();
    for want in ["first", "second"] {
        assert_eq!(client.reply().unwrap().json()["choices"][0]["text"], want);
    }
    // A client that asks for permission gets it.
    let body = "{\"prompt\": \"a\", \"max_tokens\": 0}";
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes()).unwrap();
    assert_eq!(Client::head(&mut client).unwrap().status, 100);
    client.send(body.as_bytes()).unwrap();
    let reply = client.reply().unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
}
