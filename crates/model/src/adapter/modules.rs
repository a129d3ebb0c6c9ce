//! Changes of one module: its tensors against the model's tensors that it consists of.
//!
//! ```text
//! c_attn of GPT-2: A [r, d], B [3d, r] -> q_proj, k_proj, v_proj: the same A, a third of B's rows each
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::AdapterError;
use super::apply::{Fit, Module, OUTPUT, Stored};
use super::change::{Change, Length, LowRank};
use super::config::ends_with;
use super::names::Role;
use crate::checkpoint::{Config, Family, RopePairing, Tensor, View, family, hf_config};

impl<'a> Fit<'a> {
    /// What one module's tensors do to the model's tensors that it consists of.
    pub(super) fn changes(
        &self,
        module: &str,
        parts: &Module<'_>,
        changes: &mut BTreeMap<String, Change>,
    ) -> Result<(), AdapterError> {
        let linear = self.pair(module, parts, [Role::A, Role::B])?;
        let embedding = self.pair(module, parts, [Role::EmbeddingA, Role::EmbeddingB])?;
        let outputs = self.outputs(module)?;
        let rows = parts.roles.get(&Role::Rows);
        let n_kinds = [linear.is_some(), embedding.is_some(), rows.is_some()];
        if n_kinds.into_iter().filter(|is| *is).count() > 1 {
            let (stored, _) = parts.roles.values().next().expect("a module has a tensor");
            return Err(self.tensor_error(stored, "one kind of change of a module", "two"));
        }
        if let Some((stored, tensor)) = rows {
            let change = self.rows(module, stored, tensor, &outputs)?;
            changes.insert(outputs[0].name.clone(), change);
        }
        let Some([a, b]) = linear.or(embedding) else {
            return match parts.roles.get(&Role::Magnitude) {
                Some((stored, _)) => {
                    Err(self.tensor_error(stored, "a low-rank change beside it", "none"))
                }
                None => Ok(()),
            };
        };
        // A tied output layer follows the embedding without being named.
        let follows = self.adapter.config.keeps_tied && outputs[0].name == OUTPUT;
        if !follows && !self.adapter.config.targets(module) {
            let expected = "a module that `target_modules` names";
            return Err(self.tensor_error(a.0, expected, module));
        }
        let rank = self.adapter.config.rank(module);
        let n_out: usize = outputs.iter().map(|part| part.n_rows).sum();
        let n_in = outputs[0].n_in;
        // Of an embedding both are stored the other way round.
        let (left, right) = if embedding.is_some() {
            self.check_shape(a, &[rank, n_out])?;
            self.check_shape(b, &[n_in, rank])?;
            let left = transposed(&self.finite(a)?, rank, n_out);
            (left, transposed(&self.finite(b)?, n_in, rank))
        } else {
            self.check_shape(a, &[rank, n_in])?;
            self.check_shape(b, &[n_out, rank])?;
            (self.finite(b)?, self.finite(a)?)
        };
        let n_lengths = if embedding.is_some() { n_in } else { n_out };
        let lengths = self.lengths(module, parts, n_lengths)?;
        let right = Arc::new(right);
        for part in &outputs {
            let rows = (0..part.n_rows).map(|row| part.output(row));
            let mut own = Vec::with_capacity(part.n_rows * rank);
            for row in rows.clone() {
                own.extend(&left[row * rank..(row + 1) * rank]);
            }
            let length = match &lengths {
                None => Length::Own,
                // Divided by the columns' lengths once those are known.
                Some(lengths) if embedding.is_some() => Length::Columns(lengths.clone()),
                Some(lengths) => Length::Rows(rows.map(|row| lengths[row]).collect()),
            };
            let change = Change {
                low_rank: Some(LowRank {
                    scale: self.adapter.config.scale(module),
                    left: own,
                    right: right.clone(),
                    rank,
                }),
                length,
                rows: BTreeMap::new(),
            };
            if changes.insert(part.name.clone(), change).is_some() {
                return Err(self.tensor_error(a.0, "one change of a tensor", "two"));
            }
        }
        Ok(())
    }

    /// New lengths of a module's `n` rows (of an embedding: columns), where it has them.
    fn lengths(
        &self,
        module: &str,
        parts: &Module<'a>,
        n: usize,
    ) -> Result<Option<Vec<f32>>, AdapterError> {
        match (self.adapter.config.dora, parts.roles.get(&Role::Magnitude)) {
            (false, None) => Ok(None),
            (true, Some(lengths)) => {
                // Old files keep one axis of 1.
                if lengths.1.shape.iter().product::<usize>() != n {
                    self.check_shape(lengths, &[n])?;
                }
                self.finite(lengths).map(Some)
            }
            (true, None) => Err(AdapterError::Missing {
                path: self.adapter.weights_path(),
                name: format!("base_model.model.{module}.{}", Role::Magnitude.suffix()),
                why: "the settings say `use_dora`".into(),
            }),
            (false, Some((stored, _))) => {
                Err(self.tensor_error(stored, "`use_dora` in the settings", "no such"))
            }
        }
    }

