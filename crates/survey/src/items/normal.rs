//! Texts as items see them: NFC, one line, without what gives an answer away from outside the
//! language.
//!
//! ```text
//! document -> normalize (NFC, one line, no list number) -> mask (digits that tell options apart)
//! ```
//!
//! Example: `"1. Everyone\n has 30 days"` becomes `"Everyone has 30 days"`, and where another
//! option of the group has no `30`, `"Everyone has 00 days"`.

use std::collections::BTreeSet;

use isogloss_lang::normalize::nfc;
use isogloss_lang::script::{digit_value, zero_of};

/// One document as one line: NFC, runs of white space as one space, list numbers at the start of
/// its lines removed.
pub fn normalize(text: &str) -> String {
    let text = nfc(text);
    let mut line_out = String::with_capacity(text.len());
    for line in text.lines() {
        for word in without_list_number(line.trim()).split_whitespace() {
            if !line_out.is_empty() {
                line_out.push(' ');
            }
            line_out.push_str(word);
        }
    }
    line_out
}

/// A line without a leading `1.`, `(2)`, `a)`, `٣-`: the same mark stands before the translation.
fn without_list_number(line: &str) -> &str {
    let rest = line.strip_prefix(['(', '[']).unwrap_or(line);
    let n_digits = rest
        .chars()
        .take_while(|&c| digit_value(c).is_some())
        .count();
    let n_label = match n_digits {
        0 if rest.chars().next().is_some_and(char::is_alphabetic) => 1,
        1..=3 => n_digits,
        _ => return line,
    };
    let after: &str = &rest[rest
        .char_indices()
        .nth(n_label)
        .map_or(rest.len(), |(i, _)| i)..];
    let Some(after) = after.strip_prefix(['.', ')', ']', '-', '–', '。', '、', '．']) else {
        return line;
    };
    // `1.5 million` is a number and `a.m.` a word; only what a space follows is a list number.
    match after.chars().next() {
        Some(c) if c.is_whitespace() => after.trim_start(),
        _ => line,
    }
}

/// Runs of digits in a text by their value in ASCII digits (`१९४८` is `1948`).
pub fn numbers(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut run = String::new();
    for c in text.chars().chain([' ']) {
        match digit_value(c) {
            Some(value) => run.extend(char::from_digit(value, 10)),
            None if !run.is_empty() => {
                found.insert(std::mem::take(&mut run));
            }
            None => {}
        }
    }
    found
}

/// Numbers that some but not all of the options hold: each would tell the options apart.
pub fn telling_numbers(options: &[String]) -> BTreeSet<String> {
    let sets: Vec<BTreeSet<String>> = options.iter().map(|option| numbers(option)).collect();
    sets.iter()
        .flatten()
        .filter(|number| !sets.iter().all(|set| set.contains(*number)))
        .cloned()
        .collect()
}

/// The text with each digit of the given numbers replaced by the zero of its own digit system;
/// its length in characters stays.
pub fn mask_numbers(text: &str, masked: &BTreeSet<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run: Vec<char> = Vec::new();
    for c in text.chars().map(Some).chain([None]) {
        if let Some(c) = c.filter(|&c| digit_value(c).is_some()) {
            run.push(c);
            continue;
        }
        let value: String = run
            .iter()
            .filter_map(|&c| char::from_digit(digit_value(c)?, 10))
            .collect();
        let hidden = masked.contains(&value);
        out.extend(
            run.drain(..)
                .map(|c| if hidden { zero_of(c).unwrap_or(c) } else { c }),
        );
        out.extend(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_one_composed_line_without_list_numbers() {
        for (from, to) in [
            ("1. Everyone\n  has\n(2) rights.", "Everyone has rights."),
            ("a) toute personne", "toute personne"),
            ("A man is free", "A man is free"),
            ("1.5 million", "1.5 million"),
            ("e\u{301}galite\u{301}", "égalité"),
            ("١- لكل فرد", "لكل فرد"),
            ("१. सभी को", "सभी को"),
            ("", ""),
        ] {
            assert_eq!(normalize(from), to, "from {from:?}");
        }
    }

    #[test]
    fn numbers_that_tell_options_apart_are_hidden_in_every_digit_system() {
        let options = ["in 1948 and 30", "in 1948 alone"].map(str::to_owned);
        let telling = telling_numbers(&options);
        assert_eq!(telling, BTreeSet::from(["30".to_owned()]));
        assert_eq!(mask_numbers("1948, 30, 305", &telling), "1948, 00, 305");
        assert_eq!(mask_numbers("१९४८ में ३०", &telling), "१९४८ में ००");
        assert_eq!(mask_numbers("٣٠", &telling), "٠٠");
    }
}
