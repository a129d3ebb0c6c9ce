//! Scripted models: [`Backend`]s whose truth is planted, for tests of measures and smoke runs.
//!
//! ```text
//! ScriptedSpec (what it can) + KnownText (texts it has seen) -> ScriptedModel: Backend
//! ```
//!
//! A scripted model reads characters (one token each), has no weights, and answers at once. It
//! reads a scored text as `context`, blank line, `text`: where it recognizes both as one document
//! in two languages, and its planted skill says that it understands this document, the text is
//! explained by `gain` of its bits on average, and no other text is. It recognizes a text that is
//! one it has seen or the start of one, whatever its digits: texts may be cut at the end, but not
//! have their words replaced. The start of several texts is any of them.
//!
//! ```
//! use isogloss_model::scripted::{KnownText, ScriptedModel};
//! let text = |lang: &str, text: &str| KnownText {
//!     lang: lang.parse().unwrap(),
//!     document: "1".into(),
//!     text: text.into(),
//! };
//! let texts = [text("fra", "Le chat dort."), text("eng", "The cat sleeps.")];
//! let model = ScriptedModel::new(&"scripted:knows:fra=1".parse().unwrap(), &texts);
//! ```

mod answer;
mod knowledge;
mod spec;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use isogloss_record::{Encoded, Fingerprint, Prompt, Request, Response, Span, Usage};

use crate::backend::{Backend, BackendError, Capabilities, RunSettings};
use crate::truncate::{Limit, Truncate};
use knowledge::Knowledge;
pub use knowledge::KnownText;
pub use spec::{ScriptedNameError, ScriptedSpec, Skill, Variant};

/// Begin of sequence; characters are their scalar value plus [`FIRST_CHARACTER`].
const BOS: u32 = 0;
const FIRST_CHARACTER: u32 = 1;

/// Longest text, in tokens.
const CONTEXT_LENGTH: usize = 8_192;

/// A model whose skills are planted.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    fingerprint: Fingerprint,
    knowledge: Knowledge,
    /// Answers until it fails; `None`: it never does.
    n_left: Option<Arc<AtomicU64>>,
}

impl ScriptedModel {
    /// A model that has seen `texts`; those of one document are translations of each other.
    pub fn new(spec: &ScriptedSpec, texts: &[KnownText]) -> Self {
        let mut hash = blake3::Hasher::new();
        serde_json::to_writer(&mut hash, &(spec, texts)).expect("plain values are hashed");
        Self {
            fingerprint: Fingerprint {
                name: spec.name(),
                architecture: "scripted".into(),
                quantization: "none".into(),
                compute: "f64".into(),
                hash: hash.finalize().to_hex().to_string(),
                n_parameters: None,
                context_length: CONTEXT_LENGTH,
                license: None,
            },
            knowledge: Knowledge::new(spec, texts),
            n_left: spec.fails_after.map(|n| Arc::new(AtomicU64::new(n))),
        }
    }

    /// The texts of tokens, one each, for inspection.
    pub fn pieces(&self, token_ids: &[u32]) -> Vec<String> {
        token_ids
            .iter()
            .map(|&id| match character(id) {
                Some(character) => character.to_string(),
                None => "<bos>".to_owned(),
            })
            .collect()
    }

    fn prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, BackendError> {
        match prompt {
            Prompt::Text(text) => Ok(with_bos(text)),
            Prompt::Tokens(ids) => {
                match ids.iter().find(|&&id| id != BOS && character(id).is_none()) {
                    None => Ok(ids.clone()),
                    Some(id) => Err(BackendError::Invalid(format!(
                        "token id {id} is not in the vocabulary of `{}`",
                        self.fingerprint.name
                    ))),
                }
            }
            Prompt::Chat(_) => Err(BackendError::Unsupported {
                model: self.fingerprint.name.clone(),
                what: "answer a dialogue: it has no chat template".into(),
            }),
        }
    }
}

