//! Models that are broken on purpose: what a survey must not call served.
//!
//! A control has the size, the tokenizer and the distribution of weights of the model that it is made
//! from, so that nothing but what was learned is missing.

use std::path::Path;

use isogloss_record::Seed;
use isogloss_record::files::{self, FileError};
use rand_chacha::rand_core::Rng;

use super::Checkpoint;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Every token has another's embedding (and, where that is the output layer too, its output).
    ShuffledEmbeddings,
    /// The blocks of every matrix are in random order: as good as never trained.
    ScrambledWeights,
}

impl Damage {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ShuffledEmbeddings, Self::ScrambledWeights];

    /// Its name in files and tables.
    pub fn id(self) -> &'static str {
        match self {
            Self::ShuffledEmbeddings => "shuffled-embeddings",
            Self::ScrambledWeights => "scrambled-weights",
        }
    }
}

/// Writes a broken copy of a model: a GGUF file as `path`, the files of a folder into it.
///
/// # Errors
/// [`FileError`].
pub fn write_damaged(
    checkpoint: &Checkpoint,
    damage: Damage,
    seed: Seed,
    path: &Path,
) -> Result<(), FileError> {
    let is_folder = checkpoint.path.is_dir();
    if is_folder {
        files::create_dir_all(path)?;
    }
    for (index, file) in checkpoint.files.iter().enumerate() {
        let mut bytes = file.bytes().to_vec();
        for (name, entry) in &checkpoint.tensors {
            let is_matrix = entry.shape.len() >= 2;
            let unit = match damage {
                Damage::ShuffledEmbeddings => (name == "model.embed_tokens.weight")
                    .then(|| entry.range.len() / entry.shape[0].max(1)),
                Damage::ScrambledWeights => is_matrix.then(|| entry.dtype.block_bytes()),
            };
            if let Some(unit) = unit.filter(|_| entry.file == index) {
                shuffle(&mut bytes[entry.range.clone()], unit, seed, name);
            }
        }
        let target = match file.path.file_name() {
            Some(name) if is_folder => path.join(name),
            _ => path.to_owned(),
        };
        files::write_atomic(&target, &bytes)?;
    }
    Ok(())
}

/// Puts pieces of `unit` bytes in random order (Fisher–Yates).
fn shuffle(bytes: &mut [u8], unit: usize, seed: Seed, name: &str) {
    let mut rng = seed.rng(&format!("damage {name}"), 0);
    let n = bytes.len() / unit.max(1);
    for i in (1..n).rev() {
        let j = (rng.next_u64() % (i as u64 + 1)) as usize;
        if i != j {
            let (before, from) = bytes.split_at_mut(i * unit);
            before[j * unit..(j + 1) * unit].swap_with_slice(&mut from[..unit]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_change_places_and_none_is_lost() {
        let original: Vec<u8> = (0..200).collect();
        let mut bytes = original.clone();
        shuffle(&mut bytes, 4, Seed(1), "x");
        assert_ne!(bytes, original);
        let (pieces, _) = bytes.as_chunks::<4>();
        let mut pieces: Vec<[u8; 4]> = pieces.to_vec();
        pieces.sort_unstable();
        assert_eq!(pieces.concat(), original);
        let mut again = original.clone();
        shuffle(&mut again, 4, Seed(1), "x");
        assert_eq!(bytes, again);
        shuffle(&mut [], 4, Seed(1), "nothing");
    }
}
