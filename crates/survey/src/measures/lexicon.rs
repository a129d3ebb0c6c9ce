//! Lexicon: which of four glosses is this word's, and back?
//!
//! Words in groups of four, scored as texts are (word, blank line, gloss; PMI against the gloss
//! alone), in both directions. Words that look like their gloss once romanized are cognates: a model
//! finds those without knowing the language (Basque .56 with them, .32 without), so the value is
//! that of the other words and both are reported.
//!
//! A word gives two answers, one a direction, which are not independent: κ pools both, its interval
//! is that of as many answers as there are words (exact if the two always agree, wide otherwise).

use isogloss_record::Estimate;
use isogloss_record::survey::{LexiconResult, MeasureCard};
use isogloss_stats::kappa;

use super::{Measure, new_card};
use crate::items::GROUP;
use crate::items::nonsense::romanize;

/// Similarity (1 − distance / length) of romanizations from which a pair is a cognate.
pub const COGNATE_SIMILARITY_MIN: f64 = 0.5;

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Lexicon,
        [
            "Lexicon",
            "Choose a word's gloss among four, and a gloss's word among four, by how much the one \
             raises the probability of the other; κ over both directions, without cognates.",
            "κ from −⅓ to 1, 0 at chance",
            "Names of emoji and symbols: concrete nouns, no grammar. The interval counts words, not \
             answers, because the two directions are not independent.",
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
    let (word, gloss) = (romanize(word), romanize(gloss));
    strsim::normalized_levenshtein(&word, &gloss) >= COGNATE_SIMILARITY_MIN
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
    let n = words.len();
    let n_right: usize = words
        .iter()
        .map(|word| usize::from(word.to_reference) + usize::from(word.from_reference))
        .sum();
    let value =
        isogloss_stats::kappa::chance_corrected(n_right as f64 / (2 * n.max(1)) as f64, GROUP);
    Some(Estimate {
        value,
        low: kappa(n_right / 2, n, GROUP)?.low.min(value),
        high: kappa(n_right.div_ceil(2), n, GROUP)?.high.max(value),
        n,
    })
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn romanized_likeness_is_what_makes_a_cognate() {
        assert!(is_cognate("tigre", "tiger"));
        assert!(is_cognate("тигр", "tiger"));
        assert!(!is_cognate("otsoa", "wolf"));
        assert!(!is_cognate("狼", "wolf"));
        assert!(!is_cognate("भेड़िया", "wolf"));
    }
}
