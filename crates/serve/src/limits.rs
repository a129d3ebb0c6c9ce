//! Everything that a client can make grow, and how far.

use std::time::Duration;

/// Bounds of a server; nothing here changes a number.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; further ones get 503.
    pub n_connections: usize,
    /// Bytes of one body; longer ones get 413.
    pub n_body_bytes: usize,
    /// Bytes of all bodies in memory; beyond, 503.
    pub n_body_bytes_total: usize,
    /// Prompts that wait; beyond, 429.
    pub n_waiting: usize,
    /// Prompts of one request.
    pub n_prompts: usize,
    /// Tokens of all prompts of one request.
    pub n_tokens: usize,
    /// Prompts that the model is asked at once.
    pub batch_size: usize,
    /// An idle connection is closed after so long.
    pub timeout_idle: Duration,
    /// From the first byte of a request to the end of its head, and again to the end of its body.
    pub timeout_read: Duration,
    /// For each answer, or each event of a stream, to be taken.
    pub timeout_write: Duration,
    /// After a stop: how long running requests may go on.
    pub timeout_stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            n_connections: 256,
            n_body_bytes: 4 << 20,
            n_body_bytes_total: 64 << 20,
            n_waiting: 1024,
            n_prompts: 256,
            n_tokens: 1 << 17,
            batch_size: 64,
            timeout_idle: Duration::from_mins(1),
            timeout_read: Duration::from_secs(20),
            timeout_write: Duration::from_secs(20),
            timeout_stop: Duration::from_secs(10),
        }
    }
}
