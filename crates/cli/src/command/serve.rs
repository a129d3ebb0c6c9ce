//! `isogloss serve`: a model behind the OpenAI completions contract.

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use isogloss_serve::{AccessToken, Limits, serve};

use crate::args::Compute;
use crate::error::{CliError, Result};
use crate::{interrupt, model, output};

/// Name of the environment variable that holds the token, here and for the commands that ask.
const KEY: &str = "ISOGLOSS_API_KEY";

/// Serve a model over HTTP: completions with echoed log-probabilities, and chat
///
/// Speaks the OpenAI API: /v1/completions (text or token ids, batches, `echo` with `logprobs`,
/// streams), /v1/chat/completions through the model's own template, /v1/models, /tokenize and
/// /detokenize. Listens on this machine only, and every request needs the token. Ctrl-C finishes
/// what runs and ends.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  isogloss serve smollm2-135m
  isogloss serve ./my-model --adapter law=./lora-law --adapter sw=./lora-swahili
  ISOGLOSS_API_KEY=mine isogloss serve ./my-model --port 8400
  ISOGLOSS_API_KEY=mine isogloss score http://127.0.0.1:8400/v1 --input texts.jsonl")]
pub(crate) struct Args {
    /// A path, a hub id (`org/name`) or a short name (`smollm2-135m`)
    model: String,

    /// Lay a PEFT adapter beside the model, to be chosen by the request's `model`; may be given
    /// several times. Low-rank changes of the blocks only (LoRA, rank-stabilized LoRA)
    #[arg(long, value_name = "NAME=DIR", value_parser = adapter)]
    adapter: Vec<(String, PathBuf)>,

    /// Address to listen on; others than 127.0.0.1 can be reached from outside
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    host: IpAddr,

    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 8377)]
    port: u16,

    /// Token that every request must carry [default: ISOGLOSS_API_KEY, else a random one, printed]
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,

    /// Prompts that may wait; further ones are answered with 429
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    queue: u32,

    /// Connections at once; further ones are answered with 503
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// Seconds that a client may take to send a request, and to take an answer
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    timeout: u16,

    #[command(flatten)]
    compute: Compute,
}

pub(crate) fn run(args: &Args, stop: &AtomicBool) -> Result<()> {
    let (token, is_random) = token(args.token.as_deref())?;
    let listener = TcpListener::bind((args.host, args.port)).map_err(|error| {
        CliError::new(format!(
            "cannot listen on {}:{}: {error}",
            args.host, args.port
        ))
        .hint("give another `--port` (0 takes a free one) or `--host`")
    })?;
    let address = listener.local_addr().map_err(|error| {
        CliError::new(format!("the socket has no address: {error}")).hint("give another `--port`")
    })?;
    let options = args.compute.engine_options();
    let model = model::open_beside(&args.model, &args.adapter, &options)?;
    let seconds = Duration::from_secs(u64::from(args.timeout));
    let limits = Limits {
        n_waiting: args.queue as usize,
        n_connections: usize::from(args.connections),
        batch_size: args.compute.batch_size(),
        timeout_read: seconds,
        timeout_write: seconds,
        ..Limits::default()
    };
    let names: Vec<&str> = (model.models().into_iter())
        .map(|model| model.name.as_str())
        .collect();
    output::talk(&format!(
        "{} {} served at http://{address}/v1",
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" }
    ));
    if is_random {
        output::talk(&format!(
            "token: {}\n(clients: export {KEY}={})",
            token.secret(),
            token.secret()
        ));
    }
    if !args.host.is_loopback() {
        output::talk("note: other machines can reach this address; nothing is encrypted");
    }
    output::talk("Ctrl-C ends it");
    interrupt::watch();
    let served = serve(&listener, &*model, &token, &limits, stop)?;
    output::talk(&format!(
        "{} requests answered, {} refused, {} clients went away",
        served.n_answered, served.n_refused, served.n_gone
    ));
    Ok(())
}

/// `NAME=DIR`.
fn adapter(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
            Ok((name.to_owned(), folder.into()))
        }
        _ => Err("expected a name, `=` and the adapter's folder".to_owned()),
    }
}

/// The token that was given, or a random one that must be told.
fn token(given: Option<&str>) -> Result<(AccessToken, bool)> {
    let from_environment = std::env::var_os(KEY).filter(|value| !value.is_empty());
    let given = given.map(str::to_owned).or_else(|| {
        let value = from_environment?;
        Some(value.to_string_lossy().trim().to_owned())
    });
    match given {
        None => Ok((AccessToken::random()?, true)),
        Some(text) => AccessToken::new(&text)
            .map(|token| (token, false))
            .ok_or_else(|| {
                CliError::new("the token is empty, or holds what a header cannot carry")
                    .hint("take letters, digits and signs without white space")
            }),
    }
}
