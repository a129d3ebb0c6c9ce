//! Damaged and hostile files: one error each, no panic, no large allocation.

use std::path::Path;

use isogloss_model::checkpoint::write::{self, GgufWriter};
use isogloss_model::checkpoint::{Checkpoint, CheckpointError, Dtype};
use isogloss_model::tokenizer::{Tokenizer, TokenizerError};
use isogloss_record::Explain;
use proptest::prelude::*;
use serde_json::json;

use crate::files::{llama_config, llama_gguf, llama_gguf_settings, llama_tensors, on_disk};

#[track_caller]
fn check_gguf(bytes: &[u8], want: &str) {
    let (_folder, path) = on_disk("m.gguf", bytes);
    let error = Checkpoint::open(&path).expect_err(want);
    assert!(error.to_string().contains(want), "{error}\nwant: {want}");
    assert!(error.hint().is_some());
}

/// Replaces the only place where `old` stands.
#[track_caller]
fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let places: Vec<usize> = (0..=bytes.len() - old.len())
        .filter(|at| bytes[*at..].starts_with(old))
        .collect();
    assert_eq!(places.len(), 1, "places of {old:?}");
    let mut bytes = bytes.to_vec();
    bytes[places[0]..places[0] + new.len()].copy_from_slice(new);
    bytes
}

/// A tensor's entry from its name on: name, dimensions (fastest first), type, offset.
fn entry(name: &str, dims: &[u64], kind: u32, offset: Option<u64>) -> Vec<u8> {
    let mut out = name.as_bytes().to_vec();
    out.extend((dims.len() as u32).to_le_bytes());
    out.extend(dims.iter().flat_map(|n| n.to_le_bytes()));
    out.extend(kind.to_le_bytes());
    out.extend(offset.into_iter().flat_map(u64::to_le_bytes));
    out
}

#[test]
fn a_gguf_cut_anywhere_is_one_error() {
    let bytes = llama_gguf(Dtype::Q4_0).to_bytes();
    let data = bytes.len() - 1;
    let places = (0..2000).chain((2000..data).step_by(997)).chain([data]);
    for n_bytes in places {
        let (_folder, path) = on_disk("m.gguf", &bytes[..n_bytes]);
        assert!(
            Checkpoint::open(&path).is_err(),
            "cut at {n_bytes} of {}",
            bytes.len()
        );
    }
}

#[test]
fn hostile_gguf_heads() {
    let good = llama_gguf(Dtype::F32).to_bytes();
    check_gguf(b"", "found an empty file");
    check_gguf(
        b"PK\x03\x04zip",
        "found a file that begins with `PK\\x03\\x04`",
    );
    check_gguf(b"GGUF\x03\0\0\0", "the number of tensors");
    check_gguf(
        &replace(&good, b"GGUF\x03\0\0\0", b"GGUF\x01\0\0\0"),
        "the version: expected 2 or 3, found 1",
    );
    check_gguf(
        &replace(&good, b"GGUF\x03\0\0\0", b"GGUF\0\0\0\x03"),
        "big-endian",
    );
    let mut bytes = good.clone();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    check_gguf(&bytes, "the number of tensors: expected at most");
    let mut bytes = good.clone();
    bytes[16..24].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    check_gguf(&bytes, "the number of metadata entries: expected at most");
    let mut bytes = good.clone();
    bytes[24..32].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    check_gguf(&bytes, "the length of metadata key 0: expected at most");
    check_gguf(
        &replace(&good, b"llama.block_count", b"llama.block_coun\xFF"),
        "expected UTF-8 text",
    );
    check_gguf(
        &replace(&good, b"llama.block_count\x04", b"llama.block_count\x63"),
        "a value type from 0 to 12, found 99",
    );
}

