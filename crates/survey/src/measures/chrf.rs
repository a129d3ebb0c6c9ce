//! chrF++: how much of a reference's characters and words an answer shares, and the other way round.
//!
//! ```
//! use isogloss_survey::measures::chrf::Chrf;
//! let equal = Chrf::of("Jeder hat das Recht auf Leben.", "Jeder hat das Recht auf Leben.");
//! assert_eq!(equal.score(), Some(100.0));
//! assert_eq!(Chrf::of("abc", "xyz").score(), Some(0.0));
//! ```
//!
//! n-grams of 1 to 6 characters (white space left out) and of 1 to 2 words (a mark at a word's end or
//! beginning is a word of its own); precision and recall are averaged over the orders that both
//! texts have, and recall weighs β² = 4 times as much. Texts are taken as they are: bring both to
//! one normalization form first.
//!
//! Source: Popović 2015 (W15-3049) and 2017 (W17-4770), with the effective order of sacreBLEU
//! (`CHRF(char_order=6, word_order=2, beta=2)`). Deviation: none known; Python splits at four control
//! characters (U+001C to U+001F) that Unicode does not call white space.

use std::collections::BTreeMap;
use std::ops::AddAssign;

const CHAR_ORDER: usize = 6;
const WORD_ORDER: usize = 2;
const N_ORDERS: usize = CHAR_ORDER + WORD_ORDER;

/// β²: the weight of recall.
const BETA_SQUARED: f64 = 4.0;

/// Counts of one pair of texts, or of many: their sum is the corpus's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chrf {
    orders: [Counts; N_ORDERS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    /// n-grams of the answer; none where the reference has none.
    answer: u64,
    reference: u64,
    /// In both, each as often as the rarer side has it.
    both: u64,
}

impl Chrf {
    /// Counts of an answer and its reference.
    pub fn of(answer: &str, reference: &str) -> Self {
        let letters =
            |text: &str| -> Vec<char> { text.split_whitespace().flat_map(str::chars).collect() };
        let (answer_letters, reference_letters) = (letters(answer), letters(reference));
        let (answer_words, reference_words) = (words(answer), words(reference));
        Self {
            orders: std::array::from_fn(|order| {
                if order < CHAR_ORDER {
                    counts(&answer_letters, &reference_letters, order + 1)
                } else {
                    counts(&answer_words, &reference_words, order - CHAR_ORDER + 1)
                }
            }),
        }
    }

    /// chrF++ from 0 to 100; `None` where nothing was compared (an empty reference).
    pub fn score(&self) -> Option<f64> {
        if self.orders.iter().all(|counts| counts.reference == 0) {
            return None;
        }
        let effective =
            || (self.orders.iter()).filter(|counts| counts.answer > 0 && counts.reference > 0);
        let n = effective().count();
        if n == 0 {
            return Some(0.0);
        }
        let mean = |part: fn(&Counts) -> u64| {
            let shares = effective().map(|counts| counts.both as f64 / part(counts) as f64);
            shares.sum::<f64>() / n as f64
        };
        let precision = mean(|counts| counts.answer);
        let recall = mean(|counts| counts.reference);
        if precision + recall == 0.0 {
            return Some(0.0);
        }
        let weighted = BETA_SQUARED * precision + recall;
        Some(100.0 * (1.0 + BETA_SQUARED) * precision * recall / weighted)
    }
}

impl AddAssign for Chrf {
    fn add_assign(&mut self, other: Self) {
        for (sum, counts) in self.orders.iter_mut().zip(other.orders) {
            sum.answer += counts.answer;
            sum.reference += counts.reference;
            sum.both += counts.both;
        }
    }
}

fn counts<T: Ord>(answer: &[T], reference: &[T], order: usize) -> Counts {
    let (answer, reference) = (ngrams(answer, order), ngrams(reference, order));
    if reference.is_empty() {
        return Counts::default();
    }
    Counts {
        answer: answer.values().sum(),
        reference: reference.values().sum(),
        both: (answer.iter())
            .map(|(ngram, n)| reference.get(ngram).map_or(0, |other| *n.min(other)))
            .sum(),
    }
}

fn ngrams<T: Ord>(items: &[T], order: usize) -> BTreeMap<&[T], u64> {
    let mut counts = BTreeMap::new();
    for ngram in items.windows(order) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// Words by white space; an ASCII mark at the end (else at the beginning) of one is a word of its own.
fn words(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let is_mark = |c: char| c.is_ascii_punctuation();
        if word.chars().nth(1).is_none() {
            all.push(word);
        } else if word.ends_with(is_mark) {
            let (rest, mark) = word.split_at(word.len() - 1);
            all.extend([rest, mark]);
        } else if word.starts_with(is_mark) {
            let (mark, rest) = word.split_at(1);
            all.extend([mark, rest]);
        } else {
            all.push(word);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_by_hand() {
        // "ab" against "abc": letters 2 of 2 and 2 of 3; pairs 1 of 1 and 1 of 2; threes: the answer
        // has none; words 0 of 1 and 0 of 1. Means over the three orders that both have:
        // precision (1 + 1 + 0)/3 = 2/3, recall (2/3 + 1/2 + 0)/3 = 7/18;
        // 5 · 2/3 · 7/18 / (4 · 2/3 + 7/18) = 1.296296 / 3.055556 = .424242.
        let score = Chrf::of("ab", "abc").score().unwrap();
        assert!((score - 42.424_242).abs() < 1e-4, "{score}");
        assert_eq!(Chrf::of("", "abc").score(), Some(0.0));
        assert_eq!(Chrf::of("abc", "").score(), None);
        assert_eq!(
            words("\"Yes\", a (b) -"),
            ["\"Yes\"", ",", "a", "(b", ")", "-"]
        );
    }

    proptest! {
        #[test]
        fn scores_lie_between_nothing_and_all(a in "[a-d अआ一二 .]{0,24}", b in "[a-d अआ一二 .]{0,24}") {
            if let Some(score) = Chrf::of(&a, &b).score() {
                prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{}", score);
            }
            if let Some(score) = Chrf::of(&a, &a).score() {
                prop_assert!((score - 100.0).abs() < 1e-9);
            }
        }
    }
}
