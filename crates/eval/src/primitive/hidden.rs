//! `hidden`: pooled hidden states of texts.
//!
//! Input: `{"id","text"}`. Output: a safetensors file with one tensor `[n_layers, d]` per id: the
//! outputs of the chosen blocks (the last one's after the final norm if the engine was opened so).

use isogloss_model::{Backend, RunSettings};
use isogloss_record::{Pooled, Prompt, Request, Response, Span, Usage};
use safetensors::tensor::{Dtype, TensorView};

use super::{Input, PrimitiveError, at};
use crate::jsonl::LineError;

/// Which vector of a text is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The last position.
    Last,
    /// The mean over the positions, without a BOS that the tokenizer adds.
    Mean,
}

/// What is taken of each text.
#[derive(Debug, Clone)]
pub struct HiddenOptions {
    /// Blocks from 0; `None` is all of them.
    pub layers: Option<Vec<usize>>,
    /// Which vector.
    pub pool: Pool,
}

/// The states of every line as a safetensors file.
pub fn hidden(
    backend: &dyn Backend,
    input: &Input<'_>,
    options: &HiddenOptions,
    settings: &RunSettings<'_>,
) -> Result<(Vec<u8>, Usage), PrimitiveError> {
    let Input {
        lines,
        file,
        truncate,
    } = *input;
    let mut n_tokens_cut = 0;
    let mut jobs = Vec::with_capacity(lines.len());
    let mut names: Vec<String> = Vec::with_capacity(lines.len());
    for line in lines {
        let Some(text) = line.text("text", file)? else {
            return Err(line.error(file, "expected `text`".to_owned()).into());
        };
        let request = Request::Score {
            context: Prompt::Text(String::new()),
            continuation: text.to_owned(),
            span: Span::Continuation,
            pool: true,
        };
        let (job, n_cut) = backend
            .encode_cut(&request, truncate)
            .map_err(|error| at(line, file, &error))?;
        n_tokens_cut += n_cut as u64;
        jobs.push(job);
        let name = match line.id() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        if names.contains(&name) {
            return Err(line
                .error(file, format!("the id `{name}` is there twice"))
                .into());
        }
        names.push(name);
    }
    let mut states: Vec<Option<(Vec<usize>, Vec<u8>)>> = vec![None; jobs.len()];
    let mut refused = None;
    let mut usage = backend.run(&jobs, settings, &mut |i, response| {
        let Response::Score {
            pooled: Some(pooled),
            ..
        } = response
        else {
            unreachable!("a pooled score is answered with its states");
        };
        match chosen(&pooled, options) {
            Ok(rows) => states[i] = Some(rows),
            Err(problem) => refused = Some(problem),
        }
    })?;
    usage.n_tokens_cut = n_tokens_cut;
    if let (Some(problem), Some(line)) = (refused, lines.first()) {
        return Err(line.error(file, problem).into());
    }
    let views = names.into_iter().zip(&states).map(|(name, state)| {
        let (shape, bytes) = state.as_ref().expect("every job was answered");
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("the bytes were counted from the shape"))
    });
    let bytes = safetensors::serialize(views, None).map_err(|error| LineError::Field {
        file: file.to_owned(),
        line: 0,
        problem: error.to_string(),
        hint: None,
    })?;
    Ok((bytes, usage))
}

/// `[n_layers, d]` and its little-endian bytes.
fn chosen(pooled: &Pooled, options: &HiddenOptions) -> Result<(Vec<usize>, Vec<u8>), String> {
    let layers = match options.pool {
        Pool::Last => &pooled.last,
        Pool::Mean => &pooled.mean,
    };
    let wanted = options
        .layers
        .clone()
        .unwrap_or_else(|| (0..layers.len()).collect());
    let mut bytes = Vec::new();
    for &layer in &wanted {
        let row = layers.get(layer).ok_or_else(|| {
            format!(
                "layer {layer} does not exist: the model has the layers 0 to {}",
                layers.len() - 1
            )
        })?;
        bytes.extend(row.iter().flat_map(|x| x.to_le_bytes()));
    }
    let d_model = layers.first().map_or(0, Vec::len);
    Ok((vec![wanted.len(), d_model], bytes))
}
