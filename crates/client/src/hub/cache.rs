//! The hub's cache on disk, in the layout that the Python library uses, so that both share files.
//!
//! ```text
//! models--org--name/
//!   refs/main                    the commit that `main` meant when it was last asked
//!   blobs/<etag>                 contents; `<etag>.incomplete` while they grow
//!   snapshots/<commit>/<path>    relative symbolic links into blobs/
//! .locks/models--org--name/<etag>.lock
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use isogloss_record::files::{self, FileError};

use super::listing::{self, Need};
use crate::error::ClientError;
use crate::settings::Settings;
use crate::spec::HubId;

/// One repository's place in the cache.
pub(crate) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(crate) fn new(settings: &Settings, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Self {
            folder: settings.hub_cache.join(&name),
            locks: settings.hub_cache.join(".locks").join(&name),
        }
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// The file whose lock guards a blob.
    pub(crate) fn lock_base(&self, etag: &str) -> PathBuf {
        self.locks.join(etag)
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(crate) fn create_folders(&self) -> Result<(), FileError> {
        files::create_dir_all(&self.folder.join("blobs"))?;
        files::create_dir_all(&self.locks)
    }

    /// Which commit a revision meant when it was last asked.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        if listing::is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = files::read_to_string(&self.folder.join("refs").join(revision)).ok()?;
        let commit = text.trim();
        listing::is_commit(commit).then(|| commit.to_owned())
    }

    /// Remembers which commit a revision means.
    pub(crate) fn remember(&self, revision: &str, commit: &str) -> Result<(), FileError> {
        if listing::is_commit(revision) || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        if let Some(parent) = path.parent() {
            files::create_dir_all(parent)?;
        }
        files::write_atomic(&path, commit.as_bytes())
    }

    /// Puts `blobs/<etag>` into a snapshot under `name`.
    pub(crate) fn link(&self, commit: &str, name: &str, etag: &str) -> Result<(), FileError> {
        let path = self.snapshot(commit).join(name);
        if path.exists() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            files::create_dir_all(parent)?;
        }
        // A link that points nowhere is in the way of a good one.
        let _ = fs::remove_file(&path);
        let up = "../".repeat(2 + name.matches('/').count());
        match link(
            Path::new(&format!("{up}blobs/{etag}")),
            &self.blob(etag),
            &path,
        ) {
            Err(error) if !path.exists() => Err(FileError::at("create", &path)(error)),
            _ => Ok(()),
        }
    }

    /// What is wanted, where all of it is already in a snapshot; a folder or a GGUF file.
    pub(crate) fn complete(
        &self,
        commit: &str,
        id: &HubId,
    ) -> Result<Option<PathBuf>, ClientError> {
        let folder = self.snapshot(commit);
        let mut names = Vec::new();
        walk(&folder, "", &mut names);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Ok(need) = listing::choose(&names, id) else {
            return Ok(None);
        };
        let path = match need {
            Need::Gguf(file) => folder.join(file),
            Need::Whole { .. } => folder,
            Need::Sharded { .. } => {
                let index = files::read(&folder.join(listing::INDEX))?;
                let shards = listing::shards(&index, id)?;
                if !shards.iter().all(|shard| names.contains(&shard.as_str())) {
                    return Ok(None);
                }
                folder
            }
        };
        Ok(Some(path))
    }
}

#[cfg(unix)]
fn link(target: &Path, _blob: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Symbolic links need a privilege here: the Python library falls back to a second name too.
#[cfg(not(unix))]
fn link(_target: &Path, blob: &Path, path: &Path) -> std::io::Result<()> {
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
}

/// Names of all files under a folder, with `/` between; links that point nowhere are left out.
fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = entry.path();
        if path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), names);
        } else if path.is_file() {
            names.push(format!("{prefix}{name}"));
        }
    }
    names.sort();
}
