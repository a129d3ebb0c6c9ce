//! Memory: does the model seem to know the texts by heart?
//!
//! The share of continuations that repeat the true second half word for word. A flagged text's
//! measures are still shown, marked, and never decide.

use isogloss_record::survey::{MeasureCard, MemoryFlag};
use isogloss_stats::share;

use super::fidelity::Continuation;
use super::{Measure, new_card};

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Memory,
        [
            "Memory",
            "Share of greedy continuations of a text's first half that repeat its true second half \
             word for word.",
            "0 to 1; flagged from the policy's threshold on",
            "A widely copied text (the Universal Declaration is one) can be known by heart without the \
             language. Flagged texts are shown and decide nothing; a fresh text of your own is better.",
        ],
        false,
    )
}

/// The flag; `None` where neither continuations nor bits are known.
pub fn memory(
    continuations: &[Continuation],
    bits_per_byte: Option<f64>,
    verbatim_min: f64,
) -> Option<MemoryFlag> {
    let compared: Vec<bool> = continuations.iter().filter_map(|c| c.verbatim).collect();
    let verbatim = share(
        compared.iter().filter(|&&same| same).count(),
        compared.len(),
    );
    if verbatim.is_none() && bits_per_byte.is_none() {
        return None;
    }
    Some(MemoryFlag {
        flagged: verbatim.is_some_and(|share| share.value >= verbatim_min),
        verbatim,
        bits_per_byte,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_known_by_heart_is_flagged() {
        let said = |verbatim| Continuation {
            in_language: Some(true),
            script_share: Some(1.0),
            loops: false,
            verbatim,
        };
        // 2 of the 3 that can be compared.
        let texts = [
            said(Some(true)),
            said(Some(true)),
            said(Some(false)),
            said(None),
        ];
        let flag = memory(&texts, Some(0.65), 0.5).unwrap();
        assert!(flag.flagged);
        assert!((flag.verbatim.unwrap().value - 2.0 / 3.0).abs() < 1e-12);
        assert!(!memory(&texts, None, 0.7).unwrap().flagged);
        assert!(!memory(&[], Some(0.65), 0.5).unwrap().flagged);
        assert!(memory(&[], None, 0.5).is_none());
    }
}
