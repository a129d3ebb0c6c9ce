//! The one small port through which every model answers: native engine, scripted model, server.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use isogloss_record::{Encoded, Explain, Fingerprint, Request, Response, Usage};

use crate::truncate::Truncate;

/// A model that can be asked.
///
/// Text becomes token ids on one path ([`Backend::encode`]), so that what is computed, hashed and
/// stored is exact. What a backend cannot do is refused by name in `encode`, before any work.
pub trait Backend: Sync {
    /// What exactly this model is.
    fn fingerprint(&self) -> &Fingerprint;

    /// What it can answer.
    fn capabilities(&self) -> Capabilities;

    /// Ids of a plain text, nothing added (no BOS): for counting and for inspection.
    fn tokenize(&self, text: &str) -> Result<Vec<u32>, BackendError>;

    /// A request in exact token ids.
    fn encode(&self, request: &Request) -> Result<Encoded, BackendError>;

    /// As [`Backend::encode`], where a text that is too long may be cut; and how many tokens were.
    ///
    /// # Errors
    /// Those of `encode`, and [`BackendError::Uncuttable`].
    fn encode_cut(
        &self,
        request: &Request,
        truncate: Truncate,
    ) -> Result<(Encoded, usize), BackendError> {
        match truncate {
            Truncate::Refuse => self.encode(request).map(|job| (job, 0)),
            Truncate::Left | Truncate::Right => Err(BackendError::Unsupported {
                model: self.fingerprint().name.clone(),
                what: "cut texts".into(),
            }),
        }
    }

