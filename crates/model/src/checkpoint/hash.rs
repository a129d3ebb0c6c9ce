//! Content hash of a model's files: equal for equal bytes, wherever they lie.
//!
//! Each file is cut into pieces of 16 MiB that are hashed in parallel; the hash of a file is the
//! hash of its pieces' hashes, and the model's is that of all files' names and hashes.

use rayon::prelude::*;

use super::mapped::MappedFile;

const PIECE_BYTES: usize = 16 << 20;

/// Lower-case hex. A single file's own name does not count (it may be renamed); in a folder the
/// names do, since they say which file is what.
pub(crate) fn of_files(files: &[MappedFile]) -> String {
    let mut model = blake3::Hasher::new();
    for file in files {
        let pieces: Vec<blake3::Hash> = file
            .bytes()
            .par_chunks(PIECE_BYTES)
            .map(blake3::hash)
            .collect();
        if files.len() > 1 {
            let name = file.path.file_name().unwrap_or_default();
            model.update(name.as_encoded_bytes()).update(&[0]);
        }
        model.update(&(file.bytes().len() as u64).to_le_bytes());
        for piece in pieces {
            model.update(piece.as_bytes());
        }
    }
    model.finalize().to_hex().to_string()
}
