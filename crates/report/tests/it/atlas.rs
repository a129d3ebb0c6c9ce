//! The HTML atlas of the realistic survey.

use isogloss_record::survey::Verdict;
use isogloss_report::{AtlasOptions, atlas_html, line_in_words};

use crate::fixture;
use crate::hostile::check_well_formed;

const SAMPLES: AtlasOptions = AtlasOptions { samples: true };

#[test]
fn every_language_has_a_row_a_sign_and_a_section() {
    let results = fixture::survey();
    let html = atlas_html(&results, Some(&fixture::run_info(&results)), &SAMPLES).unwrap();
    check_well_formed(&html);
    for lang in results.languages.keys() {
        assert_eq!(
            html.matches(&format!("<article id=\"lang-{lang}\""))
                .count(),
            1,
            "{lang}: one section"
        );
        assert_eq!(
            html.matches(&format!("<tr data-code=\"{lang}\">")).count(),
            3,
            "{lang}: two tables and the small multiples"
        );
        assert_eq!(
            html.matches(&format!("<a href=\"#lang-{lang}\" data-code="))
                .count(),
            2,
            "{lang}: a sign on each map"
        );
    }
    for verdict in ["served", "partly", "not-served", "cannot-say", "reference"] {
        assert!(
            html.contains(&format!("class=\"dot {verdict}\"")),
            "{verdict} is on a map"
        );
    }
}

#[test]
fn the_page_needs_no_network() {
    let results = fixture::survey();
    let html = atlas_html(&results, None, &SAMPLES).unwrap();
    for outside in ["=\"http", "=\"//", "url(h", "@import"] {
        assert!(!html.contains(outside), "an outside address: {outside}");
    }
    assert!(!html.contains("<link") && !html.contains("<img"));
    assert!(html.contains("default-src 'none'"));
    // Every inner link leads somewhere.
    for target in html
        .split("href=\"#")
        .skip(1)
        .map(|rest| &rest[..rest.find('"').unwrap()])
    {
        assert!(
            html.contains(&format!("id=\"{target}\"")),
            "#{target} is nowhere"
        );
    }
}

#[test]
fn quoted_text_carries_its_language_and_direction() {
    let html = atlas_html(&fixture::survey(), None, &SAMPLES).unwrap();
    for (tag, dir, start) in [
        ("ar", "rtl", "يولد جميع الناس"),
        ("he", "rtl", "כל בני אדם"),
        ("ur", "rtl", "تمام انسان"),
        ("th", "ltr", "มนุษย์ทั้งหลาย"),
        ("hi", "ltr", "सभी मनुष्यों"),
        ("zh", "ltr", "人人生而自由"),
        ("vi", "ltr", "Tất cả mọi người"),
    ] {
        assert!(
            html.contains(&format!(
                "<blockquote lang=\"{tag}\" dir=\"{dir}\" class=\"sample\"><bdi>{start}"
            )),
            "{tag}"
        );
    }
    let without = atlas_html(&fixture::survey(), None, &AtlasOptions { samples: false }).unwrap();
    assert!(
        !without.contains("<blockquote") && !without.contains("มนุษย์"),
        "samples can be left out"
    );
}

#[test]
fn what_was_not_measured_says_why() {
    let html = atlas_html(&fixture::survey(), None, &SAMPLES).unwrap();
    assert!(html.contains("no running text in this language"));
    assert!(html.contains("at its floor after 12 items"));
}

#[test]
fn a_language_off_the_map_is_named_below_it() {
    let mut results = fixture::survey();
    results
        .languages
        .get_mut(&fixture::lang("eus"))
        .unwrap()
        .latitude = Some(-90.0);
    results
        .languages
        .get_mut(&fixture::lang("hau"))
        .unwrap()
        .longitude = None;
    let html = atlas_html(&results, None, &SAMPLES).unwrap();
    assert!(html.contains("Without a place on the map: Basque, Hausa."));
    assert!(!html.contains("<a href=\"#lang-eus\" data-code="));
}

#[test]
fn stamps_appear_only_where_they_apply() {
    let mut results = fixture::survey();
    let mut run = fixture::run_info(&results);
    let html = atlas_html(&results, Some(&run), &SAMPLES).unwrap();
    assert!(!html.contains("class=\"stamp\""));
    results.policy.edited = true;
    run.complete = false;
    let html = atlas_html(&results, Some(&run), &SAMPLES).unwrap();
    assert!(html.contains("The thresholds of this atlas were edited"));
    assert!(html.contains("This run is not finished"));
}

