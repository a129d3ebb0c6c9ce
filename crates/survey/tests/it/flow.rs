//! The whole survey on an invented world: planted abilities are found, planted faults do not pass.

use std::sync::atomic::Ordering;

use isogloss_model::Backend;
use isogloss_record::survey::{LanguageResults, SurveyResults, Verdict};
use isogloss_record::{Lang, Store};
use isogloss_stats::Rate;
use isogloss_survey::measures::fidelity::Reliability;
use isogloss_survey::{Hearing, Policy, Settings, Survey, SurveyError, survey};

use crate::scripted::{Scripted, run_settings};
use crate::world::{self, document, lang, language_of, languages, meaning, texts};

fn hear(text: &str) -> Option<Lang> {
    language_of(text).map(lang)
}

fn reliable(_: Lang) -> Reliability {
    let all = Rate { value: 1.0, n: 300 };
    Reliability::Measured {
        sensitivity: all,
        specificity: all,
    }
}

/// Reads `qaa` and `qab`, writes `qaa`; −1 nat a character, −.5 where the context says it.
fn honest(context: &str, option: &str) -> f64 {
    let (from, to) = (language_of(context), language_of(option));
    let understands = matches!(
        (from, to),
        (Some("qaa" | "qab"), Some("eng")) | (Some("eng"), Some("qaa"))
    );
    if !understands {
        return -1.0;
    }
    let (given, asked) = (meaning(context), meaning(option));
    if given.is_empty() || asked.is_empty() {
        return -1.0;
    }
    let n_same = asked.iter().zip(&given).filter(|(a, b)| a == b).count();
    -1.0 + 0.5 * n_same as f64 / asked.len() as f64
}

/// Stays in `qaa` and `qab`, answers all else in English.
fn says(prompt: &str) -> String {
    match language_of(prompt) {
        Some("qaa") => document("qaa", 3),
        Some("qab") => document("qab", 3),
        _ => document("eng", 3),
    }
}

fn state(text: &str) -> Vec<f32> {
    let mut state = vec![0.1; 12];
    for i in meaning(text) {
        state[i] += 1.0;
    }
    state
}

fn settings() -> Settings {
    Settings {
        n_words: 12,
        ..Settings::full()
    }
}

fn run_with(
    model: &Scripted<'_>,
    settings: &Settings,
    store: &mut Store,
) -> Result<SurveyResults, SurveyError> {
    let (languages, texts, policy) = (languages(), texts(), Policy::shipped());
    let input = Survey {
        models: &[model],
        languages: &languages,
        texts: &texts,
        settings,
        policy: &policy,
        hearing: Hearing {
            identify: Box::new(hear),
            reliability: Box::new(reliable),
        },
        version: "0",
    };
    survey(&input, &run_settings(), store, &mut |_| {}).map(|surveyed| surveyed.results)
}

fn run(nats: &(dyn Fn(&str, &str) -> f64 + Sync)) -> SurveyResults {
    let model = Scripted::new("scripted", nats, &says, &state);
    run_with(&model, &settings(), &mut Store::in_memory()).unwrap()
}

fn of<'a>(results: &'a SurveyResults, code: &str) -> &'a LanguageResults {
    &results.models[0].languages[&lang(code)]
}

#[test]
fn planted_abilities_are_found() {
    let results = run(&honest);
    let qaa = of(&results, "qaa");
    assert_eq!(qaa.verdict, Verdict::Served, "{}", qaa.reason);
    assert_eq!(qaa.comprehension.unwrap().value, 1.0);
    assert_eq!(qaa.production.unwrap().value, 1.0);
    assert_eq!(qaa.fidelity.unwrap().value, 1.0);
    assert!(qaa.lexicon.unwrap().value > 0.9, "{:?}", qaa.lexicon);
    // Words are a second register.
    assert!(!qaa.provisional);
    // More continuations were drawn, because fidelity was what decided.
    assert_eq!(qaa.fidelity.unwrap().n, 12);
    assert!(qaa.alignment.unwrap().value > qaa.alignment.unwrap().shuffled);
    let qab = of(&results, "qab");
    assert_eq!(qab.verdict, Verdict::Partly, "{}", qab.reason);
    assert!(qab.reason.contains("production"), "{}", qab.reason);
    assert!(qab.provisional);
    let qac = of(&results, "qac");
    assert_eq!(qac.verdict, Verdict::NotServed, "{}", qac.reason);
    // At its floor after twelve items: not pursued.
    assert_eq!(qac.comprehension.unwrap().n, 12);
    assert!(qac.production.is_none() && qac.not_measured["production"].contains("--complete"));
    // Words and no text.
    let qad = of(&results, "qad");
    assert_eq!(qad.verdict, Verdict::CannotSay);
    assert!(qad.reason.contains("--text"), "{}", qad.reason);
    assert!(qad.lexicon.is_some());
    let eng = of(&results, "eng");
    assert_eq!(eng.verdict, Verdict::Reference);
    assert_eq!(eng.information.unwrap().value, 1.0);
    assert_eq!(eng.cost.unwrap().value, 1.0);
    assert!(eng.comprehension.is_none() && eng.production.is_none());
}

