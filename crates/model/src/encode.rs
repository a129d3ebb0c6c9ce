//! The one path from a [`Request`] to exact token ids.
//!
//! ```text
//! Request -> encode(tokenizer, template, limits) -> Encoded -> engine, run store
//! ```
//!
//! Rules, in one place so that every command and every measure counts the same tokens:
//! - A text gets the BOS that its tokenizer adds; a rendered dialogue brings its own, none is
//!   added (as in `transformers`); given ids are used as they are.
//! - Context and continuation are encoded together; trailing white space of the context moves to
//!   the continuation; the continuation's ids are those beyond the number of ids of the context
//!   alone. Source: `_encode_pair` of lm-evaluation-harness.
//! - Where both merge into so few tokens that nothing is left for the continuation (a combining
//!   mark after its letter), the continuation begins at the first id that differs from the
//!   context's; that token holds the end of the context too.
//! - Two BOS are refused. What does not fit into the context length is refused too, or cut
//!   ([`crate::truncate`]).

use isogloss_record::{Encoded, Prompt, Request, Span};

use crate::backend::BackendError;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::truncate::{Limit, Truncate};

/// What turns text into ids: a tokenizer at hand, or one behind a server.
pub trait TextToIds: std::fmt::Debug {
    /// Ids of a text as it is, nothing added.
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError>;

    /// The begin-of-sequence token, if it is added before a text.
    fn added_bos(&self) -> Option<u32>;
}

impl TextToIds for Tokenizer {
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError> {
        Ok(Self::tokenize(self, text))
    }

    fn added_bos(&self) -> Option<u32> {
        Self::added_bos(self)
    }
}

/// What a request is encoded with.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'a> {
    /// Name of the model, for messages.
    pub model: &'a str,
    /// `None`: only [`Prompt::Tokens`] without text can be asked.
    pub tokenizer: Option<&'a dyn TextToIds>,
    /// `None`: [`Prompt::Chat`] is refused.
    pub template: Option<&'a ChatTemplate>,
    /// Rows of the embedding; ids beyond are refused.
    pub n_vocab: usize,
    /// Longest sequence in tokens.
    pub context_length: usize,
    /// Begin-of-sequence token, of which two are refused.
    pub bos: Option<u32>,
}

/// Where a prompt comes from decides whether BOS is added.
enum Source {
    /// A text of the user's: BOS is added.
    Text(String),
    /// A rendered dialogue: it has its own.
    Rendered(String),
    Tokens(Vec<u32>),
}

