//! Cost: how many tokens does the same content take in the language?
//!
//! Premium = tokens(language) / tokens(reference) over the same documents, which is the product of
//! the byte premium (what the writing costs) and of tokens per byte relative to the reference (what
//! the tokenizer costs). Usable context = context length ÷ premium. Decides nothing.

use isogloss_record::Seed;
use isogloss_record::survey::{CostResult, MeasureCard};
use isogloss_stats::ratio_of_sums;

use super::{Measure, new_card};

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Cost,
        [
            "Cost",
            "Tokens of the texts in the language, divided by tokens of the same content in the \
             reference language; the product of the byte premium and of the tokens per byte \
             relative to the reference.",
            "above 0; 1 for the reference itself",
            "Between languages it depends on the translation (Hausa 2.01 or 2.89 on one tokenizer); \
             between models on one language that cancels. Decides nothing.",
        ],
        false,
    )
}

/// One document's sizes in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentSize {
    /// Tokens in the language.
    pub n_tokens: usize,
    /// Tokens in the reference language.
    pub n_tokens_reference: usize,
    /// UTF-8 bytes in the language.
    pub n_bytes: usize,
    /// UTF-8 bytes in the reference language.
    pub n_bytes_reference: usize,
}

/// The result; `None` for fewer than two documents or where a text has no tokens.
pub fn cost(documents: &[DocumentSize], context_length: usize, seed: Seed) -> Option<CostResult> {
    let of = |value: fn(&DocumentSize) -> usize| -> Vec<f64> {
        documents
            .iter()
            .map(|document| value(document) as f64)
            .collect()
    };
    let tokens = of(|document| document.n_tokens);
    let tokens_reference = of(|document| document.n_tokens_reference);
    let premium = ratio_of_sums(&tokens, &tokens_reference, seed)?;
    let sum = |values: Vec<f64>| values.iter().sum::<f64>();
    let byte_premium =
        sum(of(|document| document.n_bytes)) / sum(of(|document| document.n_bytes_reference));
    Some(CostResult {
        value: premium.value,
        low: premium.low,
        high: premium.high,
        n: premium.n,
        byte_premium,
        tokens_per_byte_premium: premium.value / byte_premium,
        usable_context: context_length as f64 / premium.value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_premium_is_split_into_writing_and_tokenizer() {
        // 60 + 30 = 90 tokens against 30: premium 3. 300 bytes against 150: byte premium 2.
        // Tokens per byte: (90/300) / (30/150) = 1.5; 2 · 1.5 = 3. Context 8,192 / 3.
        let documents = [
            DocumentSize {
                n_tokens: 60,
                n_tokens_reference: 20,
                n_bytes: 200,
                n_bytes_reference: 100,
            },
            DocumentSize {
                n_tokens: 30,
                n_tokens_reference: 10,
                n_bytes: 100,
                n_bytes_reference: 50,
            },
        ];
        let result = cost(&documents, 8192, Seed(1)).unwrap();
        assert_eq!((result.value, result.byte_premium), (3.0, 2.0));
        assert!((result.tokens_per_byte_premium - 1.5).abs() < 1e-12);
        assert!((result.usable_context - 8192.0 / 3.0).abs() < 1e-9);
        assert!(cost(&[], 8192, Seed(1)).is_none());
    }
}
