//! Reading weights by name: each tensor is checked for its shape and for values that are not finite,
//! and it is known afterwards which ones were read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rayon::prelude::*;

use super::weights::{Linear, ModelError, Norm, Stack, TensorSource};
use crate::checkpoint::Tensor;
use crate::kernel::{Compute, Packed};

/// Checked access to the tensors of a model.
pub(crate) struct Reader<'a> {
    source: &'a dyn TensorSource,
    /// In what products with the weights are computed.
    compute: Compute,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn TensorSource, compute: Compute) -> Self {
        Self {
            source,
            compute,
            used: RefCell::default(),
        }
    }

    /// Names of what was read (or is known not to matter).
    pub(crate) fn into_used(self) -> BTreeSet<String> {
        self.used.into_inner()
    }

    /// Marks a tensor as known: it does not change what is computed.
    pub(crate) fn skip(&self, name: &str) {
        self.used.borrow_mut().insert(name.to_owned());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.source.tensor(name).is_some()
    }

    fn tensor(&self, name: &str, expected: &[usize]) -> Result<Tensor<'a>, ModelError> {
        let missing = || ModelError::Missing {
            name: name.to_owned(),
        };
        let tensor = self.source.tensor(name).ok_or_else(missing)?;
        if tensor.shape != expected {
            return Err(ModelError::Shape {
                name: name.to_owned(),
                expected: expected.to_vec(),
                found: tensor.shape,
            });
        }
        self.skip(name);
        Ok(tensor)
    }

    /// A table that stays where it is and is read row by row later: shape and values are checked.
    pub(crate) fn table(&self, name: &str, shape: [usize; 2]) -> Result<(), ModelError> {
        let tensor = self.tensor(name, &shape)?;
        (0..shape[0])
            .into_par_iter()
            .with_min_len(256)
            .try_for_each_init(
                || vec![0.0; shape[1]],
                |row, i| {
                    tensor.dequantize_row(i, row);
                    let finite = row.iter().all(|x| x.is_finite());
                    finite.then_some(()).ok_or_else(|| not_finite(name, i))
                },
            )
    }

    /// All values, row-major.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let values = self.tensor(name, shape)?.to_f32();
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(i) => Err(not_finite(name, i / shape[1..].iter().product::<usize>())),
        }
    }

    /// Weight and bias of a layer norm.
    pub(crate) fn norm(&self, name: &str, n: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            weight: self.values(&format!("{name}.weight"), &[n])?,
            bias: self.values(&format!("{name}.bias"), &[n])?,
        })
    }

    /// Weight of an RMS norm.
    pub(crate) fn rms_norm(&self, name: &str, n: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            weight: self.values(&format!("{name}.weight"), &[n])?,
            bias: Vec::new(),
        })
    }

    /// A matrix `[n_out, n_in]` in kernel layout.
    pub(crate) fn packed(
        &self,
        name: &str,
        n_out: usize,
        n_in: usize,
    ) -> Result<Packed, ModelError> {
        self.stacked(&[name.to_owned()], n_out, n_in)
    }

    /// Matrices `[n_out, n_in]` each, one below the other.
    fn stacked(&self, names: &[String], n_out: usize, n_in: usize) -> Result<Packed, ModelError> {
        let tensors = (names.iter())
            .map(|name| self.tensor(name, &[n_out, n_in]))
            .collect::<Result<_, _>>()?;
        let stack = Stack(tensors);
        Packed::of_rows(names.len() * n_out, n_in, self.compute, &stack)
            .map_err(|i| not_finite(&names[i / n_out], i % n_out))
    }

    /// Projections of `[n_out, n_in]` each, one below the other, without biases.
    pub(crate) fn projections(
        &self,
        names: &[String],
        n_out: usize,
        n_in: usize,
    ) -> Result<Linear, ModelError> {
        let weights: Vec<String> = names.iter().map(|name| format!("{name}.weight")).collect();
        Ok(Linear {
            weight: self.stacked(&weights, n_out, n_in)?,
            bias: Vec::new(),
        })
    }

    /// The same with biases.
    pub(crate) fn biased(
        &self,
        names: &[String],
        n_out: usize,
        n_in: usize,
    ) -> Result<Linear, ModelError> {
        let mut linear = self.projections(names, n_out, n_in)?;
        for name in names {
            linear
                .bias
                .extend(self.values(&format!("{name}.bias"), &[n_out])?);
        }
        Ok(linear)
    }
}

fn not_finite(name: &str, row: usize) -> ModelError {
    ModelError::NotFinite {
        name: name.to_owned(),
        row,
    }
}
