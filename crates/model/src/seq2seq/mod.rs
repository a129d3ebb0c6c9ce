//! Encoder-decoders: T5, mT5 and umT5. A source is encoded once; a decoder scores a target against it
//! or writes one.
//!
//! ```text
//! folder -> Seq2SeqNetwork (config, packed weights, threads) -> Seq2Seq (with its tokenizer)
//! jobs -> distinct sources -> encoder -> keys and values for each decoder block
//!      -> targets (scored at once, or drawn token by token) -> output layer -> responses
//! ```
//! [`Seq2Seq`] answers through [`crate::Backend`]: in [`isogloss_record::Encoded::Score`] the context
//! is the source and the continuation the target, so a log-probability is that of the target given
//! the source. The tokens of a source have none. What a decoder alone can answer (a text without a
//! source, a dialogue, hidden states) is refused by name.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use isogloss_model::Backend;
//! use isogloss_model::engine::EngineOptions;
//! use isogloss_model::seq2seq::Seq2Seq;
//! use isogloss_record::{Prompt, Request, Span};
//!
//! let model = Seq2Seq::open("mt5-small".as_ref(), "mt5-small", &EngineOptions::default())?;
//! let job = model.encode(&Request::Score {
//!     context: Prompt::Text("translate English to German: The house is wonderful.".into()),
//!     continuation: "Das Haus ist wunderbar.".into(),
//!     span: Span::Continuation,
//!     pool: false,
//! })?;
//! # Ok(())
//! # }
//! ```

pub(crate) mod alone;
mod bias;
pub(crate) mod config;
pub(crate) mod forward;
mod jobs;
mod loaded;
mod model;
mod network;
mod output;
pub(crate) mod weights;

pub use bias::bucket;
pub use config::{Seq2SeqConfig, Seq2SeqFamily};
pub use model::Seq2Seq;
pub use network::Seq2SeqNetwork;
