//! What changed between two atlases, drawn; what it is computed from is tested in `survey`.

use isogloss_record::Estimate;
use isogloss_record::diff::{
    AtlasDiff, Difference, Intervals, LanguageDiff, MeasureDiff, Movement, OnlyOne, PairDiff,
    SCHEMA,
};
use isogloss_record::survey::{LanguageResults, Verdict};
use isogloss_report::{DiffTitles, diff_html, diff_markdown, diff_table, diff_warning, pair_line};

use crate::fixture::{lang, survey};
use crate::hostile::{HOSTILE, check_inert, check_well_formed};

const TITLES: DiffTitles = DiffTitles {
    before: "runs/old",
    after: "runs/new",
};

fn measures(before: &LanguageResults, after: &LanguageResults) -> Vec<MeasureDiff> {
    let readings = |r: &LanguageResults| {
        let plain = |value, low, high, n| Estimate {
            value,
            low,
            high,
            n,
        };
        [
            (
                "comprehension",
                r.comprehension.map(|m| plain(m.value, m.low, m.high, m.n)),
            ),
            (
                "fidelity",
                r.fidelity.map(|m| plain(m.value, m.low, m.high, m.n)),
            ),
            ("cost", r.cost.map(|m| plain(m.value, m.low, m.high, m.n))),
        ]
    };
    readings(before)
        .into_iter()
        .zip(readings(after))
        .filter(|(a, b)| a.1.is_some() || b.1.is_some())
        .map(|((id, before), (_, after))| MeasureDiff {
            id,
            before,
            after,
            change: before.zip(after).map(|(a, b)| b.value - a.value),
            intervals: before.zip(after).map(|(a, b)| {
                if b.low > a.high {
                    Intervals::Higher
                } else if b.high < a.low {
                    Intervals::Lower
                } else {
                    Intervals::Overlap
                }
            }),
        })
        .collect()
}

/// The fixture's second model against its first.
fn diff() -> AtlasDiff {
    let results = survey();
    let [before, after] = [&results.models[0], &results.models[1]];
    let mut languages: Vec<LanguageDiff> = before
        .languages
        .iter()
        .map(|(lang, old)| {
            let new = &after.languages[lang];
            let movement = match (old.verdict, new.verdict) {
                (a, b) if a == b => Movement::Same,
                (Verdict::CannotSay, _) => Movement::NowTold,
                (_, Verdict::CannotSay) => Movement::NoLongerTold,
                (_, Verdict::Served) => Movement::CrossedTheLine,
                _ => Movement::Gained,
            };
            LanguageDiff {
                lang: *lang,
                name: results.languages[lang].name.clone(),
                before: old.verdict,
                after: new.verdict,
                movement,
                reason: new.reason.clone(),
                measures: measures(old, new),
            }
        })
        .collect();
    languages.sort_by_key(|language| language.movement);
    AtlasDiff {
        schema: SCHEMA,
        differences: vec![
            Difference {
                what: "policy".into(),
                before: "default version 1".into(),
                after: "default version 2, edited".into(),
                decides: true,
            },
            Difference {
                what: "seed".into(),
                before: "7".into(),
                after: "8".into(),
                decides: false,
            },
        ],
        pairs: vec![PairDiff {
            before: before.name.clone(),
            after: after.name.clone(),
            is_same_model: false,
            languages,
            only_before: vec![OnlyOne {
                lang: lang("glg"),
                name: "Galician".into(),
                verdict: Verdict::Partly,
            }],
            only_after: Vec::new(),
        }],
        models_only_before: vec!["third".into()],
        models_only_after: Vec::new(),
    }
}

#[test]
fn moves_come_first_and_what_differs_is_said_before_them() {
    let diff = diff();
    let html = diff_html(&diff, TITLES, "run both again", "0").unwrap();
    check_well_formed(&html);
    crate::run::keep_to_look_at("diff.html", html.as_bytes());
    assert!(html.contains("default-src 'none'") && !html.contains("=\"http"));
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("`{text}`"));
    assert!(at("not made alike (policy)") < at("How the surveys were made differently"));
    assert!(at("How the surveys were made differently") < at("data-code=\"hin\""));
    // Hindi crossed the line, Yoruba cannot be told any more, French stayed.
    assert!(at("data-code=\"hin\"") < at("data-code=\"yor\""));
    assert!(at("data-code=\"yor\"") < at("data-code=\"fra\""));
    assert!(html.contains("apart: higher") && html.contains(">overlap<"));
    assert!(html.contains("Galician") && html.contains("third"));

    let line = pair_line(&diff.pairs[0]);
    assert!(line.starts_with("Of 27 languages in both: "), "{line}");
    let (table, n_left_out) = diff_table(&diff.pairs[0]);
    assert_eq!(table.rows.len() + n_left_out, 27);
    assert!(table.rows[0][1] == "now served", "{:?}", table.rows[0]);
    insta::assert_snapshot!(
        "diff_markdown",
        diff_markdown(&diff, TITLES, "run both again")
    );
}

#[test]
fn surveys_made_alike_bear_no_warning() {
    let mut diff = diff();
    diff.differences.retain(|difference| !difference.decides);
    assert_eq!(diff_warning(&diff), None);
    let html = diff_html(&diff, TITLES, "run both again", "0").unwrap();
    assert!(!html.contains("class=\"stamp\"") && html.contains("seed"));
    assert!(!diff_markdown(&diff, TITLES, "run both again").contains("not made alike"));
}

#[test]
fn markup_in_a_diff_stays_text() {
    let mut diff = diff();
    for difference in &mut diff.differences {
        difference.what = HOSTILE.into();
        difference.before = HOSTILE.into();
        difference.after = HOSTILE.into();
    }
    for pair in &mut diff.pairs {
        pair.before = HOSTILE.into();
        pair.after = HOSTILE.into();
        for language in &mut pair.languages {
            language.name = HOSTILE.into();
            language.reason = HOSTILE.into();
        }
        pair.only_before[0].name = HOSTILE.into();
    }
    diff.models_only_before = vec![HOSTILE.into()];
    let titles = DiffTitles {
        before: HOSTILE,
        after: HOSTILE,
    };
    let html = diff_html(&diff, titles, HOSTILE, HOSTILE).unwrap();
    check_well_formed(&html);
    check_inert(&html);
    check_inert(&diff_markdown(&diff, titles, "run both again"));
}

#[test]
fn nothing_in_common_still_renders() {
    let mut diff = diff();
    diff.pairs[0].languages.clear();
    check_well_formed(&diff_html(&diff, TITLES, "again", "0").unwrap());
    assert_eq!(pair_line(&diff.pairs[0]), "No language is in both.");
    assert_eq!(diff_table(&diff.pairs[0]).0.rows.len(), 0);
    assert!(diff_markdown(&diff, TITLES, "again").contains("No language is in both."));
}
