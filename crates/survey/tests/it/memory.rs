//! Text known by heart is shown, marked, and decides nothing; made text is shown and decides nothing.

use std::collections::BTreeMap;

use isogloss_record::Store;
use isogloss_record::survey::{LanguageResults, Register, SurveyResults, Verdict};
use isogloss_stats::Rate;
use isogloss_survey::measures::fidelity::Reliability;
use isogloss_survey::{
    Hearing, ParallelSource, Policy, Settings, Survey, SurveyTexts, add_samples, survey,
};

use crate::scripted::{Scripted, run_settings};
use crate::world::{document, lang, language_of, languages, meaning, texts};

/// The register of documents `from..from + 12` in `eng`, `qaa` and `qab`.
fn register(id: &str, from: usize, is_own: bool) -> ParallelSource {
    let documents = ["eng", "qaa", "qab"].map(|code| {
        let documents: BTreeMap<String, String> = (from..from + 12)
            .map(|d| (format!("{d:02}"), document(code, d)))
            .collect();
        (lang(code), documents)
    });
    ParallelSource {
        register: Register {
            id: id.to_owned(),
            source: "invented".to_owned(),
            hash: "0".repeat(64),
        },
        is_own,
        documents: documents.into(),
        second: BTreeMap::new(),
    }
}

/// Reads and writes `qaa` and `qab`.
fn reads(context: &str, option: &str) -> f64 {
    let known = |code| matches!(code, Some("qaa" | "qab"));
    let (from, to) = (language_of(context), language_of(option));
    let translates = known(from) && to == Some("eng") || from == Some("eng") && known(to);
    let (given, asked) = (meaning(context), meaning(option));
    if !translates || given.is_empty() || asked.is_empty() {
        return -1.0;
    }
    let n_same = asked.iter().zip(&given).filter(|(a, b)| a == b).count();
    -1.0 + 0.5 * n_same as f64 / asked.len() as f64
}

/// Goes on word for word in `qaa` documents of `by_heart`, in other words of the language elsewhere.
fn says(prompt: &str, by_heart: std::ops::Range<usize>) -> String {
    let code = language_of(prompt).unwrap_or("eng");
    by_heart
        .map(|d| document("qaa", d))
        .find_map(|text| Some(text.strip_prefix(prompt)?.to_owned()))
        .unwrap_or_else(|| document(code, 25))
}

fn surveyed(
    parallel: Vec<ParallelSource>,
    has_words: bool,
    by_heart: std::ops::Range<usize>,
) -> SurveyResults {
    let texts = SurveyTexts {
        parallel,
        words: texts().words.filter(|_| has_words),
    };
    let says = |prompt: &str| says(prompt, by_heart.clone());
    let model = Scripted::new("knows", &reads, &says, &|_| vec![1.0; 4]);
    let rate = Rate { value: 1.0, n: 300 };
    let mut languages = languages();
    add_samples(&mut languages, &texts, lang("eng"));
    let input = Survey {
        models: &[&model],
        languages: &languages,
        texts: &texts,
        settings: &Settings {
            n_words: 12,
            ..Settings::full()
        },
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
    survey(
        &input,
        &run_settings(),
        &mut Store::in_memory(),
        &mut |_| {},
    )
    .unwrap()
    .results
}

fn of<'a>(results: &'a SurveyResults, code: &str) -> &'a LanguageResults {
    &results.models[0].languages[&lang(code)]
}

fn flagged(results: &LanguageResults, register: &str) -> bool {
    results.registers[register].memory.unwrap().flagged
}

