//! How hidden states become one vector, as a sentence-transformers folder says: `modules.json`,
//! `1_Pooling/config.json`, further layers, normalization.
//!
//! Source: sentence-transformers 5, `models/{Transformer,Pooling,Dense,Normalize}.py`.

use std::path::{Path, PathBuf};

use isogloss_record::files;
use serde_json::Value;

use super::config::Activation;
use super::forward::{activate, apply};
use crate::arch::Linear;
use crate::arch::read::Reader;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::hf_config::read_json;
use crate::checkpoint::settings::Settings;
use crate::engine::{EngineError, LoadError};
use crate::kernel::{Compute, Isa, Rows};

/// How the states of all tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's (`[CLS]`).
    First,
    /// Their mean, special tokens included.
    Mean,
    /// Of each dimension the largest.
    Max,
    /// The last token's.
    Last,
}

/// What is done with a vector at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalization {
    /// It is divided by its length.
    Unit,
    /// Nothing.
    AsIs,
}

/// A step behind pooling.
pub(crate) enum Step {
    Dense {
        linear: Linear,
        n_out: usize,
        activation: Option<Activation>,
    },
    Normalize,
}

/// From hidden states to the vector of a text.
pub(crate) struct Layout {
    /// Where the transformer itself lies.
    pub(crate) transformer: PathBuf,
    pub(crate) pooling: Pooling,
    pub(crate) steps: Vec<Step>,
    /// Longest text in tokens; `None`: the model's own limit.
    pub(crate) max_tokens: Option<usize>,
    /// Files that are part of what the model is.
    pub(crate) files: Vec<PathBuf>,
}

impl Layout {
    /// Of a folder without `modules.json`.
    pub(crate) fn plain(folder: &Path, pooling: Pooling, normalization: Normalization) -> Self {
        Self {
            transformer: folder.to_owned(),
            pooling,
            steps: match normalization {
                Normalization::Unit => vec![Step::Normalize],
                Normalization::AsIs => Vec::new(),
            },
            max_tokens: None,
            files: Vec::new(),
        }
    }

