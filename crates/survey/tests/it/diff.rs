//! What changed between two surveys, and whether they can be compared.

use std::collections::BTreeMap;

use isogloss_record::diff::{Intervals, Movement};
use isogloss_record::survey::{
    ChoiceResult, LanguageFacts, LanguageResults, ModelResults, PolicyStamp, Register, Speakers,
    SurveyResults, SurveySettings, Verdict,
};
use isogloss_record::{Explain, Fingerprint, Seed};
use isogloss_survey::{DiffError, atlas_diff, comparable};

use crate::world::lang;

fn choice(value: f64, low: f64, high: f64) -> ChoiceResult {
    ChoiceResult {
        value,
        low,
        high,
        n: 24,
        floor: None,
        length_baseline: None,
        relative: None,
        gain: None,
    }
}

fn language(verdict: Verdict, comprehension: Option<ChoiceResult>) -> LanguageResults {
    LanguageResults {
        comprehension,
        production: None,
        lexicon: None,
        fidelity: None,
        alignment: None,
        information: None,
        cost: None,
        memory: None,
        verdict,
        provisional: false,
        reason: "because".into(),
        not_measured: BTreeMap::new(),
        registers: BTreeMap::new(),
        translations: None,
    }
}

fn survey(model: &str, verdicts: &[(&str, Verdict, Option<ChoiceResult>)]) -> SurveyResults {
    let facts = |code: &str, speakers: u64| LanguageFacts {
        name: code.to_owned(),
        endonym: None,
        tag: code.to_owned(),
        script: "Latn".parse().unwrap(),
        right_to_left: false,
        family: Vec::new(),
        latitude: None,
        longitude: None,
        speakers: (speakers > 0).then(|| Speakers {
            count: speakers,
            source: "nobody".into(),
            year: 2025,
        }),
        resource_class: None,
        sample: None,
        regions: Vec::new(),
    };
    SurveyResults {
        schema: isogloss_record::survey::SCHEMA.into(),
        version: "1".into(),
        settings: SurveySettings {
            reference: lang("eng"),
            registers: vec![Register {
                id: "udhr".into(),
                source: "the declaration".into(),
                hash: "0123456789abcdef".into(),
            }],
            n_items: 12,
            n_words: 48,
            n_continuations: 4,
            n_continuation_tokens: 32,
            measures: vec!["comprehension".into()],
            complete: false,
            seed: Seed(1),
        },
        policy: PolicyStamp {
            id: "default".into(),
            version: 1,
            edited: false,
            thresholds: [("kappa".to_owned(), 0.3)].into(),
        },
        measures: Vec::new(),
        failed: Vec::new(),
        comparisons: Vec::new(),
        languages: verdicts
            .iter()
            .enumerate()
            .map(|(i, (code, _, _))| (lang(code), facts(code, i as u64)))
            .collect(),
        models: vec![ModelResults {
            name: model.into(),
            fingerprint: Fingerprint {
                name: model.into(),
                architecture: "scripted".into(),
                quantization: "f32".into(),
                compute: "f32".into(),
                hash: format!("hash of {model}"),
                n_parameters: None,
                context_length: 8,
                license: None,
            },
            languages: verdicts
                .iter()
                .map(|(code, verdict, choice)| (lang(code), language(*verdict, *choice)))
                .collect(),
        }],
    }
}

