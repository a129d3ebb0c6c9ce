use isogloss_record::survey::{CostResult, Verdict};

use super::*;
use crate::compare::compare;
use crate::compare::tests::{language, survey};

fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

fn served(read: &str, write: &str, premium: f64) -> isogloss_record::survey::LanguageResults {
    let mut found = language(read, Some(write), Verdict::Served);
    found.cost = Some(CostResult {
        value: premium,
        low: premium,
        high: premium,
        n: 30,
        byte_premium: 1.0,
        tokens_per_byte_premium: premium,
        usable_context: 100.0,
    });
    found
}

const ALL: &str = "111111111111111111111111";
const MOST: &str = "111111111111111111110000";
const FEW: &str = "111111100000000000000000";

/// a: Hausa well, Swahili poorly; b: the other way round, and a little better over all.
fn runs() -> SurveyResults {
    let mut results = survey(vec![
        (
            "a",
            vec![
                ("hau", served(ALL, ALL, 2.0)),
                ("swh", served(FEW, FEW, 2.0)),
            ],
        ),
        (
            "b",
            vec![
                ("hau", served(FEW, FEW, 1.5)),
                ("swh", served(ALL, ALL, 1.5)),
            ],
        ),
        (
            "c",
            vec![
                ("hau", served(MOST, ALL, 3.0)),
                ("swh", served(FEW, FEW, 3.0)),
            ],
        ),
    ]);
    results.comparisons = compare(&results);
    results
}

fn decided(
    results: &SurveyResults,
    needs: Option<&str>,
    prices: &str,
) -> Result<Decision, DecideError> {
    let needs = needs.map(|text| Needs::parse("n", text, isogloss_lang::registry()).unwrap());
    decide(&Question {
        results,
        needs: needs.as_ref(),
        prices: &Prices::parse("p", prices).unwrap(),
        chat: crate::tokens::USUAL_CHAT,
        licenses: &BTreeMap::from([("c".to_owned(), "MIT".to_owned())]),
        version: "0",
    })
}

#[test]
fn the_choice_follows_the_needs() {
    let results = runs();
    let hausa = decided(&results, Some("[languages]\nhau = 5\nswh = 1"), "").unwrap();
    assert_eq!(hausa.choice.as_deref(), Some("a"), "{}", hausa.sentence);
    assert_eq!(hausa.runner_up.as_deref(), Some("c"));
    assert!((hausa.needs[&lang("hau")].weight - 5.0 / 6.0).abs() < 1e-12);
    let swahili = decided(&results, Some("[languages]\nhau = 1\nswh = 5"), "").unwrap();
    assert_eq!(swahili.choice.as_deref(), Some("b"));
    assert!(
        swahili.probability.unwrap() > SETTLED,
        "{}",
        swahili.sentence
    );
    assert!(
        swahili.sentence.starts_with("Take b:"),
        "{}",
        swahili.sentence
    );
    assert!(swahili.open.is_empty());
    assert_eq!(swahili.comparisons.len(), 2);
    // a and c differ in four texts of one direction: nearly equal, and what would tell is said.
    let open = &hausa.open[0];
    assert!(hausa.probability.unwrap() < SETTLED, "{}", hausa.sentence);
    assert!(open.question.contains("Is a better than c?"), "{open:?}");
    assert!(
        open.n_needed.unwrap() > 24 && open.settles.contains("hau"),
        "{open:?}"
    );
    let total: f64 = hausa.candidates.iter().filter_map(|c| c.probability).sum();
    assert!((total - 1.0).abs() < 1e-9);
    // Reading alone is another need: worth is comprehension's.
    let read = decided(&results, Some("[languages]\nhau = { role = \"read\" }"), "").unwrap();
    let c = read.candidates.iter().find(|c| c.name == "c").unwrap();
    // 20 of 24: (.8333 − .25)/.75 = .7778.
    assert!((c.languages[&lang("hau")].worth.unwrap() - 7.0 / 9.0).abs() < 1e-12);
}