    /// As `modules.json` says; `None` without one.
    pub(crate) fn read(folder: &Path, d_model: usize) -> Result<Option<Self>, EngineError> {
        let path = folder.join("modules.json");
        if !path.is_file() {
            return Ok(None);
        }
        let json = read_json(&path)?;
        let damaged = |what: &str, expected: &str, found: String| CheckpointError::Damaged {
            path: path.clone(),
            what: what.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let modules = json.as_array();
        let modules = modules.ok_or_else(|| damaged("the file", "a list", "none".into()))?;
        let mut layout = Self::plain(folder, Pooling::Mean, Normalization::AsIs);
        layout.files.push(path.clone());
        let mut n_dims = d_model;
        for (i, module) in modules.iter().enumerate() {
            let text = |key: &str| module.get(key).and_then(Value::as_str);
            let place = format!("module {i}");
            let (Some(kind), Some(name)) = (text("type"), text("path")) else {
                return Err(damaged(&place, "a type and a path", module.to_string()).into());
            };
            // A name with a way out of the folder could read any file.
            if name.contains(['/', '\\']) || name == ".." {
                let expected = "a folder inside this one";
                return Err(damaged(&place, expected, name.to_owned()).into());
            }
            let inside = folder.join(name);
            match (i, kind.rsplit('.').next().unwrap_or(kind)) {
                (0, "Transformer") => layout.transformer(&inside)?,
                (1, "Pooling") => layout.pooling(&inside)?,
                (2.., "Normalize") => {
                    check_names(&inside.join("config.json"))?;
                    layout.steps.push(Step::Normalize);
                }
                (2.., "Dense") => n_dims = layout.dense(&inside, n_dims)?,
                _ => {
                    return Err(EngineError::Checkpoint(CheckpointError::Unsupported {
                        path,
                        what: format!("`{kind}` as module {i} of a sentence encoder"),
                    }));
                }
            }
        }
        if modules.len() < 2 {
            let expected = "a transformer and a pooling module";
            return Err(damaged("the list", expected, modules.len().to_string()).into());
        }
        Ok(Some(layout))
    }

    fn transformer(&mut self, folder: &Path) -> Result<(), CheckpointError> {
        folder.clone_into(&mut self.transformer);
        let path = folder.join("sentence_bert_config.json");
        if !path.is_file() {
            return Ok(());
        }
        let json = read_json(&path)?;
        let settings = Settings {
            path: &path,
            json: &json,
        };
        if settings.bool("do_lower_case")? == Some(true) {
            return Err(CheckpointError::Unsupported {
                path,
                what: "`do_lower_case` outside the tokenizer".into(),
            });
        }
        if !settings.is_null("max_seq_length") {
            self.max_tokens = Some(settings.size("max_seq_length", None)?);
        }
        self.files.push(path);
        Ok(())
    }

    fn pooling(&mut self, folder: &Path) -> Result<(), CheckpointError> {
        let path = folder.join("config.json");
        let json = read_json(&path)?;
        let settings = Settings {
            path: &path,
            json: &json,
        };
        let mut modes: Vec<String> = Vec::new();
        match json.get("pooling_mode") {
            Some(Value::String(mode)) => modes.push(mode.clone()),
            Some(Value::Array(names)) => {
                modes.extend(names.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            _ => {
                for (key, value) in json.as_object().into_iter().flatten() {
                    let mode = key.strip_prefix("pooling_mode_");
                    if let (Some(mode), Some(true)) = (mode, value.as_bool()) {
                        modes.push(mode.to_owned());
                    }
                }
            }
        }
        if settings.bool("include_prompt")? == Some(false) {
            return Err(CheckpointError::Unsupported {
                path,
                what: "pooling without the prompt (`include_prompt: false`)".into(),
            });
        }
        let [mode] = &modes[..] else {
            let expected = "one way of pooling";
            let found = format!("{} ({})", modes.len(), modes.join(", "));
            return Err(settings.wrong("pooling_mode", expected, &found));
        };
        self.pooling = match mode.as_str() {
            "cls" | "cls_token" => Pooling::First,
            "mean" | "mean_tokens" => Pooling::Mean,
            "max" | "max_tokens" => Pooling::Max,
            "lasttoken" => Pooling::Last,
            other => {
                return Err(CheckpointError::Unsupported {
                    what: format!("pooling by `{other}`"),
                    path,
                });
            }
        };
        self.files.push(path);
        Ok(())
    }

    /// A layer `[n_out, n_in]`; returns `n_out`.
    fn dense(&mut self, folder: &Path, n_in: usize) -> Result<usize, EngineError> {
        check_names(&folder.join("config.json"))?;
        let weights = Folder::open(folder, &|name| Some(name.to_owned()))?;
        let settings = weights.settings();
        let stated = settings.size("in_features", None)?;
        if stated != n_in {
            let expected = format!("{n_in}, the length of the vectors before");
            let error = settings.wrong("in_features", &expected, &stated.to_string());
            return Err(error.into());
        }
        let n_out = settings.size("out_features", None)?;
        let name = settings.json.get("activation_function");
        let name = name.and_then(Value::as_str).unwrap_or("Tanh");
        let activation = match name.rsplit('.').next() {
            Some("Identity") => None,
            Some("Tanh") => Some(Activation::Tanh),
            Some("ReLU") => Some(Activation::Relu),
            Some("GELU") => Some(Activation::Gelu),
            _ => {
                return Err(EngineError::Checkpoint(CheckpointError::Unsupported {
                    path: folder.join("config.json"),
                    what: format!("the activation `{name}`"),
                }));
            }
        };
        let read = Reader::new(&weights, Compute::F32);
        let names = ["linear".to_owned()];
        let linear = match settings.bool("bias")? {
            Some(false) => read.projections(&names, n_out, n_in),
            _ => read.biased(&names, n_out, n_in),
        };
        let linear = linear.map_err(|source| EngineError::Load {
            name: folder.display().to_string(),
            source: LoadError::Model(source),
        })?;
        self.files.push(folder.join("config.json"));
        self.files.push(folder.join("model.safetensors"));
        self.steps.push(Step::Dense {
            linear,
            n_out,
            activation,
        });
        Ok(n_out)
    }

    /// Makes vectors of unit length, or leaves their length as it is.
    pub(crate) fn set_normalization(&mut self, normalization: Normalization) {
        while matches!(self.steps.last(), Some(Step::Normalize)) {
            self.steps.pop();
        }
        if normalization == Normalization::Unit {
            self.steps.push(Step::Normalize);
        }
    }

    /// A content hash of `hash` and the files of the layout.
    pub(crate) fn hash(&self, hash: &str) -> Result<String, CheckpointError> {
        if self.files.is_empty() {
            return Ok(hash.to_owned());
        }
        let mut together = blake3::Hasher::new();
        together.update(hash.as_bytes());
        for file in &self.files {
            let bytes = files::read(file)?;
            together.update(&(bytes.len() as u64).to_le_bytes());
            together.update(&bytes);
        }
        Ok(together.finalize().to_hex().to_string())
    }

    /// Length of the vectors, where hidden states have `d_model`.
    pub(crate) fn n_dims(&self, d_model: usize) -> usize {
        let dense = self.steps.iter().rev().find_map(|step| match step {
            Step::Dense { n_out, .. } => Some(*n_out),
            Step::Normalize => None,
        });
        dense.unwrap_or(d_model)
    }

    /// The steps behind pooling.
    pub(crate) fn finish(&self, isa: Isa, mut vector: Vec<f32>) -> Vec<f32> {
        for step in &self.steps {
            match step {
                Step::Normalize => normalize(&mut vector),
                Step::Dense {
                    linear,
                    n_out,
                    activation,
                } => {
                    let (mut x, mut y) = (Rows::new(vector.len()), Rows::new(*n_out));
                    x.set_rows(1);
                    x.row_mut(0).copy_from_slice(&vector);
                    apply(isa, linear, &x, &mut y);
                    if let Some(activation) = activation {
                        activate(isa, *activation, y.row_mut(0));
                    }
                    vector = y.row(0).to_vec();
                }
            }
        }
        vector
    }
}

/// A step works on the vector of the text and on nothing else.
fn check_names(path: &Path) -> Result<(), CheckpointError> {
    if !path.is_file() {
        return Ok(());
    }
    let json = read_json(path)?;
    let settings = Settings { path, json: &json };
    for key in ["module_input_name", "module_output_name"] {
        match json.get(key) {
            None | Some(Value::Null) => {}
            Some(name) if name == "sentence_embedding" => {}
            Some(name) => {
                let expected = "`sentence_embedding`";
                return Err(settings.wrong(key, expected, &name.to_string()));
            }
        }
    }
    Ok(())
}

/// One vector of the states of a text, `[n_tokens][d_model]`, of which there is one at least.
pub(crate) fn pool<'a>(
    pooling: Pooling,
    mut states: impl DoubleEndedIterator<Item = &'a [f32]>,
) -> Vec<f32> {
    let some = "a text has one token or more";
    match pooling {
        Pooling::First => states.next().expect(some).to_vec(),
        Pooling::Last => states.next_back().expect(some).to_vec(),
        Pooling::Max => {
            let mut max = states.next().expect(some).to_vec();
            for state in states {
                for (max, x) in max.iter_mut().zip(state) {
                    *max = max.max(*x);
                }
            }
            max
        }
        Pooling::Mean => {
            let first = states.next().expect(some);
            let mut sums: Vec<f64> = first.iter().map(|x| f64::from(*x)).collect();
            let mut n = 1.0;
            for state in states {
                n += 1.0;
                for (sum, x) in sums.iter_mut().zip(state) {
                    *sum += f64::from(*x);
                }
            }
            sums.into_iter().map(|sum| (sum / n) as f32).collect()
        }
    }
}

/// Divides a vector by its length; one of zeros stays as it is.
fn normalize(vector: &mut [f32]) {
    let square: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
    let length = square.sqrt().max(1e-12);
    for x in vector {
        *x = (f64::from(*x) / length) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_pooled_as_the_names_say() {
        let states = [[1.0_f32, 5.0], [3.0, -1.0], [2.0, 2.0]];
        let pooled = |pooling| pool(pooling, states.iter().map(|state| &state[..]));
        assert_eq!(pooled(Pooling::First), [1.0, 5.0]);
        assert_eq!(pooled(Pooling::Last), [2.0, 2.0]);
        assert_eq!(pooled(Pooling::Max), [3.0, 5.0]);
        // (1 + 3 + 2) / 3, (5 − 1 + 2) / 3
        assert_eq!(pooled(Pooling::Mean), [2.0, 2.0]);
    }

    #[test]
    fn a_unit_vector_has_length_1_and_zeros_stay() {
        // √(3² + 4²) = 5
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0; 3];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 3]);
    }
}