#[test]
fn the_only_text_known_by_heart_is_shown_and_decides_nothing() {
    for has_words in [false, true] {
        let results = surveyed(vec![register("old", 0, false)], has_words, 0..12);
        let qaa = of(&results, "qaa");
        assert!(flagged(qaa, "old") && qaa.memory.unwrap().flagged);
        assert_eq!(qaa.verdict, Verdict::CannotSay, "{}", qaa.reason);
        assert!(qaa.reason.contains("by heart"), "{}", qaa.reason);
        assert_eq!(qaa.comprehension.unwrap().value, 1.0);
        assert_eq!(qaa.lexicon.is_some(), has_words);
        // The same texts in a language that is not known by heart: served.
        let qab = of(&results, "qab");
        assert!(!flagged(qab, "old"));
        assert_eq!(qab.verdict, Verdict::Served, "{}", qab.reason);
        assert!(qab.provisional);
    }
}

#[test]
fn of_two_texts_the_one_that_is_not_known_by_heart_decides_alone() {
    // By turns the first is known by heart and the second; the user's own or the program's.
    for (by_heart, old_is_own) in [
        (0..12, false),
        (0..12, true),
        (12..24, false),
        (12..24, true),
    ] {
        let parallel = vec![register("old", 0, old_is_own), register("new", 12, false)];
        let results = surveyed(parallel, false, by_heart.clone());
        let qaa = of(&results, "qaa");
        let (known, fresh) = if by_heart.start == 0 {
            ("old", "new")
        } else {
            ("new", "old")
        };
        assert!(flagged(qaa, known) && !flagged(qaa, fresh), "{by_heart:?}");
        assert_eq!(qaa.verdict, Verdict::Served, "{}", qaa.reason);
        // What is shown on top is what decided, and one text is one register.
        assert_eq!(qaa.comprehension, qaa.registers[fresh].comprehension);
        assert_eq!(qaa.production, qaa.registers[fresh].production);
        assert_eq!(qaa.fidelity, qaa.registers[fresh].fidelity);
        assert_eq!(qaa.memory, qaa.registers[fresh].memory);
        assert!(qaa.provisional, "{by_heart:?}");
        // A language that knows neither by heart has two registers.
        assert!(!of(&results, "qab").provisional);
    }
}

#[test]
fn all_texts_known_by_heart_decide_nothing() {
    for is_own in [false, true] {
        let parallel = vec![register("old", 0, is_own), register("new", 12, false)];
        let results = surveyed(parallel, true, 0..24);
        let qaa = of(&results, "qaa");
        assert!(flagged(qaa, "old") && flagged(qaa, "new"));
        assert_eq!(qaa.verdict, Verdict::CannotSay, "{}", qaa.reason);
        assert!(qaa.reason.contains("by heart"), "{}", qaa.reason);
    }
}

#[test]
fn made_text_is_shown_and_decides_nothing() {
    // Alone: as if there were no text.
    let results = surveyed(vec![register("made", 0, false)], false, 0..0);
    let qaa = of(&results, "qaa");
    assert_eq!(qaa.verdict, Verdict::CannotSay);
    assert!(qaa.reason.contains("no running text"), "{}", qaa.reason);
    assert_eq!(qaa.registers["made"].comprehension.unwrap().value, 1.0);
    assert!(qaa.comprehension.is_none() && qaa.fidelity.is_none());
    assert!(results.languages[&lang("qaa")].sample.is_none());
    // Beside a text, whichever comes first: that text decides, and is one register.
    for made_first in [false, true] {
        let mut parallel = vec![register("old", 0, false), register("made", 12, false)];
        if made_first {
            parallel.reverse();
        }
        let results = surveyed(parallel, false, 0..0);
        let qaa = of(&results, "qaa");
        assert_eq!(qaa.verdict, Verdict::Served, "{}", qaa.reason);
        assert!(qaa.provisional);
        assert_eq!(qaa.comprehension, qaa.registers["old"].comprehension);
        // A text known by heart is not replaced by a made one.
        let mut parallel = vec![register("old", 0, false), register("made", 12, false)];
        if made_first {
            parallel.reverse();
        }
        let results = surveyed(parallel, false, 0..12);
        assert_eq!(of(&results, "qaa").verdict, Verdict::CannotSay);
    }
}
