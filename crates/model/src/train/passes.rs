//! The two passes over all blocks, apart and in one.

use super::block::Block;
use super::gradients::Gradients;
use super::pass::Pass;
use super::{Keep, Packed, Sequence, State, TrainError, Trainee, embedding, kept_at};

/// What of a trainee decides how far its passes go.
#[derive(Clone, Copy)]
struct Reach {
    n_layers: usize,
    /// First block that backward reaches.
    lowest: usize,
    embedding: bool,
    keep: Keep,
}

impl Trainee {
    /// Log-probability of every scored token, in nats: one list a sequence, as long as its
    /// `scored`. Each sequence sees itself only.
    ///
    /// # Errors
    /// [`TrainError::Sequence`], [`TrainError::NothingScored`], [`TrainError::NotFinite`].
    pub fn forward(&mut self, batch: &[Sequence]) -> Result<Vec<Vec<f64>>, TrainError> {
        self.start(batch)?;
        let reach = self.reach();
        let (pass, state, _, pool) = self.parts();
        let logprobs = pool.install(|| {
            up(&pass, state, reach);
            state.head.forward(&pass, &state.xs[reach.n_layers])
        });
        if let Some(i) = logprobs.iter().position(|logprob| !logprob.is_finite()) {
            return Err(TrainError::NotFinite {
                what: format!("the log-probability of scored token {i} of the batch"),
            });
        }
        self.is_open = true;
        Ok(self.batch.split(&logprobs))
    }

    /// Adds to the gradients those of a loss whose derivative by each log-probability of the last
    /// [`Trainee::forward`] is given, in the same shape. Once for each forward pass.
    ///
    /// # Errors
    /// [`TrainError::Derivatives`], [`TrainError::NotFinite`].
    pub fn backward(&mut self, derivatives: &[Vec<f64>]) -> Result<(), TrainError> {
        if !std::mem::replace(&mut self.is_open, false) {
            return Err(TrainError::Derivatives {
                expected: "a forward pass before it".into(),
                found: "none".into(),
            });
        }
        let derivatives = self.checked(derivatives)?;
        let reach = self.reach();
        let (pass, state, gradients, pool) = self.parts();
        pool.install(|| {
            (state.head).backward(&pass, &derivatives, gradients, &mut state.dx);
            down(&pass, state, gradients, reach);
        });
        self.finish()
    }

    /// Both passes, for a loss whose derivatives by the log-probabilities are known beforehand (any
    /// weighted sum of them): the output layer is computed once instead of twice. Log-probabilities
    /// and gradients are the same as of [`Trainee::forward`] and [`Trainee::backward`].
    ///
    /// # Errors
    /// As those two. After [`TrainError::NotFinite`] the gradients are cleared.
    pub fn forward_backward(
        &mut self,
        batch: &[Sequence],
        derivatives: &[Vec<f64>],
    ) -> Result<Vec<Vec<f64>>, TrainError> {
        self.start(batch)?;
        let derivatives = self.checked(derivatives)?;
        let reach = self.reach();
        let (pass, state, gradients, pool) = self.parts();
        let logprobs = pool.install(|| {
            up(&pass, state, reach);
            let State { head, xs, dx, .. } = &mut *state;
            let x = &xs[reach.n_layers];
            let logprobs = head.both(&pass, x, &derivatives, gradients, dx)?;
            down(&pass, state, gradients, reach);
            Some(logprobs)
        });
        let Some(logprobs) = logprobs else {
            self.clear_gradients();
            return Err(TrainError::NotFinite {
                what: "the log-probability of a scored token".into(),
            });
        };
        let finished = self.finish();
        if finished.is_err() {
            self.clear_gradients();
        }
        finished.map(|()| self.batch.split(&logprobs))
    }

    fn reach(&self) -> Reach {
        Reach {
            n_layers: self.config.n_layers,
            lowest: self.lowest,
            embedding: self.reaches_embedding,
            keep: self.keep,
        }
    }

    /// Takes a batch in.
    fn start(&mut self, batch: &[Sequence]) -> Result<(), TrainError> {
        (self.is_open, self.has_inputs) = (false, false);
        self.batch = Packed::new(&self.config, batch)?;
        let n_positions = self.batch.positions.iter().max().map_or(0, |p| p + 1);
        self.global_rope.extend_to(n_positions);
        self.local_rope.extend_to(n_positions);
        Ok(())
    }

    /// The derivatives of a batch in one list.
    fn checked(&self, derivatives: &[Vec<f64>]) -> Result<Vec<f64>, TrainError> {
        let found: Vec<usize> = derivatives.iter().map(Vec::len).collect();
        if found != self.batch.n_scored {
            return Err(TrainError::Derivatives {
                expected: format!("{:?} derivatives by sequence", self.batch.n_scored),
                found: format!("{found:?}"),
            });
        }
        let derivatives = derivatives.concat();
        match derivatives.iter().position(|d| !(*d as f32).is_finite()) {
            None => Ok(derivatives),
            Some(i) => Err(TrainError::NotFinite {
                what: format!("the derivative by the log-probability of scored token {i}"),
            }),
        }
    }

    /// Looks at what a backward pass has left.
    fn finish(&mut self) -> Result<(), TrainError> {
        let dx = &self.state.dx;
        let inputs_are_finite =
            || (0..dx.n_rows()).all(|i| dx.row(i).iter().all(|x| x.is_finite()));
        if !self.gradient_norm().is_finite() || self.wants_inputs && !inputs_are_finite() {
            return Err(TrainError::NotFinite {
                what: "a gradient".into(),
            });
        }
        self.has_inputs = self.wants_inputs;
        Ok(())
    }
}

/// Embeddings and all blocks.
fn up(pass: &Pass<'_>, state: &mut State, reach: Reach) {
    embedding::forward(pass, &mut state.raw, &mut state.xs[0]);
    for layer in 0..reach.n_layers {
        let (before, after) = state.xs.split_at_mut(layer + 1);
        Block::new(pass, layer).forward(
            &before[layer],
            &mut state.kept[kept_at(reach.keep, reach.lowest, layer)],
            &mut state.scratch,
            &mut after[0],
        );
    }
}

/// From `dx` behind the last block as far down as there is something to train.
fn down(pass: &Pass<'_>, state: &mut State, gradients: &mut Gradients, reach: Reach) {
    let State {
        raw,
        xs,
        kept,
        again,
        scratch,
        dx,
        ..
    } = state;
    for layer in (reach.lowest..reach.n_layers).rev() {
        let block = Block::new(pass, layer);
        let kept = &mut kept[kept_at(reach.keep, reach.lowest, layer)];
        // The last block's are still there.
        if reach.keep == Keep::BlockInputs && layer + 1 < reach.n_layers {
            block.again(&xs[layer], kept, scratch, again);
        }
        block.backward(&xs[layer], kept, scratch, dx, gradients);
    }
    if reach.embedding {
        embedding::backward(pass, raw, dx, gradients);
    }
}
