//! What happens to a text that is longer than the model's context: refused, or cut where the user says.
//!
//! ```text
//! Request -> encode (exact ids, any length) -> fit (cut or refuse) -> Encoded
//! ```
//!
//! Tokens are counted, never characters. What is asked *about* is never cut: a continuation, a
//! label, the room for new tokens. The context loses its first tokens (`Left`) or its last ones
//! (`Right`); a text that is scored whole loses its own. A begin-of-sequence token stays first.
//!
//! ```
//! use isogloss_model::truncate::{Limit, Truncate};
//! use isogloss_record::Encoded;
//!
//! let limit = Limit { model: "m", n_tokens: 4, bos: Some(1), is_dialogue: false };
//! let job = Encoded::Score { token_ids: vec![1, 5, 6, 7, 8, 9], n_context: 4, scored_from: 4, n_pooled: 0 };
//! let (cut, n_cut) = limit.fit(job, Truncate::Left)?;
//! assert_eq!(n_cut, 2);
//! assert_eq!(cut, Encoded::Score { token_ids: vec![1, 7, 8, 9], n_context: 2, scored_from: 2, n_pooled: 0 });
//! # Ok::<(), isogloss_model::BackendError>(())
//! ```

use isogloss_record::{Encoded, Sampling};

use crate::backend::BackendError;

/// What is done with a text that does not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Truncate {
    /// It is refused before any work.
    #[default]
    Refuse,
    /// Its first tokens go.
    Left,
    /// Its last tokens go.
    Right,
}

impl Truncate {
    /// Name on the command line and in `run.json`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// What a sequence must fit into.
#[derive(Debug, Clone, Copy)]
pub struct Limit<'a> {
    /// Name of the model, for messages.
    pub model: &'a str,
    /// Context length in tokens.
    pub n_tokens: usize,
    /// Begin-of-sequence token: it is kept where it stands first.
    pub bos: Option<u32>,
    /// Whether the ids are a rendered dialogue, whose end opens the model's turn and is never cut.
    pub is_dialogue: bool,
}