#[test]
fn hostile_gguf_arrays() {
    let settings = llama_gguf_settings();
    let with_entry = |kind: u32, n: u64| {
        let mut gguf = settings.clone();
        gguf.i32s("x.list", &[]);
        let mut old = b"x.list\x09\0\0\0".to_vec();
        let mut new = old.clone();
        old.extend(5_u32.to_le_bytes());
        old.extend(0_u64.to_le_bytes());
        new.extend(kind.to_le_bytes());
        new.extend(n.to_le_bytes());
        replace(&gguf.to_bytes(), &old, &new)
    };
    check_gguf(
        &with_entry(5, 1 << 61),
        "the length of metadata `x.list`: expected at most",
    );
    check_gguf(
        &with_entry(8, 1 << 61),
        "the length of metadata `x.list`: expected at most",
    );
    check_gguf(&with_entry(9, 1), "an array of arrays");
    check_gguf(&with_entry(77, 0), "an element type from 0 to 12, found 77");
    let mut twice = settings.clone();
    twice.u32("llama.block_count", 1);
    check_gguf(
        &twice.to_bytes(),
        "metadata `llama.block_count`: expected one entry, found two",
    );
    for alignment in [0, 3, 1 << 30] {
        let mut gguf = settings.clone();
        gguf.u32("general.alignment", alignment);
        check_gguf(
            &gguf.to_bytes(),
            "`general.alignment`: expected a power of two",
        );
    }
}

#[test]
fn hostile_gguf_tensors() {
    let good = llama_gguf(Dtype::F32).to_bytes();
    // The final norm is the second tensor: 64 · 32 · 4 bytes after the start.
    let norm = |dims: &[u64], kind, offset| entry("output_norm.weight", dims, kind, Some(offset));
    let good_norm = norm(&[32], 0, 8192);
    let bad = |new: &[u8]| replace(&good, &good_norm, new);
    check_gguf(
        &bad(&norm(&[32], 0, 1 << 40)),
        "tensor `output_norm.weight`: expected 128 bytes at offset 1099511627776",
    );
    check_gguf(
        &bad(&norm(&[32], 0, u64::MAX - 31)),
        "tensor `output_norm.weight`: expected 128 bytes",
    );
    check_gguf(
        &bad(&norm(&[32], 0, 8193)),
        "an offset that is a multiple of 32, found 8193",
    );
    check_gguf(
        &bad(&norm(&[32], 0, 8192 - 32)),
        "found bytes shared with tensor `token_embd.weight`",
    );
    check_gguf(
        &bad(&norm(&[32], 16, 8192)),
        "the storage format IQ2_XXS of tensor `output_norm.weight` is not supported",
    );
    check_gguf(&bad(&norm(&[32], 99, 8192)), "the storage format number 99");
    check_gguf(
        &bad(&norm(&[33], 8, 8192)),
        "rows of a multiple of 32 values (Q8_0), found 33",
    );
    check_gguf(&bad(&norm(&[0], 0, 8192)), "dimensions from 1 on, found 0");
    check_gguf(
        &bad(&norm(&[u64::MAX / 2], 0, 8192)),
        "a size that a computer can hold",
    );
    let embedding = entry("token_embd.weight", &[32, 64], 0, Some(0));
    let overflow = entry("token_embd.weight", &[1 << 33, 1 << 33], 0, Some(0));
    check_gguf(
        &replace(&good, &embedding, &overflow),
        "a size that a computer can hold",
    );
    let mut no_dims = good_norm.clone();
    no_dims[18..22].copy_from_slice(&9_u32.to_le_bytes());
    check_gguf(&bad(&no_dims), "expected 1 to 4 dimensions, found 9");
    let mut gguf = llama_gguf(Dtype::F32);
    gguf.tensor("output_norm.weight", &[32], Dtype::F32, vec![0; 128]);
    check_gguf(
        &gguf.to_bytes(),
        "tensor `output_norm.weight`: expected one entry, found two",
    );
    let mut gguf = llama_gguf(Dtype::F32);
    gguf.tensor("blk.0.attn_rel_b.weight", &[32], Dtype::F32, vec![0; 128]);
    check_gguf(
        &gguf.to_bytes(),
        "a tensor `blk.0.attn_rel_b.weight`, which its architecture does not have",
    );
    // Fused and apart at once; fused with too few rows.
    let mut gguf = llama_gguf(Dtype::F32);
    let fused = "blk.0.attn_qkv.weight";
    gguf.tensor(fused, &[64, 32], Dtype::F32, vec![0; 64 * 32 * 4]);
    check_gguf(
        &gguf.to_bytes(),
        "expected one spelling of a name, found two",
    );
    let mut gguf = llama_gguf(Dtype::F32);
    gguf.tensor("blk.0.attn_qkv.bias", &[64], Dtype::Q8_0, vec![0; 68]);
    check_gguf(
        &gguf.to_bytes(),
        "the vector `model.layers.0.self_attn.qkv_proj.bias` in Q8_0 is not supported",
    );
    let mut gguf = llama_gguf(Dtype::F32);
    gguf.tensor(fused, &[8, 32], Dtype::F32, vec![0; 8 * 32 * 4]);
    check_gguf(
        &gguf.to_bytes(),
        "tensor `model.layers.0.self_attn.qkv_proj.weight` has shape [8, 32], the settings say [32, 32]",
    );
    let mut gguf = llama_gguf(Dtype::F32);
    gguf.tensor("rope_freqs.weight", &[4], Dtype::F32, vec![0; 16]);
    check_gguf(
        &gguf.to_bytes(),
        "`rope_freqs.weight`: expected factors above 0",
    );
}

