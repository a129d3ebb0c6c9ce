//! Planted truth through the whole survey, in five scripts: what scripted models are made to know
//! comes out of `results.json` within its intervals, models that only seem to know are not served,
//! and each of these is seen to fail on a planted fault.
//!
//! One survey costs more than its measures, so there are fewer seeds here than in `planted`, and the
//! bounds allow for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use isogloss_model::Backend;
use isogloss_model::scripted::{ScriptedModel, ScriptedSpec, Skill, Variant};
use isogloss_record::survey::{LanguageFacts, LanguageResults, Register, SurveyResults, Verdict};
use isogloss_record::{Lang, Seed, Store};
use isogloss_stats::Rate;
use isogloss_survey::measures::Measure;
use isogloss_survey::measures::fidelity::Reliability;
use isogloss_survey::{
    Hearing, ItemCount, ParallelSource, Policy, Settings, Survey, SurveyTexts, survey,
};
use rand::RngExt;

use crate::invented::{LANGUAGES, document, lang, language_of, seen};
use crate::scripted::run_settings;

const N_DOCUMENTS: usize = 24;

/// Whether a text and its translation are one document, or (the planted fault) the next one.
#[derive(Clone, Copy, PartialEq)]
enum Aligned {
    Well,
    Badly,
}

fn codes() -> [&'static str; 5] {
    LANGUAGES.map(|(code, _)| code)
}

fn texts(codes: &[&str], named: bool, aligned: Aligned) -> SurveyTexts {
    let documents = codes
        .iter()
        .chain(&["eng"])
        .map(|&code| {
            let moved = usize::from(aligned == Aligned::Badly && code != "eng");
            let documents: BTreeMap<String, String> = (0..N_DOCUMENTS)
                .map(|d| {
                    let text = document(code, (d + moved) % N_DOCUMENTS, named);
                    (format!("{d:03}"), text)
                })
                .collect();
            (lang(code), documents)
        })
        .collect();
    SurveyTexts {
        parallel: vec![ParallelSource {
            register: Register {
                id: "invented".to_owned(),
                source: "invented".to_owned(),
                hash: "0".repeat(64),
            },
            is_own: false,
            documents,
            second: BTreeMap::new(),
        }],
        words: None,
    }
}

fn languages(codes: &[&str]) -> BTreeMap<Lang, LanguageFacts> {
    LANGUAGES
        .iter()
        .chain(&[("eng", "Latn")])
        .filter(|(code, _)| codes.contains(code) || *code == "eng")
        .map(|(code, script)| {
            let facts = LanguageFacts {
                name: (*code).to_owned(),
                endonym: None,
                tag: (*code).to_owned(),
                script: script.parse().unwrap(),
                right_to_left: *code == "arb",
                family: Vec::new(),
                latitude: None,
                longitude: None,
                speakers: None,
                resource_class: None,
                sample: None,
                regions: Vec::new(),
            };
            (lang(code), facts)
        })
        .collect()
}

fn perfect_hearing<'a>() -> Hearing<'a> {
    let rate = Rate { value: 1.0, n: 500 };
    Hearing {
        identify: Box::new(language_of),
        reliability: Box::new(move |_| Reliability::Measured {
            sensitivity: rate,
            specificity: rate,
        }),
    }
}

fn run(
    codes: &[&str],
    texts: &SurveyTexts,
    models: &[&dyn Backend],
    settings: &Settings,
    hearing: Hearing<'_>,
) -> SurveyResults {
    let input = Survey {
        models,
        languages: &languages(codes),
        texts,
        settings,
        policy: &Policy::shipped(),
        hearing,
        version: "0",
    };
    survey(
        &input,
        &run_settings(),
        &mut Store::in_memory(),
        &mut |_| {},
    )
    .unwrap()
    .results
}

fn measures() -> BTreeSet<Measure> {
    [
        Measure::Comprehension,
        Measure::Production,
        Measure::Fidelity,
    ]
    .into()
}

/// What is planted in three languages of three scripts.
const PLANTED: [(&str, Skill); 3] = [
    (
        "tur",
        Skill {
            comprehension: 0.3,
            production: 0.6,
            fidelity: 0.9,
        },
    ),
    (
        "hin",
        Skill {
            comprehension: 0.6,
            production: 0.4,
            fidelity: 0.7,
        },
    ),
    (
        "zho",
        Skill {
            comprehension: 0.9,
            production: 0.7,
            fidelity: 0.95,
        },
    ),
];