impl Limit<'_> {
    /// The job as it fits, and how many tokens were cut (0: it is unchanged).
    ///
    /// A prompt to be continued needs room for one new token, as far as it is refused otherwise;
    /// where prompts are cut, for all that may be drawn, up to half the context.
    ///
    /// # Errors
    /// [`BackendError::TooLong`] where it does not fit and is not to be cut;
    /// [`BackendError::Uncuttable`] where what may not be cut is too long by itself.
    pub fn fit(&self, job: Encoded, truncate: Truncate) -> Result<(Encoded, usize), BackendError> {
        match job {
            Encoded::Score {
                token_ids,
                n_context,
                scored_from,
                n_pooled,
            } => self.fit_score(token_ids, [n_context, scored_from, n_pooled], truncate),
            Encoded::Choose {
                mut token_ids,
                labels,
            } => {
                let longest = labels.iter().map(Vec::len).max().unwrap_or(0);
                let n_cut = self.cut(&mut token_ids, longest, longest, truncate)?;
                Ok((Encoded::Choose { token_ids, labels }, n_cut))
            }
            Encoded::Generate {
                mut token_ids,
                sampling,
            } => {
                let room = self.room_for_new(&sampling, truncate);
                let n_cut = self.cut(&mut token_ids, room, 1, truncate)?;
                Ok((
                    Encoded::Generate {
                        token_ids,
                        sampling,
                    },
                    n_cut,
                ))
            }
        }
    }

    fn room_for_new(&self, sampling: &Sampling, truncate: Truncate) -> usize {
        match truncate {
            Truncate::Refuse => 1,
            Truncate::Left | Truncate::Right => {
                sampling.max_tokens.clamp(1, (self.n_tokens / 2).max(1))
            }
        }
    }

    fn fit_score(
        &self,
        mut token_ids: Vec<u32>,
        [n_context, scored_from, n_pooled]: [usize; 3],
        truncate: Truncate,
    ) -> Result<(Encoded, usize), BackendError> {
        let scores_all = scored_from < n_context.max(1);
        let mut continuation = if n_context > 0 {
            token_ids.split_off(n_context)
        } else {
            Vec::new()
        };
        let n_more = continuation.len();
        let n_cut = self.cut(&mut token_ids, n_more, n_more, truncate)?;
        let n_context = if n_context > 0 { token_ids.len() } else { 0 };
        token_ids.append(&mut continuation);
        let scored_from = if scores_all {
            scored_from
        } else {
            n_context.max(1)
        };
        let n_pooled = if n_pooled == 0 || n_cut == 0 {
            n_pooled
        } else if n_context > 0 {
            n_context
        } else {
            token_ids.len()
        };
        let job = Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        };
        Ok((job, n_cut))
    }

    /// Cuts `ids` so that `n_more` fit behind them; refused where not even `n_least` do.
    fn cut(
        &self,
        ids: &mut Vec<u32>,
        n_more: usize,
        n_least: usize,
        truncate: Truncate,
    ) -> Result<usize, BackendError> {
        let found = ids.len() + n_more;
        let Some(n_cut) = found.checked_sub(self.n_tokens).filter(|n| *n > 0) else {
            return Ok(0);
        };
        let n_bos = usize::from(self.bos.is_some() && ids.first().copied() == self.bos);
        // Something must precede what is asked about.
        let n_cuttable = ids.len().saturating_sub(n_bos.max(1));
        match truncate {
            Truncate::Refuse => Err(BackendError::TooLong {
                model: self.model.to_owned(),
                found: ids.len() + n_least,
                limit: self.n_tokens,
            }),
            _ if n_cut > n_cuttable => Err(BackendError::Uncuttable {
                model: self.model.to_owned(),
                why: format!(
                    "{} tokens that must stay need more than its {}",
                    found - n_cuttable,
                    self.n_tokens
                ),
            }),
            Truncate::Right if self.is_dialogue => Err(BackendError::Uncuttable {
                model: self.model.to_owned(),
                why: "the end of a dialogue opens the model's turn".into(),
            }),
            Truncate::Left => {
                ids.drain(n_bos..n_bos + n_cut);
                Ok(n_cut)
            }
            Truncate::Right => {
                ids.truncate(ids.len() - n_cut);
                Ok(n_cut)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(n_tokens: usize) -> Limit<'static> {
        Limit {
            model: "m",
            n_tokens,
            bos: Some(1),
            is_dialogue: false,
        }
    }

    fn score(token_ids: &[u32], n_context: usize) -> Encoded {
        Encoded::Score {
            token_ids: token_ids.to_vec(),
            n_context,
            scored_from: n_context.max(1),
            n_pooled: 0,
        }
    }

    fn generate(token_ids: &[u32], max_tokens: usize) -> Encoded {
        Encoded::Generate {
            token_ids: token_ids.to_vec(),
            sampling: Sampling {
                max_tokens,
                temperature: 0.0,
                seed: 0,
                stop: Vec::new(),
            },
        }
    }

    fn ids(job: &Encoded) -> &[u32] {
        match job {
            Encoded::Score { token_ids, .. }
            | Encoded::Choose { token_ids, .. }
            | Encoded::Generate { token_ids, .. } => token_ids,
        }
    }

    #[test]
    fn a_text_scored_whole_loses_its_own_tokens_and_keeps_its_bos() {
        let text = [1, 10, 11, 12, 13];
        let (left, n_cut) = limit(3).fit(score(&text, 0), Truncate::Left).unwrap();
        assert_eq!((ids(&left), n_cut), (&[1, 12, 13][..], 2));
        let (right, n_cut) = limit(3).fit(score(&text, 0), Truncate::Right).unwrap();
        assert_eq!((ids(&right), n_cut), (&[1, 10, 11][..], 2));
        let no_bos = Limit {
            bos: None,
            ..limit(3)
        };
        let (left, _) = no_bos.fit(score(&text, 0), Truncate::Left).unwrap();
        assert_eq!(ids(&left), [11, 12, 13]);
    }

    #[test]
    fn a_continuation_is_never_cut() {
        // Five of context and three of continuation in six: two of the context go.
        let text = [1, 10, 11, 12, 13, 20, 21, 22];
        let (left, n_cut) = limit(6).fit(score(&text, 5), Truncate::Left).unwrap();
        assert_eq!((left, n_cut), (score(&[1, 12, 13, 20, 21, 22], 3), 2));
        let (right, _) = limit(6).fit(score(&text, 5), Truncate::Right).unwrap();
        assert_eq!(right, score(&[1, 10, 11, 20, 21, 22], 3));
        // The BOS alone may stay; less cannot.
        assert_eq!(
            limit(4).fit(score(&text, 5), Truncate::Left).unwrap().0,
            score(&[1, 20, 21, 22], 1)
        );
        let error = limit(3).fit(score(&text, 5), Truncate::Left).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the text cannot be cut to fit `m`: 4 tokens that must stay need more than its 3"
        );
    }

    #[test]
    fn labels_and_new_tokens_have_their_room() {
        let choice = Encoded::Choose {
            token_ids: vec![1, 10, 11, 12],
            labels: vec![vec![20], vec![20, 21]],
        };
        let (cut, n_cut) = limit(5).fit(choice, Truncate::Left).unwrap();
        assert_eq!((ids(&cut), n_cut), (&[1, 11, 12][..], 1));
        // Room for 3 of 8; 9 would take more than half.
        let prompt = [1, 10, 11, 12, 13, 14, 15];
        let (cut, n_cut) = limit(8).fit(generate(&prompt, 3), Truncate::Right).unwrap();
        assert_eq!((ids(&cut), n_cut), (&[1, 10, 11, 12, 13][..], 2));
        let (cut, _) = limit(8).fit(generate(&prompt, 9), Truncate::Left).unwrap();
        assert_eq!(ids(&cut), [1, 13, 14, 15]);
        // Refused as before: room for one.
        assert_eq!(
            limit(8)
                .fit(generate(&prompt, 9), Truncate::Refuse)
                .unwrap()
                .1,
            0
        );
        let error = limit(7)
            .fit(generate(&prompt, 9), Truncate::Refuse)
            .unwrap_err();
        assert_eq!(error.to_string(), "the text has 8 tokens, `m` can hold 7");
    }

    #[test]
    fn a_dialogue_keeps_its_end() {
        let dialogue = Limit {
            is_dialogue: true,
            ..limit(4)
        };
        let prompt = generate(&[1, 10, 11, 12, 13], 1);
        let error = dialogue.fit(prompt.clone(), Truncate::Right).unwrap_err();
        assert!(
            error.to_string().contains("opens the model's turn"),
            "{error}"
        );
        let (cut, _) = dialogue.fit(prompt, Truncate::Left).unwrap();
        assert_eq!(ids(&cut), [1, 12, 13]);
    }

    proptest! {
        #[test]
        fn what_fits_is_unchanged_and_what_is_cut_fits(
            n in 1..40_usize, n_context in 0..40_usize, n_tokens in 1..40_usize, is_left: bool, pools: bool
        ) {
            let n_context = n_context.min(n - 1);
            let token_ids: Vec<u32> = (1..=n as u32).collect();
            let job = Encoded::Score {
                token_ids: token_ids.clone(),
                n_context,
                scored_from: 1,
                n_pooled: if !pools { 0 } else if n_context > 0 { n_context } else { n },
            };
            let side = if is_left { Truncate::Left } else { Truncate::Right };
            let Ok((cut, n_cut)) = limit(n_tokens).fit(job.clone(), side) else {
                prop_assert!(n_context > 0 && n - n_context + 1 > n_tokens);
                return Ok(());
            };
            let Encoded::Score { token_ids: cut_ids, n_context: cut_context, n_pooled, .. } = &cut else { unreachable!() };
            prop_assert_eq!(cut_ids.len() + n_cut, n);
            prop_assert_eq!(cut_ids.len(), n.min(n_tokens));
            prop_assert_eq!(cut_ids[0], 1);
            prop_assert_eq!(&cut_ids[*cut_context..][..if n_context > 0 { n - n_context } else { 0 }],
                &token_ids[n - if n_context > 0 { n - n_context } else { 0 }..]);
            let pooled_all = if n_context > 0 { *cut_context } else { cut_ids.len() };
            prop_assert_eq!(*n_pooled, if pools { pooled_all } else { 0 });
            if n <= n_tokens { prop_assert_eq!(cut, job); }
        }
    }
}
