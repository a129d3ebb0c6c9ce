//! Real small models, mock servers and golden helpers for tests.

mod models;

pub use models::model_path;
