//! `identify`: the language of texts, or none where the identifier abstains.
//!
//! Input: `{"id","text"}`. Output: `{"id","lang","score","second"}`.

use isogloss_lang::identify::Identifier;
use serde_json::Value;

use super::Sink;
use crate::jsonl::{Line, LineError};

/// Identifies every line.
pub fn identify(lines: &[Line], file: &str, sink: Sink<'_>) -> Result<(), LineError> {
    let identifier = Identifier::shipped();
    let name = |lang: Option<isogloss_record::Lang>| {
        lang.map_or(Value::Null, |lang| lang.to_string().into())
    };
    for line in lines {
        let Some(text) = line.text("text", file)? else {
            return Err(line.error(file, "expected `text`".to_owned()));
        };
        let found = identifier.identify(text);
        sink(line.answer(
            &["text"],
            vec![
                ("lang", name(found.lang)),
                ("score", found.score.into()),
                ("second", name(found.second)),
            ],
        ))?;
    }
    Ok(())
}
