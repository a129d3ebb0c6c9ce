//! What every item gave, for `results.json`: two models are compared on the items that both answered.

use isogloss_record::outcomes::{ChoiceOutcomes, ItemOutcomes, rounded};

use super::work::{Direction, Work};
use crate::measures::choice::ItemOutcome;
use crate::measures::lexicon::WordOutcome;

/// The text items of a track; `None` where none was asked.
pub(super) fn of_texts(work: &Work<'_>) -> Option<ItemOutcomes> {
    let n_asked = [
        work.to_reference.outcomes.len(),
        work.from_reference.outcomes.len(),
        work.continuations.len(),
    ]
    .into_iter()
    .max()?;
    // Every stage asks the groups in their order, and a group its documents in theirs.
    let ids: Vec<String> = work
        .track
        .groups
        .iter()
        .flat_map(|group| &group.ids)
        .take(n_asked)
        .cloned()
        .collect();
    (n_asked > 0).then(|| ItemOutcomes {
        ids,
        comprehension: of_choice(&work.to_reference),
        production: of_choice(&work.from_reference),
        stayed: work
            .continuations
            .iter()
            .map(|continuation| continuation.in_language)
            .collect(),
        ..ItemOutcomes::default()
    })
}

fn of_choice(found: &Direction) -> Option<ChoiceOutcomes> {
    let Direction { outcomes, floor } = found;
    let floor: &[ItemOutcome] = if floor.len() == outcomes.len() {
        floor
    } else {
        &[]
    };
    let right = |items: &[ItemOutcome]| items.iter().map(|item| item.right).collect();
    let gain = |items: &[ItemOutcome]| items.iter().map(|item| item.gain.map(rounded)).collect();
    (!outcomes.is_empty()).then(|| ChoiceOutcomes {
        right: right(outcomes),
        gain: gain(outcomes),
        floor_right: right(floor),
        floor_gain: gain(floor),
    })
}

/// The words of a language, by concept.
pub(super) fn of_words(words: &[(String, WordOutcome)]) -> ItemOutcomes {
    let flags = |flag: fn(&WordOutcome) -> bool| words.iter().map(|(_, word)| flag(word)).collect();
    ItemOutcomes {
        ids: words.iter().map(|(concept, _)| concept.clone()).collect(),
        to_reference: flags(|word| word.to_reference),
        from_reference: flags(|word| word.from_reference),
        cognate: flags(|word| word.cognate),
        ..ItemOutcomes::default()
    }
}
