//! What cannot be computed is refused here, before any work.

use isogloss_record::Encoded;

use super::core::Core;
use super::memory::megabytes;
use super::tree::Tree;
use crate::backend::BackendError;

impl Core {
    /// Refuses unknown tokens and too many of them.
    pub(super) fn check_tokens(&self, token_ids: &[u32]) -> Result<(), BackendError> {
        self.check(&Encoded::Score {
            token_ids: token_ids.to_vec(),
            n_context: 0,
            scored_from: 1,
            n_pooled: 0,
        })
    }

    /// Refuses what cannot be computed, before any work.
    pub(super) fn check(&self, job: &Encoded) -> Result<(), BackendError> {
        let (n_vocab, limit) = (
            self.decoder.config.vocab_size,
            self.decoder.config.context_length,
        );
        let known = |ids: &[u32]| match ids.iter().find(|id| **id as usize >= n_vocab) {
            Some(id) => Err(BackendError::Invalid(format!(
                "token id {id} is outside the vocabulary of `{}` (ids 0 to {})",
                self.name,
                n_vocab - 1
            ))),
            None => Ok(()),
        };
        let fits = |found: usize| {
            if found <= limit {
                Ok(())
            } else {
                Err(BackendError::TooLong {
                    model: self.name.clone(),
                    found,
                    limit,
                })
            }
        };
        match job {
            Encoded::Score {
                token_ids,
                n_context,
                n_pooled,
                ..
            } => {
                known(token_ids)?;
                fits(token_ids.len())?;
                if *n_context > token_ids.len() || *n_pooled > token_ids.len() {
                    return Err(BackendError::Invalid(format!(
                        "a text of {} tokens cannot have {n_context} of context and {n_pooled} pooled",
                        token_ids.len()
                    )));
                }
                Ok(())
            }
            Encoded::Choose { token_ids, labels } => {
                known(token_ids)?;
                if token_ids.is_empty() || labels.is_empty() || labels.iter().any(Vec::is_empty) {
                    return Err(BackendError::Invalid(
                        "a choice needs a context and labels of one token or more".into(),
                    ));
                }
                labels.iter().try_for_each(|label| {
                    known(label)?;
                    fits(token_ids.len() + label.len())
                })
            }
            Encoded::Generate {
                token_ids,
                sampling,
            } => {
                known(token_ids)?;
                if token_ids.is_empty() {
                    return Err(BackendError::Invalid(
                        "a prompt needs one token or more".into(),
                    ));
                }
                if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
                    return Err(BackendError::Invalid(format!(
                        "the temperature must be 0 or more, not {}",
                        sampling.temperature
                    )));
                }
                fits(token_ids.len() + usize::from(sampling.max_tokens > 0))
            }
        }?;
        self.check_memory(job)
    }

    /// Whether the job fits the memory with nothing beside it.
    fn check_memory(&self, job: &Encoded) -> Result<(), BackendError> {
        let n_tokens = match job {
            Encoded::Score { token_ids, .. } => token_ids.len(),
            Encoded::Choose { token_ids, labels } => {
                token_ids.len() + labels.iter().map(Vec::len).max().unwrap_or(0)
            }
            Encoded::Generate {
                token_ids,
                sampling,
            } => token_ids.len() + self.growth(token_ids.len(), sampling),
        };
        let config = &self.decoder.config;
        let needed = Tree::bytes_per_token(self.decoder.kv, config.d_model) * n_tokens;
        if needed <= self.tree_bytes_max {
            return Ok(());
        }
        Err(BackendError::TooLarge {
            model: self.name.clone(),
            n_tokens,
            needed: megabytes(needed as u64),
            room: megabytes(self.tree_bytes_max as u64),
        })
    }
}
