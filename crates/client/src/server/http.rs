//! One request to a model's server: no redirects, timeout from send, bounded retries.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::header;

use super::address::ServerAddress;
use super::error::ServerError;
use crate::hub::http::{USER_AGENT, io_words, retry_after, tls};
use crate::installer::hide_credentials;
use crate::settings::ServerSettings;

/// Longest answer that is read.
const N_ANSWER_BYTES: u64 = 256 << 20;
/// How often a wait looks whether the user stopped.
const TICK: Duration = Duration::from_millis(50);

/// Told of each request that is sent again: what happened, and milliseconds until then.
pub type OnRetry = Arc<dyn Fn(&str, u64) + Send + Sync>;

/// A connection pool for one server.
pub(super) struct Http {
    agent: Agent,
    pub(super) address: ServerAddress,
    pub(super) settings: ServerSettings,
    on_retry: OnRetry,
}

/// Why one request brought nothing.
enum Trouble {
    /// It may work a little later; the server may have said when.
    Passing {
        /// Where it answered at all.
        status: Option<u16>,
        why: String,
        after: Option<Duration>,
    },
    Final(ServerError),
}

impl Http {
    pub(super) fn new(
        address: &ServerAddress,
        settings: &ServerSettings,
        on_retry: OnRetry,
    ) -> Self {
        let mut config = Agent::config_builder()
            .tls_config(tls())
            .user_agent(USER_AGENT)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections_per_host(settings.n_in_flight)
            .timeout_resolve(Some(settings.timeout_connect))
            .timeout_connect(Some(settings.timeout_connect))
            // It runs from when the request is sent: what waits here for its turn does not age.
            .timeout_recv_response(Some(settings.timeout_answer))
            .timeout_per_read(Some(settings.timeout_answer));
        if address.is_loopback() {
            config = config.proxy(None);
        }
        Self {
            agent: config.build().new_agent(),
            address: address.clone(),
            settings: settings.clone(),
            on_retry,
        }
    }

    pub(super) fn url(&self) -> String {
        self.address.to_string()
    }

    /// `GET` under `/v1`.
    pub(super) fn get(&self, path: &str) -> Result<Value, ServerError> {
        let url = format!("{}{path}", self.address.base);
        self.with_retries(&AtomicBool::new(false), || self.once(&url, None))
    }

    /// `GET` beside `/v1`.
    pub(super) fn get_beside(&self, path: &str) -> Result<Value, ServerError> {
        let url = format!("{}{path}", self.address.root());
        self.with_retries(&AtomicBool::new(false), || self.once(&url, None))
    }

    /// `POST` under `/v1`.
    pub(super) fn post(
        &self,
        path: &str,
        body: &Value,
        cancel: &AtomicBool,
    ) -> Result<Value, ServerError> {
        let url = format!("{}{path}", self.address.base);
        let body = body.to_string();
        self.with_retries(cancel, || self.once(&url, Some(&body)))
    }

    /// `POST` under `/v1`, where a server may refuse with status 500 (llama.cpp does): said at once.
    pub(super) fn try_post(&self, path: &str, body: &Value) -> Result<Value, ServerError> {
        let url = format!("{}{path}", self.address.base);
        let body = body.to_string();
        self.with_retries(&AtomicBool::new(false), || {
            match self.once(&url, Some(&body)) {
                Err(Trouble::Passing {
                    status: Some(status @ 500),
                    why,
                    after: None,
                }) => Err(Trouble::Final(ServerError::Refused {
                    url: self.url(),
                    status,
                    why,
                })),
                other => other,
            }
        })
    }

    /// `POST` beside `/v1`.
    pub(super) fn post_beside(&self, path: &str, body: &Value) -> Result<Value, ServerError> {
        let url = format!("{}{path}", self.address.root());
        let body = body.to_string();
        self.with_retries(&AtomicBool::new(false), || self.once(&url, Some(&body)))
    }

