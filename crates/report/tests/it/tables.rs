//! Markdown, CSV and the terminal's table.

use isogloss_report::{AtlasOptions, atlas_csv, atlas_html, atlas_markdown, summary_table};

use crate::fixture;
use crate::hostile::{check_csv, check_well_formed};

#[test]
fn markdown_is_golden() {
    insta::assert_snapshot!(atlas_markdown(&fixture::survey()));
}

#[test]
fn csv_is_golden() {
    let csv = atlas_csv(&fixture::survey());
    check_csv(&csv, 12);
    // A row per model (2), language (27) and measure (9), and the header.
    assert_eq!(csv.lines().count(), 2 * 27 * 9 + 1);
    insta::assert_snapshot!(csv.replace('\r', ""));
}

#[test]
fn the_summary_is_golden() {
    let table = summary_table(&fixture::survey());
    assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
    let lines: Vec<String> = std::iter::once(&table.header)
        .chain(&table.rows)
        .map(|row| row.join(" │ "))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn nothing_measured_still_renders() {
    let full = fixture::survey();
    let mut no_models = full.clone();
    no_models.models.clear();
    let mut no_languages = full.clone();
    no_languages.languages.clear();
    no_languages
        .models
        .iter_mut()
        .for_each(|model| model.languages.clear());
    let mut nothing = no_languages.clone();
    nothing.models.clear();
    nothing.measures.clear();
    nothing.settings.registers.clear();
    nothing.policy.thresholds.clear();
    let mut all_none = full.clone();
    for facts in all_none.languages.values_mut() {
        facts.endonym = None;
        facts.latitude = None;
        facts.longitude = None;
        facts.speakers = None;
        facts.sample = None;
        facts.family.clear();
    }
    for result in all_none
        .models
        .iter_mut()
        .flat_map(|model| model.languages.values_mut())
    {
        result.comprehension = None;
        result.production = None;
        result.lexicon = None;
        result.fidelity = None;
        result.alignment = None;
        result.information = None;
        result.cost = None;
        result.memory = None;
        result.registers.clear();
        result.not_measured.clear();
    }
    for (what, results) in [
        ("models", no_models),
        ("languages", no_languages),
        ("anything", nothing),
        ("measures", all_none),
    ] {
        let html = atlas_html(&results, None, &AtlasOptions { samples: true })
            .unwrap_or_else(|error| panic!("no {what}: {error:#}"));
        check_well_formed(&html);
        assert!(
            !html.contains("NaN") && !html.contains(">inf") && !html.contains("\"inf"),
            "no {what}"
        );
        check_csv(&atlas_csv(&results), 12);
        assert!(atlas_markdown(&results).starts_with("# "), "no {what}");
        let table = summary_table(&results);
        assert!(
            table.rows.iter().all(|row| row.len() == table.header.len()),
            "no {what}"
        );
    }
}
