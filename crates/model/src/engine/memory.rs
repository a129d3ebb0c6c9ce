//! How much memory an engine may take, and how it keeps to that.
//!
//! ```text
//! --memory-max -> (files, weights, buffers) -> room for segments -> rows per pass, cache, longest text
//! ```
//!
//! All is reckoned before a weight is packed: what cannot fit is refused with the numbers. Nothing
//! here changes an answer.

use isogloss_record::Explain;

use super::pass::BATCH_ROWS;
use super::tree::Tree;
use crate::arch::forward::Buffers;
use crate::arch::kv::KvShape;
use crate::checkpoint::Config;

/// Fewest rows of a pass.
const LEAST_ROWS: usize = 32;
/// A model that cannot hold a text of so many tokens is of no use (where its context is that long).
const LEAST_TOKENS: usize = 512;
/// Scores, attention weights and grid cells of one thread, at most about.
const BYTES_PER_THREAD: u64 = 6 << 20;
/// Tokenizer: text, merges and tables of one token.
const TOKENIZER_BYTES_PER_TOKEN: u64 = 400;
/// By so much are buffers of a pass larger than their rows: operands of other types, growth.
const BUFFER_MARGIN: f64 = 1.5;

/// What an engine is made of, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Model files that are mapped: read once, and resident as long as nothing else wants the place.
    pub files: u64,
    /// Packed weights.
    pub weights: u64,
    /// Tokenizer, buffers of a pass with the fewest rows, and those of the threads.
    pub buffers: u64,
    /// Keys, values and states of one text of [`Needs::n_tokens`].
    pub text: u64,
    /// Tokens of the shortest text that must fit.
    pub n_tokens: usize,
}

impl Needs {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.files + self.weights + self.buffers + self.text
    }
}

/// A model that cannot keep to its limit.
#[derive(Debug, thiserror::Error)]
#[error(
    "it needs {} of memory and may take {}: {} of files, {} of weights, {} of buffers, {} for a text \
     of {} tokens",
    megabytes(needs.total()), megabytes(*limit), megabytes(needs.files), megabytes(needs.weights),
    megabytes(needs.buffers), megabytes(needs.text), needs.n_tokens
)]
pub struct MemoryError {
    /// What it needs at least.
    pub needs: Needs,
    /// What is left for it.
    pub limit: u64,
}

impl Explain for MemoryError {
    fn hint(&self) -> Option<String> {
        let more = self.needs.total() - self.limit;
        Some(format!(
            "give `--memory-max` {} more, or take a smaller model or one in fewer bits",
            megabytes(more)
        ))
    }
}

/// How an engine keeps to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) batch_rows: usize,
    pub(super) tree_bytes_max: usize,
    pub(super) cache_bytes: usize,
}

/// In millions of bytes, rounded up.
pub(crate) fn megabytes(n_bytes: u64) -> String {
    format!("{} MB", n_bytes.div_ceil(1_000_000))
}

/// The plan for a limit in bytes (`None`: as much as is of use).
pub(super) fn plan(
    config: &Config,
    files: u64,
    weights: u64,
    n_threads: usize,
    cache_bytes: usize,
    limit: Option<u64>,
) -> Result<Plan, MemoryError> {
    let Some(limit) = limit else {
        return Ok(Plan {
            batch_rows: BATCH_ROWS,
            tree_bytes_max: usize::MAX,
            cache_bytes,
        });
    };
    let per_row = Buffers::new(config).bytes_per_row() as f64 * BUFFER_MARGIN;
    let fixed =
        n_threads as u64 * BYTES_PER_THREAD + config.vocab_size as u64 * TOKENIZER_BYTES_PER_TOKEN;
    let buffers = |rows: usize| fixed + (rows as f64 * per_row) as u64;
    let n_tokens = LEAST_TOKENS.min(config.context_length);
    let per_token = Tree::bytes_per_token(KvShape::new(config), config.d_model) as u64;
    let needs = Needs {
        files,
        weights,
        buffers: buffers(LEAST_ROWS),
        text: per_token * n_tokens as u64,
        n_tokens,
    };
    let room = |rows: usize| limit.checked_sub(files + weights + buffers(rows));
    if room(LEAST_ROWS).is_none_or(|room| room < needs.text) {
        return Err(MemoryError { needs, limit });
    }
    // Rows as many as leave a group of them its place twice.
    let rows = [BATCH_ROWS, BATCH_ROWS / 2, BATCH_ROWS / 4, BATCH_ROWS / 8];
    let fits = |rows: &usize| {
        let wanted = needs.text.max(2 * per_token * *rows as u64);
        room(*rows).is_some_and(|room| room >= wanted)
    };
    let batch_rows = rows.into_iter().find(fits).unwrap_or(LEAST_ROWS);
    let room = room(batch_rows).unwrap_or(needs.text) as usize;
    Ok(Plan {
        batch_rows,
        tree_bytes_max: room,
        cache_bytes: cache_bytes.min(room / 2),
    })
}
