//! Any bytes as a GGUF file: a model, a tokenizer or one error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run gguf -- -max_len=65536 -max_total_time=600`

#![no_main]

use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::of_gguf_bytes("fuzz.gguf", bytes.to_vec()) {
        for name in checkpoint.tensor_names() {
            let tensor = checkpoint.tensor(name).expect("a listed tensor is there");
            assert_eq!(tensor.to_f32().len(), tensor.row_len() * tensor.n_rows());
        }
    }
    if let Ok(tokenizer) = Tokenizer::of_gguf_bytes("fuzz.gguf", bytes.to_vec()) {
        let ids = tokenizer.encode_with_bos(" a\u{301}ก 12\n<s>");
        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.n_vocab()));
        tokenizer.decode(&ids);
        tokenizer.pieces(&ids);
    }
});