#[test]
fn the_line_in_words() {
    let results = fixture::survey();
    let mut model = results.models[0].clone();
    insta::assert_snapshot!("line_in_words", line_in_words(&model));
    model
        .languages
        .retain(|_, result| matches!(result.verdict, Verdict::Served | Verdict::Reference));
    let n_served = model.languages.len() - 1;
    assert_eq!(
        line_in_words(&model),
        format!("serves {n_served} of {n_served} languages")
    );
    for result in model.languages.values_mut() {
        result.provisional = true;
    }
    assert_eq!(
        line_in_words(&model),
        format!("serves {n_served} of {n_served} languages (all provisional)")
    );
    model.languages.clear();
    assert_eq!(line_in_words(&model), "serves 0 of 0 languages");
}

#[test]
fn one_model_needs_no_switch() {
    let mut results = fixture::survey();
    results.models.truncate(1);
    let html = atlas_html(&results, None, &SAMPLES).unwrap();
    check_well_formed(&html);
    assert!(html.contains("Which languages does SmolLM2-135M-Instruct serve?"));
    assert!(!html.contains("type=\"radio\""));
}

#[test]
fn a_section_is_golden() {
    // The whole page would be a megabyte of map; a section and the frame around it are read by people.
    let html = atlas_html(&fixture::survey(), None, &SAMPLES).unwrap();
    let start = html.find("<article id=\"lang-arb\"").unwrap();
    let end = start + html[start..].find("</article>").unwrap();
    insta::assert_snapshot!("section_arb", &html[start..end]);
    let method = html.find("<section id=\"method\"").unwrap();
    insta::assert_snapshot!("method", &html[method..html.find("<footer>").unwrap()]);
    let header = html.find("<header class=\"top\">").unwrap();
    insta::assert_snapshot!(
        "line",
        &html[header..header + html[header..].find("</header>").unwrap()]
    );
}

#[test]
fn all_languages_of_the_world_fit_on_a_page() {
    let results = fixture::large_survey(440);
    let html = atlas_html(&results, None, &SAMPLES).unwrap();
    assert_eq!(html.matches("<article id=\"lang-").count(), 440);
    // What a browser opens at once and a mail still carries; 27 languages are about 0.6 MB.
    assert!(html.len() < 9_000_000, "{} bytes", html.len());
    crate::run::keep_to_look_at("atlas-440.html", html.as_bytes());
}

#[test]
fn a_small_page_is_golden() {
    // Two languages and one model: every template, whole, without the style, the script and the land.
    let mut results = fixture::survey();
    results.models.truncate(1);
    let keep = [fixture::lang("eng"), fixture::lang("arb")];
    results.languages.retain(|lang, _| keep.contains(lang));
    results.models[0]
        .languages
        .retain(|lang, _| keep.contains(lang));
    let html = atlas_html(&results, Some(&fixture::run_info(&results)), &SAMPLES).unwrap();
    insta::assert_snapshot!("small_page", without_bulk(&html));
}

/// The page without the contents of style, script and the land's outline.
pub(crate) fn without_bulk(html: &str) -> String {
    let mut text = html.to_owned();
    for (start, end) in [
        ("<style>", "</style>"),
        ("<script>", "</script>"),
        ("<path class=\"land\" d=\"", "\"/>"),
    ] {
        let mut from = 0;
        while let Some(at) = text[from..].find(start) {
            let inside = from + at + start.len();
            let close = inside + text[inside..].find(end).unwrap();
            text.replace_range(inside..close, "…");
            from = inside;
        }
    }
    text
}

#[test]
fn models_that_failed_are_named_with_their_reason_and_nothing_else() {
    let mut results = fixture::survey();
    results.failed = vec![isogloss_record::survey::FailedModel {
        name: "half-a-model".into(),
        reason: "did not answer 3 of 96 requests <b>".into(),
    }];
    let page = atlas_html(&results, None, &AtlasOptions::default()).unwrap();
    assert!(page.contains("<bdi>half-a-model</bdi> failed half-way"));
    assert!(page.contains("96 requests &lt;b&gt;"));
    assert_eq!(page.matches("half-a-model").count(), 1);
    let markdown = isogloss_report::atlas_markdown(&results);
    assert!(markdown.contains("**half-a-model** failed half-way"));
}