    /// Answers every job. `on_response` gets each index once, in any order, as answers are ready.
    ///
    /// The answers do not depend on `settings`, on the other jobs of the call or on earlier calls.
    /// Where `settings.cancel` becomes true the call ends early with [`BackendError::Canceled`];
    /// answers given before stay valid.
    fn run(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError>;

    /// As [`Backend::run`]; `on_token` sees each new token of a generation as it is drawn: index of
    /// the job, id, log-probability. Where it answers `false`, that generation ends there, with
    /// what it has as its answer.
    ///
    /// A backend that does not see its tokens one by one shows them when the answer is ready.
    fn run_streaming(
        &self,
        jobs: &[Encoded],
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError> {
        self.run(jobs, settings, &mut |index, response| {
            if let Response::Generate {
                token_ids: Some(token_ids),
                logprobs: Some(logprobs),
                ..
            } = &response
            {
                let mut drawn = token_ids.iter().zip(logprobs);
                drawn.all(|(id, logprob)| on_token(index, *id, *logprob));
            }
            on_response(index, response);
        })
    }

    /// A batch that jobs may join while it runs; `None` where a backend has none.
    fn flow(&self) -> Option<Box<dyn Flow + '_>> {
        None
    }

    /// What can be chosen from: the model, and the same with each adapter that is beside it.
    fn models(&self) -> Vec<&Fingerprint> {
        vec![self.fingerprint()]
    }

    /// The `n` most probable tokens at each of `positions` of a sequence, with their
    /// log-probabilities, the most probable first (the smallest id among equals). Position 0 has
    /// none: nothing precedes it.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] where a backend does not see the whole distribution.
    fn most_probable(
        &self,
        _token_ids: &[u32],
        _positions: Range<usize>,
        _n: usize,
        _settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError> {
        Err(BackendError::Unsupported {
            model: self.fingerprint().name.clone(),
            what: "list the most probable tokens".into(),
        })
    }

    /// The bytes that a token stands for (of a special token its name); `None` where the backend
    /// cannot say.
    fn bytes_of(&self, _id: u32) -> Option<Vec<u8>> {
        None
    }

    /// Text of ids, without special tokens; `None` where the backend cannot say.
    fn decode(&self, _ids: &[u32]) -> Option<String> {
        None
    }
}

/// A batch that jobs may join while it runs, see [`Backend::flow`].
///
/// Every answer is the one that [`Backend::run`] gives, whatever else is in the batch.
pub trait Flow {
    /// Takes a job in. `key` is the caller's number for it; `model` counts [`Backend::models`].
    ///
    /// # Errors
    /// A job that cannot be computed is refused; nothing else is touched.
    fn join(&mut self, key: usize, model: usize, job: Encoded) -> Result<(), BackendError>;

    /// Jobs that joined and have no answer yet.
    fn n_open(&self) -> usize;

    /// One short step: some sequences are scored, each generation gets a token. `on_token` and
    /// `on_response` are those of [`Backend::run_streaming`], with the jobs' keys.
    ///
    /// # Errors
    /// All jobs without an answer are lost; the batch is empty.
    fn step(
        &mut self,
        settings: &RunSettings<'_>,
        on_token: &mut dyn FnMut(usize, u32, f32) -> bool,
        on_response: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError>;

    /// As [`Backend::most_probable`], beside what is under way.
    ///
    /// # Errors
    /// As there.
    fn most_probable(
        &mut self,
        model: usize,
        token_ids: &[u32],
        positions: Range<usize>,
        n: usize,
        settings: &RunSettings<'_>,
    ) -> Result<Vec<Vec<(u32, f32)>>, BackendError>;
}

/// What a backend can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Log-probabilities of given text.
    pub logprobs: bool,
    /// Pooled hidden states.
    pub hidden_states: bool,
    /// Whether it has a chat template.
    pub chat: bool,
}

/// How a batch of jobs is computed; nothing here changes a number.
#[derive(Debug, Clone, Copy)]
pub struct RunSettings<'a> {
    /// At most so many sequences at once.
    pub batch_size: usize,
    /// Whether states of common prefixes are computed once.
    pub share_prefixes: bool,
    /// Ends the call early.
    pub cancel: &'a AtomicBool,
}

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The backend has no such ability.
    #[error("`{model}` cannot {what}")]
    Unsupported {
        /// Name of the model.
        model: String,
        /// What was asked, as a verb phrase.
        what: String,
    },
    /// A request that no model could answer.
    #[error("{0}")]
    Invalid(String),
    /// Longer than the model's context.
    #[error("the text has {found} tokens, `{model}` can hold {limit}")]
    TooLong {
        /// Name of the model.
        model: String,
        /// Tokens of the request (with the new tokens asked for).
        found: usize,
        /// Context length.
        limit: usize,
    },
    /// Longer than the model's context even after cutting.
    #[error("the text cannot be cut to fit `{model}`: {why}")]
    Uncuttable {
        /// Name of the model.
        model: String,
        /// What does not fit, or must not be cut.
        why: String,
    },
    /// More tokens than the memory that the engine may take can hold.
    #[error("{n_tokens} tokens of one text need {needed} of memory, `{model}` has {room} for them")]
    TooLarge {
        /// Name of the model.
        model: String,
        /// Tokens of the request, with the new ones that it may draw.
        n_tokens: usize,
        /// What they need.
        needed: String,
        /// What there is beside the weights.
        room: String,
    },
    /// Two begin-of-sequence tokens at the start.
    #[error("the text begins with two begin-of-sequence tokens (id {id})")]
    TwoBos {
        /// Id of the token.
        id: u32,
    },
    /// The network answered with something that is not a number.
    #[error("`{model}` computed a value that is not finite at {place}")]
    NotFinite {
        /// Name of the model.
        model: String,
        /// Where.
        place: String,
    },
    /// A file or server behind the backend failed.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The user stopped the work.
    #[error("stopped")]
    Canceled,
}

impl Explain for BackendError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported { .. } | Self::Invalid(_) => None,
            Self::TooLong { .. } => {
                Some("shorten the text, take a model with a longer context, or cut it: `--truncate left` or `right`".into())
            }
            Self::TooLarge { .. } => {
                Some("give more `--memory-max`, shorten the text, or ask for fewer new tokens".into())
            }
            Self::Uncuttable { .. } => {
                Some("shorten the text, take a model with a longer context, or `--truncate left`".into())
            }
            Self::TwoBos { .. } => {
                Some("remove the begin-of-sequence text: the tokenizer adds it by itself".into())
            }
            Self::NotFinite { .. } => Some(
                "the weights are damaged or not made for 32-bit arithmetic: load them again".into(),
            ),
            Self::Failed { hint, .. } => hint.clone(),
            Self::Canceled => {
                Some("run the same command again: it goes on where it stopped".into())
            }
        }
    }
}
