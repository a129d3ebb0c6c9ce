//! `language-ranker`: languages by the cosine between hidden states of parallel sentences.
//!
//! Per language and layer, the mean over pairs of cos(h(text), h(its translation)) at the last token
//! of the raw text (the tokenizer's default, no prompt); the last layer after the final norm where the
//! engine was opened so. The score is the mean over a set of layers. Raw cosines are inflated by the
//! geometry of the states (any two texts are alike), so the floor of shuffled pairs stands beside it.
//!
//! Source: "Language Ranker: A Metric for Quantifying LLM Performance Across High and Low-Resource
//! Languages", and its released code (`get_layer_act.py`, `utils.py`, `output_acc.py`): all layers but
//! the embedding. Ours: floor, intervals, a zero state leaves a pair out and is counted.

use isogloss_model::{Backend, BackendError, RunSettings};
use isogloss_record::{Estimate, Pooled, Prompt, Request, Response, Seed, Span, Usage};
use isogloss_stats::mean;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Which layers the score averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerSet {
    /// All blocks.
    #[default]
    All,
    /// Every n-th block: with 5 the fifth, the tenth…; all where there are fewer than n.
    Every(usize),
}

impl LayerSet {
    fn holds(self, layer: usize, n_layers: usize) -> bool {
        match self {
            Self::Every(n) if n > 0 && n <= n_layers => (layer + 1).is_multiple_of(n),
            Self::All | Self::Every(_) => true,
        }
    }
}

/// How near a language's texts lie to their translations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Mean cosine over pairs and layers of the set, −1 to 1, with its interval over pairs.
    pub score: Estimate,
    /// The same of texts and other texts' translations: what geometry alone gives.
    pub floor: f64,
    /// Mean cosine by layer, all layers.
    pub layers: Vec<f64>,
    /// Pairs left out because a state of theirs is all zeros.
    pub n_zero: usize,
}

