//! The exposure ladder on a small scale: budgets are kept, held-out lines stay unseen, and a training
//! that was stopped gives the same bytes as one that was not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use isogloss_model::tokenizer::Tokenizer;
use isogloss_model::tokenizer::learn::byte_level_bpe;
use isogloss_model::train::Shape;
use isogloss_record::survey::Register;
use isogloss_record::{Lang, Seed, files};
use isogloss_survey::items::normal::normalize;
use isogloss_survey::validate::ladder::exposure::{Corpus, Mixture, split};
use isogloss_survey::validate::ladder::{LadderError, LadderSettings, Schedule, climb, folders};
use isogloss_survey::{ParallelSource, SurveyTexts, WordSource};

use crate::invented::{document, lang};

const N_LINES: usize = 160;

fn texts() -> SurveyTexts {
    let documents = |code: &str| -> BTreeMap<String, String> {
        (0..N_LINES)
            .map(|d| (format!("{d:03}"), document(code, d, false)))
            .collect()
    };
    let register = |id: &str| Register {
        id: id.to_owned(),
        source: "invented".to_owned(),
        hash: id.to_owned(),
    };
    let codes = ["eng", "tur", "hin", "tha"];
    let words = [("wolf", "kurt", "भेड़िया"), ("fire", "ateş", "आग")];
    SurveyTexts {
        parallel: vec![ParallelSource {
            register: register("lines"),
            is_own: true,
            documents: codes.map(|code| (lang(code), documents(code))).into(),
            second: BTreeMap::new(),
        }],
        words: Some(WordSource {
            register: register("words"),
            entries: [
                (lang("tur"), words.map(|w| (w.0.into(), w.1.into())).into()),
                (lang("hin"), words.map(|w| (w.0.into(), w.2.into())).into()),
            ]
            .into(),
        }),
    }
}

fn corpus() -> (Corpus, SurveyTexts) {
    split(&texts(), lang("eng"), Seed(1))
}

fn settings() -> LadderSettings {
    LadderSettings {
        rungs: vec![0, 300, 3_000],
        n_reference: 2_000,
        shape: Shape {
            vocab_size: 320,
            d_model: 16,
            n_layers: 1,
            n_heads: 2,
            d_ff: 24,
            context_length: 64,
        },
        schedule: Schedule {
            n_step_tokens: 256,
            learning_rate: 3e-3,
        },
        ..LadderSettings::new(vec![lang("tur"), lang("hin")], Seed(1))
    }
}

fn weights(out: &Path) -> Vec<Vec<u8>> {
    (folders(out, &settings()).iter())
        .map(|folder| files::read(&folder.join("model.safetensors")).unwrap())
        .collect()
}

#[test]
fn held_out_lines_are_not_learned_from() {
    let (corpus, held_out) = corpus();
    let asked: BTreeSet<String> = held_out.parallel[0].documents[&lang("hin")]
        .values()
        .map(|text| normalize(text))
        .collect();
    let learned: BTreeSet<String> = corpus.pairs[&lang("hin")]
        .iter()
        .map(|(text, _)| text.clone())
        .collect();
    assert!(!asked.is_empty() && asked.len() < N_LINES / 4);
    assert!(asked.is_disjoint(&learned), "{asked:?}");
    assert_eq!(asked.len() + learned.len(), N_LINES);
    // The same lines in every language.
    let names = |code: &str| -> Vec<&String> {
        held_out.parallel[0].documents[&lang(code)].keys().collect()
    };
    assert_eq!(names("hin"), names("eng"));
}