#[test]
fn conditions_come_before_worth() {
    let mut results = runs();
    let prices = "[model]\ninput = 1.0\noutput = 1.0\ncurrency = \"USD\"";
    // 500 tokens · 2 · 1,000 / 10⁶ = 1 dollar for a, .75 for b.
    let cheap = "price_max = 0.8\n[languages]\nhau = 1";
    let decision = decided(&results, Some(cheap), prices).unwrap();
    assert_eq!(decision.choice.as_deref(), Some("b"));
    assert_eq!(decision.probability, None);
    assert!(
        decision.sentence.contains("no other model"),
        "{}",
        decision.sentence
    );
    let a = decision.candidates.iter().find(|c| c.name == "a").unwrap();
    assert!((a.price_per_1000_chats.unwrap() - 1.0).abs() < 1e-12);
    assert!(
        a.misses[0].contains("1,000 chats cost 1.00"),
        "{:?}",
        a.misses
    );
    let c = decision.candidates.iter().find(|c| c.name == "c").unwrap();
    assert_eq!(c.license.as_deref(), Some("MIT"));
    // A verdict that is needed and not there.
    let of_a = results.models[0].languages.get_mut(&lang("hau")).unwrap();
    of_a.verdict = Verdict::CannotSay;
    of_a.reason = "fidelity straddles".to_owned();
    let served = "[languages]\nhau = { minimum = \"served\" }";
    let decision = decided(&results, Some(served), "").unwrap();
    assert_eq!(decision.choice.as_deref(), Some("c"));
    assert!(
        decision
            .open
            .iter()
            .any(|o| o.question == "Does a serve hau?")
    );
    let nothing = "price_max = 0.1\n[languages]\nhau = 1";
    let decision = decided(&results, Some(nothing), prices).unwrap();
    assert_eq!((decision.choice, decision.probability), (None, None));
    assert!(decision.sentence.contains("None of the models"));
    // With a limit, a price that is not known is none that is met.
    let decision = decided(&results, Some(cheap), "").unwrap();
    assert!(decision.candidates[0].misses[0].contains("price is not known"));
}

#[test]
fn what_was_not_measured_is_told_and_never_taken_for_a_score() {
    let mut results = runs();
    // b was not surveyed in Swahili; c was at its floor there, so production was not asked.
    results.models[1].languages.remove(&lang("swh"));
    let mut at_floor = language("100010001000", None, Verdict::NotServed);
    at_floor
        .not_measured
        .insert("production".into(), "at its floor".into());
    results.models[2].languages.insert(lang("swh"), at_floor);
    let decision = decided(&results, None, "").unwrap();
    let b = decision.candidates.iter().find(|c| c.name == "b").unwrap();
    assert!(
        b.misses[0].contains("swh was not surveyed"),
        "{:?}",
        b.misses
    );
    assert_eq!((b.worth, b.probability), (None, None));
    let told = |what: &str| {
        let mut all = decision.not_measured.iter();
        all.any(|missing| missing.what == what && missing.reason.contains("counts as 0"))
    };
    assert!(told("production"), "{:?}", decision.not_measured);
    // a was asked 24 items there and c twelve: the common ones are compared, all are used.
    assert_eq!(
        decision.choice.as_deref(),
        Some("a"),
        "{}",
        decision.sentence
    );
    let error = decided(&results, Some("[languages]\nyor = 1"), "").unwrap_err();
    assert!(error.hint().unwrap().contains("--langs yor"), "{error}");
    assert!(decided(&results, Some("[languages]\neng = 1"), "").is_err());
    let two = "[a]\ninput=1\noutput=1\ncurrency=\"USD\"\n[b]\ninput=1\noutput=1\ncurrency=\"EUR\"";
    assert!(matches!(
        decided(&results, None, two),
        Err(DecideError::Currencies { .. })
    ));
}

#[test]
fn decisions_are_plain_values() {
    let decision = decided(&runs(), None, "").unwrap();
    let json = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
    assert_eq!(percent(0.999), "above 99 %");
    assert_eq!(percent(0.871), "87 %");
}
