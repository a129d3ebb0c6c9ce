//! The tables of `isogloss tokens`.

use isogloss_report::{tokens_csv, tokens_html, tokens_markdown, tokens_table};

use crate::atlas::without_bulk;
use crate::fixture;
use crate::hostile::{check_csv, check_well_formed};

#[test]
fn tables_are_golden() {
    let report = fixture::tokens();
    insta::assert_snapshot!("tokens_markdown", tokens_markdown(&report));
    let csv = tokens_csv(&report);
    check_csv(&csv, 17);
    insta::assert_snapshot!("tokens_csv", csv.replace('\r', ""));
}

#[test]
fn the_page_has_every_language_and_no_network() {
    let report = fixture::tokens();
    let html = tokens_html(&report).unwrap();
    check_well_formed(&html);
    for lang in report.languages.keys() {
        assert_eq!(
            html.matches(&format!("<tr data-code=\"{lang}\">")).count(),
            1,
            "{lang}"
        );
    }
    assert!(!html.contains("=\"http"));
    assert!(
        html.contains("0.33 USD"),
        "0.165 × 2.0 and the like carry their currency"
    );
}

#[test]
fn a_small_page_is_golden() {
    let mut report = fixture::tokens();
    let keep = [
        fixture::lang("eng"),
        fixture::lang("tha"),
        fixture::lang("ory"),
    ];
    report.languages.retain(|lang, _| keep.contains(lang));
    for model in &mut report.models {
        model.languages.retain(|lang, _| keep.contains(lang));
    }
    insta::assert_snapshot!(
        "tokens_small_page",
        without_bulk(&tokens_html(&report).unwrap())
    );
}

#[test]
fn empty_reports_render() {
    let mut report = fixture::tokens();
    report.models.clear();
    check_well_formed(&tokens_html(&report).unwrap());
    assert!(tokens_table(&report).rows.is_empty());
    report.languages.clear();
    check_well_formed(&tokens_html(&report).unwrap());
}