#[test]
fn budgets_are_kept_to_a_line_and_texts_come_round_again() {
    let (corpus, _) = corpus();
    let lines = corpus.lines.iter().map(String::as_str);
    let json = byte_level_bpe(lines, 320).unwrap();
    let tokenizer = Tokenizer::of_json_bytes(json.as_bytes(), serde_json::Value::Null).unwrap();
    let longest = corpus
        .pairs
        .values()
        .flatten()
        .map(|(text, _)| tokenizer.tokenize(text).len());
    let longest = 3 * longest.max().unwrap() as u64;
    // Several times as much as there is: some 150 lines of 300 bytes, each a token.
    let budgets: BTreeMap<Lang, u64> =
        [(lang("tur"), 0), (lang("tha"), 900), (lang("hin"), 600_000)].into();
    let mixture = Mixture::new(&corpus, &tokenizer, &budgets, 500_000, Seed(2)).unwrap();
    for (lang, n) in &budgets {
        let got = mixture.n_tokens[lang];
        assert!((*n..n + longest).contains(&got), "{lang}: {got} for {n}");
    }
    assert!(mixture.n_tokens[&lang("eng")] >= 500_000);
    // No Turkish anywhere; Hindi with English in both orders; words with their glosses.
    let all: Vec<String> = (0..mixture.len()).map(|i| mixture.text(i)).collect();
    let turkish: Vec<&str> = corpus.pairs[&lang("tur")]
        .iter()
        .map(|(text, _)| text.as_str())
        .collect();
    assert!(
        !all.iter()
            .any(|text| turkish.iter().any(|line| text.contains(line)))
    );
    let in_both_orders = |(hindi, english): &&(String, String)| {
        let there = format!("{hindi}\n\n{english}");
        let back = format!("{english}\n\n{hindi}");
        all.contains(&there) && all.contains(&back)
    };
    let n_both = corpus.pairs[&lang("hin")]
        .iter()
        .filter(in_both_orders)
        .count();
    assert!(n_both > N_LINES / 2, "{n_both}");
    assert!(all.contains(&"fire\n\nआग".to_owned()));
    // Another seed, another order.
    let other = Mixture::new(&corpus, &tokenizer, &budgets, 500_000, Seed(3)).unwrap();
    assert_ne!(
        all[..20],
        (0..20).map(|i| other.text(i)).collect::<Vec<_>>()[..]
    );
}

#[test]
fn every_language_stands_on_every_rung_once() {
    let settings = LadderSettings::new(["eus", "ell", "rus"].map(lang).into(), Seed(0));
    for language in &settings.languages {
        let mut seen: Vec<u64> = (0..5)
            .map(|model| settings.budgets(model)[language])
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, settings.rungs);
    }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let (corpus, _) = corpus();
    let straight = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let mut n_steps = 0;
    let done = climb(
        straight.path(),
        &corpus,
        &settings(),
        None,
        &never,
        &mut |_, _| n_steps += 1,
    );
    assert!(done.unwrap() && n_steps > 20);

    let stopped = tempfile::tempdir().unwrap();
    let mut n_calls = 0;
    loop {
        let stop = AtomicBool::new(false);
        let mut n_here = 0;
        let done = climb(
            stopped.path(),
            &corpus,
            &settings(),
            None,
            &stop,
            &mut |_, learning| {
                assert!(learning.loss.is_finite() && learning.n_done <= learning.n);
                n_here += 1;
                stop.store(n_here == 7, Ordering::Relaxed);
            },
        );
        n_calls += 1;
        if done.unwrap() {
            break;
        }
    }
    assert!(n_calls > 3, "{n_calls}");
    assert_eq!(weights(straight.path()), weights(stopped.path()));
    // The rungs differ in what they saw, so the models do.
    let weights = weights(straight.path());
    assert_ne!(weights[0], weights[1]);
    // Nothing of the way is left behind.
    let left: Vec<_> = std::fs::read_dir(stopped.path().join("model-0"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");

    // Another ladder does not go into the same folder.
    let other = LadderSettings {
        n_reference: 2_001,
        ..settings()
    };
    let error = climb(
        stopped.path(),
        &corpus,
        &other,
        None,
        &never,
        &mut |_, _| {},
    )
    .unwrap_err();
    assert!(matches!(error, LadderError::Other { .. }), "{error}");
}

#[test]
fn a_ladder_that_cannot_be_built_is_refused() {
    let (corpus, _) = corpus();
    let out = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let refuse = |settings: LadderSettings, want: &str| {
        let error =
            climb(out.path(), &corpus, &settings, None, &never, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    };
    refuse(
        LadderSettings {
            rungs: vec![0, 10],
            ..settings()
        },
        "2 rungs",
    );
    refuse(
        LadderSettings {
            languages: vec![lang("amh")],
            ..settings()
        },
        "no lines in `amh`",
    );
    refuse(
        LadderSettings {
            languages: vec![],
            ..settings()
        },
        "0 languages",
    );
    let heads = Shape {
        n_heads: 3,
        ..settings().shape
    };
    refuse(
        LadderSettings {
            shape: heads,
            ..settings()
        },
        "no multiple of twice 3 heads",
    );
}
