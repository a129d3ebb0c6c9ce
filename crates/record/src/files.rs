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
        Some(hint(self.source.kind()).into())
    }
}

/// What to do about a file operation that the system refused.
pub fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "check the spelling of the path",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "check the permissions of the path"
        }
        io::ErrorKind::StorageFull => {
            "free some space and run the same command again: what is finished is kept"
        }
        io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "raise the limit on your files, or write elsewhere, and run the same command again: what is finished is kept"
        }
        io::ErrorKind::InvalidData => "the file must be UTF-8 text",
        io::ErrorKind::IsADirectory => "give a file, not a folder",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "something else is in the place of a folder: write elsewhere, or move it away"
        }
        io::ErrorKind::BrokenPipe => {
            "the program that reads the output ended before it was all there"
        }
        _ => "check that the path can be read and written, and run the same command again",
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

/// Removes a file; one that is not there is no error.
pub fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::at("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Replaces a file in one step: readers see the old or the new contents, never a part.
///
/// A device or a pipe (`/dev/stdout`) is written to as it is: a file in its place would be damage.
pub fn write_atomic(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let is_special = |found: fs::Metadata| !found.is_file() && !found.is_dir();
    if path.metadata().is_ok_and(is_special) {
        let write = || {
            fs::File::options()
                .write(true)
                .open(path)?
                .write_all(contents)
        };
        return write().map_err(FileError::at("write", path));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Explain;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        use std::os::unix::fs::FileTypeExt;
        // Through a link of our own, so that not even a mistake could replace the device.
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("device");
        for (target, is_full) in [("/dev/null", false), ("/dev/full", true)] {
            std::os::unix::fs::symlink(target, &device).unwrap();
            let result = write_atomic(&device, b"text");
            assert_eq!(result.is_err(), is_full, "{target}: {result:?}");
            if let Err(error) = result {
                assert!(error.hint().unwrap().contains("free some space"));
            }
            assert!(device.metadata().unwrap().file_type().is_char_device());
            fs::remove_file(&device).unwrap();
        }
    }
}