/// Errors of the identifier: it finds so many texts in a language, and so many texts in another it
/// does not take for this one. Counted on 200 texts each.
const SENSITIVITY: f64 = 0.7;
const SPECIFICITY: f64 = 0.95;
const N_COUNTED: usize = 200;

fn poor_hearing<'a>(seed: u64, knows_its_errors: bool) -> Hearing<'a> {
    let draws = Mutex::new(Seed(seed).rng("hearing", 0));
    let rate = |purpose, p: f64| {
        let mut rng = Seed(seed).rng(purpose, 0);
        let n_yes = (0..N_COUNTED).filter(|_| rng.random::<f64>() < p).count();
        Rate {
            value: n_yes as f64 / N_COUNTED as f64,
            n: N_COUNTED,
        }
    };
    let perfect = Rate {
        value: 1.0,
        n: N_COUNTED,
    };
    let reliability = if knows_its_errors {
        Reliability::Measured {
            sensitivity: rate("sensitivity", SENSITIVITY),
            specificity: rate("specificity", SPECIFICITY),
        }
    } else {
        Reliability::Measured {
            sensitivity: perfect,
            specificity: perfect,
        }
    };
    Hearing {
        identify: Box::new(move |text| {
            let draw: f64 = draws.lock().unwrap().random();
            let said = language_of(text)?;
            if said != lang("eng") {
                return (draw < SENSITIVITY).then_some(said);
            }
            // English is taken for each of the languages with the same probability.
            let (code, _) = PLANTED.get((draw / (1.0 - SPECIFICITY)) as usize)?;
            Some(lang(code))
        }),
        reliability: Box::new(move |_| reliability),
    }
}

/// Shares of seeds and languages in which the interval holds what was planted: comprehension,
/// production, fidelity.
fn coverage(n_seeds: u64, aligned: Aligned, knows_its_errors: bool) -> [f64; 3] {
    let codes = PLANTED.map(|(code, _)| code);
    let texts = texts(&codes, false, aligned);
    let known = seen(&codes, N_DOCUMENTS, false);
    let settings = Settings {
        n_items: ItemCount::All,
        n_continuations: N_DOCUMENTS,
        complete: true,
        measures: measures(),
        ..Settings::full()
    };
    let mut n_covered = [0; 3];
    for seed in 0..n_seeds {
        let mut spec = ScriptedSpec::new(Variant::Knows);
        spec.seed = Seed(seed);
        spec.skills = PLANTED.map(|(code, skill)| (lang(code), skill)).into();
        let model = ScriptedModel::new(&spec, &known);
        let hearing = poor_hearing(seed, knows_its_errors);
        let results = run(&codes, &texts, &[&model], &settings, hearing);
        for (code, skill) in PLANTED {
            let found = &results.models[0].languages[&lang(code)];
            let (read, written) = (found.comprehension.unwrap(), found.production.unwrap());
            let stayed = found.fidelity.unwrap();
            assert_eq!((read.n, written.n, stayed.n), (24, 24, 24), "{code}");
            for (covered, low, planted, high) in [
                (0, read.low, skill.comprehension, read.high),
                (1, written.low, skill.production, written.high),
                (2, stayed.low, skill.fidelity, stayed.high),
            ] {
                n_covered[covered] += usize::from(low <= planted && planted <= high);
            }
        }
    }
    n_covered.map(|n| n as f64 / (n_seeds as usize * PLANTED.len()) as f64)
}

/// 30 seeds of three languages are 90 draws: a coverage of .95 is seen as
/// .95 − 3 · √(.95 · .05 / 90) = .88 or more.
#[test]
fn what_is_planted_lies_in_the_survey_s_intervals() {
    let got = coverage(30, Aligned::Well, true);
    assert!(got.iter().all(|&covered| covered >= 0.88), "{got:?}");
    // Translations of other documents: nothing of what is known can be found.
    let [comprehension, production, _] = coverage(4, Aligned::Badly, true);
    assert!(
        comprehension < 0.6 && production < 0.6,
        "{comprehension} {production}"
    );
    // An identifier that is believed although it errs.
    let [.., fidelity] = coverage(6, Aligned::Well, false);
    assert!(fidelity < 0.6, "{fidelity}");
}

