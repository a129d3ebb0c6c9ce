//! File access whose errors carry the path, and writes that are never torn.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{path}`: {source}")]
pub struct FileError {
    /// What was tried (`read`, `write`, `create`).
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the system answered.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: `File::open(path).map_err(FileError::at("open", path))`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

impl crate::Explain for FileError {
    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::NotFound => Some("check the spelling of the path".into()),
            io::ErrorKind::PermissionDenied => Some("check the permissions of the path".into()),
            io::ErrorKind::StorageFull => Some(
                "free some space and run the same command again: what is finished is kept".into(),
            ),
            io::ErrorKind::InvalidData => Some("the file must be UTF-8 text".into()),
            _ => None,
        }
    }
}

/// Whole contents of a file.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper")]
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(FileError::at("read", path))
}

/// Whole contents of a UTF-8 file.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper")]
pub fn read_to_string(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::at("read", path))
}

/// Creates a folder and its parents; an existing one is fine.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper")]
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::at("create", path))
}

/// Replaces a file in one step: readers see the old or the new contents, never a part.
pub fn write_atomic(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".isogloss-")
            .tempfile_in(folder)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(FileError::at("write", path))
}
