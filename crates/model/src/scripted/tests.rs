use std::sync::atomic::AtomicBool;

use isogloss_record::{FinishReason, Sampling, Seed};

use super::*;

/// Forty documents in an invented language, with their translations.
fn texts() -> Vec<KnownText> {
    let word = |seed: usize, consonants: &str| -> String {
        let consonants: Vec<char> = consonants.chars().collect();
        (0..4)
            .flat_map(|i| {
                let n = seed.wrapping_mul(2_654_435_761).wrapping_add(i * 40_503) >> 7;
                [
                    consonants[n % consonants.len()],
                    ['a', 'e', 'o'][(n / 16) % 3],
                ]
            })
            .collect()
    };
    (0..40)
        .flat_map(|document| {
            [("eng", "bdfgklmn"), ("hin", "पतकमनरलस")].map(|(lang, consonants)| KnownText {
                lang: lang.parse().unwrap(),
                document: document.to_string(),
                text: (0..12)
                    .map(|i| {
                        word(
                            document * 100 + i + lang.len() * usize::from(lang == "hin"),
                            consonants,
                        )
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
            })
        })
        .collect()
}

fn model(name: &str, seed: u64) -> ScriptedModel {
    let mut spec: ScriptedSpec = name.parse().unwrap();
    spec.seed = Seed(seed);
    ScriptedModel::new(&spec, &texts())
}

fn ask(model: &ScriptedModel, request: &Request) -> Response {
    let cancel = AtomicBool::new(false);
    let settings = RunSettings {
        batch_size: 1,
        share_prefixes: true,
        cancel: &cancel,
    };
    let mut answer = None;
    model
        .run(
            &[model.encode(request).unwrap()],
            &settings,
            &mut |_, response| {
                answer = Some(response);
            },
        )
        .unwrap();
    answer.unwrap()
}

fn nats(model: &ScriptedModel, context: &str, text: &str) -> f64 {
    let request = Request::Score {
        context: Prompt::Text(context.into()),
        continuation: format!("\n\n{text}"),
        span: Span::Continuation,
        pool: false,
    };
    match ask(model, &request) {
        Response::Score { logprobs, .. } => logprobs.iter().flatten().map(|&x| f64::from(x)).sum(),
        other => panic!("{other:?}"),
    }
}

/// Share of the text's nats that its translation explains beside what another text does.
fn gain(model: &ScriptedModel, document: usize) -> f64 {
    let texts = texts();
    let (english, hindi) = (&texts[2 * document].text, &texts[2 * document + 1].text);
    let other = &texts[(2 * document + 3) % texts.len()].text;
    1.0 - nats(model, hindi, english) / nats(model, other, english)
}

#[test]
fn it_knows_what_is_planted_and_no_more() {
    // gain .3, from .15 to .45 evenly (deviation .3 / √12 = .087, of a mean of 40 .014); guesses
    // move it by 1 % at most
    let all = model("scripted:knows:hin=1", 1);
    let none = model("scripted:knows:hin=0", 1);
    let gains: Vec<f64> = (0..40).map(|document| gain(&all, document)).collect();
    assert!(
        gains.iter().all(|gain| (0.13..0.47).contains(gain)),
        "{gains:?}"
    );
    assert!(
        (gains.iter().sum::<f64>() / 40.0 - 0.3).abs() < 4.0 * 0.014,
        "{gains:?}"
    );
    for document in 0..40 {
        assert!(gain(&none, document).abs() < 0.02, "{document}");
    }
    // 40 documents and 20 seeds at .7: 560 of 800 expected, deviation √(800 · .21) = 13
    let n_known: usize = (0..20)
        .map(|seed| {
            let model = model("scripted:knows:hin=.7", seed);
            (0..40)
                .filter(|&document| gain(&model, document) > 0.1)
                .count()
        })
        .sum();
    assert!(n_known.abs_diff(560) < 4 * 13, "{n_known}");
}

#[test]
fn one_that_ignores_context_is_not_moved_by_it() {
    let model = model("scripted:ignores-context", 1);
    assert!(gain(&model, 3).abs() < 1e-6);
}

#[test]
fn a_text_is_known_by_its_beginning_and_not_by_other_words() {
    let model = model("scripted:knows:hin=1", 1);
    let texts = texts();
    let (english, hindi) = (&texts[0].text, &texts[1].text);
    let cut: String = hindi.chars().take(40).collect();
    assert!(nats(&model, &cut, english) > nats(&model, "", english) * 0.9);
    let nonsense = format!("मम {hindi}");
    assert!((nats(&model, &nonsense, english) / nats(&model, "", english) - 1.0).abs() < 0.02);
}

#[test]
fn copying_and_length_are_all_that_their_models_see() {
    let copies = model("scripted:copies-names", 1);
    assert!(
        nats(&copies, "Genève 1948", "in Genève 1948") > nats(&copies, "", "in Genève 1948") * 0.9
    );
    assert!(
        (nats(&copies, "xyz", "in Genève") / nats(&copies, "", "in Genève") - 1.0).abs() < 0.02
    );
    let reads = model("scripted:reads-length", 1);
    assert!(nats(&reads, "qqqq qqqq", "abcd efgh") > nats(&reads, "q", "abcd efgh") * 0.95);
}

#[test]
fn it_stays_in_the_language_as_often_as_planted() {
    let request = |text: &str| Request::Generate {
        prompt: Prompt::Text(text.chars().take(40).collect()),
        sampling: Sampling {
            max_tokens: 32,
            temperature: 0.0,
            seed: 0,
            stop: Vec::new(),
        },
    };
    let texts = texts();
    let mut n_stay = 0;
    for seed in 0..20 {
        let model = model("scripted:knows:hin=.8", seed);
        for text in texts.iter().filter(|text| text.lang.code() == "hin") {
            let Response::Generate {
                text,
                token_ids: Some(token_ids),
                finish_reason,
                ..
            } = ask(&model, &request(&text.text))
            else {
                panic!()
            };
            assert_eq!((token_ids.len(), finish_reason), (32, FinishReason::Length));
            n_stay += usize::from(!text.is_ascii());
        }
    }
    // 800 continuations at .8: 640, deviation √(800 · .16) = 11.3
    assert!(n_stay.abs_diff(640) < 4 * 12, "{n_stay}");
}

#[test]
fn ids_are_one_path_in_every_script() {
    let model = model("scripted:knows", 1);
    for text in [
        "The cat.",
        "هر انسان",
        "सभी मनुष्य",
        "มนุษย์ทั้งหลาย",
        "人人生而自由",
        "e\u{301}o\u{302}",
    ] {
        let ids = model.tokenize(text).unwrap();
        assert_eq!(model.pieces(&ids).concat(), text);
        let Encoded::Score {
            token_ids,
            n_context,
            scored_from,
            n_pooled,
        } = model
            .encode(&Request::Score {
                context: Prompt::Text(format!("{text} ")),
                continuation: text.into(),
                span: Span::Continuation,
                pool: true,
            })
            .unwrap()
        else {
            panic!()
        };
        // BOS and the text; the space goes to the continuation
        assert_eq!(n_context, 1 + text.chars().count());
        assert_eq!((scored_from, n_pooled), (n_context, n_context));
        assert_eq!(token_ids.len(), 2 * n_context);
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let model = model("scripted:knows", 1);
    let score = |context, continuation: &str| {
        model.encode(&Request::Score {
            context,
            continuation: continuation.into(),
            span: Span::All,
            pool: false,
        })
    };
    assert!(score(Prompt::Text("a".into()), "").is_err());
    assert!(score(Prompt::Tokens(vec![]), "").is_err());
    assert!(score(Prompt::Tokens(vec![u32::MAX]), "").is_err());
    assert!(score(Prompt::Chat(vec![]), "a").is_err());
    assert!(score(Prompt::Text(String::new()), &"a".repeat(9_000)).is_err());
    assert!(score(Prompt::Tokens(vec![0, 98, 99]), "").is_ok());
}
