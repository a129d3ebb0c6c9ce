//! Sequences of a batch, one after the other without padding.

use std::ops::Range;

use super::TrainError;
use crate::checkpoint::Config;

/// One text in token ids, and which of its tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Positions whose tokens' log-probabilities are wanted, ascending, each 1 or more (the first
    /// token has nothing before it); may be empty.
    pub scored: Vec<usize>,
}

impl Sequence {
    /// A text of which every token but the first counts.
    pub fn whole(tokens: Vec<u32>) -> Self {
        Self {
            scored: (1..tokens.len()).collect(),
            tokens,
        }
    }
}

/// The rows of a batch.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Token of each row.
    pub(super) tokens: Vec<u32>,
    /// Its position in its sequence.
    pub(super) positions: Vec<usize>,
    /// Rows of each sequence.
    pub(super) spans: Vec<Range<usize>>,
    /// Of each scored token, in the order of the batch: the row that foretells it, and its id.
    pub(super) targets: Vec<(usize, u32)>,
    /// Scored tokens of each sequence.
    pub(super) n_scored: Vec<usize>,
}

impl Packed {
    /// Checks a batch and lays it out. Tokens behind the last scored one of a sequence need no row.
    pub(super) fn new(config: &Config, batch: &[Sequence]) -> Result<Self, TrainError> {
        let mut packed = Self::default();
        for (i, sequence) in batch.iter().enumerate() {
            let Sequence { tokens, scored } = sequence;
            let invalid = |what: String| TrainError::Sequence { index: i, what };
            let n_vocab = config.vocab_size;
            if let Some(id) = tokens.iter().find(|id| **id as usize >= n_vocab) {
                return Err(invalid(format!(
                    "token id {id} is outside the vocabulary (ids 0 to {})",
                    n_vocab - 1
                )));
            }
            if tokens.len() > config.context_length {
                return Err(invalid(format!(
                    "{} tokens are more than the model's context of {}",
                    tokens.len(),
                    config.context_length
                )));
            }
            let is_ascending = scored.windows(2).all(|pair| pair[0] < pair[1]);
            let fits = |p: &usize| (1..tokens.len()).contains(p);
            if !is_ascending || !scored.iter().all(fits) {
                return Err(invalid(format!(
                    "scored positions must ascend within 1 to {}",
                    tokens.len().saturating_sub(1)
                )));
            }
            let first = packed.tokens.len();
            let n = scored.last().copied().unwrap_or(0);
            packed.tokens.extend(&tokens[..n]);
            packed.positions.extend(0..n);
            packed.spans.push(first..first + n);
            packed
                .targets
                .extend(scored.iter().map(|p| (first + p - 1, tokens[*p])));
            packed.n_scored.push(scored.len());
        }
        if packed.targets.is_empty() {
            return Err(TrainError::NothingScored);
        }
        Ok(packed)
    }

    /// Values of all scored tokens, cut into sequences.
    pub(super) fn split(&self, values: &[f64]) -> Vec<Vec<f64>> {
        let mut rest = values;
        (self.n_scored.iter())
            .map(|n| {
                let (own, after) = rest.split_at(*n);
                rest = after;
                own.to_vec()
            })
            .collect()
    }
}
