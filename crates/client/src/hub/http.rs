//! One request to the hub: own redirects (the token stays at home), timeouts, bounded retries.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::error::ClientError;
use crate::installer::hide_credentials;
use crate::progress::{OnProgress, Progress};
use crate::settings::Settings;

const N_REDIRECTS_MAX: usize = 6;

pub(crate) const USER_AGENT: &str = concat!("isogloss/", env!("CARGO_PKG_VERSION"));

/// The system's certificates: a company's own authority is honored.
pub(crate) fn tls() -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Why one request brought nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may work a little later; the hub may have said when.
    Passing {
        why: String,
        after: Option<Duration>,
    },
    /// The file is shorter than where we want to go on: the part that we have is not its.
    BeyondEnd,
    /// It will not.
    Final(ClientError),
}

/// A connection pool with our rules.
pub(crate) struct Http<'a> {
    agent: Agent,
    settings: &'a Settings,
}

impl<'a> Http<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        let agent = Agent::config_builder()
            .tls_config(tls())
            .user_agent(USER_AGENT)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(Some(settings.timeout_connect))
            .timeout_connect(Some(settings.timeout_connect))
            .timeout_recv_response(Some(settings.timeout_read))
            .timeout_per_read(Some(settings.timeout_read))
            .build()
            .new_agent();
        Self { agent, settings }
    }

    /// Sends `GET url`, follows redirects, and gives the final answer with status 200 or 206.
    ///
    /// `first` sees the headers of the first answer: the hub tells there what a redirect hides.
    pub(crate) fn get(
        &self,
        repo: &str,
        url: &str,
        range_from: u64,
        first: &mut dyn FnMut(&HeaderMap),
    ) -> Result<Response<Body>, Trouble> {
        let home = self.uri(&self.settings.endpoint)?;
        let mut uri = self.uri(url)?;
        for n_redirects in 0..=N_REDIRECTS_MAX {
            let mut request = self.agent.get(uri.clone());
            if range_from > 0 {
                request = request.header(header::RANGE, format!("bytes={range_from}-"));
            }
            if let Some(token) = &self.settings.token
                && same_origin(&uri, &home)
            {
                request =
                    request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret()));
            }
            let answer = request.call().map_err(|error| self.trouble(&error))?;
            if n_redirects == 0 {
                first(answer.headers());
            }
            let status = answer.status().as_u16();
            match status {
                200 | 206 => return Ok(answer),
                301 | 302 | 303 | 307 | 308 => {
                    uri = next_uri(&uri, answer.headers()).ok_or_else(|| {
                        self.refused(repo, status, "it redirects to an address that cannot be")
                    })?;
                }
                _ => return Err(self.by_status(repo, status, answer.headers())),
            }
        }
        Err(self.refused(repo, 310, "it redirects without end"))
    }

    fn uri(&self, url: &str) -> Result<Uri, Trouble> {
        url.parse().map_err(|_| {
            Trouble::Final(ClientError::BadEndpoint {
                endpoint: hide_credentials(&self.settings.endpoint),
            })
        })
    }

    fn refused(&self, repo: &str, status: u16, why: &str) -> Trouble {
        Trouble::Final(ClientError::Hub {
            repo: repo.to_owned(),
            endpoint: hide_credentials(&self.settings.endpoint),
            status,
            why: why.to_owned(),
        })
    }

    fn by_status(&self, repo: &str, status: u16, headers: &HeaderMap) -> Trouble {
        let passing = |why: &str| Trouble::Passing {
            why: format!("the hub answers {status} ({why})"),
            after: retry_after(headers),
        };
        match status {
            401 if self.settings.token.is_none() => self.refused(
                repo,
                status,
                "it does not exist, or it is private or gated and no token is set",
            ),
            401 => self.refused(repo, status, "the token is not accepted"),
            403 => self.refused(
                repo,
                status,
                "the token has no access, or the model's terms are not accepted yet",
            ),
            404 => self.refused(repo, status, "no such repository, revision or file"),
            416 => Trouble::BeyondEnd,
            408 | 425 | 429 => passing("busy"),
            500..=599 => passing("server error"),
            _ => self.refused(repo, status, "an answer that we do not expect"),
        }
    }

    fn trouble(&self, error: &ureq::Error) -> Trouble {
        let why = match error {
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            ureq::Error::HostNotFound => "the host is not found".to_owned(),
            ureq::Error::Io(error) => io_words(error),
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
                return Trouble::Final(ClientError::Unreachable {
                    endpoint: hide_credentials(&self.settings.endpoint),
                    why: error.to_string(),
                });
            }
            other => hide_credentials(&other.to_string()),
        };
        Trouble::Passing { why, after: None }
    }

    /// Runs `attempt` until it succeeds, fails for good, or fails `n_retries` times in a row
    /// without having moved: `attempt` also tells how far it came.
    pub(crate) fn with_retries<T>(
        &self,
        what: &str,
        on_progress: OnProgress<'_>,
        mut attempt: impl FnMut(OnProgress<'_>) -> (u64, Result<T, Trouble>),
    ) -> Result<T, ClientError> {
        let (mut n_failures, mut reached) = (0, 0);
        loop {
            let (position, result) = attempt(on_progress);
            let (why, after) = match result {
                Ok(value) => return Ok(value),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing { why, after }) => (why, after),
                Err(Trouble::BeyondEnd) => (
                    "the hub answers 416 (range not satisfiable)".to_owned(),
                    None,
                ),
            };
            if position > reached {
                reached = position;
                n_failures = 0;
            }
            let wait = after.unwrap_or(self.settings.retry_wait * 2_u32.pow(n_failures.min(6)));
            if n_failures >= self.settings.n_retries || wait > self.settings.retry_wait_max {
                return Err(ClientError::Unreachable {
                    endpoint: hide_credentials(&self.settings.endpoint),
                    why: match after {
                        Some(after) if after > self.settings.retry_wait_max => {
                            format!("{why}; it asks to wait {} s", after.as_secs())
                        }
                        _ => why,
                    },
                });
            }
            n_failures += 1;
            on_progress(Progress::Retry {
                what,
                why: &why,
                wait_ms: wait.as_millis() as u64,
            });
            thread::sleep(wait);
        }
    }
}

