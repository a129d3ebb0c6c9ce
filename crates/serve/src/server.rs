//! Accepting connections until somebody says stop.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use isogloss_model::Backend;

use crate::connection;
use crate::error::{ApiError, ServeError};
use crate::http::Wire;
use crate::limits::Limits;
use crate::queue::Queue;
use crate::token::AccessToken;
use crate::worker;

/// How often the flag is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Connections that are being told that there are too many; further ones are cut.
const N_REFUSED: usize = 32;

/// What a server did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests answered with 200.
    pub n_answered: u64,
    /// Requests refused, with any other status.
    pub n_refused: u64,
    /// Clients that went away before their answer was written.
    pub n_gone: u64,
}

/// What all connections share.
pub(crate) struct Shared<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) token: &'a AccessToken,
    pub(crate) limits: &'a Limits,
    pub(crate) queue: Queue,
    /// Ids that the tokenizer puts before a text.
    pub(crate) prefix: Vec<u32>,
    /// No further request is taken.
    pub(crate) stopping: AtomicBool,
    /// Running ones end.
    pub(crate) cancel: AtomicBool,
    pub(crate) n_connections: AtomicUsize,
    /// Requests between their head and the end of their answer.
    pub(crate) n_running: AtomicUsize,
    pub(crate) n_body_bytes: AtomicUsize,
    pub(crate) n_requests: AtomicU64,
    pub(crate) n_answered: AtomicU64,
    pub(crate) n_refused: AtomicU64,
    pub(crate) n_gone: AtomicU64,
}

/// Serves `backend` until `stop` becomes true: then no request is taken, running ones are finished
/// (for [`Limits::timeout_stop`]), and the call ends.
///
/// # Errors
/// [`ServeError::Socket`] where the listener cannot be used.
pub fn serve(
    listener: &TcpListener,
    backend: &dyn Backend,
    token: &AccessToken,
    limits: &Limits,
    stop: &AtomicBool,
) -> Result<Served, ServeError> {
    let address = listener.local_addr()?;
    let shared = Shared {
        backend,
        token,
        limits,
        queue: Queue::new(limits.n_waiting),
        prefix: prefix(backend),
        stopping: AtomicBool::new(false),
        cancel: AtomicBool::new(false),
        n_connections: AtomicUsize::new(0),
        n_running: AtomicUsize::new(0),
        n_body_bytes: AtomicUsize::new(0),
        n_requests: AtomicU64::new(0),
        n_answered: AtomicU64::new(0),
        n_refused: AtomicU64::new(0),
        n_gone: AtomicU64::new(0),
    };
    let shared = &shared;
    thread::scope(|scope| -> Result<(), ServeError> {
        let worker = Builder::new().name("model".into());
        worker.spawn_scoped(scope, || {
            worker::work(backend, &shared.queue, limits.batch_size, &shared.cancel);
        })?;
        let accepting = Builder::new().name("accept".into());
        let accepting = accepting.spawn_scoped(scope, move || {
            while !shared.stopping.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => accept(scope, shared, stream),
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    // Out of descriptors, most of the time: it passes as connections end.
                    Err(_) => thread::sleep(TICK),
                }
            }
        });
        if accepting.is_ok() {
            while !stop.load(Ordering::SeqCst) {
                thread::sleep(TICK);
            }
        }
        shared.stopping.store(true, Ordering::SeqCst);
        wake(address);
        let deadline = Instant::now() + limits.timeout_stop;
        while shared.n_running.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            thread::sleep(TICK);
        }
        shared.queue.close();
        shared.cancel.store(true, Ordering::SeqCst);
        accepting.map(|_| ()).map_err(ServeError::from)
    })?;
    Ok(Served {
        n_answered: shared.n_answered.load(Ordering::Relaxed),
        n_refused: shared.n_refused.load(Ordering::Relaxed),
        n_gone: shared.n_gone.load(Ordering::Relaxed),
    })
}

fn accept<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    shared: &'scope Shared<'scope>,
    stream: TcpStream,
) {
    let n_before = shared.n_connections.fetch_add(1, Ordering::SeqCst);
    let limit = shared.limits.n_connections;
    let spawned = (n_before < limit + N_REFUSED).then(|| {
        Builder::new()
            .name("connection".into())
            .spawn_scoped(scope, move || {
                let wire = Wire::new(stream, shared.limits, &shared.stopping, &shared.cancel);
                // What one client brings about must not end the server.
                let _ = catch_unwind(AssertUnwindSafe(|| match wire {
                    Ok(wire) if n_before < limit => connection::serve(shared, wire),
                    Ok(wire) => refuse(shared, wire),
                    Err(_) => {}
                }));
                shared.n_connections.fetch_sub(1, Ordering::SeqCst);
            })
    });
    // No thread to be had, or too many already: the connection is dropped.
    if !matches!(spawned, Some(Ok(_))) {
        shared.n_connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells one client too many that it is.
fn refuse(shared: &Shared<'_>, mut wire: Wire<'_>) {
    let error = ApiError::busy(503, "too many connections");
    shared.n_refused.fetch_add(1, Ordering::Relaxed);
    if wire.refuse(&error, false).is_ok() {
        wire.close();
    }
}

/// Ids before every text: those of a short one, without those of the same text with nothing added.
fn prefix(backend: &dyn Backend) -> Vec<u32> {
    let text = "a";
    let request = isogloss_record::Request::Score {
        context: isogloss_record::Prompt::Text(String::new()),
        continuation: text.into(),
        span: isogloss_record::Span::All,
        pool: false,
    };
    let (Ok(isogloss_record::Encoded::Score { token_ids, .. }), Ok(bare)) =
        (backend.encode(&request), backend.tokenize(text))
    else {
        return Vec::new();
    };
    let found = token_ids.strip_suffix(bare.as_slice());
    found.map_or(Vec::new(), <[u32]>::to_vec)
}

/// A connection of our own, so that `accept` returns.
fn wake(mut address: SocketAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}

/// Seconds since 1970, for the field `created` alone.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
