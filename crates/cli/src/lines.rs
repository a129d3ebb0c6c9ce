//! Where JSON lines come from and go to: a file, or standard input and output.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use isogloss_eval::jsonl::{self, Line, LineError};
use isogloss_eval::primitive::PrimitiveError;
use isogloss_model::BackendError;
use isogloss_record::Usage;
use isogloss_record::files::FileError;
use serde_json::{Map, Value};

use crate::args::Lines;
use crate::error::{CliError, Result};
use crate::output;

/// All lines of the input, and the name that errors give it.
pub(crate) fn read(lines: &Lines) -> Result<(Vec<Line>, String)> {
    if is_standard(&lines.input) {
        let name = "standard input".to_owned();
        return Ok((jsonl::read(io::stdin().lock(), &name)?, name));
    }
    let name = lines.input.display().to_string();
    let file = File::open(&lines.input).map_err(FileError::at("read", &lines.input))?;
    Ok((jsonl::read(BufReader::new(file), &name)?, name))
}

/// Calls `work` with a sink for answers; every answer is flushed as it comes, so that a stopped
/// command has lost nothing that it had finished. A reader that closed the pipe (`| head`) ends the
/// command quietly, with `None`.
pub(crate) fn write<T, E: Into<CliError>>(
    lines: &Lines,
    work: impl FnOnce(
        &mut dyn FnMut(Map<String, Value>) -> std::result::Result<(), LineError>,
    ) -> std::result::Result<T, E>,
) -> Result<Option<T>> {
    let name = if is_standard(&lines.output) {
        "standard output".to_owned()
    } else {
        lines.output.display().to_string()
    };
    let mut writer = open(&lines.output)?;
    let mut is_closed = false;
    let done = work(&mut |answer| {
        let written = jsonl::write(&mut writer, &answer, &name).and_then(|()| {
            writer.flush().map_err(|source| LineError::Io {
                file: name.clone(),
                source,
            })
        });
        is_closed = matches!(
            &written,
            Err(LineError::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe
        );
        written
    });
    match done {
        Err(_) if is_closed => Ok(None),
        Err(error) => Err(error.into()),
        Ok(done) => Ok(Some(done)),
    }
}

/// Says that texts were cut, where they were.
pub(crate) fn tell_cut(usage: Option<Usage>) {
    let n = usage.map_or(0, |usage| usage.n_tokens_cut);
    if n > 0 {
        output::talk(&format!(
            "note: {n} tokens were cut from texts longer than the model's context"
        ));
    }
}

/// Why lines were not answered; an interrupt is one too.
pub(crate) fn ended(error: PrimitiveError) -> CliError {
    match error {
        PrimitiveError::Backend(BackendError::Canceled) => CliError::interrupted(
            "what was answered is written, in whole lines; run the same command again for all",
        ),
        error => error.into(),
    }
}

/// Writes a whole file, or to standard output.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_standard(path) {
        let mut stdout = io::stdout().lock();
        return stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| CliError::new(format!("cannot write to standard output: {error}")));
    }
    Ok(isogloss_record::files::write_atomic(path, bytes)?)
}

fn open(path: &Path) -> Result<Box<dyn Write>> {
    if is_standard(path) {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).map_err(FileError::at("write", path))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}
