//! HTTP/1.1 on a blocking socket, as much of it as a JSON server needs, every step with a limit.
//!
//! Bodies need `Content-Length`; answers have one, or are chunked streams of events.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::ApiError;
use crate::limits::Limits;

/// Bytes of a request's head: request line and headers.
const N_HEAD_BYTES: usize = 16 << 10;
const N_HEADERS: usize = 64;
/// How often a waiting socket looks whether the server stops.
const TICK: Duration = Duration::from_millis(200);
/// After a refusal, the rest of what a client sends is taken for so long, so that it reads the
/// answer instead of a reset connection.
const LINGER: Duration = Duration::from_secs(1);

/// What is known of a request before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) n_body_bytes: usize,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// Whether the client reads chunked answers.
    pub(crate) is_http11: bool,
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum NoRequest {
    /// The client is gone, or there was nothing to wait for.
    Gone,
    /// It can be answered, and then the connection ends.
    Refused(ApiError),
}

/// A head of complete lines.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Head, ApiError> {
    let mut headers = [httparse::EMPTY_HEADER; N_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
        Ok(_) => {
            return Err(ApiError::new(
                400,
                "the head of the request is not one of HTTP/1",
            ));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(ApiError::new(
                431,
                format!("a request may have {N_HEADERS} headers"),
            ));
        }
        Err(error) => {
            return Err(ApiError::new(400, format!("this is not HTTP/1: {error}")));
        }
    }
    let is_http11 = request.version == Some(1);
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        authorization: None,
        n_body_bytes: 0,
        keep_alive: is_http11,
        expects_continue: false,
        is_http11,
    };
    if let Some(query) = head.path.find('?') {
        head.path.truncate(query);
    }
    let mut length: Option<usize> = None;
    for header in request.headers.iter() {
        let value = || String::from_utf8_lossy(header.value).trim().to_owned();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let value = value();
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let found = value.parse().ok().filter(|_| is_number);
            let (Some(found), None | Some(true)) =
                (found, length.map(|first| Some(first) == found))
            else {
                return Err(ApiError::new(400, "`Content-Length` is not one number"));
            };
            length = Some(found);
        } else if is("transfer-encoding") {
            return Err(ApiError::new(
                411,
                "a body needs `Content-Length`; chunked bodies are not read",
            ));
        } else if is("authorization") {
            head.authorization = Some(value());
        } else if is("connection") {
            let value = value().to_ascii_lowercase();
            let mut words = value.split(',').map(str::trim);
            head.keep_alive = is_http11 && !words.any(|word| word == "close");
        } else if is("expect") {
            head.expects_continue = value().eq_ignore_ascii_case("100-continue");
        }
    }
    head.n_body_bytes = length.unwrap_or(0);
    Ok(head)
}

