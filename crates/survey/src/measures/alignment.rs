//! Alignment: do hidden states of a text lie nearer to those of its translation than to others'?
//!
//! Mean-pooled states of a text in the language and of the reference texts, cosine per layer. The
//! margin of document i is `cos(i, its translation) − mean over the other documents of cos(i, j)`.
//!
//! Guards: the layer is chosen on odd documents (the first, third…) and the margin reported on even
//! ones; similarity that two texts owe to their lengths is regressed out; the margin with shuffled
//! translations is the null. Deviation from `SURVEY.md`: only mean-pooled states are compared, of
//! all documents at hand (never a hundred).

use isogloss_record::survey::{AlignmentResult, MeasureCard};
use isogloss_record::{Pooled, Seed};
use isogloss_stats::mean;
use isogloss_stats::regression::regressed_out;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Measure, new_card};

/// Its page.
pub fn card() -> MeasureCard {
    new_card(
        Measure::Alignment,
        [
            "Alignment",
            "How much nearer the hidden states of a text lie to those of its translation than to \
             those of other texts (difference of cosines), at the layer that is best on the other \
             half of the documents, length regressed out.",
            "−2 to 2, 0 without alignment; useful values are small",
            "Cosines depend on the model's geometry: compare languages within a model, not models. \
             Shared names and loan words raise it. Few documents: wide intervals.",
        ],
        false,
    )
}

/// Cosines between texts and reference texts, per layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Similarities {
    /// Documents.
    pub n: usize,
    /// `[layer][n · i + j]`: cosine of text i and reference text j.
    pub layers: Vec<Vec<f32>>,
}