/// Ranks one language by the last-token states of its texts and of their translations, in order.
/// `None` where fewer than two pairs are left, or the states differ in shape.
///
/// # Panics
/// If there is not one translation a text.
pub fn rank(
    texts: &[Pooled],
    translations: &[Pooled],
    set: LayerSet,
    seed: Seed,
) -> Option<Ranked> {
    assert_eq!(texts.len(), translations.len(), "one translation a text");
    let n_layers = texts.first()?.last.len();
    let pairs: Vec<(&Pooled, Vec<f64>)> = (texts.iter().zip(translations))
        .filter_map(|(text, translation)| Some((translation, cosines(text, translation)?)))
        .collect();
    let n_zero = texts.len() - pairs.len();
    if n_layers == 0 || pairs.iter().any(|(_, layers)| layers.len() != n_layers) {
        return None;
    }
    let of_set = |layers: &[f64]| {
        let kept = layers
            .iter()
            .enumerate()
            .filter(|(layer, _)| set.holds(*layer, n_layers));
        let kept: Vec<f64> = kept.map(|(_, cosine)| *cosine).collect();
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    let scores: Vec<f64> = pairs.iter().map(|(_, layers)| of_set(layers)).collect();
    let layers = (0..n_layers)
        .map(|layer| {
            pairs.iter().map(|(_, layers)| layers[layer]).sum::<f64>() / pairs.len() as f64
        })
        .collect();
    Some(Ranked {
        score: mean(&scores, seed)?,
        floor: floor(texts, translations, of_set, seed)?,
        layers,
        n_zero,
    })
}

/// Mean score of every text with the translation of another, each once, in a random ring.
fn floor(
    texts: &[Pooled],
    translations: &[Pooled],
    of_set: impl Fn(&[f64]) -> f64,
    seed: Seed,
) -> Option<f64> {
    let mut ring: Vec<usize> = (0..texts.len()).collect();
    ring.shuffle(&mut seed.rng("ranker floor", 0));
    let next = ring.iter().cycle().skip(1);
    let scores: Vec<f64> = (ring.iter().zip(next))
        .filter(|(i, j)| i != j)
        .filter_map(|(&i, &j)| Some(of_set(&cosines(&texts[i], &translations[j])?)))
        .collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Cosine by layer; `None` where a state is all zeros or not finite, or shapes differ.
fn cosines(a: &Pooled, b: &Pooled) -> Option<Vec<f64>> {
    if a.last.len() != b.last.len() {
        return None;
    }
    (a.last.iter().zip(&b.last))
        .map(|(a, b)| {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                (a.iter().zip(b))
                    .map(|(x, y)| f64::from(*x) * f64::from(*y))
                    .sum()
            };
            let norm = (dot(a, a) * dot(b, b)).sqrt();
            (a.len() == b.len() && norm > 0.0 && norm.is_finite()).then(|| dot(a, b) / norm)
        })
        .collect()
}

/// Hidden states of texts, in order.
///
/// # Errors
/// [`BackendError`], also where a text is longer than the model's context.
pub fn states(
    backend: &dyn Backend,
    texts: &[&str],
    settings: &RunSettings<'_>,
) -> Result<(Vec<Pooled>, Usage), BackendError> {
    let jobs = texts
        .iter()
        .map(|text| {
            backend.encode(&Request::Score {
                context: Prompt::Text(String::new()),
                continuation: (*text).to_owned(),
                span: Span::Continuation,
                pool: true,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut states: Vec<Option<Pooled>> = vec![None; jobs.len()];
    let usage = backend.run(&jobs, settings, &mut |i, response| {
        if let Response::Score { pooled, .. } = response {
            states[i] = pooled;
        }
    })?;
    let states = states
        .into_iter()
        .map(|s| s.expect("every job is answered with its states"));
    Ok((states.collect(), usage))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn of(layers: &[&[f32]]) -> Pooled {
        let last: Vec<Vec<f32>> = layers.iter().map(|layer| layer.to_vec()).collect();
        Pooled {
            mean: last.iter().map(|layer| vec![0.0; layer.len()]).collect(),
            last,
        }
    }

    #[test]
    fn the_worked_number() {
        // Layer 1: cos 45° = .7071 and 1: mean .8535533906. Layer 2: 1 and 0: .5. Score .6767766953.
        let english = [
            of(&[&[1.0, 0.0], &[1.0, 1.0]]),
            of(&[&[0.0, 1.0], &[1.0, 0.0]]),
        ];
        let other = [
            of(&[&[1.0, 1.0], &[1.0, 1.0]]),
            of(&[&[0.0, 2.0], &[0.0, 1.0]]),
        ];
        let got = rank(&other, &english, LayerSet::All, Seed(0)).unwrap();
        assert!((got.layers[0] - 0.853_553_390_6).abs() < 1e-9);
        assert!((got.layers[1] - 0.5).abs() < 1e-9);
        assert!((got.score.value - 0.676_776_695_3).abs() < 1e-9);
        // A language beside itself: 1; every second layer is the second.
        let same = rank(&english, &english, LayerSet::All, Seed(0)).unwrap();
        assert!((same.score.value - 1.0).abs() < 1e-12);
        let second = rank(&other, &english, LayerSet::Every(2), Seed(0)).unwrap();
        assert!((second.score.value - 0.5).abs() < 1e-9);
        let too_few = rank(&other, &english, LayerSet::Every(5), Seed(0)).unwrap();
        assert_eq!(too_few.score, got.score);
    }

    #[test]
    fn a_zero_state_is_left_out_and_counted() {
        let a = [of(&[&[1.0, 0.0]]), of(&[&[0.0, 0.0]]), of(&[&[0.0, 1.0]])];
        let b = [of(&[&[1.0, 0.0]]), of(&[&[1.0, 0.0]]), of(&[&[0.0, 1.0]])];
        let got = rank(&a, &b, LayerSet::All, Seed(0)).unwrap();
        assert_eq!((got.n_zero, got.score.n, got.score.value), (1, 2, 1.0));
        assert!(rank(&a[1..2], &b[1..2], LayerSet::All, Seed(0)).is_none());
        assert!(rank(&[], &[], LayerSet::All, Seed(0)).is_none());
        let other_shape = [
            of(&[&[1.0], &[1.0]]),
            of(&[&[1.0], &[1.0]]),
            of(&[&[1.0], &[1.0]]),
        ];
        assert!(rank(&a, &other_shape, LayerSet::All, Seed(0)).is_none());
    }

    fn normal(rng: &mut impl rand::Rng) -> f32 {
        (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
    }

    /// Twelve languages with planted correlations ρ of their states with the reference's, 64 wide:
    /// the score is ρ, the order is theirs, and shuffled pairs are at the floor.
    #[test]
    fn planted_languages_come_out_in_their_order() {
        const N: usize = 200;
        const D: usize = 64;
        let mut rng = Seed(3).rng("planted", 0);
        let mut vector = || -> Vec<f32> { (0..D).map(|_| normal(&mut rng)).collect() };
        let references: Vec<Vec<f32>> = (0..N).map(|_| vector()).collect();
        let english: Vec<Pooled> = references.iter().map(|v| of(&[v])).collect();
        let mut last = 1.0;
        for step in 0..12 {
            let rho = 0.95 - 0.05 * f64::from(step);
            let texts: Vec<Pooled> = references
                .iter()
                .map(|reference| {
                    let noise = vector();
                    let mixed = reference.iter().zip(noise).map(|(r, e)| {
                        (rho * f64::from(*r) + (1.0 - rho * rho).sqrt() * f64::from(e)) as f32
                    });
                    of(&[&mixed.collect::<Vec<f32>>()])
                })
                .collect();
            let got = rank(&texts, &english, LayerSet::All, Seed(0)).unwrap();
            assert!((got.score.value - rho).abs() < 0.02, "{rho}: {got:?}");
            assert!(got.score.value < last, "{rho}");
            last = got.score.value;
            // Shuffled pairs, the planted fault: no more than the floor.
            let mut shuffled = english.clone();
            shuffled.rotate_left(7);
            let fault = rank(&texts, &shuffled, LayerSet::All, Seed(0)).unwrap();
            assert!((fault.score.value - got.floor).abs() < 0.03, "{fault:?}");
        }
    }
}
