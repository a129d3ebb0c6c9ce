//! Trained weights as a file that other programs read, and all that training needs to go on.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_record::files;
use safetensors::SafeTensors;

use super::{TrainError, Trainee};
use crate::checkpoint::Dtype;
use crate::checkpoint::write::{OwnedTensor, quantize, safetensors};

/// In a state: the number of steps that the optimizer has made.
const N_STEPS: &str = "optimizer.n_steps";
/// In a state: what stands before the name of a tensor whose moments these are.
const MOMENTS: &str = "optimizer.moments.";

impl Trainee {
    /// Writes all weights (f32, names as Hugging Face's Llama has them) into the folder's
    /// `model.safetensors`, in one step; its `config.json` and tokenizer are the caller's.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save_weights(&self, folder: &Path) -> Result<(), TrainError> {
        let tensors = self.owned_weights();
        Ok(files::write_atomic(
            &folder.join("model.safetensors"),
            &safetensors(&tensors),
        )?)
    }

    /// Writes weights, moments and the number of steps: training that is taken up from it with
    /// [`Trainee::load_state`] gives the same bytes as if it had never stopped.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save_state(&self, path: &Path) -> Result<(), TrainError> {
        let mut tensors = self.owned_weights();
        for (id, name) in self.parameters.names.iter().enumerate() {
            if let Some(values) = self.moments.values(id) {
                tensors.insert(
                    format!("{MOMENTS}{name}"),
                    owned(vec![values.len()], &values),
                );
            }
        }
        let n_steps = self.moments.n_steps() as f32;
        tensors.insert(N_STEPS.to_owned(), owned(vec![1], &[n_steps]));
        Ok(files::write_atomic(path, &safetensors(&tensors))?)
    }

    /// Takes up what [`Trainee::save_state`] wrote.
    ///
    /// # Errors
    /// [`TrainError::File`], [`TrainError::State`] where it is damaged or of another model.
    pub fn load_state(&mut self, path: &Path) -> Result<(), TrainError> {
        let bytes = files::read(path)?;
        let wrong = |what: String| TrainError::State {
            path: path.to_owned(),
            what,
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
        let values = |name: &str| -> Result<Option<Vec<f32>>, TrainError> {
            let Ok(tensor) = file.tensor(name) else {
                return Ok(None);
            };
            if tensor.dtype() != safetensors::Dtype::F32 {
                return Err(wrong(format!("`{name}` is not of f32")));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            Ok(Some(
                values.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            ))
        };
        let n_steps = values(N_STEPS)?.and_then(|n| n.first().copied());
        let n_steps = n_steps.ok_or_else(|| wrong(format!("`{N_STEPS}` is missing")))?;
        for (id, name) in self.parameters.names.clone().iter().enumerate() {
            let weights = values(name)?.ok_or_else(|| wrong(format!("`{name}` is missing")))?;
            self.set_weight(name, &weights)?;
            let like = &self.parameters.values[id];
            let moments = values(&format!("{MOMENTS}{name}"))?;
            if !self.moments.restore(id, moments, like) {
                return Err(wrong(format!("the moments of `{name}` have another size")));
            }
        }
        self.moments.restore_steps(n_steps as i32);
        self.gradients.clear();
        Ok(())
    }

    fn owned_weights(&self) -> BTreeMap<String, OwnedTensor> {
        let weights = self.weights(false).into_iter();
        weights
            .map(|(name, tensor)| (name, owned(tensor.shape, &tensor.values)))
            .collect()
    }
}

fn owned(shape: Vec<usize>, values: &[f32]) -> OwnedTensor {
    OwnedTensor {
        shape,
        dtype: Dtype::F32,
        bytes: quantize(Dtype::F32, values),
    }
}
