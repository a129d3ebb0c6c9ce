//! A model served by one process and asked by another.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Stdio};

use isogloss_testkit::{Answer, MockServer};

use crate::{isogloss, model, run, run_on_lines, tiny};

/// A server with what it said when it started; killed when a test fails.
struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    url: String,
    token: String,
}

impl Server {
    fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    fn start_with(name: &str, extra: &[&str]) -> Self {
        let mut child = isogloss()
            .args(["serve", name, "--port", "0"])
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut talk = String::new();
        while !talk.contains("Ctrl-C") {
            assert!(stderr.read_line(&mut talk).unwrap() > 0, "it ended: {talk}");
        }
        let after = |mark: &str| {
            let (_, rest) = talk.split_once(mark).unwrap();
            rest.lines().next().unwrap().to_owned()
        };
        let (url, token) = (after(" served at "), after("token: "));
        Self {
            child,
            stderr,
            url,
            token,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LINES: &str = "\
{\"id\": 1, \"text\": \"Kaixo, mundua\"}
{\"id\": 2, \"context\": \"เมืองหลวง\", \"continuation\": \"ปารีส\"}
{\"id\": 3, \"context\": \"عاصمة فرنسا \", \"continuation\": \"باريس\"}
{\"id\": 4, \"token_ids\": [504, 260, 355]}
";

#[cfg(unix)]
#[test]
fn score_over_http_writes_what_score_writes() {
    let name = model("smollm2-135m");
    let mut server = Server::start(&name);
    assert!(
        server.url.starts_with("http://127.0.0.1:"),
        "{}",
        server.url
    );
    assert_eq!(server.token.len(), 48);
    let native = run_on_lines(&["score", &name], LINES);
    let mut child = isogloss()
        .args(["score", &server.url])
        .env("ISOGLOSS_API_KEY", &server.token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), LINES.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let remote: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(remote, native);
    // Without the key: one error that says what to set, and not the key.
    let refused = run(&["generate", &server.url, "--input", "/dev/null"]);
    let talk = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(
        talk.contains("401") && talk.contains("ISOGLOSS_API_KEY"),
        "{talk}"
    );
    assert!(!talk.contains(&server.token));
    // Ctrl-C ends it in order.
    crate::interrupt(&server.child);
    assert!(server.child.wait().unwrap().success());
    let mut rest = String::new();
    server.stderr.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("requests answered") && !rest.contains(&server.token),
        "{rest}"
    );
}

/// One base, two adapters, chosen by the name in the address; each as if it were merged.
#[test]
fn adapters_are_chosen_by_the_models_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    tiny::write(&at("base"), &tiny::config(), tiny::tensors(), 8);
    tiny::write_adapter(&at("tuned"), 8);
    let (base, tuned) = (
        at("base").display().to_string(),
        at("tuned").display().to_string(),
    );
    let server = Server::start_with(&base, &["--adapter", &format!("mine={tuned}")]);
    let line = "{\"id\": 1, \"text\": \"abcdefgh\"}\n";
    let score = |name: &str| {
        let mut child = isogloss()
            .args(["score", name])
            .env("ISOGLOSS_API_KEY", &server.token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let all: Vec<f64> = (answer["logprobs"].as_array().unwrap().iter())
            .filter_map(serde_json::Value::as_f64)
            .collect();
        all
    };
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    let mine = score(&format!("{}#mine", server.url));
    let merged = score(&format!("{base}+{tuned}"));
    let name = at("base");
    let name = name.file_name().unwrap().to_str().unwrap().to_owned();
    let plain = score(&format!("{}#{name}", server.url));
    assert_eq!(mine.len(), 7);
    assert!(near(&mine, &merged), "{mine:?} {merged:?}");
    assert_eq!(plain, score(&base));
    assert!(!near(&mine, &plain));
    // Refused before anything is served.
    tiny::write_adapter(&at("other"), 9);
    let other = format!("mine={}", at("other").display());
    for (adapter, part) in [
        (other.as_str(), "does not fit"),
        ("mine", "expected a name"),
    ] {
        let output = run(&["serve", &base, "--port", "0", "--adapter", adapter]);
        let talk = String::from_utf8(output.stderr).unwrap();
        assert!(talk.starts_with("error: ") && talk.contains(part), "{talk}");
    }
}

#[test]
fn a_survey_of_a_server_without_real_log_probabilities_is_refused_by_name() {
    let server = MockServer::start(|request| match request.path.as_str() {
        "/v1/models" => Answer::ok("{\"data\": [{\"id\": \"m\"}]}"),
        "/tokenize" => Answer::ok("{\"tokens\": [5, 6]}"),
        // As if nothing but a continuation had been asked for.
        "/v1/completions" => Answer::ok(
            "{\"choices\": [{\"index\": 0, \"text\": \"a\", \"logprobs\": {\"token_logprobs\": [-1.0]}, \"finish_reason\": \"length\"}, {\"index\": 1, \"text\": \"a\", \"logprobs\": {\"token_logprobs\": [-1.0]}, \"finish_reason\": \"length\"}]}",
        ),
        _ => Answer::status(404),
    });
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let url = format!("{}/v1#m", server.url);
    let output = run(&[
        "survey",
        &url,
        "--langs",
        "fr",
        "--out",
        out.to_str().unwrap(),
    ]);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.starts_with("error: `m` at"), "{talk}");
    assert!(
        talk.contains("ignores `echo`") && talk.contains("hint: "),
        "{talk}"
    );
    assert!(!out.exists());
}
