//! Text of a run is not to be trusted: markup in it stays text, in every report.

use isogloss_record::survey::{ModelResults, SurveyResults};
use isogloss_report::{
    AtlasOptions, atlas_csv, atlas_html, atlas_markdown, summary_table, tokens_csv, tokens_html,
    tokens_markdown,
};

use crate::fixture;

pub(crate) const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&{{ 7*7 }}{% x %}|\n=cmd()";

/// Every open element is closed in its order, attributes are quoted, and text holds no bare `<`.
#[track_caller]
pub(crate) fn check_well_formed(html: &str) {
    const VOID: [&str; 4] = ["meta", "input", "br", "link"];
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        if rest.starts_with("<!") {
            rest = &rest[rest.find('>').unwrap()..];
            continue;
        }
        // The end of the tag is the first `>` outside of quotes.
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                !quoted && *c == '>'
            })
            .map_or_else(
                || panic!("a tag without an end: {}", start_of(rest)),
                |(i, _)| i,
            );
        let tag = &rest[1..end];
        assert!(!tag.contains('<'), "markup inside a tag: {tag}");
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        assert!(!name.is_empty(), "a bare `<`: {}", start_of(rest));
        if tag.starts_with('/') {
            let last = open.pop();
            assert_eq!(
                last.as_deref(),
                Some(name.as_str()),
                "closes what is not open, before: {}",
                start_of(rest)
            );
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            // Style and script are ours and hold `<` and `>` of their own.
            if name == "script" || name == "style" {
                let close = format!("</{name}>");
                rest = &rest[rest.find(&close).unwrap() + close.len()..];
                continue;
            }
            open.push(name);
        }
        rest = &rest[end..];
    }
    assert!(open.is_empty(), "left open: {open:?}");
    for id in html
        .split(" id=\"")
        .skip(1)
        .map(|rest| &rest[..rest.find('"').unwrap()])
    {
        assert_eq!(
            html.matches(&format!(" id=\"{id}\"")).count(),
            1,
            "the id `{id}` is used twice"
        );
    }
}

fn start_of(text: &str) -> String {
    text.chars().take(80).collect()
}

fn hostile() -> SurveyResults {
    let mut results = fixture::survey();
    results.version = HOSTILE.into();
    results.policy.id = HOSTILE.into();
    results.policy.thresholds.insert(HOSTILE.into(), 1.0);
    for register in &mut results.settings.registers {
        register.source = HOSTILE.into();
        register.hash = HOSTILE.into();
    }
    for card in &mut results.measures {
        for text in [
            &mut card.title,
            &mut card.definition,
            &mut card.range,
            &mut card.pitfalls,
        ] {
            *text = HOSTILE.into();
        }
    }
    for facts in results.languages.values_mut() {
        facts.name = HOSTILE.into();
        facts.endonym = Some(format!("{HOSTILE}!"));
        facts.tag = HOSTILE.into();
        facts.family = vec![HOSTILE.into()];
        facts.resource_class = Some(HOSTILE.into());
        if let Some(speakers) = &mut facts.speakers {
            speakers.source = HOSTILE.into();
        }
        if let Some(sample) = &mut facts.sample {
            sample.text = HOSTILE.into();
            sample.reference = HOSTILE.into();
            sample.register = HOSTILE.into();
        }
    }
    for ModelResults {
        name,
        fingerprint,
        languages,
    } in &mut results.models
    {
        *name = HOSTILE.into();
        fingerprint.architecture = HOSTILE.into();
        fingerprint.quantization = HOSTILE.into();
        fingerprint.license = Some(HOSTILE.into());
        fingerprint.hash = HOSTILE.into();
        for result in languages.values_mut() {
            result.reason = HOSTILE.into();
            result.not_measured.insert(HOSTILE.into(), HOSTILE.into());
            let register = result.registers.remove("words").unwrap_or_default();
            result.registers.insert(HOSTILE.into(), register);
        }
    }
    results
}

#[test]
fn markup_in_results_stays_text() {
    let results = hostile();
    let mut run = fixture::run_info(&results);
    run.machine.processor = HOSTILE.into();
    run.command = HOSTILE.into();
    let html = atlas_html(&results, Some(&run), &AtlasOptions { samples: true }).unwrap();
    check_well_formed(&html);
    check_inert(&html);

    let markdown = atlas_markdown(&results);
    check_inert(&markdown);
    // A cell cannot open a new row or column: all rows of a table are equally wide.
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    for table in markdown.split("\n\n").filter(|part| part.starts_with("| ")) {
        let widths: Vec<usize> = table.lines().map(bars).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
    }
    check_csv(&atlas_csv(&results), 12);
    assert_eq!(summary_table(&results).rows[0].len(), 9);
}

#[test]
fn markup_in_tokens_stays_text() {
    let mut report = fixture::tokens();
    for facts in report.languages.values_mut() {
        facts.name = HOSTILE.into();
    }
    for model in &mut report.models {
        model.name = HOSTILE.into();
        if let Some(price) = &mut model.price {
            price.currency = HOSTILE.into();
        }
        model
            .not_measured
            .values_mut()
            .for_each(|reason| *reason = HOSTILE.into());
    }
    let html = tokens_html(&report).unwrap();
    check_well_formed(&html);
    check_inert(&html);
    check_inert(&tokens_markdown(&report));
    check_csv(&tokens_csv(&report), 17);
}

#[track_caller]
pub(crate) fn check_inert(text: &str) {
    for live in ["<script>alert", "<img", "onerror=alert(2)>"] {
        assert!(!text.contains(live), "`{live}` came through");
    }
    assert!(
        text.contains("7*7") || text.contains("7\\*7"),
        "the text itself is kept"
    );
}

/// Parses by RFC 4180 and counts the fields of every record.
#[track_caller]
pub(crate) fn check_csv(text: &str, n_fields: usize) {
    let (mut fields, mut quoted) = (1, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields += 1,
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'), "records end with CRLF");
                assert_eq!(fields, n_fields);
                fields = 1;
            }
            '\n' if !quoted => panic!("a bare line feed"),
            _ => {}
        }
    }
    assert!(!quoted && text.ends_with("\r\n"));
}
