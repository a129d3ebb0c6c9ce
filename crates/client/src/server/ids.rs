//! Text to ids for a model behind a server: through its `/tokenize`, or a tokenizer at hand.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use isogloss_model::BackendError;
use isogloss_model::encode::TextToIds;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::{Explain, Message};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ServerError;
use super::http::{Http, OnRetry};
use crate::resolve::resolve;
use crate::settings::Settings;
use crate::spec::ModelSpec;

/// Bytes of text whose ids are remembered: a context is asked for with each of its continuations.
const N_CACHE_BYTES: usize = 16 << 20;

/// What turns text into ids.
#[derive(Debug)]
pub(super) enum Ids {
    /// Of another model's files, on this machine.
    Local(Box<Tokenizer>),
    Remote(Remote),
}

/// `/tokenize` of vLLM, of llama.cpp, or ours: each takes its own fields out of the body.
pub(super) struct Remote {
    http: Arc<Http>,
    model: String,
    bos: Option<u32>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    ids: HashMap<String, Vec<u32>>,
    n_bytes: usize,
}

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

impl Ids {
    /// Opens the tokenizer that was named, or tries the server's.
    pub(super) fn open(http: &Arc<Http>, model: &str) -> Result<Self, ServerError> {
        if let Some(name) = &http.address.tokenizer {
            return local(name).map(|found| Self::Local(Box::new(found)));
        }
        let mut remote = Remote {
            http: http.clone(),
            model: model.to_owned(),
            bos: None,
            cache: Mutex::default(),
        };
        let bare = remote.ask("a", false)?;
        let special = remote.ask("a", true)?;
        if let [bos, rest @ ..] = &special[..]
            && rest == bare
        {
            remote.bos = Some(*bos);
        }
        Ok(Self::Remote(remote))
    }

    /// Begin-of-sequence token, as far as it is known.
    pub(super) fn bos(&self) -> Option<u32> {
        match self {
            Self::Local(tokenizer) => tokenizer.bos(),
            Self::Remote(remote) => remote.bos,
        }
    }
}

fn local(name: &str) -> Result<Tokenizer, ServerError> {
    let cannot = |message: String, hint: Option<String>| ServerError::Tokenizer {
        name: name.to_owned(),
        message,
        hint,
    };
    let files = ModelSpec::parse(name)
        .and_then(|spec| resolve(&spec, &Settings::from_env(), &mut |_| {}))
        .map_err(|error| cannot(error.to_string(), error.hint()))?;
    Tokenizer::open(&files.path).map_err(|error| cannot(error.to_string(), error.hint()))
}

impl Remote {
    fn ask(&self, text: &str, special: bool) -> Result<Vec<u32>, ServerError> {
        let body = json!({
            "model": self.model,
            "prompt": text,
            "content": text,
            "add_special_tokens": special,
            "add_special": special,
        });
        let no_tokenizer = |why: String| ServerError::NoTokenizer {
            url: self.http.url(),
            why,
        };
        match self.http.post_beside("/tokenize", &body) {
            Ok(answer) => match serde_json::from_value::<Tokens>(answer) {
                Ok(found) => Ok(found.tokens),
                Err(error) => Err(no_tokenizer(format!("`/tokenize` answers {error}"))),
            },
            Err(ServerError::Refused { status, why, .. }) if status != 401 && status != 403 => {
                Err(no_tokenizer(format!("`/tokenize` answers {status}: {why}")))
            }
            Err(error) => Err(error),
        }
    }
}

impl TextToIds for Ids {
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        let remote = match self {
            Self::Local(tokenizer) => return Ok(tokenizer.tokenize(text)),
            Self::Remote(remote) => remote,
        };
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let lock = || remote.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ids) = lock().ids.get(text) {
            return Ok(ids.clone());
        }
        let ids = remote.ask(text, false)?;
        let mut cache = lock();
        if cache.n_bytes > N_CACHE_BYTES {
            *cache = Cache::default();
        }
        cache.n_bytes += text.len() + 4 * ids.len();
        cache.ids.insert(text.to_owned(), ids.clone());
        Ok(ids)
    }

    fn added_bos(&self) -> Option<u32> {
        match self {
            Self::Local(tokenizer) => tokenizer.added_bos(),
            Self::Remote(remote) => remote.bos,
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.http.url())
    }
}

/// How a dialogue becomes ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chat {
    /// `/tokenize` takes messages (vLLM, ours).
    Tokenize,
    /// `/apply-template` gives a text, which is encoded as the server itself does (llama.cpp).
    Template,
    /// Not at all.
    None,
}

impl Chat {
    /// Tries which.
    pub(super) fn of(http: &Http, model: &str) -> Self {
        let greeting = [Message {
            role: isogloss_record::Role::User,
            content: "a".into(),
        }];
        for chat in [Self::Tokenize, Self::Template] {
            if chat
                .ids(http, model, &greeting)
                .is_ok_and(|ids| !ids.is_empty())
            {
                return chat;
            }
        }
        Self::None
    }

    /// Ids of a dialogue with the beginning of the model's turn.
    pub(super) fn ids(
        self,
        http: &Http,
        model: &str,
        messages: &[Message],
    ) -> Result<Vec<u32>, ServerError> {
        let messages = json!(messages);
        let tokens = |answer: Value| {
            serde_json::from_value::<Tokens>(answer)
                .map(|found| found.tokens)
                .map_err(|error| http.answer(error.to_string()))
        };
        match self {
            Self::Tokenize => {
                let body = json!({"model": model, "messages": messages});
                tokens(http.post_beside("/tokenize", &body)?)
            }
            Self::Template => {
                let body = json!({"messages": messages});
                let answer = http.post_beside("/apply-template", &body)?;
                let text = answer["prompt"]
                    .as_str()
                    .ok_or_else(|| http.answer("`/apply-template` gives no `prompt`"))?;
                let body = json!({"content": text, "add_special": true, "parse_special": true});
                tokens(http.post_beside("/tokenize", &body)?)
            }
            Self::None => Ok(Vec::new()),
        }
    }
}

/// For callers that tell nobody.
pub(super) fn silent() -> OnRetry {
    Arc::new(|_, _| {})
}
