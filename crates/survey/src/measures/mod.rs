//! Measures: pure functions from answers to results, one file each.
//!
//! ```text
//! answers -> GroupScores -> outcomes per item -> ChoiceResult   (comprehension, production, words)
//!         -> continuations                    -> FidelityResult
//!         -> similarities per layer           -> AlignmentResult
//!         -> bits, tokens per document        -> InformationResult, CostResult
//! ```
//!
//! No measure knows a model, a file or a clock: what a scripted or synthetic answer gives, a real
//! one gives too.

pub mod alignment;
pub mod choice;
pub mod chrf;
pub mod comprehension;
pub mod cost;
pub mod fidelity;
pub mod information;
pub mod lexicon;
pub mod memory;
pub mod production;

use isogloss_record::survey::MeasureCard;

/// A measure by name: the list is the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the file of its name")]
pub enum Measure {
    Comprehension,
    Production,
    Lexicon,
    Fidelity,
    Alignment,
    Information,
    Cost,
    Memory,
}

impl Measure {
    /// All, in reading order.
    pub const ALL: [Self; 8] = [
        Self::Comprehension,
        Self::Production,
        Self::Lexicon,
        Self::Fidelity,
        Self::Alignment,
        Self::Information,
        Self::Cost,
        Self::Memory,
    ];

    /// Those of `--fast`.
    pub const FAST: [Self; 4] = [
        Self::Comprehension,
        Self::Lexicon,
        Self::Information,
        Self::Cost,
    ];

    /// Its key in `results.json`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Comprehension => "comprehension",
            Self::Production => "production",
            Self::Lexicon => "lexicon",
            Self::Fidelity => "fidelity",
            Self::Alignment => "alignment",
            Self::Information => "information",
            Self::Cost => "cost",
            Self::Memory => "memory",
        }
    }

    /// The measure of this key; `None` if there is none.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.id() == id)
    }

    /// Its page.
    pub fn card(self) -> MeasureCard {
        match self {
            Self::Comprehension => comprehension::card(),
            Self::Production => production::card(),
            Self::Lexicon => lexicon::card(),
            Self::Fidelity => fidelity::card(),
            Self::Alignment => alignment::card(),
            Self::Information => information::card(),
            Self::Cost => cost::card(),
            Self::Memory => memory::card(),
        }
    }
}

/// A card from its parts: id, title, definition, range, pitfalls.
fn new_card(measure: Measure, texts: [&str; 4], deciding: bool) -> MeasureCard {
    let [title, definition, range, pitfalls] = texts.map(str::to_owned);
    MeasureCard {
        id: measure.id().to_owned(),
        title,
        definition,
        range,
        pitfalls,
        deciding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_a_whole_page_under_its_key() {
        for measure in Measure::ALL {
            let card = measure.card();
            assert_eq!(card.id, measure.id());
            assert_eq!(Measure::from_id(measure.id()), Some(measure));
            for text in [&card.title, &card.definition, &card.range, &card.pitfalls] {
                assert!(!text.is_empty(), "{}", card.id);
            }
        }
        assert_eq!(Measure::from_id("speed"), None);
    }
}
