//! Whether the measures come out in the order of what was seen.

use isogloss_record::survey::{ChoiceResult, LanguageResults, SurveyResults};
use isogloss_record::{Estimate, Lang};
use isogloss_stats::correlation::kendall;
use serde::{Deserialize, Serialize};

use super::LadderSettings;

/// One measure of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Tokens of the language that the model saw.
    pub n_tokens: u64,
    /// The measure; `None` where there is nothing to measure (no answer, the identifier cannot tell).
    pub value: Option<Estimate>,
}

/// One deciding measure of one language, over all rungs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageLadder {
    /// The language.
    pub lang: Lang,
    /// The measure.
    pub measure: String,
    /// From the fewest tokens to the most.
    pub rungs: Vec<Rung>,
    /// Pairs of rungs whose intervals lie apart in the wrong order.
    pub n_wrong: usize,
    /// Pairs of rungs that were both measured.
    pub n_pairs: usize,
    /// Whether the lower end of the highest rung lies above the upper end of the lowest.
    pub ends_apart: bool,
    /// Kendall's τ-b between tokens seen and the measure; `None` where fewer than five were measured.
    pub tau: Option<f64>,
}

/// The whole study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LadderResults {
    /// What the ladder is made of.
    pub settings: LadderSettings,
    /// By language and measure.
    pub ladders: Vec<LanguageLadder>,
}

impl LadderResults {
    /// No pair in the wrong order, and the ends apart, on every deciding measure of every language.
    pub fn holds(&self) -> bool {
        (self.ladders.iter()).all(|ladder| ladder.n_wrong == 0 && ladder.ends_apart)
    }
}

type Value = fn(&LanguageResults) -> Option<Estimate>;

/// The measures that a verdict rests on.
const MEASURES: [(&str, Value); 6] = [
    ("comprehension κ", |r| kappa(r.comprehension)),
    ("comprehension G", |r| gain(r.comprehension)),
    ("production κ", |r| kappa(r.production)),
    ("production G", |r| gain(r.production)),
    ("lexicon κ", |r| {
        r.lexicon.map(|l| estimate(l.value, l.low, l.high, l.n))
    }),
    ("fidelity", |r| {
        let fidelity = r.fidelity.filter(|fidelity| fidelity.deciding);
        fidelity.map(|f| estimate(f.value, f.low, f.high, f.n))
    }),
];

/// Reads the survey of a ladder's models, given in the ladder's order.
pub fn order(settings: &LadderSettings, results: &SurveyResults) -> LadderResults {
    let mut ladders = Vec::new();
    for &lang in &settings.languages {
        let mut models: Vec<(u64, Option<&LanguageResults>)> = results
            .models
            .iter()
            .enumerate()
            .map(|(m, model)| (settings.budgets(m)[&lang], model.languages.get(&lang)))
            .collect();
        models.sort_by_key(|(n_tokens, _)| *n_tokens);
        ladders.extend(MEASURES.map(|(measure, value)| {
            let rungs = models.iter().map(|&(n_tokens, results)| Rung {
                n_tokens,
                value: results.and_then(value),
            });
            ladder(lang, measure, rungs.collect())
        }));
    }
    LadderResults {
        settings: settings.clone(),
        ladders,
    }
}

fn ladder(lang: Lang, measure: &str, rungs: Vec<Rung>) -> LanguageLadder {
    let measured: Vec<(f64, Estimate)> = rungs
        .iter()
        .filter_map(|rung| Some((rung.n_tokens as f64, rung.value?)))
        .collect();
    let mut n_wrong = 0;
    let mut n_pairs = 0;
    for (i, (_, lower)) in measured.iter().enumerate() {
        for (_, higher) in &measured[i + 1..] {
            n_pairs += 1;
            n_wrong += usize::from(lower.low > higher.high);
        }
    }
    let (tokens, values): (Vec<f64>, Vec<f64>) = measured
        .iter()
        .map(|(tokens, value)| (*tokens, value.value))
        .unzip();
    let ends = rungs.first().zip(rungs.last());
    LanguageLadder {
        lang,
        measure: measure.to_owned(),
        n_wrong,
        n_pairs,
        ends_apart: ends.is_some_and(|(first, last)| {
            (first.value.zip(last.value)).is_some_and(|(first, last)| first.high < last.low)
        }),
        tau: kendall(&tokens, &values).map(|tau| tau.value),
        rungs,
    }
}

fn kappa(choice: Option<ChoiceResult>) -> Option<Estimate> {
    choice.map(|c| estimate(c.value, c.low, c.high, c.n))
}

fn gain(choice: Option<ChoiceResult>) -> Option<Estimate> {
    choice?.gain.map(|g| estimate(g.value, g.low, g.high, g.n))
}

fn estimate(value: f64, low: f64, high: f64, n: usize) -> Estimate {
    Estimate {
        value,
        low,
        high,
        n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rungs(values: [(f64, f64, f64); 5]) -> Vec<Rung> {
        let tokens = [0, 10_000, 100_000, 1_000_000, 10_000_000];
        (tokens.into_iter().zip(values))
            .map(|(n_tokens, (low, value, high))| Rung {
                n_tokens,
                value: Some(estimate(value, low, high, 50)),
            })
            .collect()
    }

    #[test]
    fn a_rising_ladder_holds_and_a_swapped_rung_is_found() {
        let lang = "eus".parse().unwrap();
        let rising = [
            (-0.1, 0.0, 0.1),
            (-0.1, 0.05, 0.15),
            (0.0, 0.1, 0.2),
            (0.3, 0.4, 0.5),
            (0.6, 0.7, 0.8),
        ];
        let good = ladder(lang, "κ", rungs(rising));
        assert_eq!((good.n_wrong, good.n_pairs, good.tau), (0, 10, Some(1.0)));
        assert!(good.ends_apart);
        // The two highest rungs swapped: one pair of ten is wrong, τ = (9 − 1)/10.
        let mut swapped = rising;
        swapped.swap(3, 4);
        let bad = ladder(lang, "κ", rungs(swapped));
        assert_eq!((bad.n_wrong, bad.tau), (1, Some(0.8)));
        // A measure that sees nothing: no wrong pair, but the ends are not apart.
        let blind = ladder(lang, "κ", rungs([(-0.1, 0.0, 0.1); 5]));
        assert_eq!(
            (blind.n_wrong, blind.ends_apart, blind.tau),
            (0, false, None)
        );
        // A rung without a value is no pair.
        let mut gap = rungs(rising);
        gap[0].value = None;
        let gap = ladder(lang, "κ", gap);
        assert_eq!((gap.n_pairs, gap.ends_apart), (6, false));
    }
}
