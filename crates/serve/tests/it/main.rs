//! The server as clients meet it: over sockets, well behaved and not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod client;
mod contract;
mod limits;
mod model;
mod native;
mod refusals;
mod stress;