    /// Two tensors that only make sense together.
    fn pair<'m>(
        &self,
        module: &str,
        parts: &'m Module<'a>,
        [a, b]: [Role; 2],
    ) -> Result<Option<[&'m Stored<'a>; 2]>, AdapterError> {
        let missing = |gone: Role, there: Role| AdapterError::Missing {
            path: self.adapter.weights_path(),
            name: format!("base_model.model.{module}.{}", gone.suffix()),
            why: format!("`{}` of this module is there", there.suffix()),
        };
        match (parts.roles.get(&a), parts.roles.get(&b)) {
            (Some(a), Some(b)) => Ok(Some([a, b])),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing(b, a)),
            (None, Some(_)) => Err(missing(a, b)),
        }
    }

    /// Trained rows of an embedding.
    fn rows(
        &self,
        module: &str,
        stored: &str,
        tensor: &Tensor<'_>,
        outputs: &[Output],
    ) -> Result<Change, AdapterError> {
        let tokens = &self.adapter.config.tokens;
        let own = tokens.iter().find(|rows| match &rows.module {
            Some(name) => ends_with(module, name),
            None => true,
        });
        let Some(own) = own else {
            let expected = "trained tokens of this module in the settings";
            return Err(self.tensor_error(stored, expected, "none"));
        };
        let part = &outputs[0];
        self.check_shape(&(stored, tensor.clone()), &[own.ids.len(), part.n_in])?;
        let values = self.finite(&(stored, tensor.clone()))?;
        if let Some(id) = own.ids.iter().find(|id| **id >= part.n_rows) {
            let expected = format!("token ids below {}", part.n_rows);
            return Err(self.tensor_error(stored, &expected, &id.to_string()));
        }
        let rows = values.chunks_exact(part.n_in).map(<[f32]>::to_vec);
        Ok(Change {
            rows: own.ids.iter().copied().zip(rows).collect(),
            ..Change::default()
        })
    }

    /// The model's tensors that a module's weight consists of.
    fn outputs(&self, module: &str) -> Result<Vec<Output>, AdapterError> {
        let c = self.config();
        let known = |name: &str| {
            let name = hf_config::tensor_name(name)?;
            let parts = family::outputs(c, &format!("{name}.weight"));
            let outputs = parts.into_iter().map(|(name, view)| {
                let [n_rows, n_in] = *self.shape(&name)?.as_slice() else {
                    return None;
                };
                Some(Output {
                    n_rows,
                    n_in,
                    view,
                    heads: permuted_heads(c, &name),
                    name,
                })
            });
            outputs
                .collect::<Option<Vec<_>>>()
                .filter(|all| !all.is_empty())
        };
        // Adapters of a bare model have no `model.` before their names.
        known(module)
            .or_else(|| known(&format!("model.{module}")))
            .ok_or_else(|| self.no_module(module))
    }
}

/// One of the model's tensors that a module's weight consists of.
struct Output {
    /// Name in the model.
    name: String,
    n_rows: usize,
    n_in: usize,
    view: View,
    heads: Option<usize>,
}

impl Output {
    /// Which of the module's outputs row `row` of the tensor is.
    fn output(&self, row: usize) -> usize {
        self.view.stored_row(unpermuted(self.heads, row))
    }
}

/// Width of the heads whose rows llama.cpp's converter puts in another order, if it does.
pub(crate) fn permuted_heads(c: &Config, name: &str) -> Option<usize> {
    let permuted = c.family == Family::Llama && c.rope_pairing == RopePairing::Neighbors;
    let of_heads = name.contains(".self_attn.q_proj.") || name.contains(".self_attn.k_proj.");
    (permuted && of_heads).then_some(c.d_head)
}

/// Row of the Hugging Face layout: there the two halves of a head lie one below the other, in the
/// permuted order their rows take turns.
pub(crate) fn unpermuted(heads: Option<usize>, row: usize) -> usize {
    match heads {
        None => row,
        Some(d_head) => {
            let (head, i) = (row / d_head, row % d_head);
            head * d_head + i % 2 * (d_head / 2) + i / 2
        }
    }
}

/// `[n, m]` as `[m, n]`.
fn transposed(values: &[f32], n: usize, m: usize) -> Vec<f32> {
    (0..m)
        .flat_map(|j| (0..n).map(move |i| values[i * m + j]))
        .collect()
}
