//! Token premiums and plans over the invented world.

use isogloss_record::Seed;
use isogloss_survey::tokens::{Counter, Prices, TokensInput, USUAL_CHAT, tokens};
use isogloss_survey::{Settings, plan};

use crate::scripted::Scripted;
use crate::world::{N_DOCUMENTS, lang, languages, texts};

#[test]
fn premiums_prices_and_contexts_come_from_the_tokenizer_alone() {
    let (languages, texts) = (languages(), texts());
    // A token per character, and `qac` costs two: every other language has premium 1 exactly, since
    // its letters are the reference's turned.
    let counter = Counter {
        name: "m",
        tokenizer_hash: "0",
        vocabulary_size: 256,
        context_length: Some(1000),
        count: &|text: &str| {
            let n = text.chars().count();
            Ok(if crate::world::language_of(text) == Some("qac") {
                2 * n
            } else {
                n
            })
        },
    };
    let prices = Prices::parse("p", "[m]\ninput = 1\noutput = 2\ncurrency = \"EUR\"").unwrap();
    let report = tokens(&TokensInput {
        models: &[counter],
        languages: &languages,
        texts: &texts,
        reference: lang("eng"),
        chat: USUAL_CHAT,
        prices: &prices,
        seed: Seed(1),
        version: "0",
    })
    .unwrap();
    let model = &report.models[0];
    let qaa = &model.languages[&lang("qaa")];
    assert_eq!((qaa.premium.value, qaa.byte_premium), (1.0, 1.0));
    assert_eq!(qaa.premium.n, N_DOCUMENTS);
    let qac = &model.languages[&lang("qac")];
    assert_eq!((qac.premium.value, qac.byte_premium), (2.0, 1.0));
    assert_eq!(qac.tokens_per_byte_premium, 2.0);
    assert_eq!(qac.usable_context, Some(500.0));
    // (300 · 1 + 200 · 2) / 10⁶ a chat, · 1000 · 2 = 1.4.
    assert!((qac.price_per_1000_chats.unwrap() - 1.4).abs() < 1e-12);
    assert_eq!(model.languages[&lang("eng")].premium.value, 1.0);
    assert!(model.not_measured[&lang("qad")].contains("--text"));
}

#[test]
fn a_plan_says_what_a_survey_costs_at_least_and_at_most() {
    let (languages, texts) = (languages(), texts());
    let nothing = |_: &str, _: &str| -1.0;
    let silent = |_: &str| String::new();
    let state = |_: &str| vec![1.0_f32];
    let model = Scripted::new("m", &nothing, &silent, &state);
    let full = plan(&model, &languages, &texts, &Settings::full()).unwrap();
    let fast = plan(&model, &languages, &texts, &Settings::fast()).unwrap();
    assert_eq!(full.n_languages, 3);
    assert!(0 < fast.n_tokens_least && fast.n_tokens_least < full.n_tokens_least);
    assert!(full.n_tokens_least < full.n_tokens_most);
    let (least, most) = full.seconds(1000.0).unwrap();
    assert!((least - full.n_tokens_least as f64 / 1000.0).abs() < 1e-9 && least < most);
    assert_eq!(full.seconds(0.0), None);
}