#[test]
fn a_complete_survey_measures_what_is_at_its_floor() {
    let model = Scripted::new("scripted", &honest, &says, &state);
    let complete = Settings {
        complete: true,
        ..settings()
    };
    let results = run_with(&model, &complete, &mut Store::in_memory()).unwrap();
    let qac = of(&results, "qac");
    assert_eq!(qac.verdict, Verdict::NotServed, "{}", qac.reason);
    assert!(qac.production.is_some() && qac.fidelity.is_some() && qac.lexicon.is_some());
    assert_eq!(qac.fidelity.unwrap().value, 0.0);
}

#[test]
fn a_model_that_ignores_its_context_is_at_chance() {
    let results = run(&|_, option| -1.0 - 0.01 * (option.len() % 7) as f64);
    for code in ["qaa", "qab", "qac"] {
        let found = of(&results, code);
        assert_eq!(found.comprehension.unwrap().value, 0.0);
        assert_eq!(found.verdict, Verdict::NotServed);
    }
}

#[test]
fn what_is_neither_seen_nor_ruled_out_gets_a_second_look() {
    // One text in five is understood, and that one wholly.
    let results = run(&|context, option| {
        let (given, asked) = (meaning(context), meaning(option));
        let is_known = language_of(context) == Some("qaa")
            && given.iter().sum::<usize>().is_multiple_of(5)
            && given.len() > 3
            && asked.starts_with(&given[..3]);
        if is_known { -0.1 } else { -1.0 }
    });
    let found = of(&results, "qaa");
    let comprehension = found.comprehension.unwrap();
    assert_eq!(comprehension.n, 24, "{comprehension:?} {}", found.reason);
    // What is ruled out after the first look gets none.
    let floor = of(&results, "qac");
    assert_eq!(floor.comprehension.unwrap().n, 12);
    assert_eq!(floor.verdict, Verdict::NotServed);
    assert!(
        floor.reason.contains("0.15 would count"),
        "{}",
        floor.reason
    );
}

#[test]
fn a_model_that_only_reads_length_does_not_beat_the_length_baseline() {
    let results = run(&|context, option| {
        if context.is_empty() {
            return -1.0;
        }
        let misfit = (context.chars().count() as f64 / option.chars().count() as f64)
            .ln()
            .abs();
        -1.0 - 0.2 * misfit
    });
    for code in ["qaa", "qab", "qac"] {
        let found = of(&results, code);
        let comprehension = found.comprehension.unwrap();
        assert!(
            comprehension.low <= comprehension.length_baseline.unwrap().max(0.0),
            "{code}: {comprehension:?}"
        );
        assert_ne!(found.verdict, Verdict::Served);
    }
}

#[test]
fn a_model_that_only_copies_names_does_not_beat_the_copy_floor() {
    let name = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric())
            .find(|word| word.starts_with("Ab"))
            .map(str::to_owned)
    };
    let results = run(&|context, option| match (name(context), name(option)) {
        (Some(a), Some(b)) if a == b => -0.5,
        _ => -1.0,
    });
    for code in ["qaa", "qab", "qac"] {
        let found = of(&results, code);
        let comprehension = found.comprehension.unwrap();
        assert!(
            comprehension.value > 0.5,
            "names alone answer: {comprehension:?}"
        );
        assert_eq!(comprehension.floor, Some(comprehension.value), "{code}");
        assert_eq!(found.verdict, Verdict::NotServed, "{}", found.reason);
        assert!(found.reason.contains("names"), "{}", found.reason);
    }
}

