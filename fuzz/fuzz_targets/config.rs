//! Any bytes as the settings of a model: `config.json`, with the same bytes read as the other
//! files beside it; a model's shape or one error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run config -- -max_len=65536 -max_total_time=600`

#![no_main]

use std::path::Path;

use isogloss_model::checkpoint::config_of_json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(json) = serde_json::from_slice(bytes) else {
        return;
    };
    match config_of_json(Path::new("config.json"), &json, 300) {
        Ok(config) => {
            assert!(config.n_layers <= 300);
            assert!(config.norm_eps.is_finite() && config.rope_magnitude.is_finite());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
