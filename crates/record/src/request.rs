//! What is asked of a model, in text and then in exact token ids, and what comes back.

use serde::{Deserialize, Serialize};

/// The text that a model continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prompt {
    /// Raw text: encoded as it is, with the BOS that the tokenizer adds (if it adds one).
    Text(String),
    /// Token ids, used as they are: nothing is added.
    Tokens(Vec<u32>),
    /// A dialogue, rendered by the model's own chat template with the generation prompt.
    Chat(Vec<Message>),
}

/// One turn of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Speaker of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Instructions that precede the dialogue.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// A question to a model, in text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Request {
    /// How probable is `continuation` after `context`?
    ///
    /// Both are encoded together; trailing white space of the context moves to the continuation
    /// (lm-evaluation-harness' rule), and the ids beyond those of the context alone are the
    /// continuation's. An empty context means the whole text is scored (rolling).
    Score {
        /// What precedes.
        context: Prompt,
        /// What is scored; may be empty only where `context` is [`Prompt::Tokens`].
        continuation: String,
        /// Which positions need a log-probability.
        span: Span,
        /// Whether pooled hidden states are wanted too (of the context; of the whole text where
        /// the context is empty).
        pool: bool,
    },
    /// A distribution over given labels as the next text after `context`.
    Choose {
        /// What precedes.
        context: Prompt,
        /// The labels, each of one token or more.
        labels: Vec<String>,
    },
    /// Continue the prompt.
    Generate {
        /// What precedes.
        prompt: Prompt,
        /// How to draw, and when to stop.
        sampling: Sampling,
    },
}

/// Positions of a scored sequence that need a log-probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// The continuation's tokens only: logits of the context are never computed.
    Continuation,
    /// Every token that something precedes.
    All,
}

/// How a continuation is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// At most so many new tokens.
    pub max_tokens: usize,
    /// 0 is greedy: the smallest id among equals.
    pub temperature: f32,
    /// Seed of the draws; does not matter when greedy.
    pub seed: u64,
    /// Texts that end the generation; they are not part of the answer.
    pub stop: Vec<String>,
}

/// A request in exact token ids: what is computed, hashed and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Encoded {
    /// See [`Request::Score`].
    Score {
        /// Context and continuation.
        token_ids: Vec<u32>,
        /// How many of them are the context.
        n_context: usize,
        /// Log-probabilities are wanted from this position on (never for position 0).
        scored_from: usize,
        /// Hidden states pooled over the first so many positions are wanted too; 0 means none.
        n_pooled: usize,
    },
    /// See [`Request::Choose`].
    Choose {
        /// The context.
        token_ids: Vec<u32>,
        /// The labels' ids, as they follow the context.
        labels: Vec<Vec<u32>>,
    },
    /// See [`Request::Generate`].
    Generate {
        /// The prompt.
        token_ids: Vec<u32>,
        /// How to draw.
        sampling: Sampling,
    },
}

/// What a model answered. Log-probabilities are natural logarithms (nats).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Response {
    /// Answer to [`Encoded::Score`].
    Score {
        /// One per token id; `None` before `scored_from` and where nothing precedes.
        logprobs: Vec<Option<f32>>,
        /// Whether every continuation token (from `n_context` on) was the most probable one.
        greedy: bool,
        /// Hidden states, if they were asked for; large, so they are never stored.
        #[serde(skip)]
        pooled: Option<Pooled>,
    },
    /// Answer to [`Encoded::Choose`].
    Choose {
        /// Per label the log-probability of its tokens given the context (not normalized).
        logprobs: Vec<f32>,
    },
    /// Answer to [`Encoded::Generate`].
    Generate {
        /// The new ids only; `None` where a server does not tell them.
        token_ids: Option<Vec<u32>>,
        /// Their text, without the stop text.
        text: String,
        /// One per new id, at temperature 1; `None` where a server does not tell them.
        logprobs: Option<Vec<f32>>,
        /// Why it ended.
        finish_reason: FinishReason,
    },
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// An end-of-sequence token or a stop text.
    Stop,
    /// `max_tokens` or the context length was reached.
    Length,
}

/// Hidden states of one text, pooled over its positions.
///
/// Layer 0 is the first block's output; outputs are taken before the final norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// `[n_layers][d_model]`: mean over the positions (a BOS added by the tokenizer excluded).
    pub mean: Vec<Vec<f32>>,
    /// `[n_layers][d_model]`: the last position.
    pub last: Vec<Vec<f32>>,
}

/// Tokens of a piece of work: what was asked, what had to be computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of all sequences, each counted in full.
    pub n_tokens_requested: u64,
    /// Tokens that went through the network.
    pub n_tokens_computed: u64,
    /// Tokens whose states were shared with another sequence.
    pub n_tokens_shared: u64,
    /// Tokens of responses that were already in the run store.
    pub n_tokens_stored: u64,
    /// Tokens that were cut from texts longer than the model's context.
    #[serde(default)]
    pub n_tokens_cut: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.n_tokens_requested += other.n_tokens_requested;
        self.n_tokens_computed += other.n_tokens_computed;
        self.n_tokens_shared += other.n_tokens_shared;
        self.n_tokens_stored += other.n_tokens_stored;
        self.n_tokens_cut += other.n_tokens_cut;
    }
}
