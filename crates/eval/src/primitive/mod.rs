//! The primitives behind `isogloss score`, `generate`, `hidden`, `embed`, `classify`, `tokenize` and
//! `identify`: lines in, answers out, in the order of the input.

pub mod classify;
pub mod embed;
pub mod generate;
pub mod hidden;
pub mod identify;
pub mod score;
pub mod tokenize;

use isogloss_model::truncate::Truncate;
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

/// Lines to answer, and how.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The lines.
    pub lines: &'a [Line],
    /// Name of the file they come from, for errors.
    pub file: &'a str,
    /// What is done with a text that is longer than the model's context.
    pub truncate: Truncate,
}

/// Encodes all lines before any work, then answers them in chunks, in order. Where texts may be cut,
/// every answer says how many tokens were.
fn answer_all(
    backend: &dyn Backend,
    input: &Input<'_>,
    settings: &RunSettings<'_>,
    request: impl Fn(&Line) -> Result<Request, LineError>,
    answer: impl Fn(&Line, &Encoded, Response) -> Map<String, Value>,
    sink: Sink<'_>,
) -> Result<Usage, PrimitiveError> {
    let Input {
        lines,
        file,
        truncate,
    } = *input;
    let (mut jobs, mut n_cut) = (Vec::with_capacity(lines.len()), Vec::new());
    for line in lines {
        let (job, n) = backend
            .encode_cut(&request(line)?, truncate)
            .map_err(|error| at(line, file, &error))?;
        jobs.push(job);
        n_cut.push(n);
    }
    let mut usage = Usage {
        n_tokens_cut: n_cut.iter().sum::<usize>() as u64,
        ..Usage::default()
    };
    let mut n_cut = n_cut.into_iter();
    for (lines, jobs) in lines.chunks(CHUNK).zip(jobs.chunks(CHUNK)) {
        let mut answers: Vec<Option<Response>> = vec![None; jobs.len()];
        usage += backend.run(jobs, settings, &mut |i, response| {
            answers[i] = Some(response);
        })?;
        for ((line, job), response) in lines.iter().zip(jobs).zip(answers) {
            let response = response.expect("a backend answers every job of a successful call");
            let mut answer = answer(line, job, response);
            if let Some(n) = n_cut.next().filter(|_| truncate != Truncate::Refuse) {
                answer.insert("n_tokens_cut".into(), n.into());
            }
            sink(answer)?;
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
