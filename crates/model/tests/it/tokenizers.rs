//! Token ids of real models against transformers, and small tokenizers made here.

use isogloss_model::checkpoint::Checkpoint;
use isogloss_model::checkpoint::write::GgufWriter;
use isogloss_model::tokenizer::{Tokenizer, TokenizerError};
use isogloss_testkit::model_path;

use crate::files::{golden, llama_gguf_settings, on_disk};

/// Every golden text has the golden ids and comes back from them.
#[track_caller]
fn check_golden(model: &str) -> Tokenizer {
    let tokenizer = Tokenizer::open(&model_path(model)).unwrap();
    let golden = golden(&format!("tokenizer/{model}.json"));
    let cases = golden.as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let (name, text) = (
            case["name"].as_str().unwrap(),
            case["text"].as_str().unwrap(),
        );
        let want: Vec<u32> = case["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect();
        let got = tokenizer.tokenize(text);
        assert_eq!(got, want, "{model}, {name}: {:?}", tokenizer.pieces(&got));
        if name != "special" {
            assert_eq!(tokenizer.decode(&got), text, "{model}, {name}");
            let pieces = got
                .iter()
                .flat_map(|id| tokenizer.bytes_of(*id))
                .collect::<Vec<u8>>();
            assert_eq!(pieces, text.as_bytes(), "{model}, {name}");
        }
    }
    tokenizer
}

#[test]
fn smollm2_ids_equal_those_of_transformers() {
    let tokenizer = check_golden("smollm2-135m");
    assert_eq!((tokenizer.bos(), tokenizer.added_bos()), (Some(1), None));
    assert_eq!(tokenizer.eos_ids(), [0, 2]);
    assert_eq!(
        (tokenizer.n_vocab(), tokenizer.context_length()),
        (49_152, Some(8192))
    );
    assert_eq!(tokenizer.encode_with_bos("a"), tokenizer.tokenize("a"));
    // A Thai letter is three bytes, here in two tokens: each is shown as its bytes.
    assert_eq!(
        tokenizer.pieces(&tokenizer.tokenize("ก")).concat(),
        "<0xE0><0xB8><0x81>"
    );
    // Special tokens have a name but no text.
    assert_eq!(tokenizer.tokenize("<|im_start|>"), [1]);
    assert_eq!(
        (tokenizer.decode(&[1]), tokenizer.pieces(&[1])),
        (String::new(), vec!["<|im_start|>".into()])
    );
}

#[test]
fn gemma3_ids_equal_those_of_transformers() {
    let tokenizer = check_golden("gemma3-270m");
    assert_eq!((tokenizer.bos(), tokenizer.added_bos()), (Some(2), Some(2)));
    assert_eq!(tokenizer.eos_ids(), [1, 106]);
    assert_eq!(tokenizer.encode_with_bos("")[..], [2]);
    assert_eq!(tokenizer.pieces(&tokenizer.tokenize(" the")), [" the"]);
}

#[test]
fn tokenizers_fit_their_models() {
    for model in ["smollm2-135m", "gemma3-270m"] {
        let path = model_path(model);
        let rows = Checkpoint::open(&path).unwrap().config.vocab_size;
        let tokenizer = Tokenizer::open(&path).unwrap();
        tokenizer.check_fits(rows).unwrap();
        let error = tokenizer.check_fits(rows - 1).unwrap_err();
        assert!(
            matches!(error, TokenizerError::DoesNotFit { .. }),
            "{error}"
        );
    }
}

/// A `llama` vocabulary: unknown, BOS, EOS, 256 bytes, then pieces.
fn spm_gguf(pieces: &[(&str, f32)]) -> GgufWriter {
    let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    let mut tokens = vec!["<unk>", "<s>", "</s>"];
    tokens.extend(bytes.iter().map(String::as_str));
    tokens.extend(pieces.iter().map(|(piece, _)| *piece));
    let mut types = vec![2, 3, 3];
    types.extend([6; 256]);
    types.resize(tokens.len(), 1);
    let mut scores = vec![0.0; 259];
    scores.extend(pieces.iter().map(|(_, score)| *score));
    let mut gguf = llama_gguf_settings();
    gguf.string("tokenizer.ggml.model", "llama");
    gguf.strings("tokenizer.ggml.tokens", &tokens);
    gguf.i32s("tokenizer.ggml.token_type", &types);
    gguf.f32s("tokenizer.ggml.scores", &scores);
    gguf.u32("tokenizer.ggml.bos_token_id", 1);
    gguf.u32("tokenizer.ggml.eos_token_id", 2);
    gguf
}

