//! Memory-mapped files: the only unsafe code of checkpoints.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use isogloss_record::files::FileError;
use memmap2::Mmap;

/// A file mapped read-only.
#[derive(Debug)]
pub(crate) struct MappedFile {
    pub(crate) path: PathBuf,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Mapped(Mmap),
    /// An empty file, which cannot be mapped, or a model that was never on disk.
    Owned(Vec<u8>),
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::at("open", path))?;
        let n_bytes = file.metadata().map_err(FileError::at("open", path))?.len();
        if n_bytes == 0 {
            return Ok(Self::owned(path, Vec::new()));
        }
        // SAFETY: the map is read-only, and model files are not changed in place by us. Another
        // process that truncates the file while it is used ends this one by a signal, as with
        // every program that maps its weights; it cannot make us read foreign memory.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by its nature")]
        let map = unsafe { Mmap::map(&file) }.map_err(FileError::at("map", path))?;
        Ok(Self {
            path: path.to_owned(),
            contents: Contents::Mapped(map),
        })
    }

    /// Bytes that stand for a file; `path` is for messages.
    pub(crate) fn owned(path: &Path, bytes: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            contents: Contents::Owned(bytes),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.contents {
            Contents::Mapped(map) => map,
            Contents::Owned(bytes) => bytes,
        }
    }
}

/// Up to `n_bytes` bytes from the start of a file.
pub(crate) fn first_bytes(path: &Path, n_bytes: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::at("open", path))?;
    let mut bytes = Vec::new();
    file.take(n_bytes)
        .read_to_end(&mut bytes)
        .map_err(FileError::at("read", path))?;
    Ok(bytes)
}
