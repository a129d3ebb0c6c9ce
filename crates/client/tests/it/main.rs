//! Models by name, against a hub and package clients that are ours.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod builtin;
mod hub;
mod hub_faults;
mod mock;
mod server;
mod shapes;
