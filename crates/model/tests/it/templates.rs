//! Chat templates against transformers, character by character.

use isogloss_model::template::{
    ChatTemplate, Dialogue, Ending, Rendered, TemplateError, assistant_tokens,
};
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::Message;
use serde_json::Value;

use crate::files::{golden, golden_zst};

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

/// A case of `template/public.json.zst`, rendered.
fn render(golden: &Value, case: &Value) -> Result<Rendered, TemplateError> {
    let name = case["template"].as_str().unwrap();
    let dialogue = &golden["dialogues"][case["dialogue"].as_str().unwrap()];
    let template = ChatTemplate::new(golden["templates"][name].as_str().unwrap(), "<s>", "</s>")?;
    template.render_dialogue(&Dialogue {
        messages: serde_json::from_value(dialogue["messages"].clone()).unwrap(),
        tools: serde_json::from_value(dialogue["tools"].clone()).unwrap(),
        ending: match case["ending"].as_str() {
            Some("generation-prompt") => Ending::GenerationPrompt,
            Some("continue-final") => Ending::ContinueFinal,
            _ => Ending::Closed,
        },
        ..Dialogue::default()
    })
}

/// Characters from and to which the assistant speaks.
fn spans(rendered: &Rendered) -> Vec<[usize; 2]> {
    let n_chars = |end: usize| rendered.text[..end].chars().count();
    let spans = rendered.assistant.iter();
    spans
        .map(|span| [n_chars(span.start), n_chars(span.end)])
        .collect()
}

#[test]
fn templates_of_public_models_render_as_in_python() {
    let golden = golden_zst("template/public.json.zst");
    let (mut n_texts, mut n_errors, mut n_spans) = (0, 0, 0);
    let (mut different, mut n_lenient, mut n_escaped) = (Vec::new(), 0, 0);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let label = format!("{name}, {}, {}", case["dialogue"], case["ending"]);
        match (render(&golden, case), case["text"].as_str()) {
            // Python escapes what is added to a text marked `safe`, for HTML.
            (Ok(Rendered { text: got, .. }), Some(want))
                if name == "meetkai-functionary-medium-v3.1" && got != want =>
            {
                let want = want.replace("&#34;", "\"").replace("&#39;", "'");
                let want = want
                    .replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&amp;", "&");
                assert_eq!(got, want);
                n_escaped += 1;
            }
            (Ok(rendered), Some(want)) => {
                n_texts += 1;
                let got = &rendered.text;
                if got != want {
                    different.push(format!("{label}:\n{got:?}\n{want:?}"));
                } else if let Some(want) = case["assistant"].as_array() {
                    let mut want: Vec<[usize; 2]> =
                        serde_json::from_value(want.clone().into()).unwrap();
                    want.retain(|[start, end]| start < end);
                    n_spans += want.len();
                    let got = spans(&rendered);
                    if got != want {
                        different.push(format!("{label}: {got:?}, {want:?}"));
                    }
                }
            }
            (Err(_), None) => n_errors += 1,
            // Python cannot count through nothing, or write a generator as JSON.
            (Ok(_), None) if case["error"].as_str().unwrap().starts_with("TypeError") => {
                n_lenient += 1;
            }
            (got, want) => different.push(format!("{label}: {got:?}, Python: {want:?}")),
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
    assert_eq!((n_texts, n_errors), (2599, 325));
    assert_eq!((n_spans, n_lenient, n_escaped), (546, 22, 6));
}

#[test]
fn the_assistant_s_tokens_are_those_of_transformers() {
    let public = golden_zst("template/public.json.zst");
    let kinds = golden_zst("tokenizer/kinds.json.zst");
    let stored = kinds["json"]["gpt2"]["tokenizer"].as_str().unwrap();
    let tokenizer = Tokenizer::of_json_bytes(stored.as_bytes(), Value::Null).unwrap();
    let (mut n_tokens, mut n_more) = (0, 0);
    let golden = golden_zst("template/masks.json.zst");
    for case in golden.as_array().unwrap() {
        let rendered = render(&public, case).unwrap();
        let (ids, mask) = assistant_tokens(&tokenizer, &rendered);
        assert_eq!(ids, tokenizer.tokenize(&rendered.text));
        assert_eq!(
            ids.len() as u64,
            case["n_tokens"].as_u64().unwrap(),
            "{case}"
        );
        let runs: Vec<[usize; 2]> = serde_json::from_value(case["runs"].clone()).unwrap();
        let tokens = tokenizer.tokenize_with_offsets(&rendered.text);
        for (at, got) in mask.into_iter().enumerate() {
            let want = runs.iter().any(|[start, end]| (*start..*end).contains(&at));
            if got == want {
                n_tokens += 1;
                continue;
            }
            // transformers takes the first token of a span's last letter for the last of all.
            let (letter, before) = (&tokens[at].1, &tokens[at - 1].1);
            let ends = rendered.assistant.iter().any(|span| span.end == letter.end);
            assert!(got && letter == before && ends, "{case}, token {at}");
            n_more += 1;
        }
    }
    assert_eq!((n_tokens, n_more), (60_461, 6));
}

#[test]
fn a_model_with_several_templates_gives_each_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        isogloss_record::files::create_dir_all(path.parent().unwrap()).unwrap();
        isogloss_record::files::write_atomic(&path, text.as_bytes()).unwrap();
    };
    let kinds = golden_zst("tokenizer/kinds.json.zst");
    write(
        "tokenizer.json",
        kinds["json"]["word level"]["tokenizer"].as_str().unwrap(),
    );
    let list = r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "rag", "template": "r"}]}"#;
    write("tokenizer_config.json", list);
    write(
        "additional_chat_templates/tool_use.jinja",
        "{{ bos_token }}t",
    );
    write("additional_chat_templates/notes.txt", "x");
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let names: Vec<&str> = tokenizer
        .chat_templates()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, ["default", "rag", "tool_use"]);
    let render = |name: &str| {
        let template = ChatTemplate::named(&tokenizer, name).unwrap();
        template.map(|template| template.render(&[], false).unwrap())
    };
    assert_eq!(render("tool_use").unwrap(), "t");
    assert_eq!(render("default").unwrap(), "d");
    assert!(render("absent").is_none());
    // A file of its own wins over the list.
    write("chat_template.jinja", "f");
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.chat_template(), Some("f"));
}
