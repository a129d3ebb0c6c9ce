//! The append-only run store: what is finished is never computed twice, nor lost to a kill.
//!
//! The file is a series of zstd frames of JSON lines (`zstdcat responses.zst | head`), each line
//! `{"key":"<64 hex>","value":…}`. A frame is the unit of survival: reading stops at the first
//! frame that is torn or damaged, and the next write continues from there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::files::FileError;

/// Content hash of what a stored value answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// Hash of a purpose (`"response"`, `"alignment"`…) and of everything the value depends on.
    ///
    /// # Panics
    /// If `content` cannot be written as JSON (maps with keys that are not text).
    pub fn of(purpose: &str, content: &impl Serialize) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&(purpose.len() as u64).to_le_bytes());
        hash.update(purpose.as_bytes());
        serde_json::to_writer(&mut hash, content).expect("keys hash plain values");
        Self(*hash.finalize().as_bytes())
    }

    fn to_hex(self) -> String {
        blake3::Hash::from(self.0).to_hex().to_string()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.to_hex())
    }
}

/// Why a store cannot be opened, read or extended.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused a file operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process writes to this run.
    #[error("`{path}` is in use by another process")]
    Locked {
        /// The store's file.
        path: PathBuf,
    },
    /// A stored value does not have the shape that this version expects.
    #[error("`{path}` holds a value of another shape for key {key}: {source}")]
    Shape {
        /// The store's file.
        path: PathBuf,
        /// Which value.
        key: String,
        /// What did not fit.
        #[source]
        source: serde_json::Error,
    },
}

impl crate::Explain for StoreError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Locked { .. } => Some("wait for it to end, or write to another `--out`".into()),
            Self::Shape { .. } => {
                Some("the run is of another version: write to a new `--out`".into())
            }
        }
    }
}

/// An open run store: an index in memory over an append-only file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: Option<File>,
    /// Length of the file up to the last whole frame.
    n_bytes_good: u64,
    values: HashMap<Key, Box<RawValue>>,
    /// Lines that are not yet in the file.
    pending: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Line<V> {
    key: String,
    value: V,
}

/// Pending lines are written as a frame once they reach this size.
const FRAME_BYTES: usize = 1 << 20;
const ZSTD_LEVEL: i32 = 3;

impl Store {
    /// Opens or creates the store at `path`, and locks it against other processes.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(FileError::at("open", path))?;
        match file.try_lock() {
            // Some network disks know no locks (`Error`): go on without one.
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    path: path.to_owned(),
                });
            }
        }
        let mut values = HashMap::new();
        let n_bytes_good =
            read_frames(&mut file, &mut values).map_err(FileError::at("read", path))?;
        file.set_len(n_bytes_good)
            .map_err(FileError::at("write", path))?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            n_bytes_good,
            values,
            pending: Vec::new(),
        })
    }

    /// A store that forgets everything at the end of the process.
    pub fn in_memory() -> Self {
        Self {
            path: PathBuf::from("(memory)"),
            file: None,
            n_bytes_good: 0,
            values: HashMap::new(),
            pending: Vec::new(),
        }
    }

    /// The value stored for `key`; `None` if there is none.
    pub fn find<V: DeserializeOwned>(&self, key: Key) -> Result<Option<V>, StoreError> {
        let Some(raw) = self.values.get(&key) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|source| StoreError::Shape {
                path: self.path.clone(),
                key: key.to_hex(),
                source,
            })
    }

    /// Whether there is a value for `key`.
    pub fn contains(&self, key: Key) -> bool {
        self.values.contains_key(&key)
    }

    /// Stores a value; the first one for a key stays. It survives a kill after [`Store::commit`].
    ///
    /// # Panics
    /// If `value` cannot be written as JSON.
    pub fn insert(&mut self, key: Key, value: &impl Serialize) -> Result<(), StoreError> {
        if self.contains(key) {
            return Ok(());
        }
        let raw = serde_json::value::to_raw_value(value).expect("stored values are plain");
        if self.file.is_some() {
            let line = Line {
                key: key.to_hex(),
                value: &raw,
            };
            serde_json::to_writer(&mut self.pending, &line).expect("writing to memory");
            self.pending.push(b'\n');
        }
        self.values.insert(key, raw);
        if self.pending.len() >= FRAME_BYTES {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// Writes everything inserted so far as one frame. A failed write leaves the file as it was.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = compress(&self.pending).and_then(|frame| {
            file.write_all(&frame)?;
            file.flush()?;
            Ok(frame.len() as u64)
        });
        match written {
            Ok(n_bytes) => {
                self.n_bytes_good += n_bytes;
                self.pending.clear();
                Ok(())
            }
            Err(error) => {
                // Best effort: a torn frame would also be cut off by the next `open`.
                let _ = file.set_len(self.n_bytes_good);
                Err(FileError::at("write", &self.path)(error).into())
            }
        }
    }

    /// Number of stored values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Nobody is left to hear of an error; callers that care have committed before.
        let _ = self.commit();
    }
}