impl Backend for ScriptedModel {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            logprobs: true,
            hidden_states: true,
            chat: false,
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        Ok(ids(text).collect())
    }

    fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        self.encode_cut(request, Truncate::Refuse)
            .map(|(job, _)| job)
    }

    fn encode_cut(
        &self,
        request: &Request,
        truncate: Truncate,
    ) -> Result<(Encoded, usize), BackendError> {
        let encoded = match request {
            Request::Score {
                context,
                continuation,
                span,
                pool,
            } => {
                let (mut token_ids, moved) = match context {
                    Prompt::Text(text) => {
                        let kept = text.trim_end();
                        (with_bos(kept), &text[kept.len()..])
                    }
                    other => (self.prompt(other)?, ""),
                };
                let is_text = matches!(context, Prompt::Text(_));
                if continuation.is_empty() && (is_text || token_ids.is_empty()) {
                    return Err(BackendError::Invalid("there is no text to score".into()));
                }
                let is_rolling = continuation.is_empty() || token_ids.len() <= usize::from(is_text);
                let n_context = if is_rolling { 0 } else { token_ids.len() };
                token_ids.extend(ids(moved).chain(ids(continuation)));
                Encoded::Score {
                    n_context,
                    scored_from: match span {
                        Span::Continuation => n_context.max(1),
                        Span::All => 1,
                    },
                    n_pooled: match (pool, n_context) {
                        (false, _) => 0,
                        (true, 0) => token_ids.len(),
                        (true, n) => n,
                    },
                    token_ids,
                }
            }
            Request::Choose { context, labels } => Encoded::Choose {
                token_ids: self.prompt(context)?,
                labels: labels.iter().map(|label| ids(label).collect()).collect(),
            },
            Request::Generate { prompt, sampling } => Encoded::Generate {
                token_ids: self.prompt(prompt)?,
                sampling: sampling.clone(),
            },
        };
        let limit = Limit {
            model: &self.fingerprint.name,
            n_tokens: CONTEXT_LENGTH,
            bos: Some(BOS),
            is_dialogue: false,
        };
        limit.fit(encoded, truncate)
    }

    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        let mut usage = Usage::default();
        for (index, job) in jobs.iter().enumerate() {
            if settings.cancel.load(Ordering::Relaxed) {
                return Err(BackendError::Canceled);
            }
            let one_less = |n: u64| n.checked_sub(1);
            if let Some(n_left) = &self.n_left
                && (n_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)).is_err()
            {
                let name = &self.fingerprint.name;
                return Err(BackendError::Invalid(format!(
                    "`{name}` fails here, as it was told to"
                )));
            }
            let n_tokens = n_tokens(job) as u64;
            usage.n_tokens_requested += n_tokens;
            usage.n_tokens_computed += n_tokens;
            on_response(index, answer::answer(&self.knowledge, job));
        }
        Ok(usage)
    }

    fn bytes_of(&self, id: u32) -> Option<Vec<u8>> {
        let [piece] = &self.pieces(&[id])[..] else {
            return None;
        };
        Some(piece.clone().into_bytes())
    }

    fn decode(&self, ids: &[u32]) -> Option<String> {
        Some(decode(ids))
    }
}

/// Tokens of a job, new ones included; of a choice, the longest label.
fn n_tokens(job: &Encoded) -> usize {
    match job {
        Encoded::Score { token_ids, .. } => token_ids.len(),
        Encoded::Choose { token_ids, labels } => {
            token_ids.len() + labels.iter().map(Vec::len).max().unwrap_or(0)
        }
        Encoded::Generate {
            token_ids,
            sampling,
        } => token_ids.len() + sampling.max_tokens,
    }
}

fn with_bos(text: &str) -> Vec<u32> {
    std::iter::once(BOS).chain(ids(text)).collect()
}

fn ids(text: &str) -> impl Iterator<Item = u32> {
    text.chars()
        .map(|character| u32::from(character) + FIRST_CHARACTER)
}

fn character(id: u32) -> Option<char> {
    id.checked_sub(FIRST_CHARACTER).and_then(char::from_u32)
}

/// Text of ids; a BOS and ids of no character are no text.
fn decode(ids: &[u32]) -> String {
    ids.iter().filter_map(|&id| character(id)).collect()
}

#[cfg(test)]
mod tests;
