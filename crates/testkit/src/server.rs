//! A small HTTP/1.1 server on loopback for tests, with the faults that real ones show.
//!
//! ```
//! use isogloss_testkit::{Answer, MockServer};
//! let server = MockServer::start(|request| match request.path.as_str() {
//!     "/hello" => Answer::ok("สวัสดี"),
//!     _ => Answer::status(404),
//! });
//! assert!(server.url.starts_with("http://127.0.0.1:"));
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET`, `POST`…
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As long as `Content-Length` says.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// A header's value, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// `Range: bytes=5-` → 5.
    pub fn range_start(&self) -> Option<usize> {
        let value = self.header("range")?.strip_prefix("bytes=")?;
        value.split('-').next()?.parse().ok()
    }
}

/// What goes back.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fault: Fault,
}

/// How an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Nothing is ever sent.
    Hang,
    /// After so many bytes of the body, nothing more is sent.
    HangAfter(usize),
    /// After so many bytes of the body the connection is closed.
    CutAfter(usize),
}

impl Answer {
    /// Status 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::status(200)
        }
    }

    /// Status 400 with a body.
    pub fn bad_request(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::status(400)
        }
    }

    /// A status with a body.
    pub fn error(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::status(status)
        }
    }

    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            fault: Fault::None,
        }
    }

    /// The part of `body` that a request's `Range` asks for (206), or all of it (200), or 416.
    pub fn ranged(request: &HttpRequest, body: &[u8]) -> Self {
        let total = body.len();
        match request.range_start() {
            None => Self::ok(body),
            Some(start) if start >= total => {
                Self::status(416).header("Content-Range", &format!("bytes */{total}"))
            }
            Some(start) => Self {
                status: 206,
                ..Self::ok(&body[start..])
            }
            .header(
                "Content-Range",
                &format!("bytes {start}-{}/{total}", total - 1),
            ),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Accepts the request and never answers.
    #[must_use]
    pub fn hang(self) -> Self {
        self.with(Fault::Hang)
    }

    /// Sends so many bytes of the body and then nothing, with the connection open.
    #[must_use]
    pub fn hang_after(self, n_bytes: usize) -> Self {
        self.with(Fault::HangAfter(n_bytes))
    }

    /// Sends so many bytes of the body and closes the connection.
    #[must_use]
    pub fn cut_after(self, n_bytes: usize) -> Self {
        self.with(Fault::CutAfter(n_bytes))
    }

    fn with(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

/// A server that stops when it is dropped.
pub struct MockServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    seen: Arc<Mutex<Vec<HttpRequest>>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl MockServer {
    /// Answers every request with `handler`, one thread per connection.
    pub fn start(handler: impl Fn(&HttpRequest) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let handler = Arc::new(handler);
        let accepting = thread::spawn({
            let (seen, stop) = (seen.clone(), stop.clone());
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (seen, handler) = (seen.clone(), handler.clone());
                    thread::spawn(move || {
                        // A client that goes away is part of the tests.
                        let _ = serve(&stream, &seen, &*handler);
                    });
                }
            }
        });
        Self {
            url: format!("http://{address}"),
            seen,
            stop,
            accepting: Some(accepting),
        }
    }

    /// All requests so far, in the order in which they came.
    pub fn seen(&self) -> Vec<HttpRequest> {
        locked(&self.seen).clone()
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// A test that failed elsewhere must not hide what this one saw.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    mut stream: &TcpStream,
    seen: &Mutex<Vec<HttpRequest>>,
    handler: &(impl Fn(&HttpRequest) -> Answer + ?Sized),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let Some(request) = read_request(&mut reader)? else {
        return Ok(());
    };
    locked(seen).push(request.clone());
    let answer = handler(&request);
    let (n_bytes, then_hang) = match answer.fault {
        Fault::None => (answer.body.len(), false),
        Fault::Hang => return wait_until_closed(reader),
        Fault::HangAfter(n) => (n.min(answer.body.len()), true),
        Fault::CutAfter(n) => (n.min(answer.body.len()), false),
    };
    write!(stream, "HTTP/1.1 {} Status\r\n", answer.status)?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let length = answer.body.len();
    write!(
        stream,
        "Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&answer.body[..n_bytes])?;
    stream.flush()?;
    if then_hang {
        return wait_until_closed(reader);
    }
    Ok(())
}

/// Until the client gives up.
fn wait_until_closed(mut reader: BufReader<&TcpStream>) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while reader.read(&mut rest)? > 0 {}
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = HttpRequest {
        method,
        path,
        headers,
        body: Vec::new(),
    };
    if let Some(length) = request.header("content-length") {
        let length = length.parse().unwrap_or(0);
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body)?;
    }
    Ok(Some(request))
}
