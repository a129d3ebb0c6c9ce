//! Measuring the identifier: texts of a length, FLORES codes, calibration.
//!
//! FLORES is read where it lies beside the checkout and never embedded: only figures leave here.

use isogloss_record::Lang;

use super::model::Calibration;
use super::{Evidence, Identifier};

/// FLORES codes whose language has another code here, with the reason.
const FLORES_CODES: [(&str, &[&str]); 13] = [
    // Macrolanguages: the text's variety is one of these.
    ("aka_Latn", &["twi", "fat"]),
    ("est_Latn", &["ekk"]),
    ("grn_Latn", &["gug"]),
    ("kon_Latn", &["kng", "ktu"]),
    ("srd_Latn", &["src"]),
    // Northern and Southern Pashto, Malay and Standard Malay: one written language.
    ("pbt_Arab", &["pbu"]),
    ("zsm_Latn", &["zsm", "zlm"]),
    // The standard and the Central Atlas variety, in one orthography.
    ("tzm_Tfng", &["zgh", "tzm"]),
    // Written Mandarin as in Hong Kong: none of its first 500 lines has one of 嘅 唔 咗 喺 嗰 啲 佢 哋.
    ("yue_Hant", &[]),
    ("zho_Hans", &["cmn_Hans"]),
    ("zho_Hant", &["cmn_Hant"]),
    ("jpn_Jpan", &["jpn"]),
    ("kor_Hang", &["kor"]),
];

/// The labels that are right for a FLORES file; empty where the identifier has none.
pub fn flores_labels(identifier: &Identifier, code: &str) -> Vec<Lang> {
    let mapped = FLORES_CODES.iter().find(|(known, _)| *known == code);
    let Some((language, script)) = code.split_once('_') else {
        return Vec::new();
    };
    let names: Vec<&str> = mapped.map_or_else(|| vec![language, code], |(_, names)| names.to_vec());
    let written = match script {
        "Hans" | "Hant" => "Hani",
        script => script,
    };
    let mut labels: Vec<Lang> = names
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{}_{script}", &name[..3])])
        .filter_map(|name| name.parse().ok())
        .filter(|label| identifier.scripts(*label).contains(&written))
        .filter(|label| label.script().is_none_or(|own| own.code() == script))
        .collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// The beginning of a text, at most `n` characters, cut at a space where one is near.
pub fn beginning(text: &str, n: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(n) else {
        return text;
    };
    let cut = &text[..end];
    match cut.rfind(' ') {
        Some(space) if space * 10 >= end * 7 => &cut[..space],
        _ => cut,
    }
}

/// Mean of a share per language, each language weighted equally; `None` without any.
pub fn macro_mean(shares: &[(usize, usize)]) -> Option<f64> {
    let shares: Vec<f64> = shares
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(hits, n)| *hits as f64 / *n as f64)
        .collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Growths of the temperature that mean something: at 0 every letter is evidence of its own, at 1 a
/// longer text says no more than a shorter one.
const GROWTHS: std::ops::RangeInclusive<f64> = 0.0..=1.0;

/// The temperature `t·n^g` that makes the right labels of held-out texts most probable: a search
/// over a grid, finer around the best.
pub(super) fn fit(held_out: &[&(Evidence, usize)]) -> Calibration {
    let loss = |temperature: f64, growth: f64| -> f64 {
        held_out
            .iter()
            .map(|(evidence, right)| {
                let t = temperature * (evidence.n_letters.max(1) as f64).powf(growth);
                let best = evidence.scores[0];
                let total: f64 = evidence.scores.iter().map(|s| ((s - best) / t).exp()).sum();
                total.ln() - (evidence.scores[*right] - best) / t
            })
            .sum()
    };
    let (mut temperature, mut growth) = (2.0_f64, 0.5_f64);
    let (mut factor, mut step) = (2.0_f64, 0.25_f64);
    let mut least = loss(temperature, growth);
    for _ in 0..40 {
        let around = [
            (temperature * factor, growth),
            (temperature / factor, growth),
            (temperature, growth + step),
            (temperature, growth - step),
            (temperature / factor, growth + step),
            (temperature * factor, growth - step),
        ];
        let best = around
            .into_iter()
            .filter(|(_, growth)| GROWTHS.contains(growth))
            .map(|(t, g)| (loss(t, g), t, g))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((better, t, g)) if better < least => (least, temperature, growth) = (better, t, g),
            _ => (factor, step) = (factor.sqrt(), step / 2.0),
        }
    }
    Calibration {
        temperature,
        growth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_space_that_is_near() {
        for (text, n, want) in [
            ("one two three", 100, "one two three"),
            ("one two three", 9, "one two"),
            ("ภาษาไทยคือภาษา", 5, "ภาษาไ"),
            ("a bcdefghijk", 8, "a bcdefg"),
            ("", 5, ""),
        ] {
            assert_eq!(beginning(text, n), want, "{text}");
        }
    }

    #[test]
    fn languages_count_equally_and_none_has_no_mean() {
        // 1/1 and 1/4: (1 + .25) / 2.
        assert_eq!(macro_mean(&[(1, 1), (1, 4), (0, 0)]), Some(0.625));
        assert_eq!(macro_mean(&[]), None);
    }

    #[test]
    fn a_calibration_recovers_how_often_the_best_is_right() {
        // Two labels one nat apart, right 3 times in 4: odds of 3 at temperature 1 / ln 3 = .910.
        let evidence = Evidence {
            script: "Latn",
            n_letters: 1,
            labels: vec!["deu".parse().unwrap(), "nld".parse().unwrap()],
            scores: vec![0.0, -1.0],
        };
        let held_out: Vec<(Evidence, usize)> = (0..400)
            .map(|i| (evidence.clone(), usize::from(i % 4 == 0)))
            .collect();
        let fitted = fit(&held_out.iter().collect::<Vec<_>>());
        assert!((fitted.temperature - 0.910).abs() < 0.01, "{fitted:?}");
    }
}
