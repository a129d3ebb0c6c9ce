//! chrF++ against sacreBLEU, pair by pair and as a corpus.

use isogloss_survey::measures::chrf::Chrf;

#[test]
fn every_pair_and_the_corpus_equal_sacrebleu() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/chrf/pairs.json");
    let golden = isogloss_record::files::read_to_string(std::path::Path::new(path)).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let mut corpus = Chrf::default();
    let pairs = golden["pairs"].as_array().unwrap();
    for pair in pairs {
        let text = |key: &str| pair[key].as_str().unwrap();
        let got = Chrf::of(text("answer"), text("reference"));
        let (score, want) = (got.score().unwrap(), pair["score"].as_f64().unwrap());
        assert!(
            (score - want).abs() < 1e-9,
            "{}: {score}, {want}",
            text("name")
        );
        corpus += got;
    }
    assert!(pairs.len() >= 14);
    let want = golden["corpus"].as_f64().unwrap();
    assert!((corpus.score().unwrap() - want).abs() < 1e-9);
}
