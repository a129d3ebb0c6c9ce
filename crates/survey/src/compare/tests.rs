use std::collections::BTreeMap;

use isogloss_record::survey::{
    LanguageFacts, PolicyStamp, Register, RegisterResults, SCHEMA, SurveySettings,
};
use isogloss_record::{Explain, Fingerprint};

use super::*;

fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

/// A choice whose items are given as a string of 0 and 1; right ones explain .4, wrong ones .05.
pub(crate) fn items(flags: &str) -> ChoiceOutcomes {
    let right: Vec<bool> = flags.chars().map(|c| c == '1').collect();
    let gain = (right.iter().zip(0..))
        .map(|(right, i)| Some((if *right { 0.4 } else { 0.05 }) + 0.01 * f64::from(i % 3)))
        .collect();
    ChoiceOutcomes {
        right,
        gain,
        ..ChoiceOutcomes::default()
    }
}

/// One language of a model: comprehension and production, and its verdict.
pub(crate) fn language(read: &str, write: Option<&str>, verdict: Verdict) -> LanguageResults {
    let outcomes = ItemOutcomes {
        ids: (1..=read.len()).map(|i| i.to_string()).collect(),
        comprehension: Some(items(read)),
        production: write.map(items),
        ..ItemOutcomes::default()
    };
    LanguageResults {
        comprehension: None,
        production: None,
        lexicon: None,
        fidelity: None,
        alignment: None,
        information: None,
        cost: None,
        memory: None,
        translations: None,
        verdict,
        provisional: false,
        reason: String::new(),
        not_measured: BTreeMap::new(),
        registers: BTreeMap::from([(
            "udhr".to_owned(),
            RegisterResults {
                outcomes: Some(outcomes),
                ..RegisterResults::default()
            },
        )]),
    }
}

/// A survey of these models: name and languages.
pub(crate) fn survey(models: Vec<(&str, Vec<(&str, LanguageResults)>)>) -> SurveyResults {
    let mut languages = BTreeMap::new();
    for (code, _) in models.iter().flat_map(|(_, languages)| languages) {
        let facts = LanguageFacts {
            name: (*code).to_owned(),
            endonym: None,
            tag: (*code).to_owned(),
            script: "Latn".parse().unwrap(),
            right_to_left: false,
            family: Vec::new(),
            latitude: None,
            longitude: None,
            speakers: None,
            resource_class: None,
            sample: None,
            regions: Vec::new(),
        };
        languages.insert(lang(code), facts);
    }
    SurveyResults {
        schema: SCHEMA.to_owned(),
        version: "0".to_owned(),
        settings: SurveySettings {
            reference: lang("eng"),
            registers: vec![Register {
                id: "udhr".to_owned(),
                source: "invented".to_owned(),
                hash: "0123456789abcdef".to_owned(),
            }],
            n_items: 12,
            n_words: 48,
            n_continuations: 4,
            n_continuation_tokens: 32,
            measures: ["comprehension", "production"].map(str::to_owned).to_vec(),
            complete: false,
            seed: Seed(0),
        },
        policy: PolicyStamp {
            id: "default".to_owned(),
            version: 1,
            edited: false,
            thresholds: BTreeMap::from([("kappa".to_owned(), 0.3)]),
        },
        measures: Vec::new(),
        languages,
        models: models
            .into_iter()
            .map(|(name, languages)| ModelResults {
                name: name.to_owned(),
                fingerprint: Fingerprint {
                    name: name.to_owned(),
                    architecture: "scripted".to_owned(),
                    quantization: "none".to_owned(),
                    compute: "f64".to_owned(),
                    hash: name.to_owned(),
                    n_parameters: None,
                    context_length: 100,
                    license: None,
                },
                languages: languages
                    .into_iter()
                    .map(|(code, results)| (lang(code), results))
                    .collect(),
            })
            .collect(),
        failed: Vec::new(),
        comparisons: Vec::new(),
    }
}

