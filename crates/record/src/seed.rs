//! Random draws that do not depend on order, threads or each other.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// The one root seed of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// An independent generator for each purpose and index: adding a draw never shifts another.
    pub fn rng(self, purpose: &str, index: u64) -> ChaCha8Rng {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.0.to_le_bytes());
        hash.update(&(purpose.len() as u64).to_le_bytes());
        hash.update(purpose.as_bytes());
        hash.update(&index.to_le_bytes());
        ChaCha8Rng::from_seed(*hash.finalize().as_bytes())
    }
}
