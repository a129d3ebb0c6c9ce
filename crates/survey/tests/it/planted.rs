//! Planted truth: what a scripted model is made to know comes out of the measures, within intervals
//! that cover it; and each test is seen to fail on a planted fault.

use std::collections::BTreeMap;

use isogloss_model::Backend;
use isogloss_model::scripted::{KnownText, ScriptedModel, ScriptedSpec, Skill, Variant};
use isogloss_record::{Encoded, Estimate, Prompt, Request, Response, Sampling, Seed, Span};
use isogloss_stats::Rate;
use isogloss_survey::items::{GROUP, Group, ItemSettings, Pair, Side, groups, order_documents};
use isogloss_survey::measures::choice::{GroupScores, ItemOutcome, choice, item_outcomes};
use isogloss_survey::measures::fidelity::{Continuation, Reliability, fidelity};
use rand::RngExt;

use crate::invented::{document, lang, language_of, seen};
use crate::scripted::run_settings;

const SEEDS: u64 = 1_000;

/// `n` items of a language, as the survey makes them.
fn items(code: &str, n: usize, named: bool) -> Vec<Group> {
    let texts: Vec<[String; 3]> = (0..n)
        .map(|d| {
            [
                format!("{d:03}"),
                document(code, d, named),
                document("eng", d, named),
            ]
        })
        .collect();
    let order = order_documents(
        texts
            .iter()
            .map(|[id, _, english]| (id.as_str(), english.as_str())),
        n,
        Seed(1),
    );
    let pairs: Vec<Pair<'_>> = texts
        .iter()
        .map(|[id, text, reference]| Pair {
            id,
            text,
            reference,
        })
        .collect();
    let groups = groups(lang(code), &pairs, &order, n, &ItemSettings::new(Seed(1)));
    assert_eq!(groups.len() * GROUP, n);
    groups
}

fn model(
    texts: &[KnownText],
    code: &str,
    variant: Variant,
    skill: Skill,
    seed: u64,
) -> ScriptedModel {
    let mut spec = ScriptedSpec::new(variant);
    spec.skills.insert(lang(code), skill);
    spec.seed = Seed(seed);
    ScriptedModel::new(&spec, texts)
}

fn answers(model: &ScriptedModel, requests: &[Request]) -> Vec<(Encoded, Response)> {
    let jobs: Vec<Encoded> = requests
        .iter()
        .map(|request| model.encode(request).unwrap())
        .collect();
    let mut responses: Vec<Option<Response>> = vec![None; jobs.len()];
    model
        .run(&jobs, &run_settings(), &mut |i, response| {
            responses[i] = Some(response);
        })
        .unwrap();
    jobs.into_iter()
        .zip(responses.into_iter().map(Option::unwrap))
        .collect()
}

/// What is taken for ln p(option) alone.
#[derive(Clone, Copy, PartialEq)]
enum Prior {
    /// After an empty context, as defined.
    Measured,
    /// The planted fault: nothing is taken off.
    Forgotten,
}

/// The four items of contexts and options: SURVEY's definition, asked anew.
fn outcomes(
    model: &ScriptedModel,
    contexts: &[String; GROUP],
    options: &[String; GROUP],
    prior: Prior,
) -> [ItemOutcome; GROUP] {
    let empty = String::new();
    let requests: Vec<Request> = contexts
        .iter()
        .chain([&empty])
        .flat_map(|context| {
            options.iter().map(|option| Request::Score {
                context: Prompt::Text(context.clone()),
                continuation: format!("\n\n{option}"),
                span: Span::Continuation,
                pool: false,
            })
        })
        .collect();
    let nats: Vec<f64> = answers(model, &requests)
        .iter()
        .map(|(job, response)| {
            let (Encoded::Score { n_context, .. }, Response::Score { logprobs, .. }) =
                (job, response)
            else {
                panic!("a score is answered by a score")
            };
            // The blank line's two characters, and a BOS where there is no context.
            let from = if *n_context == 0 { 3 } else { n_context + 2 };
            logprobs[from..].iter().map(|x| f64::from(x.unwrap())).sum()
        })
        .collect();
    item_outcomes(&GroupScores {
        conditional: std::array::from_fn(|i| std::array::from_fn(|j| nats[GROUP * i + j])),
        prior: std::array::from_fn(|j| match prior {
            Prior::Measured => nats[GROUP * GROUP + j],
            Prior::Forgotten => 0.0,
        }),
    })
}