#[test]
fn hostile_gguf_settings() {
    let set = |key: &str, value: u32| {
        let mut settings = GgufWriter::new("llama");
        for (name, default) in [
            ("llama.block_count", 1),
            ("llama.embedding_length", 32),
            ("llama.feed_forward_length", 64),
            ("llama.attention.head_count", 4),
            ("llama.context_length", 128),
        ] {
            settings.u32(name, if name == key { value } else { default });
        }
        settings.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
        settings.tensor("token_embd.weight", &[64, 32], Dtype::F32, vec![0; 8192]);
        settings.to_bytes()
    };
    check_gguf(&set("llama.block_count", u32::MAX), "`llama.block_count`");
    check_gguf(
        &set("llama.block_count", 1 << 30),
        "`llama.block_count`: expected at most 1, the number of tensors",
    );
    check_gguf(
        &set("llama.attention.head_count", 0),
        "`llama.attention.head_count`",
    );
    check_gguf(&set("llama.attention.head_count", 1 << 30), "head width");
    check_gguf(
        &set("", 0),
        "has no tensor `model.layers.0.input_layernorm.weight`",
    );
    check_gguf(
        &GgufWriter::new("llama").to_bytes(),
        "`llama.embedding_length`: expected a size, found nothing",
    );
}

/// A folder whose `model.safetensors` has this header and so many bytes of data.
#[track_caller]
fn check_safetensors(header: &str, n_data: usize, want: &str) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + n_data, 0);
    check_weights(&bytes, want);
}

#[track_caller]
fn check_weights(bytes: &[u8], want: &str) {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, bytes: &[u8]| {
        isogloss_record::files::write_atomic(&folder.path().join(name), bytes).unwrap();
    };
    save("config.json", llama_config().to_string().as_bytes());
    save("model.safetensors", bytes);
    let error = Checkpoint::open(folder.path()).expect_err(want);
    assert!(error.to_string().contains(want), "{error}\nwant: {want}");
}