    fn with_retries(
        &self,
        cancel: &AtomicBool,
        attempt: impl Fn() -> Result<Value, Trouble>,
    ) -> Result<Value, ServerError> {
        let mut n_retries = 0;
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(ServerError::Canceled);
            }
            let (why, after) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing { why, after, .. }) => (why, after),
            };
            let settings = &self.settings;
            let wait = after.unwrap_or(settings.retry_wait * 2_u32.pow(n_retries.min(6)));
            if n_retries >= settings.n_retries || wait > settings.retry_wait_max {
                let asked = after.filter(|after| *after > settings.retry_wait_max);
                let asked = asked.map_or(String::new(), |after| {
                    format!("; it asks to wait {} s", after.as_secs())
                });
                return Err(ServerError::Unreachable {
                    url: self.url(),
                    why: why + &asked,
                    n_retries,
                });
            }
            n_retries += 1;
            (self.on_retry)(&why, wait.as_millis() as u64);
            let until = Instant::now() + wait;
            while Instant::now() < until {
                if cancel.load(Ordering::Relaxed) {
                    return Err(ServerError::Canceled);
                }
                thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
            }
        }
    }

    fn once(&self, url: &str, body: Option<&str>) -> Result<Value, Trouble> {
        let key = self.settings.key.as_ref();
        let bearer = key.map(|key| format!("Bearer {}", key.secret()));
        let sent = if let Some(body) = body {
            let mut request = self
                .agent
                .post(url)
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(bearer) = &bearer {
                request = request.header(header::AUTHORIZATION, bearer);
            }
            request.send(body)
        } else {
            let mut request = self.agent.get(url);
            if let Some(bearer) = &bearer {
                request = request.header(header::AUTHORIZATION, bearer);
            }
            request.call()
        };
        let answer = sent.map_err(|error| self.trouble(&error))?;
        let (status, after) = (answer.status().as_u16(), retry_after(answer.headers()));
        let mut bytes = Vec::new();
        answer
            .into_body()
            .into_reader()
            .take(N_ANSWER_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Trouble::Passing {
                status: None,
                why: io_words(&error),
                after: None,
            })?;
        if bytes.len() as u64 > N_ANSWER_BYTES {
            return Err(Trouble::Final(
                self.answer(format!("it is longer than {N_ANSWER_BYTES} bytes")),
            ));
        }
        match status {
            200 => serde_json::from_slice(&bytes)
                .map_err(|error| Trouble::Final(self.answer(format!("it is not JSON: {error}")))),
            408 | 425 | 429 | 500 | 502..=599 => Err(Trouble::Passing {
                status: Some(status),
                why: format!("status {status} ({})", words(status, &bytes)),
                after,
            }),
            _ => Err(Trouble::Final(ServerError::Refused {
                url: self.url(),
                status,
                why: words(status, &bytes),
            })),
        }
    }

    pub(super) fn answer(&self, why: impl Into<String>) -> ServerError {
        ServerError::Answer {
            url: self.url(),
            why: why.into(),
        }
    }

    fn trouble(&self, error: &ureq::Error) -> Trouble {
        let why = match error {
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            ureq::Error::HostNotFound => "the host is not found".to_owned(),
            ureq::Error::Io(error) => io_words(error),
            other => hide_credentials(&other.to_string()),
        };
        match error {
            ureq::Error::Rustls(_)
            | ureq::Error::Tls(_)
            | ureq::Error::BadUri(_)
            | ureq::Error::HostNotFound => Trouble::Final(ServerError::Unreachable {
                url: self.url(),
                why,
                n_retries: 0,
            }),
            _ => Trouble::Passing {
                status: None,
                why,
                after: None,
            },
        }
    }
}

/// A server's own words about a refusal; the first line of them, or what the status means.
fn words(status: u16, body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        // OpenAI, vLLM, FastAPI.
        [
            &json["error"]["message"],
            &json["message"],
            &json["detail"],
            &json["error"],
        ]
        .into_iter()
        .find_map(Value::as_str)
    });
    match (message, status) {
        (Some(message), _) => {
            let line = message.lines().next().unwrap_or_default();
            line.chars().take(300).collect()
        }
        (None, 401) => "the key is missing or not accepted".into(),
        (None, 404) => "there is no such address".into(),
        (None, 429) => "busy".into(),
        (None, 300..=399) => "it redirects".into(),
        (None, _) => "no reason given".into(),
    }
}
