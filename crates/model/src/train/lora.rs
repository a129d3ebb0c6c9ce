//! Low-rank adapters in training: what is added to a model, how it begins, and its files.
//!
//! ```text
//! y = x · Wᵀ + s · (x · Aᵀ) · Bᵀ      A [rank, n_in], B [n_out, rank], s = alpha / rank
//! ```
//! The model's own tensors are frozen: they have no gradient buffer. What is saved is a folder that
//! PEFT and [`crate::adapter`] read. Source: Hu et al. 2021, arXiv:2106.09685.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_record::Seed;
use isogloss_record::files;
use rand_chacha::rand_core::Rng;
use serde_json::json;

use super::parameters::Parameters;
use super::{TrainError, Trainee};
use crate::adapter::{permuted_heads, unpermuted};
use crate::checkpoint::write::{OwnedTensor, quantize, safetensors};
use crate::checkpoint::{Config, Dtype, Family};
use crate::kernel::Rows;

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// Low-rank adapters over some projections of every block.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Rows of `lora_A`, 1 or more.
    pub rank: usize,
    /// The change is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Ends of the names of projections: `q_proj`, `mlp.down_proj`.
    pub targets: Vec<String>,
    /// What `lora_A` is drawn from.
    pub seed: Seed,
}

/// Whether a tensor is one of an adapter.
pub(super) fn is_adapter(name: &str) -> bool {
    name.ends_with(A) || name.ends_with(B)
}

impl Lora {
    /// What the change is multiplied by.
    pub(super) fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }

    /// Adds the tensors: A uniform within ±1 / √n_in (as PEFT begins), B 0.
    pub(super) fn add_to(
        &self,
        config: &Config,
        parameters: &mut Parameters,
    ) -> Result<(), TrainError> {
        let refuse = |what: String| Err(TrainError::Lora { what });
        let family = config.family;
        if matches!(
            family,
            Family::Gpt2 | Family::GptNeoX | Family::Bloom | Family::Phi3
        ) {
            return refuse(format!(
                "the projections of {} are stored as one, over which none can be trained yet",
                family.name()
            ));
        }
        if self.rank == 0 || !self.alpha.is_finite() {
            return refuse(format!("rank {}, alpha {}", self.rank, self.alpha));
        }
        let modules: Vec<(String, usize, usize)> = (parameters.names.iter())
            .zip(&parameters.shapes)
            .filter_map(|(name, shape)| {
                let module = name.strip_suffix(".weight")?;
                let [n_out, n_in] = *shape.as_slice() else {
                    return None;
                };
                let is_projection =
                    module.starts_with("model.layers.") && module.ends_with("_proj");
                let is_target =
                    |target: &String| module == target || module.ends_with(&format!(".{target}"));
                (is_projection && self.targets.iter().any(is_target))
                    .then(|| (module.to_owned(), n_out, n_in))
            })
            .collect();
        let unknown = self.targets.iter().find(|target| {
            let end = format!(".{target}");
            !(modules.iter()).any(|(module, ..)| module == *target || module.ends_with(&end))
        });
        if let Some(target) = unknown {
            return refuse(format!("no projection is called `{target}`"));
        }
        if modules.is_empty() {
            return refuse("no projection is named".into());
        }
        for (i, (module, n_out, n_in)) in modules.into_iter().enumerate() {
            let mut draw = self.seed.rng("lora_A", i as u64);
            let bound = 1.0 / (n_in as f32).sqrt();
            let mut a = Rows::new(n_in);
            a.set_rows(self.rank);
            for row in 0..self.rank {
                for x in a.row_mut(row) {
                    *x = ((draw.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * bound;
                }
            }
            let mut b = Rows::new(self.rank);
            b.set_rows(n_out);
            for (end, shape, values) in [(A, [self.rank, n_in], a), (B, [n_out, self.rank], b)] {
                parameters.names.push(format!("{module}{end}"));
                parameters.shapes.push(shape.to_vec());
                parameters.values.push(values);
            }
        }
        Ok(())
    }
}

impl Trainee {
    /// Writes the adapters as PEFT does: `adapter_config.json`, which says that they are for the
    /// model `made_for`, and `adapter_model.safetensors` (f32). The folder is made if need be.
    ///
    /// # Errors
    /// [`TrainError::Lora`] without adapters, [`TrainError::File`].
    pub fn save_lora(&self, folder: &Path, made_for: &str) -> Result<(), TrainError> {
        let Some(lora) = &self.lora else {
            return Err(TrainError::Lora {
                what: "there are none to save".into(),
            });
        };
        let config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": made_for,
            "r": lora.rank,
            "lora_alpha": lora.alpha,
            "target_modules": lora.targets,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
        });
        let tensors: BTreeMap<String, OwnedTensor> = (self.weights(true).into_iter())
            .map(|(name, tensor)| {
                let width = tensor.shape[1];
                let mut values = tensor.values;
                // Rows of heads go back to where Hugging Face has them.
                let heads = permuted_heads(&self.config, &name).filter(|_| name.ends_with(B));
                if heads.is_some() {
                    let rows: Vec<Vec<f32>> =
                        values.chunks_exact(width).map(<[f32]>::to_vec).collect();
                    for (i, row) in rows.iter().enumerate() {
                        let at = unpermuted(heads, i) * width;
                        values[at..at + width].copy_from_slice(row);
                    }
                }
                let tensor = OwnedTensor {
                    shape: tensor.shape,
                    dtype: Dtype::F32,
                    bytes: quantize(Dtype::F32, &values),
                };
                (format!("base_model.model.{name}"), tensor)
            })
            .collect();
        files::create_dir_all(folder)?;
        let json = serde_json::to_vec_pretty(&config).expect("settings are JSON");
        files::write_atomic(&folder.join("adapter_config.json"), &json)?;
        files::write_atomic(
            &folder.join("adapter_model.safetensors"),
            &safetensors(&tensors),
        )?;
        Ok(())
    }
}