#[test]
fn hostile_safetensors() {
    check_weights(b"", "the safetensors header");
    check_weights(&[0xFF; 8], "the safetensors header");
    check_weights(&(1_u64 << 60).to_le_bytes(), "the safetensors header");
    check_weights(&100_u64.to_le_bytes(), "the safetensors header");
    check_safetensors("{", 0, "the safetensors header");
    check_safetensors("[]", 0, "the safetensors header");
    let tensor = |dtype: &str, shape: &str, start: usize, end: usize| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let header = |tensors: &[(&str, String)]| {
        let entries: Vec<String> = tensors
            .iter()
            .map(|(name, tensor)| format!(r#""{name}":{tensor}"#))
            .collect();
        format!("{{{}}}", entries.join(","))
    };
    let a = tensor("F32", "[2,2]", 0, 16);
    let check = |tensors: &[(&str, String)], n_data, want| {
        check_safetensors(&header(tensors), n_data, want);
    };
    check(&[("a", a.clone())], 8, "the safetensors header"); // beyond the file
    check(&[("a", a.clone())], 32, "the safetensors header"); // more data than tensors
    check(
        &[("a", a.clone()), ("b", tensor("F32", "[2]", 8, 16))],
        16,
        "the safetensors header",
    ); // overlap
    check(
        &[("a", a.clone()), ("a", tensor("F32", "[2]", 16, 24))],
        24,
        "the safetensors header",
    ); // twice
    check(
        &[("a", tensor("F32", "[3,2]", 0, 16))],
        16,
        "the safetensors header",
    ); // wrong size
    check(
        &[("a", tensor("F32", "[9223372036854775807,9]", 0, 16))],
        16,
        "the safetensors header",
    );
    check(
        &[("a", tensor("F32", "[2]", 16, 0))],
        16,
        "the safetensors header",
    );
    check(
        &[("a", tensor("F32", "[0]", 0, 0))],
        0,
        "expected dimensions from 1 on, found shape [0]",
    );
    check(
        &[("a", tensor("F8_E4M3", "[2,2]", 0, 4))],
        4,
        "the storage format F8_E4M3",
    );
    check(&[("a", a)], 16, "has no tensor `model.embed_tokens.weight`");
}

#[test]
fn a_safetensors_file_cut_anywhere_is_one_error() {
    let bytes = write::safetensors(&llama_tensors(Dtype::BF16));
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, bytes: &[u8]| {
        isogloss_record::files::write_atomic(&folder.path().join(name), bytes).unwrap();
    };
    save("config.json", llama_config().to_string().as_bytes());
    for n_bytes in (0..200).chain((200..bytes.len()).step_by(499)) {
        save("model.safetensors", &bytes[..n_bytes]);
        assert!(Checkpoint::open(folder.path()).is_err(), "cut at {n_bytes}");
    }
}

#[test]
fn paths_that_are_no_model() {
    let open = |path: &Path| Checkpoint::open(path).unwrap_err();
    let folder = tempfile::tempdir().unwrap();
    let error = open(folder.path());
    assert!(
        matches!(error, CheckpointError::NotAModel { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .ends_with("found a folder without config.json")
    );
    let error = open(&folder.path().join("no.gguf"));
    assert!(matches!(error, CheckpointError::File(_)), "{error}");
    assert_eq!(error.hint().unwrap(), "check the spelling of the path");
    let (folder, _path) = on_disk("config.json", b"{\"architectures\": [");
    let error = open(folder.path());
    assert!(
        error
            .to_string()
            .contains("config.json` is damaged: the file: expected JSON"),
        "{error}"
    );
    // Settings without weights.
    let (folder, _path) = on_disk("config.json", llama_config().to_string().as_bytes());
    let error = open(folder.path());
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

#[test]
fn damaged_tokenizers() {
    let check = |gguf: &GgufWriter, want: &str| {
        let (_folder, path) = on_disk("m.gguf", &gguf.to_bytes());
        let error = Tokenizer::open(&path).expect_err(want);
        assert!(error.to_string().contains(want), "{error}\nwant: {want}");
        assert!(matches!(
            error,
            TokenizerError::Damaged { .. } | TokenizerError::Checkpoint(_)
        ));
    };
    let mut gguf = llama_gguf_settings();
    gguf.string("tokenizer.ggml.model", "llama");
    gguf.strings("tokenizer.ggml.tokens", &["<unk>", "a"]);
    check(
        &gguf,
        "`tokenizer.ggml.scores`: expected a list, found nothing",
    );
    let mut short = gguf.clone();
    short.f32s("tokenizer.ggml.scores", &[0.0]);
    check(
        &short,
        "`tokenizer.ggml.scores`: expected 2 entries, one a token, found 1",
    );
    let mut nan = gguf.clone();
    nan.f32s("tokenizer.ggml.scores", &[0.0, f32::NAN]);
    check(&nan, "the score of token 1");
    gguf.f32s("tokenizer.ggml.scores", &[0.0, 0.0]);
    let mut byte = gguf.clone();
    byte.i32s("tokenizer.ggml.token_type", &[2, 6]);
    check(
        &byte,
        "byte token 1: expected a text like `<0x0A>`, found `a`",
    );
    gguf.u32("tokenizer.ggml.bos_token_id", 2);
    check(
        &gguf,
        "`tokenizer.ggml.bos_token_id`: expected a token id below 2, found 2",
    );
    let mut gguf = llama_gguf_settings();
    gguf.string("tokenizer.ggml.model", "gpt2");
    gguf.strings("tokenizer.ggml.tokens", &["a", "b"]);
    check(
        &gguf,
        "`tokenizer.ggml.merges`: expected a list, found nothing",
    );
    let mut one = gguf.clone();
    one.strings("tokenizer.ggml.merges", &["ab"]);
    check(
        &one,
        "merge 0: expected pieces and a union that are tokens, found `ab`",
    );
    gguf.strings("tokenizer.ggml.merges", &["a b"]);
    check(
        &gguf,
        "merge 0: expected pieces and a union that are tokens, found `a b`",
    );
}

#[test]
fn a_tokenizer_json_whose_merges_no_piece_can_hold() {
    // The union `ab` is longer than every piece: the crate below would not survive it.
    for model in [
        r#"{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}"#,
        r#"{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}"#,
        r#"{"type": "BPE", "continuing_subword_prefix": "@@@", "vocab": {"a": 0, "b": 1, "cccccc": 2}, "merges": ["a b"]}"#,
    ] {
        let json = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
                "model": {model}}}"#
        );
        let (folder, _path) = on_disk("tokenizer.json", json.as_bytes());
        let error = Tokenizer::open(folder.path()).unwrap_err();
        assert!(matches!(error, TokenizerError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_tokenizer_json_without_a_token_for_unknown_text() {
    // The normalizer hides the letter that a trial would try.
    let open = |model: &str| {
        let json = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": {{"type": "Replace", "pattern": {{"String": "\uDBFF\uDFFD"}}, "content": "a"}},
                "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": {model}}}"#
        );
        Tokenizer::of_json_bytes(json.as_bytes(), json!({}))
    };
    for model in [
        r#"{"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}"#,
        r###"{"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}"###,
        r#"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"}"#,
        r#"{"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": null}"#,
    ] {
        let error = open(model).unwrap_err().to_string();
        assert!(error.contains("a token for unknown text"), "{error}");
    }
    // A table of rules that is none, which the crate would not survive.
    let json = r#"{"version": "1.0", "added_tokens": [], "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Precompiled", "precompiled_charsmap": ""}]}, "model": {"type": "BPE", "vocab": {}, "merges": []}}"#;
    assert!(Tokenizer::of_json_bytes(json.as_bytes(), json!({})).is_err());
    // Half a letter in a decoder.
    let json = r#"{"version": "1.0", "added_tokens": [], "decoder": {"type": "\uD800"},
        "model": {"type": "BPE", "vocab": {}, "merges": []}}"#;
    assert!(Tokenizer::of_json_bytes(json.as_bytes(), json!({})).is_err());
    // Merges are not left out at random, and what has no piece is dropped where there is no name.
    let dropout =
        r#"{"type": "BPE", "dropout": 1.0, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}"#;
    assert_eq!(open(dropout).unwrap().tokenize("ab?"), [2]);
}

/// The crate would not survive a template with a token it does not know, or a second text in the
/// template of one.
#[test]
fn a_tokenizer_json_whose_templates_name_what_is_not_there() {
    let open = |single: &str, pair: &str, token: &str| {
        let json = format!(
            r#"{{"version": "1.0", "added_tokens": [], "model": {{"type": "BPE", "vocab": {{"a": 0, "s": 1}}, "merges": []}},
                "post_processor": {{"type": "Sequence", "processors": [{{"type": "TemplateProcessing",
                    "single": [{single}], "pair": [{pair}], "special_tokens": {{"s": {token}}}}}]}}}}"#
        );
        Tokenizer::of_json_bytes(json.as_bytes(), json!({}))
    };
    let known = r#"{"SpecialToken": {"id": "s", "type_id": 0}}"#;
    let unknown = r#"{"SpecialToken": {"id": "<s;", "type_id": 0}}"#;
    let (first, second) = (
        r#"{"Sequence": {"id": "A", "type_id": 0}}"#,
        r#"{"Sequence": {"id": "B", "type_id": 0}}"#,
    );
    let token = r#"{"id": "s", "ids": [1], "tokens": ["s"]}"#;
    let torn = r#"{"id": "s", "ids": [1], "tokens": ["s", "s"]}"#;
    let both = format!("{first}, {second}");
    let begun = format!("{known}, {first}");
    let whole = open(&begun, &both, token).unwrap();
    let (ids, _) = whole.encode_with_specials("a", None).unwrap();
    assert_eq!(ids, [1, 0]);
    for (single, pair, token, want) in [
        (format!("{unknown}, {first}"), both.clone(), token, "`<s;`"),
        (begun.clone(), format!("{both}, {unknown}"), token, "`<s;`"),
        (second.to_owned(), both.clone(), token, "second text"),
        (begun, both, torn, "differ in length"),
    ] {
        let error = open(&single, &pair, token).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

/// The tiny model with a tokenizer of each kind in turn.
fn gguf_with_tokenizer(kind: &str) -> Vec<u8> {
    let mut gguf = llama_gguf(Dtype::Q8_0);
    gguf.string("tokenizer.ggml.model", kind);
    gguf.string("tokenizer.ggml.pre", "smollm");
    gguf.strings(
        "tokenizer.ggml.tokens",
        &["<s>", "a", "b", "ab", "▁", "<0x41>"],
    );
    gguf.i32s("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 6]);
    gguf.f32s("tokenizer.ggml.scores", &[0.0, -1.0, -2.0, -3.0, -4.0, 0.0]);
    gguf.strings("tokenizer.ggml.merges", &["a b"]);
    gguf.u32("tokenizer.ggml.bos_token_id", 0);
    gguf.to_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn flipped_bytes_of_a_gguf_never_panic(
        kind in prop::sample::select(vec!["llama", "gpt2", "t5", "rwkv"]),
        flips in prop::collection::vec((0.0_f64..1.0, any::<u8>()), 1..8),
    ) {
        let mut bytes = gguf_with_tokenizer(kind);
        // Most flips go to the head, where lengths, types and offsets are.
        let n_head = 2000;
        for (at, value) in flips {
            bytes[(at * f64::from(n_head)) as usize] = value;
        }
        if let Ok(checkpoint) = Checkpoint::of_gguf_bytes("m.gguf", bytes.clone()) {
            for name in checkpoint.tensor_names() {
                let tensor = checkpoint.tensor(name).unwrap();
                prop_assert_eq!(tensor.to_f32().len(), tensor.row_len() * tensor.n_rows());
            }
        }
        if let Ok(tokenizer) = Tokenizer::of_gguf_bytes("m.gguf", bytes) {
            let ids = tokenizer.encode_with_bos("ab a\u{301}ก<s>");
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.n_vocab()));
            tokenizer.decode(&ids);
        }
    }

    #[test]
    fn flipped_bytes_of_a_safetensors_file_never_panic(
        flips in prop::collection::vec((0.0_f64..1.0, any::<u8>()), 1..4),
    ) {
        let mut bytes = write::safetensors(&llama_tensors(Dtype::BF16));
        for (at, value) in flips {
            bytes[(at * 1200.0) as usize] = value;
        }
        if let Ok(checkpoint) = Checkpoint::of_safetensors_bytes(&llama_config(), bytes) {
            for name in checkpoint.tensor_names() {
                let tensor = checkpoint.tensor(name).unwrap();
                prop_assert_eq!(tensor.to_f32().len(), tensor.row_len() * tensor.n_rows());
            }
        }
    }
}
