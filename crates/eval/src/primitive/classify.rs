//! `classify`: labels or a reward of texts.
//!
//! Input: `{"id","text"}`, `{"id","text","second"}` (premise and hypothesis, question and passage) or
//! `{"id","token_ids"}` (special tokens included). Output: `{"id","label","logits","probabilities"}`:
//! the most probable of labels that exclude each other, a logit for each, and their probabilities;
//! null where the logits are the answer (a reward, a relevance).

use isogloss_model::RunSettings;
use isogloss_model::encoder::{Problem, TokenText};
use isogloss_model::ports::TextScorer;
use isogloss_record::Usage;
use serde_json::{Map, Value};

use super::{CHUNK, PrimitiveError, Sink, at};
use crate::jsonl::{Line, decimal};

/// Classifies every line; all are encoded and checked before any work.
pub fn classify(
    model: &dyn TextScorer,
    lines: &[Line],
    file: &str,
    settings: &RunSettings<'_>,
    sink: Sink<'_>,
) -> Result<Usage, PrimitiveError> {
    let mut texts = Vec::with_capacity(lines.len());
    for line in lines {
        let second = line.text("second", file)?;
        let text = match (line.text("text", file)?, second, line.token_ids(file)?) {
            (Some(text), second, None) => {
                let encoded = model.encode(text, second);
                encoded.map_err(|error| at(line, file, &error))?
            }
            (None, None, Some(ids)) => TokenText::from(ids),
            _ => {
                let expected =
                    "expected `text`, perhaps with `second`, or `token_ids`, and only one of these";
                return Err(line.error(file, expected.to_owned()).into());
            }
        };
        model.check(&text).map_err(|error| at(line, file, &error))?;
        texts.push(text);
    }
    let mut usage = Usage::default();
    for (lines, texts) in lines.chunks(CHUNK).zip(texts.chunks(CHUNK)) {
        let mut all: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        usage += model.score(texts, settings, &mut |i, logits| all[i] = logits)?;
        for (line, logits) in lines.iter().zip(all) {
            sink(line.answer(&["text", "second", "token_ids"], answer(model, &logits)))?;
        }
    }
    Ok(usage)
}

fn answer(model: &dyn TextScorer, logits: &[f32]) -> Vec<(&'static str, Value)> {
    let names = model.labels();
    let by_name = |values: Vec<Value>| -> Value {
        let fields: Map<String, Value> = names.iter().cloned().zip(values).collect();
        fields.into()
    };
    // The first among equals.
    let best = (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best });
    let label = best.filter(|_| model.problem() == Problem::OneOf);
    let probabilities = model.problem().probabilities(logits);
    vec![
        ("label", label.map(|i| names[i].clone()).into()),
        (
            "logits",
            by_name(logits.iter().map(|logit| decimal(*logit)).collect()),
        ),
        (
            "probabilities",
            probabilities.map_or(Value::Null, |shares| {
                by_name(shares.into_iter().map(Value::from).collect())
            }),
        ),
    ]
}
