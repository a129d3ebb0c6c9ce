//! Information: how many bits does the same content cost in the language?
//!
//! Parity = Σ bits(reference) / Σ bits(language) over the same documents: 1 for the reference
//! itself, below 1 where the model finds the language harder. Bits per byte and per character are
//! of the language's texts alone.

use isogloss_record::Seed;
use isogloss_record::survey::{InformationResult, MeasureCard};
use isogloss_stats::ratio_of_sums;

use super::{Measure, new_card};

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Information,
        [
            "Information parity",
            "Bits that the model needs for the reference texts, divided by the bits that it needs for \
             the same content in the language.",
            "above 0; 1 for the reference itself",
            "Form is not meaning: a model can predict letters without understanding. Texts known by \
             heart in the reference language bias it low. Decides nothing.",
        ],
        false,
    )
}

/// One document in both languages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DocumentBits {
    /// Bits of the text in the language.
    pub bits: f64,
    /// Bits of the same content in the reference language.
    pub bits_reference: f64,
    /// UTF-8 bytes of the text in the language.
    pub n_bytes: usize,
    /// Unicode scalar values of the text in the language.
    pub n_chars: usize,
}

/// Nats to bits.
pub fn bits(nats: f64) -> f64 {
    -nats / std::f64::consts::LN_2
}

/// The result; `None` for fewer than two documents or where a text has no bits.
pub fn information(documents: &[DocumentBits], seed: Seed) -> Option<InformationResult> {
    let of =
        |value: fn(&DocumentBits) -> f64| -> Vec<f64> { documents.iter().map(value).collect() };
    let here = of(|document| document.bits);
    let parity = ratio_of_sums(&of(|document| document.bits_reference), &here, seed)?;
    let n_bits: f64 = here.iter().sum();
    let n_bytes: usize = documents.iter().map(|document| document.n_bytes).sum();
    let n_chars: usize = documents.iter().map(|document| document.n_chars).sum();
    (n_chars > 0).then(|| InformationResult {
        value: parity.value,
        low: parity.low,
        high: parity.high,
        n: parity.n,
        bits_per_byte: n_bits / n_bytes as f64,
        bits_per_character: n_bits / n_chars as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parity_is_a_ratio_of_sums() {
        let document = |bits, bits_reference| DocumentBits {
            bits,
            bits_reference,
            n_bytes: 100,
            n_chars: 50,
        };
        // (80 + 40) / (160 + 80) = ½; 240 bits over 200 bytes and 100 characters.
        let result = information(&[document(160.0, 80.0), document(80.0, 40.0)], Seed(1)).unwrap();
        assert!((result.value - 0.5).abs() < 1e-12);
        assert!((result.bits_per_byte - 1.2).abs() < 1e-12);
        assert!((result.bits_per_character - 2.4).abs() < 1e-12);
        // The reference against itself is 1, exactly.
        let same = information(&[document(80.0, 80.0), document(41.0, 41.0)], Seed(1)).unwrap();
        assert_eq!((same.value, same.low, same.high), (1.0, 1.0, 1.0));
        assert!(information(&[], Seed(1)).is_none());
        assert!(information(&[document(0.0, 80.0), document(1.0, 1.0)], Seed(1)).is_none());
        // −ln 2 nats are one bit.
        assert!((bits(-std::f64::consts::LN_2) - 1.0).abs() < 1e-12);
    }
}