fn all_outcomes(
    model: &ScriptedModel,
    groups: &[Group],
    side: fn(&Group) -> &Side,
    prior: Prior,
) -> Vec<ItemOutcome> {
    groups
        .iter()
        .flat_map(|group| {
            let side = side(group);
            outcomes(model, &side.contexts, &side.options, prior)
        })
        .collect()
}

/// Shares of the seeds whose intervals hold the planted κ and the planted gain.
fn coverage(
    code: &str,
    n: usize,
    side: fn(&Group) -> &Side,
    planted: f64,
    prior: Prior,
    n_seeds: u64,
) -> (f64, f64) {
    let groups = items(code, n, false);
    let known = seen(&[code], n, false);
    let gain = ScriptedSpec::new(Variant::Knows).gain * planted;
    let (mut n_kappa, mut n_gain) = (0, 0);
    for seed in 0..n_seeds {
        let model = model(&known, code, Variant::Knows, Skill::all(planted), seed);
        let outcomes = all_outcomes(&model, &groups, side, prior);
        let got = choice(&outcomes, None, None, Seed(seed)).unwrap();
        let got_gain = got.gain.unwrap();
        n_kappa += usize::from(got.low <= planted && planted <= got.high);
        n_gain += usize::from(got_gain.low <= gain && gain <= got_gain.high);
    }
    (
        n_kappa as f64 / n_seeds as f64,
        n_gain as f64 / n_seeds as f64,
    )
}

fn to_reference(group: &Group) -> &Side {
    &group.to_reference
}

fn from_reference(group: &Group) -> &Side {
    &group.from_reference
}

#[track_caller]
fn check(what: &str, coverage: f64, n: usize) {
    let most = if n >= 100 { 0.97 } else { 1.0 };
    assert!((0.93..=most).contains(&coverage), "{what}: {coverage}");
}

#[test]
fn planted_comprehension_lies_in_the_interval_of_twelve_items() {
    for (code, planted) in [("hin", 0.0), ("tha", 0.3), ("zho", 0.6), ("arb", 0.9)] {
        let (kappa, gain) = coverage(code, 12, to_reference, planted, Prior::Measured, SEEDS);
        check(&format!("κ of {code}"), kappa, 12);
        check(&format!("gain of {code}"), gain, 12);
    }
}

#[test]
fn planted_production_lies_in_the_interval_of_twelve_items() {
    for (code, planted) in [("tur", 0.3), ("tha", 0.5), ("zho", 0.8)] {
        let (kappa, gain) = coverage(code, 12, from_reference, planted, Prior::Measured, SEEDS);
        check(&format!("κ of {code}"), kappa, 12);
        check(&format!("gain of {code}"), gain, 12);
    }
}

#[test]
fn the_intervals_of_a_hundred_items_are_not_too_wide() {
    for (code, side, planted) in [
        ("hin", to_reference as fn(&Group) -> &Side, 0.6),
        ("arb", from_reference, 0.3),
    ] {
        let (kappa, gain) = coverage(code, 100, side, planted, Prior::Measured, SEEDS);
        check(&format!("κ of {code}"), kappa, 100);
        check(&format!("gain of {code}"), gain, 100);
    }
}

#[test]
fn a_wrong_prior_would_not_recover_what_is_planted() {
    let (kappa, _) = coverage("hin", 100, to_reference, 0.6, Prior::Forgotten, 50);
    assert!(kappa < 0.5, "{kappa}");
}