#[test]
fn languages_that_moved_stand_first_with_their_changes() {
    let before = survey(
        "a",
        &[
            ("qaa", Verdict::Served, Some(choice(0.8, 0.6, 0.9))),
            ("qab", Verdict::NotServed, Some(choice(0.0, -0.2, 0.2))),
            ("qac", Verdict::Partly, Some(choice(0.5, 0.3, 0.6))),
            ("qad", Verdict::Served, None),
            ("qae", Verdict::Served, None),
        ],
    );
    let after = survey(
        "a",
        &[
            ("qaa", Verdict::Served, Some(choice(0.7, 0.5, 0.8))),
            ("qab", Verdict::Partly, Some(choice(0.4, 0.25, 0.6))),
            ("qac", Verdict::NotServed, Some(choice(0.1, 0.0, 0.29))),
            ("qad", Verdict::Partly, Some(choice(0.1, 0.0, 0.2))),
            ("qaf", Verdict::Served, None),
        ],
    );
    let diff = atlas_diff(&before, &after).unwrap();
    assert!(diff.differences.is_empty());
    let pair = &diff.pairs[0];
    assert!(pair.is_same_model);
    let order: Vec<(String, Movement)> = pair
        .languages
        .iter()
        .map(|language| (language.lang.to_string(), language.movement))
        .collect();
    assert_eq!(
        order,
        [
            ("qad".to_owned(), Movement::LeftTheLine),
            ("qac".to_owned(), Movement::Lost),
            ("qab".to_owned(), Movement::Gained),
            ("qaa".to_owned(), Movement::Same),
        ]
    );
    let comprehension = |i: usize| &pair.languages[i].measures[0];
    // .1 − .5 = −.4; [0, .29] lies below [.3, .6].
    assert!((comprehension(1).change.unwrap() + 0.4).abs() < 1e-12);
    assert_eq!(comprehension(1).intervals, Some(Intervals::Lower));
    assert_eq!(comprehension(2).intervals, Some(Intervals::Higher));
    assert_eq!(comprehension(3).intervals, Some(Intervals::Overlap));
    // Not measured before: no change, not a change from 0.
    assert_eq!(
        (comprehension(0).change, comprehension(0).intervals),
        (None, None)
    );
    assert_eq!(pair.only_before[0].lang, lang("qae"));
    assert_eq!(pair.only_after[0].lang, lang("qaf"));
}

/// One thing done differently.
type Change = fn(&mut SurveyResults);

#[test]
fn every_difference_that_can_move_a_verdict_is_found() {
    let before = survey("a", &[("qaa", Verdict::Served, None)]);
    let deciding: [(&str, Change); 7] = [
        ("version of Isogloss", |r| r.version = "2".into()),
        ("policy", |r| r.policy.edited = true),
        ("threshold `kappa`", |r| {
            r.policy.thresholds.insert("kappa".into(), 0.2);
        }),
        ("threshold `new`", |r| {
            r.policy.thresholds.insert("new".into(), 1.0);
        }),
        ("reference language", |r| r.settings.reference = lang("fra")),
        ("text `udhr`", |r| r.settings.registers[0].hash = "f".into()),
        ("measures asked for", |r| {
            r.settings.measures.push("cost".into());
        }),
    ];
    for (what, change) in deciding {
        let mut after = before.clone();
        change(&mut after);
        let found = comparable::differences(&before, &after);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert!(
            found[0].what == what && found[0].decides,
            "{what}: {found:?}"
        );
    }
    let drawn: [(&str, Change); 3] = [
        ("text items per language and register", |r| {
            r.settings.n_items = 24;
        }),
        ("languages at their floor", |r| r.settings.complete = true),
        ("seed", |r| r.settings.seed = Seed(2)),
    ];
    for (what, change) in drawn {
        let mut after = before.clone();
        change(&mut after);
        let found = comparable::differences(&before, &after);
        assert!(
            found[0].what == what && !found[0].decides,
            "{what}: {found:?}"
        );
    }
    assert!(comparable::differences(&before, &before).is_empty());
}

#[test]
fn models_are_paired_by_name_or_alone() {
    let one = survey("a", &[("qaa", Verdict::Served, None)]);
    let other = survey("b", &[("qaa", Verdict::Partly, None)]);
    // One model each: two models side by side.
    let diff = atlas_diff(&one, &other).unwrap();
    assert!(diff.pairs[0].before == "a" && diff.pairs[0].after == "b");
    assert!(!diff.pairs[0].is_same_model);
    let mut both = one.clone();
    both.models.extend(other.models.clone());
    let diff = atlas_diff(&both, &other).unwrap();
    assert_eq!(diff.pairs.len(), 1);
    assert_eq!(diff.models_only_before, ["a"]);
    let mut third = survey("c", &[]);
    third.models.extend(survey("d", &[]).models);
    let error = atlas_diff(&both, &third).unwrap_err();
    assert!(matches!(error, DiffError::NoCommonModel { .. }));
    assert!(error.to_string().contains("`a`, `b`") && error.hint().is_some());
}
