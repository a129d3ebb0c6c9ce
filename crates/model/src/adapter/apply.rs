//! An adapter held against a model: every tensor finds its place, or is refused by name.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::change::{Change, Length};
use super::config::Targets;
use super::names::{self, Role};
use super::whole;
use super::{Adapter, AdapterError, Overlay, Sides};
use crate::checkpoint::{Checkpoint, Config, Entry, Tensor, hf_config};

pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(super) const OUTPUT: &str = "lm_head.weight";

/// A tensor of the adapter and its stored name.
pub(super) type Stored<'a> = (&'a str, Tensor<'a>);

/// Tensors of one module.
#[derive(Default)]
pub(super) struct Module<'a> {
    pub(super) roles: BTreeMap<Role, Stored<'a>>,
}

/// What an adapter's file holds, by what it belongs to.
pub(super) struct Found<'a> {
    /// Changes, by the module's name in the file.
    pub(super) modules: BTreeMap<String, Module<'a>>,
    /// Whole tensors by name: stored name, entry, whether it lies below another change.
    pub(super) whole: BTreeMap<String, (&'a str, &'a Entry, bool)>,
}

/// The adapter with the model that it is held against.
pub(super) struct Fit<'a> {
    pub(super) adapter: &'a Adapter,
    pub(super) checkpoint: &'a Checkpoint,
}

impl Adapter {
    /// Changes the model: from now on its tensors, its hash and its settings are those of the model
    /// with this adapter.
    ///
    /// # Errors
    /// [`AdapterError`]; the checkpoint is as it was.
    pub fn apply(self, checkpoint: &mut Checkpoint) -> Result<(), AdapterError> {
        let fit = Fit {
            adapter: &self,
            checkpoint,
        };
        if checkpoint.is_adapted() {
            return Err(fit.unsupported("a second adapter over the same model"));
        }
        let found = fit.sort()?;
        let mut changes = BTreeMap::new();
        for (module, parts) in &found.modules {
            fit.changes(module, parts, &mut changes)?;
        }
        fit.check_layers(&found)?;
        let mut replaced = whole::replace(&fit, &found)?;
        let untied = fit.untie(&changes, &mut replaced)?;
        for (name, change) in &mut changes {
            fit.finish(name, change, &replaced)?;
        }
        let n_own = self.files.len();
        let mut files = self.files;
        files.extend(replaced.files);
        let overlay = Overlay {
            entries: replaced.entries,
            files,
            changes,
            n_own,
        };
        checkpoint.lay_over(overlay, untied);
        Ok(())
    }
}

