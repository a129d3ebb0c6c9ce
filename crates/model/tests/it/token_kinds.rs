//! Tokenizers of every kind against their reference programs: `tokenizer.json`, SentencePiece
//! models, GGUF files (`golden/tokenizer/make_kinds.py`).

use std::ops::Range;

use isogloss_model::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::files::golden_zst;

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Bytes that are written a letter each.
fn bytes(value: &Value) -> Vec<u8> {
    let letters = value.as_str().unwrap().chars();
    letters
        .map(|letter| u8::try_from(letter).unwrap())
        .collect()
}

/// Every case of every tokenizer; gives how many there are.
#[track_caller]
fn check(kind: &str, mut case: impl FnMut(&str, &Value, &Value, &str) -> Option<String>) -> usize {
    let golden = golden_zst("tokenizer/kinds.json.zst");
    let (mut n, mut different) = (0, Vec::new());
    for (name, entry) in golden[kind].as_object().unwrap() {
        for found in entry["cases"].as_array().unwrap() {
            let text = golden["texts"][found["name"].as_str().unwrap()]
                .as_str()
                .unwrap();
            n += 1;
            if let Some(problem) = case(name, entry, found, text) {
                different.push(format!("{name}, {}: {text:?}: {problem}", found["name"]));
            }
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
    n
}

#[expect(clippy::needless_pass_by_value, reason = "called with fresh lists")]
fn differ<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Option<String> {
    (got != want).then(|| format!("{what} {got:?}, the reference: {want:?}"))
}

#[test]
fn every_kind_of_tokenizer_json() {
    let mut open = (String::new(), None);
    let n = check("json", |name, entry, case, text| {
        if open.0 != name {
            let json = entry["tokenizer"].as_str().unwrap().as_bytes();
            open = (
                name.to_owned(),
                Some(Tokenizer::of_json_bytes(json, json!({})).unwrap()),
            );
        }
        let tokenizer = open.1.as_ref().unwrap();
        let want = ids(&case["ids"]);
        let tokens = tokenizer.tokenize_with_offsets(text);
        let offsets: Vec<[usize; 2]> = tokens.iter().map(|(_, r)| [r.start, r.end]).collect();
        let (whole, _) = tokenizer.encode_with_specials(text, None).unwrap();
        let (pair, types) = tokenizer.encode_with_specials(text, Some("b c")).unwrap();
        let want_offsets: Vec<[usize; 2]> =
            serde_json::from_value(case["offsets"].clone()).unwrap();
        differ("ids", tokenizer.tokenize(text), want.clone())
            .or_else(|| {
                differ(
                    "ids with offsets",
                    tokens.iter().map(|t| t.0).collect(),
                    want,
                )
            })
            .or_else(|| differ("offsets", offsets, want_offsets))
            .or_else(|| differ("whole", whole, ids(&case["whole"])))
            .or_else(|| differ("pair", pair, ids(&case["pair"])))
            .or_else(|| differ("types", types, ids(&case["types"])))
    });
    assert_eq!(n, 18 * 32);
}

#[test]
fn text_comes_back_from_the_ids_of_a_tokenizer_json() {
    let lossless = ["gpt2", "llama3", "llama2"];
    let n = check("json", |name, entry, case, text| {
        if !lossless.contains(&name) || case["name"] == "special" {
            return None;
        }
        let json = entry["tokenizer"].as_str().unwrap().as_bytes();
        let tokenizer = Tokenizer::of_json_bytes(json, json!({})).unwrap();
        let got = tokenizer.decode(&ids(&case["ids"]));
        // Llama 2 puts a space before the text, and its `▁` is a space.
        let want = match name {
            "llama2" if text.is_empty() => String::new(),
            "llama2" => format!(" {text}").replace('▁', " "),
            _ => text.to_owned(),
        };
        differ("text", got, want)
    });
    assert_eq!(n, 18 * 32);
}

#[test]
fn sentence_piece_models() {
    let n = check("sentence_piece", |_, entry, case, text| {
        let config = json!({"tokenizer_class": "LlamaTokenizer"});
        let model = bytes(&entry["model"]);
        let tokenizer = Tokenizer::of_sentence_piece_bytes(&model, config).unwrap();
        let tokens = tokenizer.tokenize_with_offsets(text);
        let got: Vec<u32> = tokens.iter().map(|(id, _)| *id).collect();
        let want = ids(&case["ids"]);
        let offsets: Vec<Range<usize>> =
            serde_json::from_value::<Vec<[usize; 2]>>(case["offsets"].clone())
                .unwrap()
                .into_iter()
                .map(|[start, end]| start..end)
                .collect();
        // The reference gives a letter spelled in bytes to the last of them; here each has it.
        let is_spelled = |at: usize| {
            tokenizer.pieces(&[want[at]])[0].starts_with("<0x") || offsets[at].is_empty()
        };
        differ("ids", got, want.clone()).or_else(|| {
            let pairs = tokens.iter().zip(&offsets).enumerate();
            pairs
                .filter(|(at, _)| !is_spelled(*at))
                .find_map(|(_, ((_, got), want))| differ("offsets", got, want))
        })
    });
    assert_eq!(n, 15 * 31);
}

/// Values of `AutoTokenizer` of transformers 5.23 over a folder with the model alone.
#[test]
fn what_a_class_makes_of_a_sentence_piece_model() {
    let golden = golden_zst("tokenizer/kinds.json.zst");
    let open = |class: &str, model: &str| {
        let model = bytes(&golden["sentence_piece"][model]["model"]);
        Tokenizer::of_sentence_piece_bytes(&model, json!({"tokenizer_class": class})).unwrap()
    };
    let first = |tokenizer: &Tokenizer, text: &str, second: Option<&str>| {
        tokenizer.encode_with_specials(text, second).unwrap().0
    };
    let text = "a b</s> c <extra_id_0>d<mask> e  f";

    let llama = open("LlamaTokenizer", "bpe llama");
    let want = [
        391, 396, 391, 442, 2, 267, 391, 63, 392, 123, 397, 359, 98, 400, 405, 98, 51, 65, 405, 63,
        429, 272, 443, 65, 391, 392, 391, 391, 545,
    ];
    assert_eq!(llama.tokenize(text), want);
    assert!(llama.encode_with_specials("a", Some("b")).is_none());
    assert_eq!((llama.added_bos(), llama.eos_ids()), (Some(1), &[2][..]));

    let xlm_r = open("XLMRobertaTokenizer", "unigram");
    let want = [
        342, 4, 83, 2, 4, 437, 4, 3, 47, 3, 13, 14, 46, 3, 11, 439, 3, 439, 441, 4, 47, 4, 371,
    ];
    assert_eq!(xlm_r.tokenize(text), want);
    assert_eq!(first(&xlm_r, "the river", None), [0, 36, 166, 2]);
    let pair = first(&xlm_r, "the river", Some("mill"));
    assert_eq!(pair, [0, 36, 166, 2, 2, 440, 44, 7, 2]);
    assert_eq!(
        (xlm_r.n_vocab(), xlm_r.decode(&[0, 36, 166, 2])),
        (442, " the river".into())
    );

    let t5 = open("T5Tokenizer", "unigram");
    assert_eq!(
        first(&t5, "the river", Some("mill")),
        [35, 165, 2, 439, 43, 6, 2]
    );
    assert_eq!(
        (t5.tokenize("<extra_id_0>"), t5.n_vocab()),
        (vec![539], 540)
    );
    assert_eq!(t5.added_bos(), None);

    let model = bytes(&golden["sentence_piece"]["bpe"]["model"]);
    let class = json!({"tokenizer_class": "NllbTokenizer"});
    let error = Tokenizer::of_sentence_piece_bytes(&model, class).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tokenizer class `NllbTokenizer`"),
        "{error}"
    );
}

#[test]
fn gguf_files() {
    let n = check("gguf", |name, entry, case, text| {
        let tokenizer = Tokenizer::of_gguf_bytes(name, bytes(&entry["file"])).unwrap();
        differ("ids", tokenizer.tokenize(text), ids(&case["ids"]))
    });
    assert_eq!(n, 19 * 30 + 32);
}