/// κ over all groups and some seeds, of contexts chosen by `contexts`.
fn kappa(
    code: &str,
    variant: Variant,
    named: bool,
    contexts: fn(&Side) -> [String; GROUP],
) -> Estimate {
    const N: usize = 100;
    let groups = items(code, N, named);
    let known = seen(&[code], N, named);
    let (mut n_right, mut n) = (0, 0);
    for seed in 0..5 {
        let model = model(&known, code, variant, Skill::all(0.9), seed);
        for group in &groups {
            let side = &group.to_reference;
            for item in outcomes(&model, &contexts(side), &side.options, Prior::Measured) {
                n_right += usize::from(item.right);
                n += 1;
            }
        }
    }
    isogloss_stats::kappa(n_right, n, GROUP).unwrap()
}

fn real(side: &Side) -> [String; GROUP] {
    side.contexts.clone()
}

fn nonsense(side: &Side) -> [String; GROUP] {
    side.nonsense.clone()
}

/// The planted fault: whole texts of unlike length as each other's wrong options, so that length
/// gives them away.
fn kappa_of_whole_texts(code: &str, variant: Variant) -> Estimate {
    const N: usize = 100;
    let mut by_length: Vec<usize> = (0..N).collect();
    by_length.sort_by_key(|&d| document("eng", d, false).len());
    let known = seen(&[code], N, false);
    let model = model(&known, code, variant, Skill::all(0.9), 1);
    let n_right = (0..N / GROUP)
        .flat_map(|k| {
            let four: [usize; GROUP] = std::array::from_fn(|i| by_length[k + i * N / GROUP]);
            let contexts = four.map(|d| document(code, d, false));
            let options = four.map(|d| document("eng", d, false));
            outcomes(&model, &contexts, &options, Prior::Measured)
        })
        .filter(|item| item.right)
        .count();
    isogloss_stats::kappa(n_right, N, GROUP).unwrap()
}

#[test]
fn a_model_that_ignores_its_context_is_exactly_at_chance() {
    for code in ["tur", "zho"] {
        let got = kappa(code, Variant::IgnoresContext, false, real);
        assert_eq!(got.value, 0.0, "{code}");
        let got = kappa(code, Variant::Position, false, real);
        assert!(got.value.abs() < 0.02, "{code} {got:?}");
    }
    // One that knows is not.
    assert!(kappa("tur", Variant::Knows, false, real).low > 0.8);
}

#[test]
fn a_model_that_reads_only_length_does_not_beat_the_length_baseline() {
    for code in ["tur", "hin"] {
        let groups = items(code, 100, false);
        let n_right: f64 = groups
            .iter()
            .map(|group| group.to_reference.n_right_by_length)
            .sum();
        let baseline = isogloss_stats::kappa::chance_corrected(n_right / 100.0, GROUP);
        let got = kappa(code, Variant::ReadsLength, false, real);
        assert!(got.low <= baseline, "{code}: {got:?} against {baseline}");
        // Where options are whole texts of unlike length, length alone tells them apart.
        let fault = kappa_of_whole_texts(code, Variant::ReadsLength);
        assert!(
            fault.low > baseline + 0.1,
            "{code}: {fault:?} against {baseline}"
        );
    }
}

#[test]
fn a_model_that_copies_only_names_does_not_beat_the_copy_floor() {
    for code in ["tur", "hin", "arb", "tha", "zho"] {
        let got = kappa(code, Variant::CopiesNames, true, real);
        let floor = kappa(code, Variant::CopiesNames, true, nonsense);
        assert!(
            got.value > 0.5,
            "{code}: names do give the text away, {got:?}"
        );
        assert!(got.low <= floor.value, "{code}: {got:?} against {floor:?}");
        // Without names there is nothing to copy; and one that knows is far above its floor.
        let unnamed = kappa(code, Variant::CopiesNames, false, real);
        assert!(unnamed.value.abs() < 0.15, "{code}: {unnamed:?}");
        let knows = kappa(code, Variant::Knows, false, real);
        let floor = kappa(code, Variant::Knows, false, nonsense);
        assert!(
            knows.low > floor.high + 0.5,
            "{code}: {knows:?} against {floor:?}"
        );
    }
}

