//! Whether two surveys can be compared: everything in which they were made differently.
//!
//! Verdicts of runs with other thresholds, texts or versions differ for reasons that are none of the
//! models'. Nothing is refused here: who compares says what differs, and what to do about it.

use std::collections::BTreeSet;

use isogloss_record::diff::Difference;
use isogloss_record::survey::{PolicyStamp, Register, SurveyResults};

/// What to do about differences that decide.
pub const HOW_TO_RERUN: &str = "to compare the models alone, run both surveys with one version of \
    Isogloss, one policy and the same texts: kept answers are not computed again";

/// Differences between how two surveys were made, those that decide first; empty where none is.
pub fn differences(before: &SurveyResults, after: &SurveyResults) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |decides: bool, what: &str, a: String, b: String| {
        if a != b {
            found.push(Difference {
                what: what.to_owned(),
                before: a,
                after: b,
                decides,
            });
        }
    };
    note(
        true,
        "version of Isogloss",
        before.version.clone(),
        after.version.clone(),
    );
    note(
        true,
        "policy",
        policy(&before.policy),
        policy(&after.policy),
    );
    let thresholds: BTreeSet<&String> = before
        .policy
        .thresholds
        .keys()
        .chain(after.policy.thresholds.keys())
        .collect();
    for name in thresholds {
        let value = |policy: &PolicyStamp| {
            policy
                .thresholds
                .get(name)
                .map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        note(
            true,
            &format!("threshold `{name}`"),
            value(&before.policy),
            value(&after.policy),
        );
    }
    let (a, b) = (&before.settings, &after.settings);
    note(
        true,
        "reference language",
        a.reference.to_string(),
        b.reference.to_string(),
    );
    let texts: BTreeSet<&String> = a
        .registers
        .iter()
        .chain(&b.registers)
        .map(|register| &register.id)
        .collect();
    for id in texts {
        note(
            true,
            &format!("text `{id}`"),
            text(&a.registers, id),
            text(&b.registers, id),
        );
    }
    note(
        true,
        "measures asked for",
        a.measures.join(", "),
        b.measures.join(", "),
    );
    for (what, a, b) in [
        ("text items per language and register", a.n_items, b.n_items),
        ("words per language", a.n_words, b.n_words),
        (
            "continuations per language and register",
            a.n_continuations,
            b.n_continuations,
        ),
        (
            "tokens of a continuation",
            a.n_continuation_tokens,
            b.n_continuation_tokens,
        ),
    ] {
        note(false, what, a.to_string(), b.to_string());
    }
    let floor = |complete: bool| {
        if complete {
            "measured to the end"
        } else {
            "not pursued"
        }
    };
    note(
        false,
        "languages at their floor",
        floor(a.complete).into(),
        floor(b.complete).into(),
    );
    note(false, "seed", a.seed.0.to_string(), b.seed.0.to_string());
    found.sort_by_key(|difference| !difference.decides);
    found
}

fn policy(policy: &PolicyStamp) -> String {
    let edited = if policy.edited { ", edited" } else { "" };
    format!("{} version {}{edited}", policy.id, policy.version)
}

fn text(registers: &[Register], id: &str) -> String {
    let Some(register) = registers.iter().find(|register| register.id == id) else {
        return "not used".into();
    };
    // Enough of the hash to tell two apart.
    let hash: String = register.hash.chars().take(12).collect();
    format!("{} (hash {hash})", register.source)
}
