//! Any text as a chat template: a bounded text with spans inside it, or one error; never a panic.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run chat_template -- -max_len=65536 -max_total_time=600`

#![no_main]

use isogloss_model::template::{ChatTemplate, Dialogue, Ending};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else {
        return;
    };
    let messages = serde_json::json!([
        {"role": "system", "content": "Sei kurz."},
        {"role": "user", "content": "สวัสดี <b>"},
        {"role": "assistant", "content": "مرحبا e\u{301}", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": [1.5, null]}}}]},
    ]);
    let tools = serde_json::json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    for ending in [Ending::GenerationPrompt, Ending::ContinueFinal] {
        let dialogue = Dialogue {
            messages: serde_json::from_value(messages.clone()).expect("messages are objects"),
            tools: serde_json::from_value(tools.clone()).expect("tools are a list"),
            ending,
            ..Dialogue::default()
        };
        match template.render_dialogue(&dialogue) {
            Ok(rendered) => {
                // 64 bytes a unit of fuel.
                assert!(rendered.text.len() <= 64 * 5_000_000);
                for span in rendered.assistant {
                    assert!(!rendered.text[span].is_empty());
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
