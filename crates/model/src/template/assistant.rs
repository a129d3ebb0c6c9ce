//! `{% generation %}…{% endgeneration %}`: which part of a rendered dialogue the assistant says.
//!
//! The block becomes a filter block, a Jinja construct with the same scope and the same control of
//! white space. The filter returns its text, or the text between two marks, from which the spans
//! are read. transformers counts what was written before the block instead, which is the same
//! unless the block stands in a macro or a `set` block.
//!
//! Source: `AssistantTracker` in `utils/chat_template_utils.py` of transformers.

use std::ops::Range;

use minijinja::State;

use super::TemplateError;
use crate::tokenizer::Tokenizer;

/// Name of the filter.
pub(super) const FILTER: &str = "mark_assistant";

/// A template with filter blocks instead of generation blocks.
pub(super) fn with_filter_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        out.push_str(before);
        let word = word(tag);
        match word {
            // `with` gives the block a scope of its own, as transformers' block has.
            "generation" => out.push_str(&tag.replacen(word, "with %}{% filter mark_assistant", 1)),
            "endgeneration" => out.push_str(&tag.replacen(word, "endfilter %}{% endwith", 1)),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Whether a template says what the assistant's words are.
pub(super) fn is_marked(source: &str) -> bool {
    let mut rest = source;
    while let Some((_, tag, after)) = next_tag(rest) {
        if word(tag) == "generation" {
            return true;
        }
        rest = after;
    }
    false
}

/// What precedes a statement, its tag, what follows.
fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let start = source.find("{%")?;
    let inside = start + 2;
    let end = inside + source[inside..].find("%}")? + 2;
    Some((&source[..start], &source[start..end], &source[end..]))
}

/// What stands in a tag, without its white space and its control of white space.
fn word(tag: &str) -> &str {
    tag[2..tag.len() - 2].trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace())
}

/// The filter: its text, between the two letters of the variable `assistant_marks` if it has any.
pub(super) fn mark(state: &State<'_, '_>, text: &str) -> String {
    let marks = state.lookup("assistant_marks");
    let mut marks = marks
        .as_ref()
        .and_then(|marks| marks.as_str())
        .unwrap_or("")
        .chars();
    match (marks.next(), marks.next()) {
        (Some(start), Some(end)) => format!("{start}{text}{end}"),
        _ => text.to_owned(),
    }
}

/// Bytes of `text` that lie between marks in `marked`, which is the same text with marks.
pub(super) fn spans(
    marked: &str,
    marks: &str,
    text: &str,
) -> Result<Vec<Range<usize>>, TemplateError> {
    let failed = || TemplateError::Failed {
        message: "its marks of what the assistant says change the text".into(),
    };
    let [start, end] = marks.chars().collect::<Vec<_>>()[..] else {
        return Err(failed());
    };
    let (mut plain, mut open, mut spans) = (String::new(), Vec::new(), Vec::new());
    for letter in marked.chars() {
        if letter == start {
            open.push(plain.len());
        } else if letter == end {
            let from = open.pop().ok_or_else(failed)?;
            // A block within a block is part of the outer one.
            if open.is_empty() && from < plain.len() {
                spans.push(from..plain.len());
            }
        } else {
            plain.push(letter);
        }
    }
    if plain != text || !open.is_empty() {
        return Err(failed());
    }
    Ok(spans)
}

/// Ids of a rendered dialogue, and which of them hold words of the assistant: tokens that share a
/// byte with a span. For the loss of training on answers alone.
///
/// transformers leaves out the later tokens of a span's last letter where a letter is more than
/// one token, and ends the mask at a span that begins with white space that no token covers.
pub fn assistant_tokens(
    tokenizer: &Tokenizer,
    rendered: &super::Rendered,
) -> (Vec<u32>, Vec<bool>) {
    let tokens = tokenizer.tokenize_with_offsets(&rendered.text);
    let is_said = |bytes: &Range<usize>| {
        let spans = &rendered.assistant;
        spans
            .iter()
            .any(|span| span.start < bytes.end && bytes.start < span.end)
    };
    tokens
        .iter()
        .map(|(id, bytes)| (*id, is_said(bytes)))
        .unzip()
}
