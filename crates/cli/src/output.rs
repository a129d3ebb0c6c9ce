//! Where text goes: data to stdout, talk to stderr.

use std::io::{self, Write};

use crate::error::{CliError, Result};

/// One line (or block) of talk on stderr.
#[expect(clippy::print_stderr, reason = "this is the one place that talks")]
pub(crate) fn talk(text: &str) {
    eprintln!("{text}");
}

/// One line (or block) of data on stdout. A reader that closed the pipe ends the command quietly.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// A plain table: aligned columns, readable without color.
pub(crate) fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}
