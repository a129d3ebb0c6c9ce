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
use isogloss_stats::correlation::pearson;
use isogloss_survey::SurveyTexts;
use isogloss_survey::text::own::own;
use isogloss_survey::tokens::{Counter, Prices, TokensInput, USUAL_CHAT, tokens};

fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/flores200");
    folder.is_dir().then_some(folder)
}

/// Published counts of a column, by language.
fn published(folder: &Path, column: &str) -> BTreeMap<Lang, f64> {
    let map = files::read_to_string(&folder.join("language_map.csv")).unwrap();
    let codes: BTreeMap<&str, &str> = map
        .lines()
        .skip(1)
        .filter_map(|line| line.rsplit_once(", "))
        .collect();
    let table = files::read_to_string(&folder.join("tokenization_lengths.csv")).unwrap();
    let mut lines = table.lines();
    let n_columns = lines.clone().next().unwrap().split(',').count();
    let place = lines
        .next()
        .unwrap()
        .split(',')
        .position(|name| name == column)
        .unwrap();
    lines
        .filter_map(|line| {
            // Names may hold commas: counted from the right.
            let fields: Vec<&str> = line.rsplitn(n_columns, ',').collect();
            let code = codes.get(fields[n_columns - 1].trim_matches('"'))?;
            let lang = registry().resolve(code).ok()?;
            Some((lang, fields[n_columns - 1 - place].parse().ok()?))
        })
        .collect()
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
    let compare = |column: &str, ours_of: &dyn Fn(Lang) -> f64, script: Option<&str>| {
        let published = published(&folder, column);
        let reference = published[&english];
        let pairs: Vec<(f64, f64)> = published
            .iter()
            .filter(|(lang, _)| ours.contains_key(lang))
            .filter(|(lang, _)| {
                script.is_none_or(|script| {
                    registry()
                        .script(**lang)
                        .is_some_and(|s| s.code() == script)
                })
            })
            .map(|(&lang, &count)| (ours_of(lang), count / reference))
            .collect();
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let r = pearson(&a, &b).unwrap();
        println!(
            "{column}, {}: r {:.3} [{:.3}, {:.3}], n {}",
            script.unwrap_or("all"),
            r.value,
            r.low,
            r.high,
            r.n
        );
        r
    };
    let premium = |lang| ours[&lang].premium.value;
    let bytes = |lang| ours[&lang].byte_premium;
    let by_tokens = compare("GPT-2", &premium, None);
    assert!(
        by_tokens.n >= 190 && by_tokens.value >= 0.97,
        "{by_tokens:?}"
    );
    let within_latin = compare("GPT-2", &premium, Some("Latn"));
    assert!(within_latin.value > 0.0, "{within_latin:?}");
    let by_bytes = compare("ByT5", &bytes, None);
    assert!(by_bytes.value >= 0.995, "{by_bytes:?}");
    // A planted fault: premiums of the wrong languages do not go together.
    let shifted: BTreeMap<Lang, f64> = all
        .iter()
        .zip(all.iter().skip(17).chain(&all))
        .map(|(&a, &b)| (a, premium(b)))
        .collect();
    assert!(compare("GPT-2", &|lang| shifted[&lang], None).value < 0.5);
}