/// One model of a variant in all five languages, whose texts all have names.
fn of_variant(variant: Variant, aligned: Aligned) -> BTreeMap<Lang, LanguageResults> {
    let codes = codes();
    let mut spec = ScriptedSpec::new(variant);
    spec.other = Skill::all(1.0);
    let model = ScriptedModel::new(&spec, &seen(&codes, N_DOCUMENTS, true));
    let settings = Settings {
        measures: measures(),
        ..Settings::full()
    };
    let texts = texts(&codes, true, aligned);
    let mut results = run(&codes, &texts, &[&model], &settings, perfect_hearing());
    let mut languages = results.models.remove(0).languages;
    languages.remove(&lang("eng"));
    assert_eq!(languages.len(), codes.len());
    languages
}

fn is_at_chance(found: &LanguageResults) -> bool {
    let comprehension = found.comprehension.unwrap();
    comprehension.value.abs() < 0.15 && comprehension.low <= 0.0
}

/// Twelve guesses can look like doubt, never like a language that is known.
fn is_not_shown(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::NotServed | Verdict::CannotSay)
}

fn beats_length(found: &LanguageResults) -> bool {
    let comprehension = found.comprehension.unwrap();
    comprehension.low > comprehension.length_baseline.unwrap()
}

fn beats_names(found: &LanguageResults) -> bool {
    let comprehension = found.comprehension.unwrap();
    comprehension
        .floor
        .is_some_and(|floor| comprehension.low > floor)
}

#[test]
fn a_model_that_knows_is_served_in_every_script() {
    for (lang, found) in of_variant(Variant::Knows, Aligned::Well) {
        assert_eq!(found.verdict, Verdict::Served, "{lang}: {}", found.reason);
        assert!(beats_length(&found) && beats_names(&found), "{lang}");
        assert!(!is_at_chance(&found), "{lang}");
    }
    // The same model beside translations of other documents is served nowhere.
    for (lang, found) in of_variant(Variant::Knows, Aligned::Badly) {
        assert!(
            is_not_shown(found.verdict),
            "{lang}: {:?}, {}",
            found.verdict,
            found.reason
        );
        assert!(!beats_length(&found) && !beats_names(&found), "{lang}");
    }
}

#[test]
fn a_model_that_ignores_its_context_is_not_served_in_any_script() {
    for variant in [Variant::IgnoresContext, Variant::Position] {
        for (lang, found) in of_variant(variant, Aligned::Well) {
            assert!(is_at_chance(&found), "{lang}: {:?}", found.comprehension);
            assert_eq!(
                found.verdict,
                Verdict::NotServed,
                "{lang}: {}",
                found.reason
            );
            assert!(found.reason.contains("chance"), "{lang}: {}", found.reason);
        }
    }
}

#[test]
fn a_model_that_reads_only_length_beats_nothing_in_any_script() {
    for (lang, found) in of_variant(Variant::ReadsLength, Aligned::Well) {
        assert!(!beats_length(&found), "{lang}: {:?}", found.comprehension);
        assert_eq!(
            found.verdict,
            Verdict::NotServed,
            "{lang}: {}",
            found.reason
        );
    }
}

#[test]
fn a_model_that_copies_only_names_beats_no_copy_floor_in_any_script() {
    for (lang, found) in of_variant(Variant::CopiesNames, Aligned::Well) {
        let comprehension = found.comprehension.unwrap();
        assert!(comprehension.value > 0.5, "{lang}: {comprehension:?}");
        assert!(!beats_names(&found), "{lang}: {comprehension:?}");
        assert_eq!(
            found.verdict,
            Verdict::NotServed,
            "{lang}: {}",
            found.reason
        );
        assert!(found.reason.contains("names"), "{lang}: {}", found.reason);
    }
    // Names of other documents are no help.
    for (lang, found) in of_variant(Variant::CopiesNames, Aligned::Badly) {
        let comprehension = found.comprehension.unwrap();
        assert!(comprehension.low <= 0.0, "{lang}: {comprehension:?}");
        assert!(is_not_shown(found.verdict), "{lang}: {}", found.reason);
    }
}