/// An identifier with planted errors, and what was counted of them on 200 texts each.
struct Identifier {
    sensitivity: f64,
    specificity: f64,
}

impl Identifier {
    /// Whether it puts a text in the language; `draw` is even in `[0, 1)`.
    fn hears(&self, is_in_language: bool, draw: f64) -> bool {
        if is_in_language {
            draw < self.sensitivity
        } else {
            draw >= self.specificity
        }
    }

    fn counted(&self, seed: u64) -> Reliability {
        let count = |purpose: &str, p: f64| {
            let mut rng = Seed(seed).rng(purpose, 0);
            let n_yes = (0..200).filter(|_| rng.random::<f64>() < p).count();
            Rate {
                value: n_yes as f64 / 200.0,
                n: 200,
            }
        };
        Reliability::Measured {
            sensitivity: count("sensitivity", self.sensitivity),
            specificity: count("specificity", self.specificity),
        }
    }
}

/// Share of the seeds whose interval holds the planted fidelity.
fn fidelity_coverage(
    code: &str,
    n: usize,
    planted: f64,
    identifier: &Identifier,
    corrects: bool,
) -> f64 {
    let texts: Vec<String> = (0..n).map(|d| document(code, d, false)).collect();
    let requests: Vec<Request> = texts
        .iter()
        .map(|text| Request::Generate {
            prompt: Prompt::Text(text.chars().take(text.chars().count() / 2).collect()),
            sampling: Sampling {
                max_tokens: 32,
                temperature: 0.0,
                seed: 0,
                stop: Vec::new(),
            },
        })
        .collect();
    let known = seen(&[code], n, false);
    // The same few texts are said again and again: their language is found once.
    let mut is_said_in_language = BTreeMap::new();
    let n_covered = (0..SEEDS)
        .filter(|&seed| {
            let model = model(&known, code, Variant::Knows, Skill::all(planted), seed);
            let mut rng = Seed(seed).rng("hearing", 0);
            let said: Vec<Continuation> = answers(&model, &requests)
                .into_iter()
                .map(|(_, response)| {
                    let Response::Generate { text, .. } = response else {
                        panic!()
                    };
                    let is_in_language = *is_said_in_language
                        .entry(text)
                        .or_insert_with_key(|text| language_of(text) == Some(lang(code)));
                    Continuation {
                        in_language: Some(identifier.hears(is_in_language, rng.random())),
                        script_share: None,
                        loops: false,
                        verbatim: None,
                    }
                })
                .collect();
            let reliability = if corrects {
                identifier.counted(seed)
            } else {
                Reliability::Unmeasured
            };
            let got = fidelity(&said, reliability, &[]).unwrap();
            got.low <= planted && planted <= got.high
        })
        .count();
    n_covered as f64 / SEEDS as f64
}

#[test]
fn planted_fidelity_is_found_behind_the_identifier_s_errors() {
    let good = Identifier {
        sensitivity: 0.95,
        specificity: 0.99,
    };
    let poor = Identifier {
        sensitivity: 0.7,
        specificity: 0.95,
    };
    for (code, planted, identifier) in [
        ("hin", 0.9, &good),
        ("zho", 0.5, &good),
        ("arb", 0.8, &poor),
    ] {
        check(
            code,
            fidelity_coverage(code, 12, planted, identifier, true),
            12,
        );
    }
    for (code, planted, identifier) in [("hin", 0.6, &good), ("tha", 0.8, &poor)] {
        check(
            code,
            fidelity_coverage(code, 100, planted, identifier, true),
            100,
        );
    }
    // Uncorrected, a poor identifier hides it.
    let fault = fidelity_coverage("tha", 100, 0.8, &poor, false);
    assert!(fault < 0.5, "{fault}");
}
