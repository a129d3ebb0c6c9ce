//! An adapter kept beside its model instead of in its weights, so that several can be chosen from.
//!
//! ```text
//! Adapter + Checkpoint -> changes by tensor -> LowRank (by layer and product) -> Decoder::adapters
//! ```
//!
//! Only low-rank changes of the blocks' projections can be computed beside them (LoRA and
//! rank-stabilized LoRA): one that sets lengths (DoRA) or changes embeddings or whole tensors is
//! refused by name, and can be merged as the model is loaded ([`Adapter::apply`]).

use std::collections::BTreeMap;

use super::apply::Fit;
use super::change::{Change, Length};
use super::{Adapter, AdapterError};
use crate::arch::lowrank::{LowRank, Pair, Site};
use crate::checkpoint::{Checkpoint, Config};

impl Adapter {
    /// The adapter as products beside those of the model.
    ///
    /// # Errors
    /// Those of [`Adapter::apply`]; [`AdapterError::Unsupported`] for what is not low-rank or not in
    /// a block.
    pub(crate) fn beside(&self, checkpoint: &Checkpoint) -> Result<LowRank, AdapterError> {
        let fit = Fit {
            adapter: self,
            checkpoint,
        };
        if checkpoint.is_adapted() {
            return Err(fit.unsupported("an adapter beside a model that has one already"));
        }
        let found = fit.sort()?;
        if let Some(name) = found.whole.keys().next() {
            return Err(fit.not_beside(name));
        }
        let mut changes = BTreeMap::new();
        for (module, parts) in &found.modules {
            fit.changes(module, parts, &mut changes)?;
        }
        fit.check_layers(&found)?;
        let config = fit.config();
        let mut layers = Vec::new();
        layers.resize_with(config.n_layers, Vec::new);
        for (name, change) in &changes {
            let place = place(config, name).filter(|(layer, ..)| *layer < config.n_layers);
            let pair = place.and_then(|(layer, site, first)| {
                let n_in = *checkpoint.tensor(name).ok()?.shape.get(1)?;
                Some((layer, site, pair(change, first, n_in)?))
            });
            let (layer, site, pair) = pair.ok_or_else(|| fit.not_beside(name))?;
            layers[layer].push((site, pair));
        }
        Ok(LowRank { layers })
    }

    /// Hash of a model with this adapter beside it: not that of both merged, for the rounding is
    /// another one.
    pub(crate) fn hash_beside(&self, model: &str) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(b"beside\0").update(model.as_bytes());
        for file in &self.files {
            hash.update(&(file.bytes().len() as u64).to_le_bytes())
                .update(file.bytes());
        }
        hash.finalize().to_hex().to_string()
    }
}

impl Fit<'_> {
    fn not_beside(&self, name: &str) -> AdapterError {
        self.unsupported(&format!(
            "a change of `{name}` beside the model (more than a low-rank change of a block's projection)"
        ))
    }
}

/// Layer, product and first output of a projection by its tensor's name.
fn place(config: &Config, name: &str) -> Option<(usize, Site, usize)> {
    let rest = name.strip_prefix("model.layers.")?;
    let (layer, module) = rest.split_once('.')?;
    let (n_q, n_kv) = (
        config.n_heads * config.d_head,
        config.n_kv_heads * config.d_head,
    );
    let n_gates = if config.gated { config.d_ff } else { 0 };
    let (site, first) = match module.strip_suffix(".weight")? {
        "self_attn.q_proj" => (Site::Qkv, 0),
        "self_attn.k_proj" => (Site::Qkv, n_q),
        "self_attn.v_proj" => (Site::Qkv, n_q + n_kv),
        "self_attn.o_proj" => (Site::Out, 0),
        "mlp.gate_proj" => (Site::Up, 0),
        "mlp.up_proj" => (Site::Up, n_gates),
        "mlp.down_proj" => (Site::Down, 0),
        _ => return None,
    };
    Some((layer.parse().ok()?, site, first))
}

/// A low-rank change and nothing else, by columns.
fn pair(change: &Change, first: usize, n_in: usize) -> Option<Pair> {
    let low_rank = change.low_rank.as_ref()?;
    if !matches!(change.length, Length::Own) || !change.rows.is_empty() {
        return None;
    }
    let rank = low_rank.rank;
    let n_out = low_rank.left.len() / rank.max(1);
    let mut down = vec![0.0; n_in * rank];
    for (k, row) in low_rank.right.chunks_exact(n_in).enumerate() {
        for (i, a) in row.iter().enumerate() {
            down[i * rank + k] = *a;
        }
    }
    let mut up = vec![0.0; rank * n_out];
    for (i, row) in low_rank.left.chunks_exact(rank).enumerate() {
        for (k, b) in row.iter().enumerate() {
            up[k * n_out + i] = low_rank.scale * b;
        }
    }
    Some(Pair {
        rank,
        first,
        n_out,
        down,
        up,
    })
}
