//! Looking into a decoder as it computes, and changing what it computes.
//!
//! ```text
//! sequences -> rows -> block 0 -> ... -> block n -> log-probability of every token
//!                        | hook(site, sequence, position, values): read them, or write others
//! any residual stream -> final norm -> output layer -> logits of the whole vocabulary (lens)
//! ```
//! A traced run computes its sequences whole, in memory of its own: it neither reads nor fills the
//! prefixes that other runs share, so what a hook writes is seen by this run alone. Where nothing
//! is written the log-probabilities are those of a score, bit by bit.
//!
//! ```no_run
//! # fn f(network: &isogloss_model::engine::Network) -> Result<(), Box<dyn std::error::Error>> {
//! use isogloss_model::engine::{Point, Site};
//! // What the text is to the model without the first attention.
//! let site = Site { layer: 0, point: Point::AttentionOutput };
//! let without = network.trace(&[vec![1, 17, 4]], &[site], &mut |visit| visit.values.fill(0.0))?;
//! assert_eq!(without[0].len(), 2);
//! # Ok(())
//! # }
//! ```

use super::core::{Core, State};
use super::network::Network;
use super::output::{self, logprob};
pub use crate::arch::forward::Point;
use crate::arch::forward::{Batch, NotFinite, Piece, Run};
use crate::arch::kv::Kv;
use crate::backend::BackendError;
use crate::kernel::Rows;

/// Rows that pass together; a sequence is never cut.
const GROUP_ROWS: usize = 512;

/// A place in the network that a hook looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Block, from 0.
    pub layer: usize,
    /// Where in it.
    pub point: Point,
}

/// What a hook sees, one token at a time.
#[derive(Debug)]
pub struct Visit<'a> {
    /// Where.
    pub site: Site,
    /// Index of the sequence.
    pub sequence: usize,
    /// Position of the token, from 0.
    pub position: usize,
    /// What the model goes on with: as it is, or as the hook leaves it.
    pub values: &'a mut [f32],
}

