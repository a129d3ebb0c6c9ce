//! The `isogloss` command: one file per sub-command; the only crate that prints.
//!
//! stdout is data, stderr is talk. A command parses its arguments, calls the library, and shows
//! what came back; it computes nothing itself.

mod args;
mod command;
mod error;
mod interrupt;
mod job;
mod lines;
mod machine;
mod model;
mod output;
mod progress;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

/// Which languages does a language model really serve?
///
/// Isogloss measures comprehension, production, lexicon, fidelity and cost in hundreds of
/// languages, with no data set to download, and draws the line on a map.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  isogloss tour                                        the whole thing in minutes
  isogloss survey ./my-model --langs ha,or,eu --out run
  isogloss tokens smollm2-135m gemma3-270m --langs ha,or";

#[derive(Subcommand)]
enum Command {
    Tour(command::tour::Args),
    Survey(Box<command::survey::Command>),
    Tokens(command::tokens::Args),
    Decide(command::decide::Args),
    #[command(subcommand)]
    Probe(command::probe::Probe),
    Report(command::report::Args),
    Languages(command::languages::Args),
    Score(command::score::Args),
    Generate(command::generate::Args),
    Hidden(command::hidden::Args),
    Embed(command::embed::Args),
    Classify(command::classify::Args),
    Tokenize(command::tokenize::Args),
    Identify(command::identify::Args),
    Serve(command::serve::Args),
}

fn main() -> ExitCode {
    machine::tune_allocator();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if is_mistake(&error) => {
            let error = error::CliError::usage(&error);
            output::talk(&error.to_string());
            return ExitCode::from(error.exit_code);
        }
        // Help and version.
        Err(help) => help.exit(),
    };
    let stop = interrupt::install();
    let result = match cli.command {
        Command::Tour(args) => command::tour::run(&args, stop),
        Command::Survey(args) => command::survey::run(&args, stop),
        Command::Tokens(args) => command::tokens::run(&args),
        Command::Decide(args) => command::decide::run(&args),
        Command::Probe(probe) => command::probe::run(&probe, stop),
        Command::Report(args) => command::report::run(&args),
        Command::Languages(args) => command::languages::run(&args),
        Command::Score(args) => command::score::run(&args, stop),
        Command::Generate(args) => command::generate::run(&args, stop),
        Command::Hidden(args) => command::hidden::run(&args, stop),
        Command::Embed(args) => command::embed::run(&args, stop),
        Command::Classify(args) => command::classify::run(&args, stop),
        Command::Tokenize(args) => command::tokenize::run(&args),
        Command::Identify(args) => command::identify::run(&args),
        Command::Serve(args) => command::serve::run(&args, stop),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::talk(&error.to_string());
            ExitCode::from(error.exit_code)
        }
    }
}

/// Whether something is wrong with the arguments; else help or version was asked for, or nothing.
fn is_mistake(error: &clap::Error) -> bool {
    error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}
