//! Any bytes as `tokenizer.json`: a tokenizer whose ids are below its vocabulary's end, or one
//! error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run tokenizer_json -- -max_len=65536 -max_total_time=600`

#![no_main]

use isogloss_model::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

const TEXT: &str = " a\u{301}ก 12\n<s>  河🙂";

fuzz_target!(|bytes: &[u8]| {
    // The last line, if it is JSON, is `tokenizer_config.json`.
    let at = bytes.iter().rposition(|byte| *byte == b'\n');
    let (bytes, config) = match at.map(|at| (at, serde_json::from_slice(&bytes[at..]))) {
        Some((at, Ok(config))) => (&bytes[..at], config),
        _ => (bytes, serde_json::Value::Null),
    };
    let Ok(tokenizer) = Tokenizer::of_json_bytes(bytes, config) else {
        return;
    };
    let ids = tokenizer.encode_with_bos(TEXT);
    assert!(ids.iter().all(|id| (*id as usize) < tokenizer.n_vocab()));
    let tokens = tokenizer.tokenize_with_offsets(TEXT);
    assert!(tokens.iter().all(|(_, bytes)| bytes.start <= bytes.end && bytes.end <= TEXT.len()));
    tokenizer.encode_with_specials(TEXT, Some("b"));
    tokenizer.decode(&ids);
    tokenizer.pieces(&ids);
});