/// Cosines of mean-pooled states; `None` for no documents or states of different shapes.
pub fn similarities(texts: &[Pooled], references: &[Pooled]) -> Option<Similarities> {
    let n = texts.len();
    let n_layers = texts.first()?.mean.len();
    let same_shape = |pooled: &Pooled| pooled.mean.len() == n_layers;
    if references.len() != n || !texts.iter().chain(references).all(same_shape) {
        return None;
    }
    let layers = (0..n_layers)
        .map(|layer| {
            texts
                .iter()
                .flat_map(|text| {
                    references
                        .iter()
                        .map(|reference| cosine(&text.mean[layer], &reference.mean[layer]))
                })
                .collect::<Option<Vec<f32>>>()
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Similarities { n, layers })
}

/// Cosine in f64 and a fixed order; 0 where a state is all zeros, `None` for different widths.
fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    if a.len() != b.len() {
        return None;
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if !norm.is_finite() {
        return None;
    }
    Some(if norm > 0.0 {
        (dot(a, b) / norm) as f32
    } else {
        0.0
    })
}

/// The result; `None` for fewer than four documents (two to choose on, two to report on).
///
/// `lengths` are the texts' and the references' lengths (tokens or characters, all in one unit per
/// side).
///
/// # Panics
/// If the lengths are not one per document.
pub fn alignment(
    similarities: &Similarities,
    text_lengths: &[usize],
    reference_lengths: &[usize],
    seed: Seed,
) -> Option<AlignmentResult> {
    let n = similarities.n;
    assert_eq!(
        (text_lengths.len(), reference_lengths.len()),
        (n, n),
        "one length a document"
    );
    let (odd, even): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| i % 2 == 0);
    if even.len() < 2 {
        return None;
    }
    let mut shuffled = even.clone();
    shuffled.shuffle(&mut seed.rng("alignment null", 0));
    // A draw that moves nothing is no null: then each takes its neighbor's translation.
    if shuffled == even {
        shuffled.rotate_left(1);
    }
    let misfit: Vec<f64> = text_lengths
        .iter()
        .flat_map(|&text| {
            reference_lengths.iter().map(move |&reference| {
                ((text.max(1) as f64).ln() - (reference.max(1) as f64).ln()).abs()
            })
        })
        .collect();
    let corrected: Vec<Vec<f64>> = similarities
        .layers
        .iter()
        .map(|layer| {
            let layer: Vec<f64> = layer.iter().map(|&x| f64::from(x)).collect();
            regressed_out(&misfit, &layer)
        })
        .collect::<Option<_>>()?;
    let margins = |layer: usize, documents: &[usize], translations: &[usize]| -> Vec<f64> {
        let cosine = |i: usize, j: usize| corrected[layer][n * i + j];
        documents
            .iter()
            .zip(translations)
            .map(|(&i, &own)| {
                let others = documents.iter().filter(|&&j| j != own);
                let n_others = (documents.len() - 1) as f64;
                cosine(i, own) - others.map(|&j| cosine(i, j)).sum::<f64>() / n_others
            })
            .collect()
    };
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let layer = (0..corrected.len()).fold(None::<(usize, f64)>, |best, layer| {
        let margin = average(&margins(layer, &odd, &odd));
        match best {
            Some((_, best_margin)) if margin <= best_margin => best,
            _ => Some((layer, margin)),
        }
    })?;
    let (layer, _) = layer;
    let reported = mean(&margins(layer, &even, &even), seed)?;
    let diagonal = similarities
        .layers
        .iter()
        .flat_map(|layer| (0..n).map(move |i| layer[n * i + i]));
    let n_cells = similarities.layers.len() * n;
    Some(AlignmentResult {
        value: reported.value,
        low: reported.low,
        high: reported.high,
        n: reported.n,
        layer,
        shuffled: average(&margins(layer, &even, &shuffled)),
        ranker: diagonal.map(f64::from).sum::<f64>() / n_cells as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(5);

    fn pooled(states: Vec<Vec<f32>>) -> Pooled {
        Pooled {
            last: states.clone(),
            mean: states,
        }
    }

    fn one_hot(i: usize, n: usize) -> Vec<f32> {
        (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect()
    }

    #[test]
    fn a_planted_layer_is_found_and_shuffling_loses_it() {
        // Layer 0: all states equal (cosine 1 everywhere, margin 0). Layer 1: one-hot per document:
        // cosine 1 with its own, 0 with others: margin 1.
        let n = 8;
        let states: Vec<Pooled> = (0..n)
            .map(|i| pooled(vec![vec![1.0; n], one_hot(i, n)]))
            .collect();
        let similarities = similarities(&states, &states).unwrap();
        let lengths = vec![10; n];
        let result = alignment(&similarities, &lengths, &lengths, SEED).unwrap();
        assert_eq!((result.layer, result.n), (1, 4));
        assert!((result.value - 1.0).abs() < 1e-9);
        // Shuffled: each moved document has cosine 0 with its "translation" and 1 with one of the
        // other three: −1/3.
        assert!(result.shuffled < 0.5, "{}", result.shuffled);
        // Mean over both layers of the diagonal: 1.
        assert!((result.ranker - 1.0).abs() < 1e-6);
    }

    #[test]
    fn similarity_by_length_is_not_alignment() {
        // Cosine is made of nothing but likeness of length: 1 − |ln ratio| / 4.
        let lengths = [10_usize, 20, 40, 80, 160, 320, 640, 1280];
        let layer: Vec<f32> = lengths
            .iter()
            .flat_map(|&a| {
                lengths
                    .iter()
                    .map(move |&b| 1.0 - ((a as f32).ln() - (b as f32).ln()).abs() / 4.0)
            })
            .collect();
        let similarities = Similarities {
            n: 8,
            layers: vec![layer],
        };
        let result = alignment(&similarities, &lengths, &lengths, SEED).unwrap();
        assert!(result.value.abs() < 1e-6, "{}", result.value);
    }

    #[test]
    fn too_few_documents_and_broken_states_give_nothing() {
        let few = Similarities {
            n: 3,
            layers: vec![vec![0.5; 9]],
        };
        assert!(alignment(&few, &[1; 3], &[1; 3], SEED).is_none());
        assert!(similarities(&[], &[]).is_none());
        let nan = [pooled(vec![vec![f32::NAN]])];
        assert!(similarities(&nan, &nan).is_none());
    }
}
