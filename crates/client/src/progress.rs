//! What a long fetch tells its caller while it works; the command line draws it.

use std::path::Path;

/// One thing worth showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The license of a built-in model, before anything is fetched.
    License {
        /// The model's short name.
        name: &'a str,
        /// The license's name.
        license: &'a str,
        /// Where it can be read.
        url: &'a str,
    },
    /// Another process fetches the same file: we wait for it.
    Waiting {
        /// The file.
        path: &'a Path,
    },
    /// Bytes of one file or package so far; `total` where it is known.
    Bytes {
        /// What is fetched: a package or a file of a repository.
        what: &'a str,
        /// Bytes so far.
        done: u64,
        /// Bytes at the end.
        total: Option<u64>,
    },
    /// A file's hash is computed.
    Checking {
        /// The file.
        path: &'a Path,
    },
    /// A request failed in a way that may pass, and is sent again after a wait.
    Retry {
        /// What is fetched.
        what: &'a str,
        /// Why, in a few words.
        why: &'a str,
        /// Milliseconds until then.
        wait_ms: u64,
    },
    /// The hub does not answer: what was fetched earlier is used.
    FromCache {
        /// The file or folder.
        path: &'a Path,
        /// Why the hub does not answer.
        why: &'a str,
    },
    /// The file is in place.
    Ready {
        /// The file.
        path: &'a Path,
    },
}

/// Where progress goes.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress<'_>);
