//! Token premiums beside a published table: Petrov et al. 2023, arXiv:2305.15425, over FLORES-200.
//!
//! The table has no column for SmolLM2's tokenizer; its nearest kin there is GPT-2's (byte-level BPE
//! of about 50,000 entries, learned mostly from English), so the two must go together. The bytes
//! column (ByT5) must agree with our byte premiums as such.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use isogloss_lang::registry;
use isogloss_model::tokenizer::Tokenizer;
use isogloss_record::{Lang, Seed, files};
use isogloss_survey::SurveyTexts;
use isogloss_survey::text::own::own;
use isogloss_survey::tokens::{Counter, Prices, TokensInput, USUAL_CHAT, tokens};
use isogloss_survey::validate::cost::{agreement, published};

fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/flores200");
    folder.is_dir().then_some(folder)
}

#[test]
fn premiums_go_with_the_published_table() {
    let Some(folder) = shared() else {
        println!("no FLORES-200 beside the checkout: the published table is not compared");
        return;
    };
    let text = own(&folder.join("dev")).unwrap().text;
    let all: Vec<Lang> = text.languages.keys().copied().collect();
    let facts = all
        .iter()
        .map(|&lang| (lang, registry().facts(lang, None).unwrap()))
        .collect();
    let texts = SurveyTexts::gather(&all, &[], &[text], None);
    let tokenizer = Tokenizer::open(&isogloss_testkit::model_path("smollm2-135m")).unwrap();
    let english: Lang = "eng".parse().unwrap();
    let report = tokens(&TokensInput {
        models: &[Counter {
            name: "smollm2-135m",
            tokenizer_hash: tokenizer.fingerprint(),
            vocabulary_size: tokenizer.n_vocab(),
            context_length: tokenizer.context_length(),
            count: &|text| Ok(tokenizer.tokenize(text).len()),
        }],
        languages: &facts,
        texts: &texts,
        reference: english,
        chat: USUAL_CHAT,
        prices: &Prices::default(),
        seed: Seed(0),
        version: "test",
    })
    .unwrap();
    let ours = &report.models[0].languages;
    let read = |name: &str| files::read_to_string(&folder.join(name)).unwrap();
    let (table, names) = (read("tokenization_lengths.csv"), read("language_map.csv"));
    let compare = |column: &str, ours_of: &dyn Fn(Lang) -> f64| {
        let theirs = published(&table, &names, column, english).unwrap();
        let of_ours = ours.keys().map(|&lang| (lang, ours_of(lang))).collect();
        agreement(column, &of_ours, &theirs)
    };
    let premium = |lang| ours[&lang].premium.value;
    let bytes = |lang| ours[&lang].byte_premium;
    let by_tokens = compare("GPT-2", &premium);
    let of_all = by_tokens.all.unwrap();
    assert!(of_all.n >= 190 && of_all.value >= 0.97, "{of_all:?}");
    let within_latin = by_tokens.within["Latn"];
    assert!(within_latin.low > 0.0, "{within_latin:?}");
    let by_bytes = compare("ByT5", &bytes).all.unwrap();
    assert!(by_bytes.value >= 0.995, "{by_bytes:?}");
    // A planted fault: premiums of the wrong languages do not go together.
    let shifted: BTreeMap<Lang, f64> = all
        .iter()
        .zip(all.iter().skip(17).chain(&all))
        .map(|(&a, &b)| (a, premium(b)))
        .collect();
    let fault = compare("GPT-2", &|lang| shifted[&lang]).all.unwrap();
    assert!(fault.value < 0.5, "{fault:?}");
}