impl Network {
    /// Runs sequences of one token or more and calls `hook` at every site for every token: block by
    /// block, within a block in the order of [`Point`], then by sequence and position. Answers the
    /// log-probability of each token but the first, in nats, with everything that the hook wrote.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] for unknown token ids, empty sequences and sites that the model
    /// does not have, [`BackendError::TooLong`], [`BackendError::NotFinite`].
    pub fn trace(
        &self,
        sequences: &[Vec<u32>],
        sites: &[Site],
        hook: &mut (dyn FnMut(Visit<'_>) + Send),
    ) -> Result<Vec<Vec<f32>>, BackendError> {
        self.with_core(|core, state| core.trace(state, sequences, sites, hook))
    }

    /// What the output layer makes of a residual stream of `d_model` values, whatever block it comes
    /// from: final norm and output layer, a logit for every token of the vocabulary.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] for another number of values, [`BackendError::NotFinite`].
    pub fn lens(&self, residual: &[f32]) -> Result<Vec<f32>, BackendError> {
        self.with_core(|core, _| core.lens(residual))
    }
}

impl Core {
    fn trace(
        &self,
        state: &mut State,
        sequences: &[Vec<u32>],
        sites: &[Site],
        hook: &mut (dyn FnMut(Visit<'_>) + Send),
    ) -> Result<Vec<Vec<f32>>, BackendError> {
        let n_layers = self.decoder.config.n_layers;
        if let Some(site) = sites.iter().find(|site| site.layer >= n_layers) {
            return Err(BackendError::Invalid(format!(
                "block {} of a model with {n_layers} (0 to {})",
                site.layer,
                n_layers - 1
            )));
        }
        for tokens in sequences {
            self.check_tokens(tokens)?;
            if tokens.is_empty() {
                return Err(BackendError::Invalid(
                    "a sequence needs one token or more".into(),
                ));
            }
        }
        let mut logprobs = Vec::with_capacity(sequences.len());
        let mut first = 0;
        while first < sequences.len() {
            let mut n_rows = 0;
            let n = (sequences[first..].iter())
                .take_while(|tokens| {
                    n_rows += tokens.len();
                    n_rows <= GROUP_ROWS
                })
                .count()
                .max(1);
            let group = &sequences[first..first + n];
            self.trace_group(state, group, first, sites, hook)?;
            logprobs.extend(self.logprobs_of(state, group)?);
            first += n;
        }
        Ok(logprobs)
    }

    /// Leaves the last residual streams in the buffers.
    fn trace_group(
        &self,
        state: &mut State,
        sequences: &[Vec<u32>],
        first_sequence: usize,
        sites: &[Site],
        hook: &mut (dyn FnMut(Visit<'_>) + Send),
    ) -> Result<(), BackendError> {
        let mut batch = Batch::default();
        let mut kvs = Vec::new();
        for (i, tokens) in sequences.iter().enumerate() {
            batch.pieces.push(Piece {
                kv: i,
                start: 0,
                n_used: tokens.len(),
            });
            batch.runs.push(Run {
                first_row: batch.tokens.len(),
                n_rows: tokens.len(),
                first_position: 0,
                at: 0,
                path: i..i + 1,
                adapter: 0,
            });
            batch.tokens.extend(tokens);
            kvs.push(Kv::new(self.decoder.kv, tokens.len()));
        }
        let runs = batch.runs.clone();
        let visit = |layer: usize, point: Point, rows: &mut Rows| {
            let site = Site { layer, point };
            if !sites.contains(&site) {
                return;
            }
            for (i, run) in runs.iter().enumerate() {
                for position in 0..run.n_rows {
                    hook(Visit {
                        site,
                        sequence: first_sequence + i,
                        position,
                        values: rows.row_mut(run.first_row + position),
                    });
                }
            }
        };
        let State { buffers, ropes, .. } = state;
        let decoder = &self.decoder;
        self.pool
            .install(|| decoder.forward(&batch, &mut kvs, ropes, buffers, visit))
            .map_err(|NotFinite { layer }| self.not_finite(layer))
    }

    /// Log-probabilities of each sequence's tokens but the first, from the buffers.
    fn logprobs_of(
        &self,
        state: &State,
        sequences: &[Vec<u32>],
    ) -> Result<Vec<Vec<f32>>, BackendError> {
        let x = &state.buffers.x;
        let heads = self
            .pool
            .install(|| output::heads(&self.decoder, x.n_rows(), |i| x.row(i)));
        let mut normed = Rows::new(self.decoder.config.d_model);
        let final_norm = &self.decoder.weights.final_norm;
        // Rows that are not finite have no head.
        let _ = self.decoder.norm(x, final_norm, &mut normed);
        let mut one = Rows::new(self.decoder.config.d_model);
        one.set_rows(1);
        let mut row = 0;
        let mut of_sequence = |tokens: &Vec<u32>| {
            let first = row;
            row += tokens.len();
            (tokens[1..].iter().enumerate())
                .map(|(i, token)| {
                    let head = heads[first + i].ok_or_else(|| self.output_not_finite())?;
                    one.row_mut(0).copy_from_slice(normed.row(first + i));
                    Ok(logprob(&self.decoder, &one, &head, *token))
                })
                .collect()
        };
        sequences.iter().map(&mut of_sequence).collect()
    }

    fn lens(&self, residual: &[f32]) -> Result<Vec<f32>, BackendError> {
        let d = self.decoder.config.d_model;
        if residual.len() != d {
            return Err(BackendError::Invalid(format!(
                "a residual stream of {} values, `{}` has {d}",
                residual.len(),
                self.name
            )));
        }
        let logits = self
            .pool
            .install(|| output::logits(&self.decoder, residual));
        if logits.iter().all(|x| x.is_finite()) {
            Ok(logits)
        } else {
            Err(self.output_not_finite())
        }
    }

    fn output_not_finite(&self) -> BackendError {
        BackendError::NotFinite {
            model: self.name.clone(),
            place: "the output layer".into(),
        }
    }
}
