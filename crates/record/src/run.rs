//! What is known about a run beside its results: all that may differ between two equal runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, Usage};

/// Contents of `run.json`: the effective configuration, versions, machine, times and token counts.
///
/// `results.json` holds none of these, so that two runs of one configuration are equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Command that made the run (`survey`, `tour`…).
    pub command: String,
    /// Version of Isogloss.
    pub version: String,
    /// The effective configuration; a run folder is resumed only with an equal one.
    pub config: serde_json::Value,
    /// Models, in the order of the results.
    pub models: Vec<Fingerprint>,
    /// Machine of the last session.
    pub machine: Machine,
    /// Threads of the last session.
    pub n_threads: usize,
    /// Sequences per batch of the last session.
    pub batch_size: usize,
    /// Memory that the last session was allowed to take, in bytes; `None`: as much as is of use.
    #[serde(default)]
    pub memory_max_bytes: Option<u64>,
    /// Wall-clock seconds over all sessions.
    pub seconds: f64,
    /// Largest resident memory seen, in bytes.
    pub peak_memory_bytes: u64,
    /// Tokens over all sessions, per model.
    pub usage: Vec<Usage>,
    /// Requests to a server that were sent again, over all sessions: how often by what had happened,
    /// per model.
    #[serde(default)]
    pub retries: Vec<BTreeMap<String, u64>>,
    /// Whether every requested measure is in the results.
    pub complete: bool,
}

/// Where a run was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and architecture (`linux-x86_64`).
    pub platform: String,
    /// Processor as it names itself.
    pub processor: String,
    /// Logical processors.
    pub n_cpus: usize,
}