fn compress(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(lines)?;
    encoder.finish()
}

/// Reads whole frames into `values`; returns the length of the file's good part.
fn read_frames(file: &mut File, values: &mut HashMap<Key, Box<RawValue>>) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut n_bytes_good = 0;
    while !reader.fill_buf()?.is_empty() {
        let mut lines = Vec::new();
        let mut decoder = zstd::stream::Decoder::with_buffer(&mut reader)?.single_frame();
        if decoder.read_to_end(&mut lines).is_err() {
            break;
        }
        let Some(entries) = parse_lines(&lines) else {
            break;
        };
        for (key, value) in entries {
            values.entry(key).or_insert(value);
        }
        n_bytes_good = reader.stream_position()?;
    }
    Ok(n_bytes_good)
}

/// All entries of a frame; `None` if any line is not one.
fn parse_lines(lines: &[u8]) -> Option<Vec<(Key, Box<RawValue>)>> {
    lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let line: Line<Box<RawValue>> = serde_json::from_slice(line).ok()?;
            let hash = blake3::Hash::from_hex(&line.key).ok()?;
            Some((Key(*hash.as_bytes()), line.value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: usize) -> Key {
        Key::of("test", &i)
    }

    #[test]
    fn what_was_committed_is_read_again_and_the_first_value_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("responses.zst");
        let mut store = Store::open(&path).unwrap();
        for i in 0..100 {
            store.insert(key(i), &vec![i as f32 * 0.1; 3]).unwrap();
        }
        store.insert(key(7), &vec![9.0_f32]).unwrap();
        store.commit().unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::Locked { .. })));
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.len(), 100);
        assert_eq!(
            store.find::<Vec<f32>>(key(7)).unwrap(),
            Some(vec![7.0 * 0.1; 3])
        );
        assert_eq!(store.find::<Vec<f32>>(key(100)).unwrap(), None);
        assert!(matches!(
            store.find::<String>(key(7)),
            Err(StoreError::Shape { .. })
        ));
    }

    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_frames_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("responses.zst");
        let mut store = Store::open(&path).unwrap();
        let mut ends = vec![0];
        for i in 0..5 {
            store.insert(key(i), &i).unwrap();
            store.commit().unwrap();
            ends.push(store.n_bytes_good);
        }
        drop(store);
        let whole = crate::files::read(&path).unwrap();
        for cut in 0..=whole.len() {
            crate::files::write_atomic(&path, &whole[..cut]).unwrap();
            let n_whole = ends.iter().filter(|&&end| end <= cut as u64).count() - 1;
            let mut store = Store::open(&path).unwrap();
            assert_eq!(store.len(), n_whole, "cut at {cut}");
            store.insert(key(99), &99).unwrap();
            drop(store);
            assert_eq!(
                Store::open(&path).unwrap().len(),
                n_whole + 1,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_damaged_frame_ends_the_good_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("responses.zst");
        let mut store = Store::open(&path).unwrap();
        store.insert(key(0), &0).unwrap();
        store.commit().unwrap();
        let end = store.n_bytes_good as usize;
        store.insert(key(1), &1).unwrap();
        drop(store);
        let mut bytes = crate::files::read(&path).unwrap();
        let middle = usize::midpoint(end, bytes.len());
        bytes[middle] ^= 0xff;
        crate::files::write_atomic(&path, &bytes).unwrap();
        assert_eq!(Store::open(&path).unwrap().len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error_and_not_a_panic() {
        let mut store = Store::in_memory();
        store.file = Some(File::options().append(true).open("/dev/full").unwrap());
        store.insert(key(0), &0).unwrap();
        let error = store.commit().unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        store.file = None;
    }
}
