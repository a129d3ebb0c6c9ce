//! Real small models, mock servers and golden helpers for tests.

mod models;
mod server;

pub use models::model_path;
pub use server::{Answer, HttpRequest, MockServer};
