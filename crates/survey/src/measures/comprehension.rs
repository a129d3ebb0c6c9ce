//! Comprehension: which of four English texts translates this text in the language?
//!
//! Raw text for every model, no instruction and no chat template: the BOS that the tokenizer adds,
//! the text in the language, a blank line, the English option; the prior is the same with the first
//! text empty. Arithmetic: [`crate::measures::choice`].

use isogloss_record::survey::MeasureCard;

use super::{Measure, new_card};

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Comprehension,
        [
            "Comprehension",
            "Given a text in the language, choose its translation among four texts of the reference \
             language: the one whose probability the text raises most. κ corrects the share of right \
             answers for chance; the gain G is the share of the translation's bits that the right \
             text explains, against the three wrong ones.",
            "κ from −⅓ to 1, 0 at chance; G below 1, 0 where the text explains nothing",
            "Names and numbers alone give some right answers: read it beside the copy floor (the same \
             items with all other words made nonsense), and above the length baseline. κ saturates on \
             good models; G does not. Texts that a model knows by heart make it easier.",
        ],
        true,
    )
}