#[test]
fn a_llama_2_like_vocabulary_adds_bos_and_a_space() {
    let (_folder, path) = on_disk(
        "m.gguf",
        &spm_gguf(&[("▁", -1.0), ("a", -2.0), ("▁a", -0.5)]).to_bytes(),
    );
    let tokenizer = Tokenizer::open(&path).unwrap();
    // Both are the defaults of this kind.
    assert_eq!(tokenizer.encode_with_bos("a"), [1, 261]);
    assert_eq!(tokenizer.tokenize("é"), [259, 3 + 0xC3, 3 + 0xA9]);
    assert_eq!(tokenizer.decode(&[261, 3 + 0xC3, 3 + 0xA9]), " aé");
    // Half a letter is shown, not dropped.
    assert_eq!(tokenizer.decode(&[3 + 0xC3]), "\u{FFFD}");
}

/// A `gpt2` vocabulary of the 256 byte letters.
fn gpt2_gguf(pre: &str) -> GgufWriter {
    let letters: Vec<String> = (0..=255_u8)
        .map(|byte| {
            let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let n_before = (0..byte)
                .filter(|b| !matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF))
                .count() as u32;
            let code = if printable {
                u32::from(byte)
            } else {
                0x100 + n_before
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect();
    let mut tokens: Vec<&str> = letters.iter().map(String::as_str).collect();
    tokens.extend(["12", "Ġ1", "<|end|>"]);
    let mut types = vec![1; tokens.len()];
    *types.last_mut().unwrap() = 3;
    let mut gguf = llama_gguf_settings();
    gguf.string("tokenizer.ggml.model", "gpt2");
    gguf.string("tokenizer.ggml.pre", pre);
    gguf.strings("tokenizer.ggml.tokens", &tokens);
    gguf.i32s("tokenizer.ggml.token_type", &types);
    gguf.strings("tokenizer.ggml.merges", &["1 2", "Ġ 1"]);
    gguf
}

#[test]
fn pre_tokenizers_differ_where_they_should() {
    let open = |pre: &str| {
        let (_folder, path) = on_disk("m.gguf", &gpt2_gguf(pre).to_bytes());
        Tokenizer::open(&path).unwrap()
    };
    let (digit_1, digit_2, space) = (u32::from(b'1'), u32::from(b'2'), u32::from(b' '));
    // GPT-2 keeps a number together (` 12`), so ranks decide: `12` was learned first.
    assert_eq!(open("gpt-2").tokenize(" 12"), [space, 256]);
    // SmolLM and Qwen 2 split every digit: nothing to merge.
    assert_eq!(open("smollm").tokenize(" 12"), [space, digit_1, digit_2]);
    assert_eq!(open("qwen2").tokenize(" 12"), [space, digit_1, digit_2]);
    // Llama 3 takes up to three digits, without the space.
    assert_eq!(open("llama-bpe").tokenize(" 12"), [space, 256]);
    // Qwen 2 composes: e + U+0301 is é (C3 A9).
    assert_eq!(open("qwen2").tokenize("e\u{301}"), [0xC3, 0xA9]);
    assert_eq!(
        open("gpt-2").tokenize("e\u{301}"),
        [u32::from(b'e'), 0xCC, 0x81]
    );
    assert_eq!(open("tekken").tokenize("x<|end|>"), [u32::from(b'x'), 258]);
}

#[test]
fn an_unknown_kind_or_pre_tokenizer_is_refused_by_name() {
    let (_folder, path) = on_disk("m.gguf", &gpt2_gguf("marsian").to_bytes());
    let error = Tokenizer::open(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has the pre-tokenizer `marsian`, which is not known"),
        "{error}"
    );
    let mut gguf = llama_gguf_settings();
    gguf.strings("tokenizer.ggml.tokens", &["a"]);
    gguf.string("tokenizer.ggml.model", "plamo2");
    let (_folder, path) = on_disk("m.gguf", &gguf.to_bytes());
    let error = Tokenizer::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("tokenizer kind `plamo2`"),
        "{error}"
    );
}

#[test]
fn a_folder_without_a_tokenizer_has_none() {
    let (folder, _path) = on_disk("config.json", b"{}");
    assert!(Tokenizer::open_if_any(folder.path()).unwrap().is_none());
    let (_folder, path) = on_disk("m.gguf", &llama_gguf_settings().to_bytes());
    assert!(Tokenizer::open_if_any(&path).unwrap().is_none());
}

/// Byte-level, with a post-processor that adds BOS.
const TOKENIZER_JSON: &str = r#"{
    "version": "1.0", "truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}, "padding": null,
    "added_tokens": [
        {"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 4, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3, "</s>": 4, "Ġ": 5}, "merges": ["a b"]}
}"#;

#[test]
fn a_hugging_face_folder_with_its_settings() {
    let write = |folder: &std::path::Path, name: &str, text: &str| {
        isogloss_record::files::write_atomic(&folder.join(name), text.as_bytes()).unwrap();
    };
    let (folder, _path) = on_disk("tokenizer.json", TOKENIZER_JSON.as_bytes());
    let folder = folder.path();
    let tokenizer = Tokenizer::open(folder).unwrap();
    // The post-processor adds BOS; the stored limit of two tokens is not used.
    assert_eq!(tokenizer.encode_with_bos("ab ab ab"), [3, 2, 5, 2, 5, 2]);
    assert_eq!((tokenizer.bos(), tokenizer.eos_ids().len()), (Some(3), 0));
    assert_eq!(tokenizer.decode(&[3, 2, 5, 0]), "ab a");
    let fingerprint = tokenizer.fingerprint().to_owned();
    // Ordinary pieces reach id 5. An added token beyond the embedding would be no obstacle.
    tokenizer.check_fits(6).unwrap();
    assert!(tokenizer.check_fits(5).is_err());
    let beyond = TOKENIZER_JSON.replace(
        r#""id": 4, "content": "</s>""#,
        r#""id": 6, "content": "<image>""#,
    );
    let (with_beyond, _path) = on_disk("tokenizer.json", beyond.as_bytes());
    let with_beyond = Tokenizer::open(with_beyond.path()).unwrap();
    assert_eq!(
        (with_beyond.n_vocab(), with_beyond.tokenize("<image>")),
        (7, vec![6])
    );
    with_beyond.check_fits(6).unwrap();

    write(
        folder,
        "tokenizer_config.json",
        r#"{"add_bos_token": false, "bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "x"}"#,
    );
    write(
        folder,
        "config.json",
        r#"{"max_position_embeddings": 77, "eos_token_id": 4}"#,
    );
    write(
        folder,
        "generation_config.json",
        r#"{"eos_token_id": [4, 5]}"#,
    );
    let tokenizer = Tokenizer::open(folder).unwrap();
    assert_eq!(tokenizer.encode_with_bos("ab"), [2]);
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos_ids()),
        (Some(3), &[4, 5][..])
    );
    assert_eq!(tokenizer.context_length(), Some(77));
    assert_eq!(tokenizer.chat_template(), Some("x"));
    assert_ne!(tokenizer.fingerprint(), fingerprint);

    write(folder, "chat_template.jinja", "{{ bos_token }}y");
    assert_eq!(
        Tokenizer::open(folder).unwrap().chat_template(),
        Some("{{ bos_token }}y")
    );

    write(folder, "tokenizer.json", "{");
    let error = Tokenizer::open(folder).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tokenizer.json` is damaged: the file"),
        "{error}"
    );
}
