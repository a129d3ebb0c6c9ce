//! Chat templates against transformers, character by character.

use isogloss_model::template::{ChatTemplate, TemplateError};
use isogloss_record::Message;

use crate::files::golden;

#[test]
fn renderings_equal_those_of_transformers() {
    let golden = golden("template/renderings.json");
    let (mut n_texts, mut n_refused) = (0, 0);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let source = golden["templates"][name].as_str().unwrap();
        let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        match (template.render(&messages, prompt), case["text"].as_str()) {
            (Ok(got), Some(want)) => {
                assert_eq!(got, want, "{name}: {messages:?}");
                n_texts += 1;
            }
            (Err(TemplateError::Refused { .. }), None) => n_refused += 1,
            (got, want) => panic!("{name}: {got:?}, transformers: {want:?}"),
        }
    }
    assert_eq!((n_texts, n_refused), (22, 2));
}
