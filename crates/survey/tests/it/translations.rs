//! Two translations of one language: ceiling of production, noise floor, and the study's planted
//! fault.

use std::collections::BTreeMap;

use isogloss_eval::run::Runner;
use isogloss_record::survey::TranslationsResult;
use isogloss_record::{Seed, Store};
use isogloss_stats::Rate;
use isogloss_survey::measures::fidelity::Reliability;
use isogloss_survey::session::draws::{COMPARED, DrawSettings, draw_translations};
use isogloss_survey::session::texts::SecondTranslation;
use isogloss_survey::{Hearing, Policy, Settings, Survey, SurveyTexts, survey};

use crate::scripted::{Scripted, run_settings};
use crate::world::{N_DOCUMENTS, document, lang, language_of, languages, meaning, texts};

/// The same words with others between them, of which the first `n_lost` are another document's.
fn second(code: &str, d: usize, n_lost: usize) -> String {
    let text = document(code, d);
    let other = document(code, (d + 1) % N_DOCUMENTS);
    let others = other.split(' ').take(n_lost);
    let words: Vec<&str> = others.chain(text.split(' ').skip(n_lost)).collect();
    words
        .chunks(3)
        .map(|three| three.join(" "))
        .collect::<Vec<_>>()
        .join(" ja ")
}

fn with_second(n_lost: usize) -> SurveyTexts {
    let mut texts = texts();
    let documents: BTreeMap<String, String> = (0..N_DOCUMENTS)
        .map(|d| (format!("{d:02}"), second("qaa", d, n_lost)))
        .collect();
    let translation = SecondTranslation {
        label: "another hand".to_owned(),
        documents,
    };
    texts.parallel[0].second.insert(lang("qaa"), translation);
    texts
}

/// Reads and writes `qaa`: −1 nat a character, less where the context says it.
fn reads(context: &str, option: &str) -> f64 {
    let (from, to) = (language_of(context), language_of(option));
    if !matches!(
        (from, to),
        (Some("qaa"), Some("eng" | "qaa")) | (Some("eng"), Some("qaa"))
    ) {
        return -1.0;
    }
    let (given, asked) = (meaning(context), meaning(option));
    if given.is_empty() || asked.is_empty() {
        return -1.0;
    }
    let n_same = asked.iter().zip(&given).filter(|(a, b)| a == b).count();
    -1.0 + 0.5 * n_same as f64 / asked.len() as f64
}

fn says(prompt: &str) -> String {
    document(language_of(prompt).unwrap_or("eng"), 3)
}

fn state(_: &str) -> Vec<f32> {
    vec![1.0; 4]
}

fn found(texts: &SurveyTexts, settings: &Settings) -> Option<TranslationsResult> {
    let model = Scripted::new("reads", &reads, &says, &state);
    let rate = Rate { value: 1.0, n: 300 };
    let survey_of = Survey {
        models: &[&model],
        languages: &languages(),
        texts,
        settings,
        policy: &Policy::shipped(),
        hearing: Hearing {
            identify: Box::new(|text| language_of(text).map(lang)),
            reliability: Box::new(move |_| Reliability::Measured {
                sensitivity: rate,
                specificity: rate,
            }),
        },
        version: "0",
    };
    let mut store = Store::in_memory();
    let surveyed = survey(&survey_of, &run_settings(), &mut store, &mut |_| {}).unwrap();
    let languages = &surveyed.results.models[0].languages;
    // No other language has two.
    assert!(languages[&lang("qab")].translations.is_none());
    let qaa = &languages[&lang("qaa")];
    assert_eq!(qaa.translations, qaa.registers["invented"].translations);
    qaa.translations.clone()
}

#[test]
fn a_second_translation_gives_a_ceiling_and_a_noise_floor() {
    let settings = Settings {
        n_words: 12,
        ..Settings::full()
    };
    let result = found(&with_second(0), &settings).unwrap();
    assert_eq!(result.second, "another hand");
    // A paraphrase in the language holds every word of the text: as much as the reference does.
    let ceiling = result.ceiling.unwrap();
    assert_eq!((ceiling.value, ceiling.n), (1.0, 12));
    let of_ceiling = result.of_ceiling.unwrap();
    assert!((0.8..=1.25).contains(&of_ceiling), "{of_ceiling}");
    let keys: Vec<&str> = result.differences.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "comprehension",
            "comprehension.gain",
            "fidelity",
            "production",
            "production.gain"
        ]
    );
    for (key, difference) in &result.differences {
        assert!(
            difference.low <= 0.0 && 0.0 <= difference.high,
            "{key}: {difference:?}"
        );
        assert_eq!(
            difference.n,
            if key == "fidelity" { 4 } else { 12 },
            "{key}"
        );
    }
    // A second translation that lost most of its words is seen to be another text.
    let damaged = found(&with_second(13), &settings).unwrap();
    let gain = damaged.differences["comprehension.gain"];
    assert!(gain.high < 0.0, "{gain:?}");
    // Not asked for, and not there.
    let without = Settings {
        second_translations: false,
        ..settings.clone()
    };
    assert_eq!(found(&with_second(0), &without), None);
    assert_eq!(found(&texts(), &settings), None);
}

#[test]
fn draws_of_two_translations_differ_only_where_one_is_damaged() {
    let model = Scripted::new("reads", &reads, &says, &state);
    let mut store = Store::in_memory();
    let mut runner = Runner::new(&model, &mut store, run_settings());
    let all = [lang("qaa"), lang("qab"), lang("eng")];
    let settings = DrawSettings {
        n_draws: 40,
        n_documents: 16,
        ..DrawSettings::new(Seed(5))
    };
    let mut draws = |texts: &SurveyTexts, settings: &DrawSettings| {
        draw_translations(&mut runner, texts, &all, lang("eng"), settings, &mut |_| {}).unwrap()
    };
    let same = draws(&with_second(0), &settings).unwrap();
    assert_eq!(same.without_difference.n, 40);
    assert!(same.without_difference.value >= 0.95, "{same:?}");
    assert_eq!(same.n_tests, COMPARED.len());
    let qaa = &same.languages[&lang("qaa")];
    assert_eq!((same.languages.len(), qaa.n_documents), (1, 16));
    // The planted fault: three of four words made nonsense.
    let fault = DrawSettings {
        damage: 0.75,
        ..settings
    };
    let damaged = draws(&with_second(0), &fault).unwrap();
    assert!(damaged.without_difference.value <= 0.1, "{damaged:?}");
    let qaa = &damaged.languages[&lang("qaa")];
    assert!(qaa.mean_difference["comprehension.gain"] < 0.0, "{qaa:?}");
    // Seeded: the same draws again. One translation: nothing to draw.
    assert_eq!(draws(&with_second(0), &fault), Some(damaged));
    assert_eq!(draws(&texts(), &settings), None);
    let none = DrawSettings {
        n_items: 0,
        ..settings
    };
    let mut store = Store::in_memory();
    let mut runner = Runner::new(&model, &mut store, run_settings());
    let error = draw_translations(
        &mut runner,
        &with_second(0),
        &all,
        lang("eng"),
        &none,
        &mut |_| {},
    )
    .unwrap_err();
    assert!(error.to_string().contains("at least 4 items"), "{error}");
}
