//! What an adapter lays over a checkpoint: other tensors under the same names, changed rows.

use std::collections::BTreeMap;

use super::mapped::MappedFile;
use super::{Checkpoint, Entry, hash};
use crate::adapter::Change;

/// Other tensors and changed rows, by name in Hugging Face layout.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Tensors in place of the model's.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Files of those tensors: first the adapter's own.
    pub(crate) files: Vec<MappedFile>,
    pub(crate) changes: BTreeMap<String, Change>,
    /// How many of `files` are the adapter's own.
    pub(crate) n_own: usize,
}

impl Overlay {
    /// Hash of the model together with the adapter's files.
    pub(super) fn hash(&self, model: &str) -> String {
        let adapter = hash::of_files(&self.files[..self.n_own]);
        let both = format!("{model}+{adapter}");
        blake3::hash(both.as_bytes()).to_hex().to_string()
    }
}

impl Checkpoint {
    /// Whether an adapter lies over it.
    pub(crate) fn is_adapted(&self) -> bool {
        self.overlay.is_some()
    }

    /// Puts an adapter on; `untied`: the output layer was the embedding and is its own from now on.
    pub(crate) fn lay_over(&mut self, overlay: Overlay, untied: bool) {
        if untied && let Some(embedding) = self.tensors.get("model.embed_tokens.weight").cloned() {
            self.tensors.insert("lm_head.weight".into(), embedding);
            self.config.tied_embeddings = false;
        }
        self.overlay = Some(overlay);
    }
}
