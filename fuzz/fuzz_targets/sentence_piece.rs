//! Any bytes as a SentencePiece model: a tokenizer whose ids are below its vocabulary's end, or one
//! error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run sentence_piece -- -max_len=65536 -max_total_time=600`

#![no_main]

use isogloss_model::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

const TEXT: &str = " a\u{301}ก 12\n<s>  河🙂 ";

fuzz_target!(|bytes: &[u8]| {
    // The first byte says whose conventions hold.
    let Some((class, bytes)) = bytes.split_first() else {
        return;
    };
    let class = ["LlamaTokenizer", "T5Tokenizer", "XLMRobertaTokenizer"][usize::from(class % 3)];
    let config = serde_json::json!({"tokenizer_class": class});
    let Ok(tokenizer) = Tokenizer::of_sentence_piece_bytes(bytes, config) else {
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
