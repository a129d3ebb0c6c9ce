//! The runner: requests to responses, through the run store.