/// A connection with what was read and not yet used.
pub(crate) struct Wire<'a> {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
    limits: &'a Limits,
    /// No further request is taken.
    stopping: &'a AtomicBool,
    /// Even running answers end.
    cancel: &'a AtomicBool,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(
        stream: TcpStream,
        limits: &'a Limits,
        stopping: &'a AtomicBool,
        cancel: &'a AtomicBool,
    ) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(TICK))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
            limits,
            stopping,
            cancel,
        })
    }

    /// The next request's head.
    pub(crate) fn read_head(&mut self) -> Result<Head, NoRequest> {
        let mut deadline = Instant::now() + self.limits.timeout_idle;
        let mut is_begun = !self.unread.is_empty();
        if is_begun {
            deadline = Instant::now() + self.limits.timeout_read;
        }
        let mut n_seen = 0;
        loop {
            if let Some(end) = end_of_head(&self.unread, n_seen) {
                let head = parse_head(&self.unread[..end]).map_err(NoRequest::Refused)?;
                self.unread.drain(..end);
                return Ok(head);
            }
            if self.unread.len() > N_HEAD_BYTES {
                return Err(NoRequest::Refused(ApiError::new(
                    431,
                    format!("the head of the request is longer than {N_HEAD_BYTES} bytes"),
                )));
            }
            n_seen = self.unread.len();
            match self.read_some(deadline, !is_begun) {
                Ok(()) if !is_begun => {
                    is_begun = true;
                    deadline = Instant::now() + self.limits.timeout_read;
                }
                Ok(()) => {}
                Err(error) if is_begun && error.kind() == ErrorKind::TimedOut => {
                    return Err(NoRequest::Refused(too_slow("head", self.limits)));
                }
                Err(_) => return Err(NoRequest::Gone),
            }
        }
    }

    /// The body of a head that was read.
    pub(crate) fn read_body(&mut self, head: &Head) -> Result<Vec<u8>, NoRequest> {
        let deadline = Instant::now() + self.limits.timeout_read;
        if head.expects_continue && self.unread.is_empty() && head.n_body_bytes > 0 {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(|_| NoRequest::Gone)?;
        }
        while self.unread.len() < head.n_body_bytes {
            match self.read_some(deadline, false) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Err(NoRequest::Refused(too_slow("body", self.limits)));
                }
                Err(_) => return Err(NoRequest::Gone),
            }
        }
        let rest = self.unread.split_off(head.n_body_bytes);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    /// At least one byte more, or an error: `TimedOut` after the deadline.
    fn read_some(&mut self, deadline: Instant, is_idle: bool) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            if self.cancel.load(Ordering::Relaxed)
                || (is_idle && self.stopping.load(Ordering::Relaxed))
            {
                return Err(ErrorKind::Interrupted.into());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.unread.extend_from_slice(&buffer[..n]);
                    return Ok(());
                }
                Err(error) if is_tick(&error) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Writes all, or fails after [`Limits::timeout_write`].
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + self.limits.timeout_write;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if is_tick(&error) => {}
                Err(error) => return Err(error),
            }
            if !bytes.is_empty()
                && (Instant::now() >= deadline || self.cancel.load(Ordering::Relaxed))
            {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// A whole answer with a JSON body.
    pub(crate) fn answer(
        &mut self,
        status: u16,
        retry_after: Option<u32>,
        body: &[u8],
        keep_alive: bool,
    ) -> io::Result<()> {
        let retry = retry_after.map_or(String::new(), |s| format!("Retry-After: {s}\r\n"));
        let challenge = if status == 401 {
            "WWW-Authenticate: Bearer\r\n"
        } else {
            ""
        };
        let mut bytes = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}{challenge}Connection: {}\r\n\r\n",
            reason(status),
            body.len(),
            if keep_alive { "keep-alive" } else { "close" },
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes)
    }

    pub(crate) fn refuse(&mut self, error: &ApiError, keep_alive: bool) -> io::Result<()> {
        self.answer(error.status, error.retry_after, &error.body(), keep_alive)
    }

    /// Begins a stream of server-sent events.
    pub(crate) fn begin_events(&mut self, keep_alive: bool) -> io::Result<()> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        self.write(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\nConnection: {connection}\r\n\r\n"
            )
            .as_bytes(),
        )
    }

    /// One event; `data` has no line break.
    pub(crate) fn event(&mut self, data: &str) -> io::Result<()> {
        let event = format!("data: {data}\n\n");
        self.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
    }

    pub(crate) fn end_events(&mut self) -> io::Result<()> {
        self.write(b"0\r\n\r\n")
    }

    /// Whether the client has closed the connection. Between requests only: what it sends stays.
    pub(crate) fn is_gone(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = self.stream.peek(&mut [0]);
        let is_gone = match peeked {
            Ok(n) => n == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        is_gone || self.stream.set_nonblocking(false).is_err()
    }

    /// Ends a connection whose client may still be sending.
    pub(crate) fn close(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let deadline = Instant::now() + LINGER;
        self.unread.clear();
        while self.read_some(deadline, true).is_ok() && Instant::now() < deadline {
            self.unread.clear();
        }
    }
}

/// Where a head ends, in bytes; `n_seen` bytes were looked at before.
fn end_of_head(bytes: &[u8], n_seen: usize) -> Option<usize> {
    let from = n_seen.saturating_sub(3);
    (from..bytes.len()).find_map(|at| match &bytes[at..] {
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(at + 4),
        [b'\n', b'\n', ..] => Some(at + 2),
        _ => None,
    })
}

fn is_tick(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn too_slow(part: &str, limits: &Limits) -> ApiError {
    ApiError::new(
        408,
        format!(
            "the {part} of the request did not arrive within {} s",
            limits.timeout_read.as_secs_f32()
        ),
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, u16> {
        parse_head(text.as_bytes()).map_err(|error| error.status)
    }

    #[test]
    fn heads_are_read() {
        let found = head(
            "POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nContent-length: 12\r\nAuthorization: Bearer t\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            found,
            Head {
                method: "POST".into(),
                path: "/v1/completions".into(),
                authorization: Some("Bearer t".into()),
                n_body_bytes: 12,
                keep_alive: true,
                expects_continue: true,
                is_http11: true,
            }
        );
        assert!(
            !head("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n")
                .unwrap()
                .keep_alive
        );
        assert!(!head("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
    }

    #[test]
    fn heads_that_smuggle_or_are_no_http_are_refused() {
        for (text, status) in [
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                400,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                411,
            ),
            ("สวัสดี\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n", 400),
        ] {
            assert_eq!(head(text), Err(status), "{text}");
        }
        let many = "a: b\r\n".repeat(N_HEADERS + 1);
        assert_eq!(head(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(431));
    }

    proptest::proptest! {
        #[test]
        fn a_head_ends_where_it_ends_however_it_arrives(
            text in "([a-z]{0,3}\r?\n?){0,5}\r\n\r\n[a-z]{0,4}", cut in 0_usize..40
        ) {
            let bytes = text.as_bytes();
            let whole = end_of_head(bytes, 0);
            let cut = cut.min(bytes.len());
            let (first, then) = (end_of_head(&bytes[..cut], 0), end_of_head(bytes, cut));
            proptest::prop_assert_eq!(first.or(then), whole);
        }
    }
}
