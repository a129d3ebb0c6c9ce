//! `tokenize`: ids and pieces of texts, nothing added.
//!
//! Input: `{"id","text"}`. Output: `{"id","token_ids","pieces"}`.

use isogloss_model::tokenizer::Tokenizer;

use super::Sink;
use crate::jsonl::{Line, LineError};

/// Tokenizes every line.
pub fn tokenize(
    tokenizer: &Tokenizer,
    lines: &[Line],
    file: &str,
    sink: Sink<'_>,
) -> Result<(), LineError> {
    for line in lines {
        let Some(text) = line.text("text", file)? else {
            return Err(line.error(file, "expected `text`".to_owned()));
        };
        let ids = tokenizer.tokenize(text);
        let pieces = tokenizer.pieces(&ids);
        sink(line.answer(
            &["text"],
            vec![("token_ids", ids.into()), ("pieces", pieces.into())],
        ))?;
    }
    Ok(())
}
