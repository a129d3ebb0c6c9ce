//! Ports beside [`crate::Backend`] for models that do not continue text: sentence encoders,
//! classifiers and reward models, translators.
//!
//! As there, text becomes exact token ids on one path, what a model cannot do is refused by name
//! before any work, and an answer depends on its text alone: not on the other texts of a call, their
//! number or the threads.

use isogloss_record::{Fingerprint, Response, Sampling, Usage};

use crate::backend::{BackendError, RunSettings};
use crate::encoder::{Problem, TokenText};

/// A model that turns a text into a vector.
pub trait Embedder: Sync {
    /// What exactly this model is.
    fn fingerprint(&self) -> &Fingerprint;

    /// Length of its vectors.
    fn n_dims(&self) -> usize;

    /// A text in exact ids, with the special tokens that the model expects. Prefixes (`query: `)
    /// are the caller's.
    fn encode(&self, text: &str) -> Result<TokenText, BackendError>;

    /// Refuses a text that [`Embedder::embed`] would refuse.
    fn check(&self, text: &TokenText) -> Result<(), BackendError>;

    /// The vector of each text; `on_vector` gets each index once, in order.
    fn embed(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_vector: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<Usage, BackendError>;
}

/// A model that gives a text a number for each of its labels: a classifier, a reward model, a
/// relevance or quality estimate.
pub trait TextScorer: Sync {
    /// What exactly this model is.
    fn fingerprint(&self) -> &Fingerprint;

    /// Names of the labels, in the order of the logits; one for a reward.
    fn labels(&self) -> &[String];

    /// What the logits mean.
    fn problem(&self) -> Problem;

    /// A text, or a pair of texts (premise and hypothesis, question and passage), in exact ids.
    fn encode(&self, text: &str, second: Option<&str>) -> Result<TokenText, BackendError>;

    /// Refuses a text that [`TextScorer::score`] would refuse.
    fn check(&self, text: &TokenText) -> Result<(), BackendError>;

    /// A logit for each label of each text; `on_logits` gets each index once, in order.
    fn score(
        &self,
        texts: &[TokenText],
        settings: &RunSettings<'_>,
        on_logits: &mut dyn FnMut(usize, Vec<f32>),
    ) -> Result<Usage, BackendError>;
}

/// A model that writes a text for another: a translation, a summary.
pub trait Translator: Sync {
    /// What exactly this model is.
    fn fingerprint(&self) -> &Fingerprint;

    /// A source in exact ids, with the special tokens that the model expects. Prefixes
    /// (`translate English to German: `) and language tags are the caller's.
    fn encode(&self, source: &str) -> Result<Vec<u32>, BackendError>;

    /// A target for each source, as [`Response::Generate`]; `on_target` gets each index once, in any
    /// order, as targets are ready.
    fn translate(
        &self,
        sources: &[Vec<u32>],
        sampling: &Sampling,
        settings: &RunSettings<'_>,
        on_target: &mut dyn FnMut(usize, Response),
    ) -> Result<Usage, BackendError>;
}
