//! The page on `results.json` names every field that a survey writes.

use std::collections::BTreeSet;
use std::path::Path;

use isogloss_record::files;
use serde_json::Value;

use crate::fixture;

/// Maps whose keys are data (codes, ids), not fields.
const KEYED_BY_DATA: [&str; 4] = ["languages", "registers", "not_measured", "thresholds"];

fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (field, value) in map {
                into.insert(field.clone());
                match value {
                    Value::Object(entries) if KEYED_BY_DATA.contains(&field.as_str()) => {
                        entries.values().for_each(|entry| fields(entry, into));
                    }
                    value => fields(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, into)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let mut found = BTreeSet::new();
    fields(
        &serde_json::to_value(fixture::survey()).unwrap(),
        &mut found,
    );
    // What the fixture leaves empty would not be seen: these must be among them.
    for field in [
        "above_floor",
        "with_cognates",
        "verbatim",
        "sensitivity",
        "usable_context",
        "year",
        "continent",
        "floor_gain",
        "stayed",
        "cognate",
    ] {
        assert!(found.contains(field), "the fixture holds no `{field}`");
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results.md");
    let page = files::read_to_string(&page).unwrap();
    let missing: Vec<&String> = found
        .iter()
        .filter(|field| !page.contains(&format!("`{field}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/results.md does not name {missing:?}"
    );
    assert!(page.contains(isogloss_record::survey::SCHEMA));
}
