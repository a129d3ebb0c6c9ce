//! A model behind HTTP: the OpenAI completions contract, chat, and what evaluation tools need.
//!
//! ```text
//! connection -> http (bounded, timed) -> token -> route -> api (body -> exact ids) -> queue
//!                                                                     queue -> worker -> Backend::run
//! connection <- http <- api (answer -> body, or server-sent events) <------------ answers
//! ```
//!
//! One thread per connection, blocking; one worker that takes as many waiting prompts as fit a batch
//! and asks the model once. Everything that a client can make grow has a limit in [`Limits`]:
//! connections, bytes of bodies, waiting prompts, the time of each step. A client that goes away
//! costs what is in the batch, and a generation ends at its next token.
//!
//! | route | for |
//! |---|---|
//! | `POST /v1/completions` | continuations; with `echo` and `logprobs` the log-probabilities of a text |
//! | `POST /v1/chat/completions` | answers through the model's own chat template |
//! | `GET /v1/models` | the model's name, context length and fingerprint |
//! | `POST /tokenize`, `POST /detokenize` | ids of a text or a dialogue, and back, as vLLM and llama.cpp name them |
//! | `GET /health` | whether it is there (the only route without the token) |
//!
//! ```no_run
//! # fn run(backend: &dyn isogloss_model::Backend) -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::TcpListener;
//! use std::sync::atomic::AtomicBool;
//!
//! use isogloss_serve::{AccessToken, Limits, serve};
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let token = AccessToken::random()?;
//! let stop = AtomicBool::new(false);
//! serve(&listener, backend, &token, &Limits::default(), &stop)?;
//! # Ok(())
//! # }
//! ```

mod api;
mod connection;
mod error;
mod http;
mod limits;
mod queue;
mod server;
mod token;
mod whole;
mod worker;

pub use error::ServeError;
pub use limits::Limits;
pub use server::{Served, serve};
pub use token::AccessToken;

/// Reads a body as a route would, for fuzzing: never panics, whatever the bytes.
#[doc(hidden)]
pub fn read_body(route: &str, body: &[u8]) -> Result<(), String> {
    api::read_body(route, body).map_err(|error| error.message)
}

/// Reads the head of a request, for fuzzing.
#[doc(hidden)]
pub fn read_head(bytes: &[u8]) -> Result<(), String> {
    http::parse_head(bytes)
        .map(|_| ())
        .map_err(|error| error.message)
}
