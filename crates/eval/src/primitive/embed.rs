//! `embed`: texts as vectors.
//!
//! Input: `{"id","text"}` or `{"id","token_ids"}` (special tokens included). Output:
//! `{"id","n_tokens","n_dims","vector"}`.

use isogloss_model::RunSettings;
use isogloss_model::encoder::TokenText;
use isogloss_model::ports::Embedder;
use isogloss_record::Usage;
use serde_json::Value;

use super::{CHUNK, PrimitiveError, Sink, at};
use crate::jsonl::{Line, decimal};

/// Embeds every line; all are encoded and checked before any work.
pub fn embed(
    model: &dyn Embedder,
    lines: &[Line],
    file: &str,
    settings: &RunSettings<'_>,
    sink: Sink<'_>,
) -> Result<Usage, PrimitiveError> {
    let mut texts = Vec::with_capacity(lines.len());
    for line in lines {
        let text = match (line.text("text", file)?, line.token_ids(file)?) {
            (Some(text), None) => model.encode(text).map_err(|error| at(line, file, &error))?,
            (None, Some(ids)) => TokenText::from(ids),
            _ => {
                let expected = "expected `text` or `token_ids`, and only one of these";
                return Err(line.error(file, expected.to_owned()).into());
            }
        };
        model.check(&text).map_err(|error| at(line, file, &error))?;
        texts.push(text);
    }
    let mut usage = Usage::default();
    for (lines, texts) in lines.chunks(CHUNK).zip(texts.chunks(CHUNK)) {
        let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        usage += model.embed(texts, settings, &mut |i, vector| vectors[i] = vector)?;
        for ((line, text), vector) in lines.iter().zip(texts).zip(vectors) {
            let vector: Vec<Value> = vector.into_iter().map(decimal).collect();
            sink(line.answer(
                &["text", "token_ids"],
                vec![
                    ("n_tokens", text.ids.len().into()),
                    ("n_dims", vector.len().into()),
                    ("vector", vector.into()),
                ],
            ))?;
        }
    }
    Ok(usage)
}
