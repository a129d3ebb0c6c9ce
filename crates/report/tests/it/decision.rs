//! The page of a decision, and the section of compared models.

use std::collections::BTreeMap;

use isogloss_record::comparison::{Comparison, Finding, PairedDifference};
use isogloss_record::decision::{
    Candidate, CandidateLanguage, Decision, Need, NotMeasured, OpenQuestion, SCHEMA, Use,
};
use isogloss_record::survey::Verdict;
use isogloss_record::tokens::{ChatSize, TokenPrice};
use isogloss_record::{Estimate, Seed};
use isogloss_report::{
    AtlasOptions, atlas_html, comparison_table, decision_html, decision_lines, decision_table,
};

use crate::fixture::{self, lang};
use crate::hostile::check_well_formed;
use crate::run::keep_to_look_at;

fn comparison(code: &str, finding: Finding) -> Comparison {
    let difference = |value: f64| PairedDifference {
        value,
        low: value - 0.2,
        high: value + 0.2,
        n: 24,
        p: 0.01,
        q: Some(0.0004),
        visible: 0.3,
    };
    Comparison {
        lang: lang(code),
        first: "SmolLM2-135M-Instruct".into(),
        second: "gemma-3-270m".into(),
        register: Some("udhr".into()),
        comprehension: Some(difference(-0.4)),
        production: None,
        kappa: Some(difference(-0.4)),
        gain: Some(difference(-0.2)),
        finding,
        reason: "gemma-3-270m serves it better & <b>".into(),
    }
}

fn decision() -> Decision {
    let results = fixture::survey();
    let candidates = results.models.iter().rev().enumerate().map(|(i, model)| {
        let languages = ["arb", "tha"].map(|code| {
            let of = &model.languages[&lang(code)];
            let language = CandidateLanguage {
                verdict: of.verdict,
                provisional: of.provisional,
                reason: of.reason.clone(),
                comprehension: None,
                production: None,
                worth: Some(0.5),
                premium: Some(1.5),
                price_per_1000_chats: (i == 0).then_some(0.4),
            };
            (lang(code), language)
        });
        Candidate {
            name: model.name.clone(),
            fingerprint: model.fingerprint.clone(),
            license: (i == 0).then(|| "Gemma <terms>".into()),
            misses: if i == 0 {
                vec![]
            } else {
                vec!["its price is not known".into()]
            },
            worth: Some(Estimate {
                value: 0.6 - 0.2 * i as f64,
                low: 0.3,
                high: 0.8,
                n: 24,
            }),
            probability: (i == 0).then_some(0.87),
            price: (i == 0).then(|| TokenPrice {
                input: 0.1,
                output: 0.4,
                currency: "USD".into(),
            }),
            price_per_1000_chats: (i == 0).then_some(0.41),
            languages: BTreeMap::from(languages),
        }
    });
    let candidates = candidates.collect();
    let need = |weight, role, minimum| Need {
        weight,
        role,
        minimum,
    };
    let missing = |code: &str| NotMeasured {
        model: Some("gemma-3-270m".into()),
        lang: Some(lang(code)),
        what: "fidelity".into(),
        reason: "nothing was said".into(),
    };
    Decision {
        schema: SCHEMA.into(),
        version: "0.0.0".into(),
        needs: BTreeMap::from([
            (lang("arb"), need(0.25, Use::Read, None)),
            (lang("tha"), need(0.75, Use::Write, Some(Verdict::Served))),
        ]),
        price_max: Some(2.0),
        chat: ChatSize {
            n_tokens_in: 300,
            n_tokens_out: 200,
        },
        reference: lang("eng"),
        registers: results.settings.registers.clone(),
        policy: results.policy.clone(),
        seed: Seed(7),
        languages: results.languages.clone(),
        choice: Some("gemma-3-270m".into()),
        runner_up: Some("SmolLM2-135M-Instruct".into()),
        probability: Some(0.87),
        lead: Some(Estimate {
            value: 0.2,
            low: -0.1,
            high: 0.4,
            n: 24,
        }),
        sentence: "gemma-3-270m comes first, but that is not settled.".into(),
        candidates,
        comparisons: vec![comparison("tha", Finding::SecondBetter)],
        open: vec![OpenQuestion {
            question: "Is gemma-3-270m better?".into(),
            settles: "About 60 texts".into(),
            lang: None,
            n_now: 24,
            n_needed: Some(60),
        }],
        not_measured: vec![missing("arb"), missing("tha")],
        failed: results.failed,
    }
}

#[test]
fn the_page_of_a_decision_is_whole_and_escaped() {
    let decision = decision();
    let page = decision_html(&decision).unwrap();
    keep_to_look_at("decision.html", page.as_bytes());
    check_well_formed(&page);
    assert!(page.contains("Gemma &lt;terms&gt;") && !page.contains("Gemma <terms>"));
    assert!(page.contains("gemma-3-270m comes first, not settled"));
    assert!(page.contains("87 %") && page.contains("0.41 USD"));
    assert!(page.contains("serves it better &amp; &lt;b&gt;"));
    // The language that weighs most comes first; equal reasons are one line.
    assert!(page.find("Thai").unwrap() < page.rfind("Arabic").unwrap());
    assert_eq!(page.matches("nothing was said").count(), 1);
    let table = decision_table(&decision);
    assert_eq!(table.rows[1][5], "its price is not known");
    let lines = decision_lines(&decision);
    assert!(lines[0].contains("not settled"));
    assert!(lines.iter().any(|line| line.starts_with("open: Is gemma")));
}

#[test]
fn models_are_compared_in_the_atlas_and_on_the_terminal() {
    let mut results = fixture::survey();
    let alone = atlas_html(&results, None, &AtlasOptions::default()).unwrap();
    assert!(!alone.contains("Model against model"));
    results.comparisons = vec![
        comparison("tha", Finding::SecondBetter),
        comparison("arb", Finding::SecondBetter),
        comparison("hin", Finding::NoDifference),
    ];
    let page = atlas_html(&results, None, &AtlasOptions::default()).unwrap();
    check_well_formed(&page);
    assert!(page.contains("Model against model"));
    assert!(page.contains("gemma-3-270m serves better"));
    assert!(page.contains("below .001"));
    let table = comparison_table(&results.comparisons, &results.languages);
    assert_eq!(table.rows.len(), 2);
    assert!(
        table.rows[0][2].starts_with("2: Thai, "),
        "{:?}",
        table.rows
    );
}
