//! Any bytes as the head or the body of a request to the server: read or refused with one
//! sentence; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run http_body -- -max_len=65536 -max_total_time=600`

#![no_main]

use libfuzzer_sys::fuzz_target;

const ROUTES: [&str; 4] = [
    "/v1/completions",
    "/v1/chat/completions",
    "/tokenize",
    "/detokenize",
];

fuzz_target!(|bytes: &[u8]| {
    for route in ROUTES {
        if let Err(message) = isogloss_serve::read_body(route, bytes) {
            assert!(!message.is_empty());
        }
    }
    if let Err(message) = isogloss_serve::read_head(bytes) {
        assert!(!message.is_empty());
    }
});