impl<'a> Fit<'a> {
    pub(super) fn config(&self) -> &'a Config {
        &self.checkpoint.config
    }

    /// Gives every stored tensor its module and role.
    pub(super) fn sort(&self) -> Result<Found<'a>, AdapterError> {
        let adapter = self.adapter;
        let mut found = Found {
            modules: BTreeMap::new(),
            whole: BTreeMap::new(),
        };
        for (stored, entry) in &adapter.tensors {
            let Some((name, role)) = names::parse(stored) else {
                let expected = "the name of a low-rank change or of a tensor of the model";
                return Err(self.tensor_error(stored, expected, "another"));
            };
            // Parts of a multimodal model that do not read text.
            if hf_config::tensor_name(&name).is_none() {
                continue;
            }
            let twice = if let Role::Whole { below } = role {
                let below = below || {
                    let module = name.rsplit_once('.').map_or(&*name, |(module, _)| module);
                    !adapter.config.saves(module)
                };
                found.whole.insert(name, (stored, entry, below)).is_some()
            } else {
                let tensor = entry.tensor(stored, &adapter.files);
                let module = found.modules.entry(name).or_default();
                module.roles.insert(role, (stored, tensor)).is_some()
            };
            if twice {
                return Err(self.tensor_error(stored, "one spelling of a name", "two"));
            }
        }
        let tokens = &adapter.config.tokens;
        let has_rows = |module: &Module<'_>| module.roles.contains_key(&Role::Rows);
        if !tokens.is_empty() && !found.modules.values().any(has_rows) {
            return Err(AdapterError::Missing {
                path: adapter.weights_path(),
                name: "….trainable_tokens_delta".into(),
                why: "the settings name trained tokens".into(),
            });
        }
        Ok(found)
    }

    /// Whether a tied output layer is a matrix of its own from now on.
    ///
    /// PEFT changes only the module that an adapter names: with a low-rank change or a copy of the
    /// embedding the output layer stays as it was, unless the settings keep them tied. Trained rows
    /// are always those of both.
    fn untie(
        &self,
        changes: &BTreeMap<String, Change>,
        replaced: &mut whole::Replaced,
    ) -> Result<bool, AdapterError> {
        if !self.config().tied_embeddings {
            return Ok(false);
        }
        let embedding = changes.get(EMBEDDING);
        let low_rank = embedding.and_then(|change| change.low_rank.as_ref());
        let keeps_tied = self.adapter.config.keeps_tied;
        let output_is_own = changes.contains_key(OUTPUT) || replaced.entries.contains_key(OUTPUT);
        if keeps_tied && low_rank.is_some() && self.adapter.config.dora {
            return Err(self.unsupported("`use_dora` on an embedding with `ensure_weight_tying`"));
        }
        let has_rows = embedding.is_some_and(|change| !change.rows.is_empty());
        let output_rows_only = changes
            .get(OUTPUT)
            .is_some_and(|change| !change.rows.is_empty());
        if has_rows && output_is_own && !output_rows_only {
            let what = "trained tokens of a tied embedding beside a changed output layer";
            return Err(self.unsupported(what));
        }
        let embedding_alone =
            !keeps_tied && (low_rank.is_some() || replaced.saved.contains(EMBEDDING));
        if !(output_is_own || embedding_alone) {
            return Ok(false);
        }
        // What lies below an embedding's change lies below the output layer too.
        if !replaced.entries.contains_key(OUTPUT)
            && !replaced.saved.contains(EMBEDDING)
            && let Some(below) = replaced.entries.get(EMBEDDING).cloned()
        {
            replaced.entries.insert(OUTPUT.to_owned(), below);
        }
        Ok(true)
    }

    /// Divides the new lengths of columns by those that they have before.
    fn finish(
        &self,
        name: &str,
        change: &mut Change,
        replaced: &whole::Replaced,
    ) -> Result<(), AdapterError> {
        let lengths = match std::mem::take(&mut change.length) {
            Length::Columns(lengths) => lengths,
            other => {
                change.length = other;
                return Ok(());
            }
        };
        let base = match replaced.entries.get(name) {
            Some(entry) => entry.tensor(name, &self.adapter.files),
            None => self.checkpoint.tensor(name)?,
        };
        let n = base.row_len();
        let rows: Vec<usize> = (0..base.n_rows()).collect();
        let partial: Vec<Vec<f64>> = rows
            .par_chunks(1024)
            .map(|rows| {
                let (mut sums, mut row) = (vec![0.0; n], vec![0.0; n]);
                for i in rows {
                    base.dequantize_row(*i, &mut row);
                    change.apply(*i, &mut row);
                    for (sum, x) in sums.iter_mut().zip(&row) {
                        *sum += f64::from(*x) * f64::from(*x);
                    }
                }
                sums
            })
            .collect();
        let squares = |j: usize| partial.iter().map(|sums| sums[j]).sum::<f64>();
        let scales = lengths.iter().enumerate();
        let scales = scales.map(|(j, length)| (f64::from(*length) / squares(j).sqrt()) as f32);
        change.length = Length::Columns(scales.collect());
        Ok(())
    }

    /// A layer that is not in the file would silently stay as it was.
    pub(super) fn check_layers(&self, found: &Found<'_>) -> Result<(), AdapterError> {
        let config = &self.adapter.config;
        let Targets::Names(targets) = &config.targets else {
            return Ok(());
        };
        let names_a_layer = |name: &String| name.split('.').any(|part| part.parse::<u32>().is_ok());
        if config.excludes || targets.iter().any(names_a_layer) {
            return Ok(());
        }
        let mut layers_of: BTreeMap<(String, String), BTreeSet<usize>> = BTreeMap::new();
        for (module, parts) in &found.modules {
            let layer = module
                .split('.')
                .find_map(|part| part.parse::<usize>().ok());
            let Some(layer) = layer else { continue };
            if parts.roles.contains_key(&Role::A) {
                let number = format!(".{layer}.");
                let Some((before, after)) = module.split_once(&number) else {
                    continue;
                };
                let key = (before.to_owned(), after.to_owned());
                layers_of.entry(key).or_default().insert(layer);
            }
        }
        let all: Vec<usize> = match &config.layers {
            Some(layers) => layers.clone(),
            None => (0..self.config().n_layers).collect(),
        };
        for ((before, after), layers) in layers_of {
            if let Some(layer) = all.iter().find(|layer| !layers.contains(layer)) {
                return Err(AdapterError::Missing {
                    path: self.adapter.weights_path(),
                    name: format!("base_model.model.{before}.{layer}.{after}.lora_A.weight"),
                    why: "this module of other layers has one, and the model has this layer".into(),
                });
            }
        }
        Ok(())
    }

    /// Shape of a tensor of the model; a tied output layer has that of the embedding.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let tied = self.config().tied_embeddings && name == OUTPUT;
        let name = if tied { EMBEDDING } else { name };
        Some(self.checkpoint.tensor(name).ok()?.shape)
    }

    pub(super) fn unsupported(&self, what: &str) -> AdapterError {
        AdapterError::Unsupported {
            path: self.adapter.folder.clone(),
            what: what.to_owned(),
        }
    }

    fn sides(&self) -> Sides {
        Sides {
            adapter: self.adapter.folder.clone(),
            model: self.checkpoint.path().to_owned(),
            made_for: self.adapter.config.made_for.clone(),
        }
    }

    pub(super) fn no_module(&self, module: &str) -> AdapterError {
        AdapterError::NoModule {
            sides: Box::new(self.sides()),
            module: module.to_owned(),
            family: self.config().family.name(),
            n_layers: self.config().n_layers,
        }
    }

    pub(super) fn shape_error(
        &self,
        name: &str,
        expected: Vec<usize>,
        found: Vec<usize>,
    ) -> AdapterError {
        AdapterError::Shape {
            sides: Box::new(self.sides()),
            name: name.to_owned(),
            expected,
            found,
        }
    }

    pub(super) fn tensor_error(&self, stored: &str, expected: &str, found: &str) -> AdapterError {
        AdapterError::Tensor {
            path: self.adapter.weights_path(),
            name: stored.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    pub(super) fn check_shape(
        &self,
        (stored, tensor): &(&str, Tensor<'_>),
        expected: &[usize],
    ) -> Result<(), AdapterError> {
        if tensor.shape == expected {
            return Ok(());
        }
        Err(self.shape_error(stored, expected.to_vec(), tensor.shape.clone()))
    }

    /// All values of a tensor.
    pub(super) fn finite(
        &self,
        (stored, tensor): &(&str, Tensor<'_>),
    ) -> Result<Vec<f32>, AdapterError> {
        let values = tensor.to_f32();
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(i) => {
                let found = format!("{} (value {i})", values[i]);
                Err(self.tensor_error(stored, "finite values", &found))
            }
        }
    }
}
