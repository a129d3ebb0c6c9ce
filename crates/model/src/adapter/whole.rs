//! Tensors of an adapter that take the place of the model's: saved modules, biases, base layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::AdapterError;
use super::apply::{Fit, Found};
use super::modules::{permuted_heads, unpermuted};
use crate::checkpoint::mapped::MappedFile;
use crate::checkpoint::{CheckpointError, Config, Dtype, Entry, Family, View, family, hf_config};

/// What takes the place of the model's tensors, by their names.
pub(super) struct Replaced {
    pub(super) entries: BTreeMap<String, Entry>,
    /// Which of them are a module's own copy, apart from what it is tied to.
    pub(super) saved: BTreeSet<String>,
    /// Files behind those of the adapter: tensors in another layout than it has.
    pub(super) files: Vec<MappedFile>,
}

/// Finds the place of every whole tensor.
pub(super) fn replace(fit: &Fit<'_>, found: &Found<'_>) -> Result<Replaced, AdapterError> {
    let mut replaced = Replaced {
        entries: BTreeMap::new(),
        saved: BTreeSet::new(),
        files: Vec::new(),
    };
    for (name, (stored, entry, below)) in &found.whole {
        for (name, entry) in arranged(fit, name, stored, entry)? {
            let expected = fit.shape(&name).ok_or_else(|| fit.no_module(&name))?;
            if entry.shape != expected {
                return Err(fit.shape_error(stored, expected, entry.shape));
            }
            let entry = in_layout(fit, &name, entry, &mut replaced.files);
            if !below {
                replaced.saved.insert(name.clone());
            }
            if replaced.entries.insert(name, entry).is_some() {
                return Err(AdapterError::Tensor {
                    path: fit.adapter.weights_path(),
                    name: (*stored).to_owned(),
                    expected: "one tensor for each of the model's".into(),
                    found: "two".into(),
                });
            }
        }
    }
    Ok(replaced)
}

/// The parts of a stored tensor by the model's names.
fn arranged(
    fit: &Fit<'_>,
    name: &str,
    stored: &str,
    entry: &Entry,
) -> Result<BTreeMap<String, Entry>, AdapterError> {
    let c = &fit.checkpoint.config;
    let with_prefix = format!("model.{name}");
    for name in [name, &with_prefix] {
        let Some(text) = hf_config::tensor_name(name) else {
            continue;
        };
        if family::is_foreign(c, &text) {
            continue;
        }
        let one = BTreeMap::from([(text, entry.clone())]);
        let parts = match family::arrange(&fit.adapter.folder, c, one) {
            Err(CheckpointError::Shape {
                expected, found, ..
            }) => return Err(fit.shape_error(stored, expected, found)),
            parts => parts?,
        };
        if !parts.is_empty() && parts.keys().all(|name| fit.shape(name).is_some()) {
            return Ok(parts);
        }
    }
    Err(fit.no_module(name))
}

/// The tensor in the layout of the model's file: a GGUF file has rows of rotating heads in another
/// order (Llama), and 1 added to norms (Gemma).
fn in_layout(fit: &Fit<'_>, name: &str, entry: Entry, files: &mut Vec<MappedFile>) -> Entry {
    let c = &fit.checkpoint.config;
    let heads = permuted_heads(c, name);
    let added = added_to_norms(c, name);
    if heads.is_none() && added == 0.0 {
        return entry;
    }
    let tensor = entry.tensor(name, &fit.adapter.files);
    let mut row = vec![0.0; tensor.row_len()];
    let mut bytes = Vec::new();
    for i in 0..tensor.n_rows() {
        tensor.dequantize_row(unpermuted(heads, i), &mut row);
        bytes.extend(row.iter().flat_map(|x| (x + added).to_le_bytes()));
    }
    let entry = Entry {
        file: fit.adapter.files.len() + files.len(),
        range: 0..bytes.len(),
        dtype: Dtype::F32,
        shape: entry.shape.clone(),
        view: View::Whole,
    };
    files.push(MappedFile::owned(Path::new(name), bytes));
    entry
}

/// What the model's file adds to a norm that a Hugging Face folder does not.
fn added_to_norms(c: &Config, name: &str) -> f32 {
    let is_gemma = matches!(c.family, Family::Gemma2 | Family::Gemma3);
    if is_gemma && name.ends_with("norm.weight") {
        1.0 - c.norm_offset
    } else {
        0.0
    }
}