const ALL: &str = "111111111111";
const HALF: &str = "111111000000";
const NONE: &str = "000000000000";

#[test]
fn a_difference_is_the_mean_over_directions_per_document() {
    // Reading: 12 against 6; writing: 12 against 6, the same documents. Six documents differ by 1 in
    // both: d = 1 for six, 0 for six; κ = .5 · 4/3 = .6667; p = 2/2⁶ = .03125.
    let results = survey(vec![
        (
            "a",
            vec![("hau", language(ALL, Some(ALL), Verdict::Served))],
        ),
        (
            "b",
            vec![("hau", language(HALF, Some(HALF), Verdict::Partly))],
        ),
    ]);
    let [comparison] = &compare(&results)[..] else {
        panic!("one pair, one language")
    };
    let kappa = comparison.kappa.unwrap();
    assert!((kappa.value - 2.0 / 3.0).abs() < 1e-12);
    assert!((kappa.p - 0.031_25).abs() < 1e-12);
    assert_eq!(kappa.n, 12);
    assert_eq!(comparison.comprehension.unwrap().value, kappa.value);
    // Two tests in the family; G of the six is .35 more.
    assert!((comparison.gain.unwrap().value - 0.175).abs() < 1e-12);
    assert_eq!(
        comparison.finding,
        Finding::FirstBetter,
        "{}",
        comparison.reason
    );
    assert!(
        comparison
            .reason
            .contains("a serves it better than b: κ +0.67")
    );
    // The other way round it is the second.
    let turned = survey(vec![
        (
            "b",
            vec![("hau", language(HALF, Some(HALF), Verdict::Partly))],
        ),
        (
            "a",
            vec![("hau", language(ALL, Some(ALL), Verdict::Served))],
        ),
    ]);
    let turned = compare(&turned);
    assert_eq!(turned[0].finding, Finding::SecondBetter);
    // The sentence tells how much the better one is above the other, whichever was first.
    assert_eq!(turned[0].reason, comparison.reason);
    assert!((turned[0].kappa.unwrap().low + kappa.high).abs() < 1e-12);
}

#[test]
fn only_items_of_both_count_and_what_is_not_seen_has_its_size() {
    // b was not asked for production, and for four documents more.
    let results = survey(vec![
        (
            "a",
            vec![(
                "hau",
                language("11101110", Some("11111111"), Verdict::Served),
            )],
        ),
        (
            "b",
            vec![("hau", language("111011100000", None, Verdict::Served))],
        ),
    ]);
    let comparison = &compare(&results)[0];
    let kappa = comparison.kappa.unwrap();
    assert_eq!((kappa.n, kappa.value, kappa.p), (8, 0.0, 1.0));
    assert!(comparison.production.is_none());
    assert_eq!(comparison.finding, Finding::NoDifference);
    // √((0 + 2)/10 / 10) = .1414; 2.80 · .1414 · 4/3 = .528.
    assert!((kappa.visible - 0.528).abs() < 1e-3, "{}", kappa.visible);
    assert!(
        comparison.reason.contains("κ ± 0.53 would have been"),
        "{}",
        comparison.reason
    );
}

#[test]
fn who_is_at_the_floor_serves_nothing_and_memory_compares_nothing() {
    let mut by_heart = language(ALL, Some(ALL), Verdict::CannotSay);
    by_heart.memory = Some(isogloss_record::survey::MemoryFlag {
        flagged: true,
        verbatim: None,
        bits_per_byte: None,
    });
    let at_floor = |flags| language(flags, None, Verdict::NotServed);
    let results = survey(vec![
        (
            "a",
            vec![
                ("hau", at_floor(ALL)),
                ("ibo", at_floor(HALF)),
                ("yor", by_heart),
            ],
        ),
        (
            "b",
            vec![
                ("hau", at_floor(NONE)),
                ("ibo", at_floor(HALF)),
                ("yor", language(NONE, Some(NONE), Verdict::Served)),
            ],
        ),
    ]);
    let found: Vec<Finding> = compare(&results).iter().map(|c| c.finding).collect();
    assert_eq!(
        found,
        [
            Finding::NeitherServes,
            Finding::NeitherServes,
            Finding::NotCompared
        ]
    );
}