impl Encoder<'_> {
    /// The request in exact ids.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] for an empty text or an id without a row,
    /// [`BackendError::TwoBos`], [`BackendError::TooLong`], [`BackendError::Unsupported`] without
    /// tokenizer or template.
    pub fn encode(&self, request: &Request) -> Result<Encoded, BackendError> {
        self.encode_cut(request, Truncate::Refuse)
            .map(|(job, _)| job)
    }

    /// The same, cut where it does not fit; and how many tokens were.
    ///
    /// # Errors
    /// As [`Encoder::encode`], and [`BackendError::Uncuttable`].
    pub fn encode_cut(
        &self,
        request: &Request,
        truncate: Truncate,
    ) -> Result<(Encoded, usize), BackendError> {
        let limit = Limit {
            model: self.model,
            n_tokens: self.context_length,
            bos: self.bos,
            is_dialogue: matches!(
                request,
                Request::Score {
                    context: Prompt::Chat(_),
                    ..
                } | Request::Choose {
                    context: Prompt::Chat(_),
                    ..
                } | Request::Generate {
                    prompt: Prompt::Chat(_),
                    ..
                }
            ),
        };
        limit.fit(self.whole(request)?, truncate)
    }

    /// The request in exact ids, of any length.
    fn whole(&self, request: &Request) -> Result<Encoded, BackendError> {
        match request {
            Request::Score {
                context,
                continuation,
                span,
                pool,
            } => self.score(context, continuation, *span, *pool),
            Request::Choose { context, labels } => self.choose(context, labels),
            Request::Generate { prompt, sampling } => {
                let token_ids = self.prompt_ids(&self.source(prompt)?)?;
                if token_ids.is_empty() {
                    return Err(BackendError::Invalid("the prompt is empty".into()));
                }
                self.check(&token_ids)?;
                Ok(Encoded::Generate {
                    token_ids,
                    sampling: sampling.clone(),
                })
            }
        }
    }

    fn score(
        &self,
        context: &Prompt,
        continuation: &str,
        span: Span,
        pool: bool,
    ) -> Result<Encoded, BackendError> {
        let (token_ids, n_context) = self.pair(self.source(context)?, continuation)?;
        self.check(&token_ids)?;
        let scored_from = match span {
            Span::All => 1,
            Span::Continuation => n_context.max(1),
        };
        let n_pooled = match (pool, n_context) {
            (false, _) => 0,
            (true, 0) => token_ids.len(),
            (true, n_context) => n_context,
        };
        Ok(Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        })
    }

    /// Ids of context and continuation, and how many are the context's: 0 where the whole text is
    /// scored, although a BOS may stand at its start.
    fn pair(&self, context: Source, continuation: &str) -> Result<(Vec<u32>, usize), BackendError> {
        let empty = || BackendError::Invalid("the text is empty".into());
        match context {
            Source::Tokens(mut ids) => {
                let n_context = if continuation.is_empty() {
                    0
                } else {
                    ids.len()
                };
                if !continuation.is_empty() {
                    ids.extend(self.tokenizer("encode text")?.tokenize(continuation)?);
                }
                if ids.is_empty() {
                    return Err(empty());
                }
                if n_context > 0 && n_context == ids.len() {
                    return Err(no_token_of_its_own(continuation));
                }
                Ok((ids, n_context))
            }
            Source::Text(text) | Source::Rendered(text) if continuation.is_empty() => {
                if text.is_empty() {
                    return Err(empty());
                }
                Err(BackendError::Invalid(
                    "the continuation is empty: nothing would be scored".into(),
                ))
            }
            source => {
                let (context, spaces) = split_trailing_space(&source);
                let continuation = [spaces, continuation].concat();
                if context.is_empty() {
                    let ids = self.text_ids(&source, &continuation)?;
                    // A vocabulary may lack bytes (SmolLM2's does): such a text leaves no token.
                    let n_bos = usize::from(ids.first().is_some_and(|id| Some(*id) == self.bos));
                    if ids.len() <= n_bos {
                        return Err(no_token_of_its_own(&continuation));
                    }
                    return Ok((ids, 0));
                }
                let context_ids = self.text_ids(&source, context)?;
                let ids = self.text_ids(&source, &[context, &continuation].concat())?;
                let n_context = n_context(&context_ids, &ids)
                    .ok_or_else(|| no_token_of_its_own(&continuation))?;
                Ok((ids, n_context))
            }
        }
    }

    fn choose(&self, context: &Prompt, labels: &[String]) -> Result<Encoded, BackendError> {
        if labels.is_empty() {
            return Err(BackendError::Invalid(
                "there are no labels to choose from".into(),
            ));
        }
        let source = self.source(context)?;
        let tokenizer = self.tokenizer("choose between texts")?;
        let (token_ids, context, spaces) = match &source {
            Source::Tokens(ids) => (ids.clone(), None, ""),
            Source::Text(_) | Source::Rendered(_) => {
                let (context, spaces) = split_trailing_space(&source);
                (self.text_ids(&source, context)?, Some(context), spaces)
            }
        };
        if token_ids.is_empty() {
            return Err(BackendError::Invalid("the context is empty".into()));
        }
        let mut label_ids = Vec::with_capacity(labels.len());
        for label in labels {
            let label = [spaces, label].concat();
            // All labels follow the same ids: one that merges with the context is encoded alone.
            let together = match context {
                Some(context) => self.text_ids(&source, &[context, &label].concat())?,
                None => Vec::new(),
            };
            let ids = match together.strip_prefix(token_ids.as_slice()) {
                Some(ids) => ids.to_vec(),
                None => tokenizer.tokenize(&label)?,
            };
            if ids.is_empty() {
                return Err(no_token_of_its_own(&label));
            }
            self.check_ids(&ids)?;
            label_ids.push(ids);
        }
        self.check(&token_ids)?;
        Ok(Encoded::Choose {
            token_ids,
            labels: label_ids,
        })
    }

    fn source(&self, prompt: &Prompt) -> Result<Source, BackendError> {
        match prompt {
            Prompt::Text(text) => Ok(Source::Text(text.clone())),
            Prompt::Tokens(ids) => Ok(Source::Tokens(ids.clone())),
            Prompt::Chat(messages) => {
                let template = self.template.ok_or_else(|| {
                    self.unsupported("answer a dialogue: it has no chat template")
                })?;
                let text = template.render(messages, true).map_err(|error| {
                    use isogloss_record::Explain;
                    BackendError::Failed {
                        message: error.to_string(),
                        hint: error.hint(),
                    }
                })?;
                Ok(Source::Rendered(text))
            }
        }
    }

    fn prompt_ids(&self, source: &Source) -> Result<Vec<u32>, BackendError> {
        match source {
            Source::Tokens(ids) => Ok(ids.clone()),
            Source::Text(text) | Source::Rendered(text) => self.text_ids(source, text),
        }
    }

    /// Ids of `text`, which stands at the start of a sequence of this kind.
    fn text_ids(&self, source: &Source, text: &str) -> Result<Vec<u32>, BackendError> {
        let tokenizer = self.tokenizer("encode text")?;
        let ids = tokenizer.tokenize(text)?;
        Ok(match (source, tokenizer.added_bos()) {
            (Source::Text(_), Some(bos)) => [vec![bos], ids].concat(),
            _ => ids,
        })
    }

    fn tokenizer(&self, what: &str) -> Result<&dyn TextToIds, BackendError> {
        self.tokenizer
            .ok_or_else(|| self.unsupported(&format!("{what}: it has no tokenizer")))
    }

    fn unsupported(&self, what: &str) -> BackendError {
        BackendError::Unsupported {
            model: self.model.to_owned(),
            what: what.to_owned(),
        }
    }

    /// One BOS and known ids.
    fn check(&self, ids: &[u32]) -> Result<(), BackendError> {
        if let (Some(bos), [first, second, ..]) = (self.bos, ids)
            && *first == bos
            && *second == bos
        {
            return Err(BackendError::TwoBos { id: bos });
        }
        self.check_ids(ids)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), BackendError> {
        match ids.iter().find(|id| **id as usize >= self.n_vocab) {
            None => Ok(()),
            Some(id) => Err(BackendError::Invalid(format!(
                "token id {id} does not exist: `{}` has {} tokens",
                self.model, self.n_vocab
            ))),
        }
    }
}

fn no_token_of_its_own(continuation: &str) -> BackendError {
    BackendError::Invalid(format!(
        "the text `{}` has no token of its own in this tokenizer, after what precedes it",
        continuation.escape_debug()
    ))
}

/// How many of `ids` are the context's; `None` if the continuation added nothing.
fn n_context(context_ids: &[u32], ids: &[u32]) -> Option<usize> {
    if context_ids.len() < ids.len() {
        return Some(context_ids.len());
    }
    let n_common = context_ids
        .iter()
        .zip(ids)
        .take_while(|(a, b)| a == b)
        .count();
    (n_common < ids.len()).then_some(n_common)
}

/// A text before and from its trailing white space on (what Python's `str.rstrip` removes).
fn split_trailing_space(source: &Source) -> (&str, &str) {
    let text = match source {
        Source::Text(text) | Source::Rendered(text) => text.as_str(),
        Source::Tokens(_) => "",
    };
    let is_space = |c: char| c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c);
    text.split_at(text.trim_end_matches(is_space).len())
}
