//! Production: which of four texts in the language translates this English text?
//!
//! The reverse of [`crate::measures::comprehension`]: the model must find the language's own words
//! probable, which it needs in order to write them. Arithmetic: [`crate::measures::choice`].

use isogloss_record::survey::MeasureCard;

use super::{Measure, new_card};

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Production,
        [
            "Production",
            "Given a text of the reference language, choose its translation among four texts in the \
             language, by how much the text raises their probability; κ and G as for comprehension.",
            "κ from −⅓ to 1, 0 at chance; G below 1, 0 where the text explains nothing",
            "It shows whether the model knows what belongs to a content in the language, not whether \
             it writes it well. One translation is one of many good ones.",
        ],
        true,
    )
}
