//! Token ids of fifteen languages and of awkward strings, as llama.cpp and the Hugging Face
//! tokenizers make them (`golden/engine`), and the chat template in ids.

use isogloss_model::template::ChatTemplate;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::Message;
use isogloss_testkit::model_path;
use serde_json::Value;

use crate::files::golden;

#[track_caller]
fn check(model: &str, spells_a_special_token: &str, n_chats: usize) {
    let tokenizer = Tokenizer::open(&model_path(model)).unwrap();
    let golden = golden(&format!("engine/{model}.json"));
    let texts = golden["texts"].as_array().unwrap();
    assert_eq!(texts.len(), 15);
    for case in texts {
        let ids = tokenizer.encode_with_bos(case["text"].as_str().unwrap());
        assert_eq!(ids, want(case), "{}", case["lang"]);
    }
    let awkward = golden["tokens"].as_array().unwrap();
    assert!(awkward.len() > 35);
    for case in awkward {
        let text = case["text"].as_str().unwrap();
        if text != spells_a_special_token {
            assert_eq!(tokenizer.tokenize(text), want(case), "{text:?}");
        }
    }
    let chats = golden["chat"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(chats.len(), n_chats);
    for case in chats {
        let template = ChatTemplate::of(&tokenizer).unwrap().unwrap();
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let text = template.render(&messages, true).unwrap();
        assert_eq!(text, case["text"].as_str().unwrap());
        assert_eq!(tokenizer.tokenize(&text), want(case), "{text}");
    }
}

fn want(case: &Value) -> Vec<u32> {
    serde_json::from_value(case["ids"].clone()).unwrap()
}

#[test]
fn smollm2_ids_are_those_of_both_peers() {
    check("smollm2-135m", "<|im_start|>user", 2);
}

#[test]
fn gemma3_ids_are_those_of_both_peers() {
    check("gemma3-270m", "", 0);
}
