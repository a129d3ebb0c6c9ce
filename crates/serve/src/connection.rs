//! One client: its requests, one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::api::{self, Outcome};
use crate::error::ApiError;
use crate::http::{Head, NoRequest, Wire};
use crate::server::Shared;

/// Serves a connection until either side ends it.
pub(crate) fn serve(shared: &Shared<'_>, mut wire: Wire<'_>) {
    loop {
        let head = match wire.read_head() {
            Ok(head) => head,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Refused(error)) => return refuse(shared, wire, &error),
        };
        let _running = Counted::new(&shared.n_running, 1);
        match one(shared, &mut wire, &head) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return refuse(shared, wire, &error),
        }
    }
}

/// Answers one request; whether the connection goes on. An error ends it, for parts of the request
/// may not be read.
fn one(shared: &Shared<'_>, wire: &mut Wire<'_>, head: &Head) -> Result<bool, ApiError> {
    let route = api::route(&head.method, &head.path)?;
    if route.needs_token() && !shared.token.is_in(head.authorization.as_deref()) {
        return Err(ApiError::new(401, "the request has no valid token")
            .hint("send the header `Authorization: Bearer TOKEN`; the server prints its token when it starts"));
    }
    let n = head.n_body_bytes;
    let limit = shared.limits.n_body_bytes;
    if n > limit {
        return Err(ApiError::new(
            413,
            format!("the body has {n} bytes, at most {limit} are read"),
        )
        .hint("send fewer prompts at once"));
    }
    let body_bytes = Counted::new(&shared.n_body_bytes, n);
    if body_bytes.total > shared.limits.n_body_bytes_total {
        return Err(ApiError::busy(503, "too many large requests at once"));
    }
    let body = match wire.read_body(head) {
        Ok(body) => body,
        Err(NoRequest::Gone) => return Ok(false),
        Err(NoRequest::Refused(error)) => return Err(error),
    };
    let is_last = || !head.keep_alive || shared.stopping.load(Ordering::Relaxed);
    if shared.stopping.load(Ordering::SeqCst) {
        return Err(ApiError::stopping());
    }
    let (outcome, counter) = match api::answer(shared, wire, head, route, &body) {
        Ok(outcome) => (outcome, &shared.n_answered),
        Err(error) => {
            let outcome = Outcome::Json {
                body: error.body(),
                status: error.status,
                retry_after: error.retry_after,
            };
            (outcome, &shared.n_refused)
        }
    };
    let goes_on = match outcome {
        Outcome::Json {
            status,
            retry_after,
            body,
        } => {
            let keep_alive = !is_last();
            let written = wire.answer(status, retry_after, &body, keep_alive);
            written.is_ok().then_some(keep_alive)
        }
        Outcome::Streamed { is_whole } => is_whole.then(|| !is_last()),
        Outcome::Gone => None,
    };
    let counter = if goes_on.is_some() {
        counter
    } else {
        &shared.n_gone
    };
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(goes_on == Some(true))
}

fn refuse(shared: &Shared<'_>, mut wire: Wire<'_>, error: &ApiError) {
    shared.n_refused.fetch_add(1, Ordering::Relaxed);
    if wire.refuse(error, false).is_ok() {
        wire.close();
    }
}

/// Something in use, given back however the work ends.
struct Counted<'a> {
    counter: &'a AtomicUsize,
    n: usize,
    /// With this one.
    total: usize,
}

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize, n: usize) -> Self {
        let total = counter.fetch_add(n, Ordering::SeqCst) + n;
        Self { counter, n, total }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.n, Ordering::SeqCst);
    }
}
