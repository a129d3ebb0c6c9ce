//! Encoders: BERT and kin. Every token sees the whole text, so there is no continuation to score:
//! what they give are hidden states, masked-token logits and logits over labels.
//!
//! ```text
//! folder -> EncoderNetwork (config, packed weights, threads)
//! texts in token ids -> batches of rows, no padding -> hidden states -> head
//! folder -> SentenceEncoder (a network, its tokenizer, how states are pooled) -> vectors
//! ```
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::atomic::AtomicBool;
//!
//! use isogloss_model::RunSettings;
//! use isogloss_model::encoder::EncoderNetwork;
//! use isogloss_model::engine::EngineOptions;
//!
//! let network = EncoderNetwork::open("xlm-r".as_ref(), "xlm-r", &EngineOptions::default())?;
//! let cancel = AtomicBool::new(false);
//! let settings = RunSettings { batch_size: 8, share_prefixes: false, cancel: &cancel };
//! let text = vec![0, 581, 5, 2].into();
//! network.hidden_states(&[text], &settings, &mut |i, states| {
//!     assert_eq!((i, states.len()), (0, 4));
//! })?;
//! # Ok(())
//! # }
//! ```

pub(crate) mod config;
pub(crate) mod forward;
mod layout;
pub(crate) mod network;
pub(crate) mod sentence;
mod weights;

pub use config::{Activation, EncoderConfig, EncoderFamily, Head, Problem};
pub use forward::TokenText;
pub use layout::{Normalization, Pooling};
pub use network::EncoderNetwork;
pub use sentence::{EmbedOptions, SentenceEncoder};
