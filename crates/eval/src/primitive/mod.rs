//! The primitives behind `isogloss score`, `generate`, `hidden`, `tokenize` and `identify`: lines
//! in, answers out, in the order of the input.

pub mod generate;
pub mod hidden;
pub mod identify;
pub mod score;
pub mod tokenize;

use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Encoded, Explain, Request, Response, Usage};
use serde_json::{Map, Value};

use crate::jsonl::{Line, LineError};

/// Lines that are answered together; their answers are written before the next ones are begun.
const CHUNK: usize = 256;

/// Why a primitive ended early.
#[derive(Debug, thiserror::Error)]
pub enum PrimitiveError {
    /// A line of the input.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The model.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Explain for PrimitiveError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Line(error) => error.hint(),
            Self::Backend(error) => error.hint(),
        }
    }
}

/// Where answers go, one object per line.
pub type Sink<'a> = &'a mut dyn FnMut(Map<String, Value>) -> Result<(), LineError>;

/// Encodes all lines before any work, then answers them in chunks, in order.
fn answer_all(
    backend: &dyn Backend,
    lines: &[Line],
    file: &str,
    settings: &RunSettings<'_>,
    request: impl Fn(&Line) -> Result<Request, LineError>,
    answer: impl Fn(&Line, &Encoded, Response) -> Map<String, Value>,
    sink: Sink<'_>,
) -> Result<Usage, PrimitiveError> {
    let mut jobs = Vec::with_capacity(lines.len());
    for line in lines {
        let job = backend
            .encode(&request(line)?)
            .map_err(|error| at(line, file, &error))?;
        jobs.push(job);
    }
    let mut usage = Usage::default();
    for (lines, jobs) in lines.chunks(CHUNK).zip(jobs.chunks(CHUNK)) {
        let mut answers: Vec<Option<Response>> = vec![None; jobs.len()];
        usage += backend.run(jobs, settings, &mut |i, response| {
            answers[i] = Some(response);
        })?;
        for ((line, job), response) in lines.iter().zip(jobs).zip(answers) {
            let response = response.expect("a backend answers every job of a successful call");
            sink(answer(line, job, response))?;
        }
    }
    Ok(usage)
}

/// A refusal of the model, at the line that caused it.
fn at(line: &Line, file: &str, error: &BackendError) -> LineError {
    LineError::Field {
        file: file.to_owned(),
        line: line.number,
        problem: error.to_string(),
        hint: error.hint(),
    }
}
