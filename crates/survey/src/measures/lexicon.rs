//! Lexicon: which of four glosses is this word's, and back?
//!
//! Words in groups of four, scored as texts are (word, blank line, gloss; PMI against the gloss
//! alone), in both directions. Words that look like their gloss once romanized are cognates: a model
//! finds those without knowing the language (Basque .56 with them, .32 without), so the value is
//! that of the other words and both are reported.
//!
//! A word gives two answers, one a direction, which are not independent: κ pools both, `n` counts
//! words, and the interval knows how often a word's two answers agree
//! ([`isogloss_stats::clustered`]).

use isogloss_lang::romanize::{COGNATE_SIMILARITY, similarity};
use isogloss_record::Estimate;
use isogloss_record::survey::{LexiconResult, MeasureCard};
use isogloss_stats::kappa::kappa_of;
use isogloss_stats::{clustered_share, kappa};

use super::{Measure, new_card};
use crate::items::GROUP;

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Lexicon,
        [
            "Lexicon",
            "Choose a word's gloss among four, and a gloss's word among four, by how much the one \
             raises the probability of the other; κ over both directions, without cognates.",
            "κ from −⅓ to 1, 0 at chance",
            "Names of emoji and symbols: concrete nouns, no grammar. A word's two answers are not \
             independent: n counts words, and the interval knows how often the two agree.",
        ],
        true,
    )
}

/// What one word gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordOutcome {
    /// Whether its gloss was chosen, given the word.
    pub to_reference: bool,
    /// Whether the word was chosen, given its gloss.
    pub from_reference: bool,
    /// Whether word and gloss look alike once romanized.
    pub cognate: bool,
}

/// Whether a word looks like its gloss once both are romanized.
pub fn is_cognate(word: &str, gloss: &str) -> bool {
    similarity(word, gloss) >= COGNATE_SIMILARITY
}

/// The result over all words; `None` where no word is left without cognates.
pub fn lexicon(words: &[WordOutcome]) -> Option<LexiconResult> {
    let judged: Vec<WordOutcome> = words.iter().copied().filter(|word| !word.cognate).collect();
    let Estimate {
        value,
        low,
        high,
        n,
    } = both_ways(&judged)?;
    let one_way = |right: fn(&WordOutcome) -> bool| {
        kappa(
            judged.iter().filter(|word| right(word)).count(),
            judged.len(),
            GROUP,
        )
    };
    Some(LexiconResult {
        value,
        low,
        high,
        n,
        with_cognates: both_ways(words),
        to_reference: one_way(|word| word.to_reference),
        from_reference: one_way(|word| word.from_reference),
    })
}

fn both_ways(words: &[WordOutcome]) -> Option<Estimate> {
    let n_right: Vec<usize> = words
        .iter()
        .map(|word| usize::from(word.to_reference) + usize::from(word.from_reference))
        .collect();
    Some(kappa_of(clustered_share(&n_right, 2)?, GROUP))
}

#[cfg(test)]
mod tests {
    use isogloss_record::Seed;
    use isogloss_stats::kappa::accuracy_of;
    use rand::RngExt;

    use super::*;

    fn word(to_reference: bool, from_reference: bool, cognate: bool) -> WordOutcome {
        WordOutcome {
            to_reference,
            from_reference,
            cognate,
        }
    }

    #[test]
    fn cognates_are_reported_and_do_not_count() {
        // 4 words of one's own: 5 of 8 answers right, κ = (5/8 − 1/4)/(3/4) = 1/2.
        // With 4 cognates, all right: 13 of 16, κ = (13/16 − 1/4)/(3/4) = 3/4.
        let own = [
            word(true, true, false),
            word(true, false, false),
            word(true, false, false),
            word(true, false, false),
        ];
        let all: Vec<WordOutcome> = own.into_iter().chain([word(true, true, true); 4]).collect();
        let result = lexicon(&all).unwrap();
        assert!((result.value - 0.5).abs() < 1e-12);
        assert!((result.with_cognates.unwrap().value - 0.75).abs() < 1e-12);
        assert_eq!(result.to_reference.unwrap().value, 1.0);
        assert_eq!(result.from_reference.unwrap().value, 0.0);
        assert_eq!(result.n, 4);
        assert!(lexicon(&[word(true, true, true)]).is_none());
        assert!(lexicon(&[]).is_none());
    }

    /// Share of 1,000 seeds whose interval holds the planted κ (the mean of two directions); how often
    /// a word that is known one way is known the other way too is planted as well. `pools` off is the
    /// planted fault: as many single answers as there are words.
    fn coverage(n: usize, kappas: [f64; 2], agree: f64, pools: bool) -> f64 {
        let planted = f64::midpoint(kappas[0], kappas[1]);
        let right = kappas.map(|kappa| accuracy_of(kappa, GROUP));
        let n_covered = (0..1_000)
            .filter(|&seed| {
                let mut rng = Seed(seed).rng("test/lexicon", n as u64);
                let words: Vec<WordOutcome> = (0..n)
                    .map(|_| {
                        let there = rng.random::<f64>();
                        let back = if rng.random::<f64>() < agree {
                            there
                        } else {
                            rng.random()
                        };
                        word(there < right[0], back < right[1], false)
                    })
                    .collect();
                let pooled = both_ways(&words).unwrap();
                let got = if pools {
                    pooled
                } else {
                    let n_right = (accuracy_of(pooled.value, GROUP) * n as f64).round() as usize;
                    kappa(n_right, n, GROUP).unwrap()
                };
                got.low <= planted && planted <= got.high
            })
            .count();
        n_covered as f64 / 1_000.0
    }

    #[test]
    fn the_interval_covers_the_planted_share_of_words_and_is_not_too_wide() {
        for kappas in [[0.2, 0.1], [0.6, 0.6], [0.9, 0.7]] {
            for agree in [0.0, 0.5, 0.9] {
                for (n, most) in [(12, 1.0), (48, 1.0), (100, 0.97)] {
                    let got = coverage(n, kappas, agree, true);
                    assert!(
                        (0.93..=most).contains(&got),
                        "{kappas:?} {agree} {n}: {got}"
                    );
                }
            }
        }
        // As single answers: far too wide where the directions are independent.
        let fault = coverage(100, [0.6, 0.6], 0.0, false);
        assert!(fault > 0.98, "{fault}");
    }

    #[test]
    fn romanized_likeness_is_what_makes_a_cognate() {
        assert!(is_cognate("tigre", "tiger"));
        assert!(is_cognate("тигр", "tiger"));
        assert!(!is_cognate("otsoa", "wolf"));
        assert!(!is_cognate("狼", "wolf"));
        assert!(!is_cognate("भेड़िया", "wolf"));
    }
}