/// Same scheme, host and port.
fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(if uri.scheme_str() == Some("https") {
            Some(443)
        } else {
            Some(80)
        })
    };
    a.scheme() == b.scheme() && a.host() == b.host() && port(a) == port(b)
}

/// Where `Location` points, seen from `from`; only `http` and `https`, and never down from
/// `https` to `http`.
fn next_uri(from: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let absolute = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
    } else {
        location.to_owned()
    };
    let uri: Uri = absolute.parse().ok()?;
    let allowed = match uri.scheme_str()? {
        "https" => true,
        "http" => from.scheme_str() == Some("http"),
        _ => false,
    };
    (allowed && uri.host().is_some()).then_some(uri)
}

/// `Retry-After` in seconds (the date form is not used by the hub and counts as absent).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What an input or output error means for a reader.
pub(crate) fn io_words(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if matches!(inner, Some(ureq::Error::Timeout(_))) {
        return "no answer in time".into();
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection is refused".into(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the connection is cut".into()
        }
        _ => error.to_string(),
    }
}

/// All of a small body; `Trouble` where it is cut or longer than `n_bytes_max`.
pub(crate) fn small_body(answer: Response<Body>, n_bytes_max: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    answer
        .into_body()
        .into_reader()
        .take(n_bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Trouble::Passing {
            why: io_words(&error),
            after: None,
        })?;
    if bytes.len() as u64 > n_bytes_max {
        return Err(Trouble::Passing {
            why: format!("the answer is longer than {n_bytes_max} bytes"),
            after: None,
        });
    }
    Ok(bytes)
}

/// The words for a body that broke off.
pub(crate) fn cut(error: &io::Error) -> Trouble {
    Trouble::Passing {
        why: io_words(error),
        after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = uri("https://hub.example");
        assert!(same_origin(&hub, &uri("https://hub.example:443/a")));
        for other in [
            "http://hub.example",
            "https://hub.example:8443",
            "https://cdn.hub.example",
            "https://hub.example.evil",
        ] {
            assert!(!same_origin(&hub, &uri(other)), "{other}");
        }
    }

    #[test]
    fn redirects_stay_on_http() {
        let from = uri("https://hub.example/a/b");
        let to = |location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, location.parse().unwrap());
            next_uri(&from, &headers).map(|uri| uri.to_string())
        };
        assert_eq!(to("/c").as_deref(), Some("https://hub.example/c"));
        assert_eq!(to("https://cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(to("http://cdn/x"), None);
        assert_eq!(to("file:///etc/passwd"), None);
        assert_eq!(to("//evil/x"), None);
    }
}