#[test]
fn many_languages_are_corrected_together() {
    // One language of twenty differs by six of twelve (p = .031): not told after the correction; the
    // others are alike.
    let codes: Vec<String> = (0..20)
        .map(|i| format!("qa{}", char::from(b'a' + i)))
        .collect();
    let of = |first: &str| {
        codes
            .iter()
            .enumerate()
            .map(|(i, code)| {
                let mut found = language(if i == 0 { first } else { ALL }, None, Verdict::Served);
                // κ alone.
                let register = found.registers.get_mut("udhr").unwrap();
                let outcomes = register.outcomes.as_mut().unwrap();
                outcomes.comprehension.as_mut().unwrap().gain = vec![None; 12];
                (code.as_str(), found)
            })
            .collect::<Vec<_>>()
    };
    let results = survey(vec![("a", of(ALL)), ("b", of(HALF))]);
    let comparisons = compare(&results);
    assert_eq!(comparisons.len(), 20);
    // .03125 · 20 / 1 = .625
    assert!((comparisons[0].kappa.unwrap().q.unwrap() - 0.625).abs() < 1e-12);
    assert!(
        comparisons
            .iter()
            .all(|c| c.finding == Finding::NoDifference)
    );
}

type Change = fn(&mut SurveyResults);

fn run(name: &str, results: SurveyResults) -> Run {
    Run {
        name: name.to_owned(),
        results,
        config: None,
    }
}

#[test]
fn runs_that_fit_are_one_and_runs_that_do_not_are_refused() {
    let of = |model: &'static str| {
        survey(vec![(
            model,
            vec![("hau", language(ALL, Some(ALL), Verdict::Served))],
        )])
    };
    let merged = merge(&[
        run("one", of("a")),
        run("two", of("b")),
        run("again", of("a")),
    ])
    .unwrap();
    assert_eq!(merged.models.len(), 2);
    assert_eq!(merged.comparisons.len(), 1);

    let changes: [(Change, &str, &str); 6] = [
        (|r| r.settings.seed = Seed(3), "`seed`", "--seed 0"),
        (|r| r.settings.n_items = 8, "`n_items`", "--items 12"),
        (|r| r.version = "9".into(), "version", "survey b"),
        (
            |r| r.settings.registers[0].hash = "ffffffffffffffff".into(),
            "the text differs, found udhr (ffffffffffff…)",
            "--langs hau",
        ),
        (
            |r| {
                r.policy.thresholds.insert("kappa".into(), 0.4);
            },
            "kappa = 0.4, expected default 1 with kappa = 0.3",
            "survey b",
        ),
        (|r| r.settings.complete = true, "`complete`", "survey b"),
    ];
    for (change, sentence, hint) in changes {
        let mut other = of("b");
        change(&mut other);
        let error = merge(&[run("one", of("a")), run("two", other)]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`one` and `two` cannot be compared"),
            "{text}"
        );
        assert!(text.contains(sentence), "{text}");
        let found = error.hint().unwrap();
        assert!(
            found.contains("isogloss survey b --langs hau --out NEW-FOLDER"),
            "{found}"
        );
        assert!(found.contains(hint), "{found}");
    }
    let mut same_name = of("a");
    same_name.models[0].fingerprint.hash = "other".into();
    let error = merge(&[run("one", of("a")), run("two", same_name)]).unwrap_err();
    assert!(
        error.to_string().contains("two models of the name `a`"),
        "{error}"
    );
    assert_eq!(merge(&[]).unwrap_err(), Misfit::Nothing);
}