#[test]
fn a_killed_survey_goes_on_and_gives_the_same_bytes() {
    let whole = serde_json::to_string(&run(&honest)).unwrap();
    let mut store = Store::in_memory();
    let mut n_stops = 0;
    loop {
        let mut model = Scripted::new("scripted", &honest, &says, &state);
        model.n_jobs_max = 97;
        match run_with(&model, &settings(), &mut store) {
            Err(_) => n_stops += 1,
            Ok(results) => {
                assert_eq!(serde_json::to_string(&results).unwrap(), whole);
                break;
            }
        }
        assert!(n_stops < 100, "it makes no way");
    }
    assert!(n_stops >= 5, "{n_stops}");
    // And once more: nothing is computed twice.
    let model = Scripted::new("scripted", &honest, &says, &state);
    run_with(&model, &settings(), &mut store).unwrap();
    assert_eq!(model.n_jobs.load(Ordering::Relaxed), 0);
}

#[test]
fn every_item_is_in_the_results() {
    let results = run(&honest);
    let of = |code: &str, register: &str| of(&results, code).registers[register].clone();
    let qaa = of("qaa", "invented");
    let outcomes = qaa.outcomes.unwrap();
    let (result, choice) = (
        qaa.comprehension.unwrap(),
        outcomes.comprehension.as_ref().unwrap(),
    );
    assert_eq!(choice.right.len(), result.n);
    assert_eq!(outcomes.ids.len(), 12);
    // κ = (share − ¼)/¾ and G = the mean gain, as the results have them.
    let share = |right: &[bool]| right.iter().filter(|r| **r).count() as f64 / right.len() as f64;
    let kappa = |right: &[bool]| (share(right) - 0.25) / 0.75;
    assert!((kappa(&choice.right) - result.value).abs() < 1e-12);
    assert!((kappa(&choice.floor_right) - result.floor.unwrap()).abs() < 1e-12);
    let gains: Vec<f64> = choice.gain.iter().flatten().copied().collect();
    let mean = gains.iter().sum::<f64>() / gains.len() as f64;
    assert!((mean - result.gain.unwrap().value).abs() < 1e-4);
    assert_eq!(outcomes.stayed.len(), qaa.fidelity.unwrap().n);
    // At its floor: comprehension alone, without a floor of copies.
    let qac = of("qac", "invented").outcomes.unwrap();
    assert_eq!(qac.comprehension.unwrap().right.len(), 12);
    assert!(qac.production.is_none() && qac.stayed.is_empty());
    let words = of("qaa", "words").outcomes.unwrap();
    assert_eq!(words.ids.len(), words.to_reference.len());
    assert!(words.ids.contains(&"river".to_owned()), "{:?}", words.ids);
    // The same documents are asked in all languages.
    assert_eq!(outcomes.ids, of("qab", "invented").outcomes.unwrap().ids);
}

#[test]
fn a_model_that_fails_leaves_the_others_whole() {
    let alone = run(&honest);
    let honest_model = Scripted::new("scripted", &honest, &says, &state);
    let mut failing = Scripted::new("failing", &honest, &says, &state);
    (failing.n_jobs_max, failing.cancels) = (150, false);
    let (languages, texts, policy) = (languages(), texts(), Policy::shipped());
    let survey_of = |models: &[&dyn Backend]| {
        let input = Survey {
            models,
            languages: &languages,
            texts: &texts,
            settings: &settings(),
            policy: &policy,
            hearing: Hearing {
                identify: Box::new(hear),
                reliability: Box::new(reliable),
            },
            version: "0",
        };
        survey(
            &input,
            &run_settings(),
            &mut Store::in_memory(),
            &mut |_| {},
        )
    };
    let surveyed = survey_of(&[&failing, &honest_model]).unwrap();
    assert_eq!(surveyed.results.models, alone.models);
    assert_eq!(surveyed.usage.len(), 2);
    let [failed] = &surveyed.results.failed[..] else {
        panic!("{:?}", surveyed.results.failed)
    };
    assert_eq!(failed.name, "failing");
    assert!(
        failed.reason.contains("out of answers"),
        "{}",
        failed.reason
    );
    // Where none is left there are no results.
    failing.n_jobs.store(0, Ordering::Relaxed);
    assert!(survey_of(&[&failing]).is_err());
}

#[test]
fn impossible_settings_are_refused_before_any_work() {
    let model = Scripted::new("scripted", &honest, &says, &state);
    for wrong in [
        Settings {
            n_items: isogloss_survey::ItemCount::First(0),
            ..settings()
        },
        Settings {
            measures: std::collections::BTreeSet::default(),
            ..settings()
        },
    ] {
        let error = run_with(&model, &wrong, &mut Store::in_memory()).unwrap_err();
        assert!(matches!(error, SurveyError::Settings { .. }), "{error}");
    }
    assert_eq!(model.n_jobs.load(Ordering::Relaxed), 0);
    let _ = world::N_DOCUMENTS;
}
