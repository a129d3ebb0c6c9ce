//! What each route reads and answers.
//!
//! ```text
//! bytes -> body (what was written) -> Ask (exact ids, checked) -> run (queue, wait, answer)
//! ```

mod ask;
mod body;
mod chat;
mod completion;
mod logprobs;
mod run;
mod text;
mod tokens;

use isogloss_record::Explain;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::http::{Head, Wire};
use crate::server::Shared;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Completions,
    Chat,
    Models,
    Tokenize,
    Detokenize,
    Health,
}

const ROUTES: [(&str, &str, Route); 7] = [
    ("POST", "/v1/completions", Route::Completions),
    ("POST", "/v1/chat/completions", Route::Chat),
    ("GET", "/v1/models", Route::Models),
    ("POST", "/tokenize", Route::Tokenize),
    ("POST", "/detokenize", Route::Detokenize),
    ("GET", "/health", Route::Health),
    ("GET", "/v1/health", Route::Health),
];

impl Route {
    /// Whether the server is there, anybody may know.
    pub(crate) fn needs_token(self) -> bool {
        self != Self::Health
    }
}

/// The route of a request.
///
/// # Errors
/// 404, and 405 where the path is right.
pub(crate) fn route(method: &str, path: &str) -> Result<Route, ApiError> {
    let here: Vec<_> = ROUTES.iter().filter(|route| route.1 == path).collect();
    if let Some(found) = here.iter().find(|route| route.0 == method) {
        return Ok(found.2);
    }
    if let Some((expected, ..)) = here.first() {
        return Err(ApiError::new(
            405,
            format!("`{path}` is asked with {expected}, not with {method}"),
        ));
    }
    let known: Vec<String> = ROUTES
        .iter()
        .take(6)
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    Err(ApiError::new(404, format!("there is no `{path}`"))
        .hint(format!("there are {}", known.join(", "))))
}

/// How a request ended.
pub(crate) enum Outcome {
    Json {
        status: u16,
        retry_after: Option<u32>,
        body: Vec<u8>,
    },
    /// The answer was written as it came.
    Streamed { is_whole: bool },
    /// The client is gone.
    Gone,
}

impl Outcome {
    fn ok(body: &Value) -> Self {
        Self::Json {
            status: 200,
            retry_after: None,
            body: body.to_string().into_bytes(),
        }
    }
}

/// Answers a request whose body was read.
pub(crate) fn answer(
    shared: &Shared<'_>,
    wire: &mut Wire<'_>,
    head: &Head,
    route: Route,
    body: &[u8],
) -> Result<Outcome, ApiError> {
    match route {
        Route::Health => Ok(Outcome::ok(&json!({"status": "ok"}))),
        Route::Models => Ok(Outcome::ok(&models(shared))),
        Route::Tokenize => tokens::tokenize(shared, &parse(body)?).map(|body| Outcome::ok(&body)),
        Route::Detokenize => {
            tokens::detokenize(shared, &parse(body)?).map(|body| Outcome::ok(&body))
        }
        Route::Completions => {
            let ask = completion::ask(shared, parse(body)?)?;
            run::run(shared, wire, head, &ask)
        }
        Route::Chat => {
            let ask = chat::ask(shared, &parse(body)?)?;
            run::run(shared, wire, head, &ask)
        }
    }
}

/// A body as its route reads it, without a model.
pub(crate) fn read_body(path: &str, body: &[u8]) -> Result<(), ApiError> {
    match route("POST", path)? {
        Route::Completions => parse::<completion::Body>(body)?.check(),
        Route::Chat => parse::<chat::Body>(body)?.check(),
        Route::Tokenize => parse::<tokens::Tokenize>(body).map(|_| ()),
        Route::Detokenize => parse::<tokens::Detokenize>(body).map(|_| ()),
        Route::Models | Route::Health => Ok(()),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Err(ApiError::new(
            400,
            "the body is empty, a JSON object is expected",
        ));
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(400, format!("the body cannot be read: {error}")))
}

/// `GET /v1/models`. The fingerprints let a client of ours tell models apart by content.
fn models(shared: &Shared<'_>) -> Value {
    let has_chat_template = shared.backend.capabilities().chat;
    let models = shared.backend.models();
    let base = models[0].name.clone();
    let all: Vec<Value> = (models.into_iter().enumerate())
        .map(|(i, fingerprint)| {
            json!({
                "id": fingerprint.name,
                "object": "model",
                "created": 0,
                "owned_by": "isogloss",
                "max_model_len": fingerprint.context_length,
                "fingerprint": fingerprint,
                "has_chat_template": has_chat_template,
                // As in vLLM: what an adapter lies beside.
                "parent": (i > 0).then_some(&base),
            })
        })
        .collect();
    json!({"object": "list", "data": all})
}

/// Which model is asked for; without a name, the first.
fn check_model(shared: &Shared<'_>, asked: Option<&str>) -> Result<usize, ApiError> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(0);
    };
    let models = shared.backend.models();
    let found = models.iter().position(|model| model.name == asked);
    found.ok_or_else(|| {
        let names: Vec<String> = (models.iter())
            .map(|model| format!("`{}`", model.name))
            .collect();
        let served = match &names[..] {
            [only] => format!("{only} is"),
            several => format!("{} are", several.join(", ")),
        };
        ApiError {
            param: Some("model"),
            ..ApiError::new(404, format!("`{asked}` is not served here, {served}"))
        }
    })
}

/// What a model says about a text that it cannot encode.
fn model_error(error: &isogloss_model::BackendError) -> ApiError {
    let mut told = ApiError::of_model(error);
    told.hint = told.hint.or_else(|| error.hint());
    told
}
