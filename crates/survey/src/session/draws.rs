//! How often two translations of one language differ by chance: the noise floor as a study.
//!
//! ```text
//! texts with two translations -> every document against every option, once, both directions
//!   -> N seeded draws of items (groups of four) -> p-values -> Benjamini-Hochberg within a draw
//!   -> share of draws in which nothing differs
//! ```
//!
//! A survey that saw the translation instead of the language would find differences here. All draws
//! take their items from the same documents: they show how the tests behave over which items are
//! asked, not over which translators wrote.
//!
//! A planted fault shows that the study can fail: with `damage`, that share of the second
//! translation's words is made nonsense.

use std::collections::BTreeMap;

use isogloss_eval::run::{Progress, Runner};
use isogloss_lang::segment::word_spans;
use isogloss_record::{Estimate, Lang, Seed};
use isogloss_stats::paired::sign_flip;
use isogloss_stats::{benjamini_hochberg, mcnemar, mean, share, share_difference};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::score::score_all;
use super::texts::{ParallelSource, SurveyTexts};
use crate::error::SurveyError;
use crate::items::cut::{cut, n_chars};
use crate::items::nonsense::Alphabet;
use crate::items::normal::{mask_numbers, normalize, telling_numbers};
use crate::items::{GROUP, ItemSettings, derived, order_documents};
use crate::measures::choice::{GroupScores, ItemOutcome, item_outcomes};

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawSettings {
    /// Draws.
    pub n_draws: usize,
    /// Items of a draw and language: a multiple of four.
    pub n_items: usize,
    /// Documents of a language that items are drawn from, at most; the cost grows with its square.
    pub n_documents: usize,
    /// Level of the correction within a draw.
    pub alpha: f64,
    /// Seed of every draw.
    pub seed: Seed,
    /// Share of the second translation's words that are made nonsense: 0 for none, the planted
    /// fault above.
    pub damage: f64,
}

impl DrawSettings {
    /// 200 draws of the survey's 12 items from 20 documents, at .05.
    pub fn new(seed: Seed) -> Self {
        Self {
            n_draws: 200,
            n_items: 12,
            n_documents: 20,
            alpha: 0.05,
            seed,
            damage: 0.0,
        }
    }
}

/// What the draws gave.
#[derive(Debug, Clone, PartialEq)]
pub struct TranslationDraws {
    /// Share of draws in which no measure of any language differs; its interval is over draws.
    pub without_difference: Estimate,
    /// Tests corrected together within a draw.
    pub n_tests: usize,
    /// Per language that has two translations.
    pub languages: BTreeMap<Lang, LanguageDraws>,
}

/// One language's part.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageDraws {
    /// Where the second translation is from.
    pub second: String,
    /// Documents that both translations have and items were drawn from.
    pub n_documents: usize,
    /// Draws in which a measure of this language differed, by measure; all keys are there.
    pub n_different: BTreeMap<&'static str, usize>,
    /// Mean over draws of the difference, second minus first, by measure.
    pub mean_difference: BTreeMap<&'static str, f64>,
}

/// Measures that are compared: κ and G of both directions.
pub const COMPARED: [&str; 4] = [
    "comprehension",
    "comprehension.gain",
    "production",
    "production.gain",
];

/// Asks both translations of every language that has two and draws items from the answers.
///
/// `None` where no language has two translations of at least `n_items` documents.
///
/// # Errors
/// [`SurveyError::Settings`] for draws of no items; else as the model answers.
pub fn draw_translations(
    runner: &mut Runner<'_>,
    texts: &SurveyTexts,
    languages: &[Lang],
    reference: Lang,
    settings: &DrawSettings,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Option<TranslationDraws>, SurveyError> {
    if settings.n_items < GROUP || settings.n_draws == 0 {
        return Err(SurveyError::Settings {
            what: "draws",
            found: format!("{} draws of {} items", settings.n_draws, settings.n_items),
            expected: "at least one draw of at least 4 items".to_owned(),
        });
    }
    let mut asked = Vec::new();
    for &lang in languages.iter().filter(|&&lang| lang != reference) {
        let both = texts.parallel.iter().find_map(|source| {
            Both::new(source, lang, reference, settings)
                .filter(|both| both.texts[0].len() >= settings.n_items)
        });
        if let Some(both) = both {
            let scores = both.ask(runner, on_progress)?;
            asked.push((lang, both, scores));
        }
    }
    if asked.is_empty() {
        return Ok(None);
    }
    let mut found: BTreeMap<Lang, LanguageDraws> = asked
        .iter()
        .map(|(lang, both, _)| {
            let part = LanguageDraws {
                second: both.second.clone(),
                n_documents: both.texts[0].len(),
                n_different: COMPARED.iter().map(|key| (*key, 0)).collect(),
                mean_difference: COMPARED.iter().map(|key| (*key, 0.0)).collect(),
            };
            (*lang, part)
        })
        .collect();
    let mut n_without = 0;
    for draw in 0..settings.n_draws {
        let mut tests = Vec::new();
        for (lang, both, [to, from]) in &asked {
            let order = drawn(both.texts[0].len(), settings, *lang, draw);
            for (scores, keys) in [(to, &COMPARED[..2]), (from, &COMPARED[2..])] {
                let [first, second] = [0, 1].map(|t| scores[t].outcomes(&order));
                let seed = derived(settings.seed, *lang);
                for (key, test) in keys.iter().zip(differences(&first, &second, seed)) {
                    tests.push((*lang, *key, test));
                }
            }
        }
        let p_values: Vec<f64> = tests.iter().map(|(.., (p, _))| *p).collect();
        let adjusted = benjamini_hochberg(&p_values);
        let mut differs = false;
        for ((lang, key, (_, difference)), q) in tests.iter().zip(adjusted) {
            let part = found.get_mut(lang).expect("every language has its part");
            *part.mean_difference.entry(key).or_default() += difference / settings.n_draws as f64;
            if q <= settings.alpha {
                differs = true;
                *part.n_different.entry(key).or_default() += 1;
            }
        }
        n_without += usize::from(!differs);
    }
    Ok(
        share(n_without, settings.n_draws).map(|without_difference| TranslationDraws {
            without_difference,
            n_tests: asked.len() * COMPARED.len(),
            languages: found,
        }),
    )
}

/// Documents of a draw, in groups of four.
fn drawn(n: usize, settings: &DrawSettings, lang: Lang, draw: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let seed = derived(settings.seed, lang);
    order.shuffle(&mut seed.rng("draw of items", draw as u64));
    order.truncate(settings.n_items / GROUP * GROUP);
    order
}

/// p-value and difference (second minus first) of κ and of G.
fn differences(first: &[ItemOutcome], second: &[ItemOutcome], seed: Seed) -> [(f64, f64); 2] {
    let pairs = || first.iter().zip(second);
    let n_only_first = pairs().filter(|(a, b)| a.right && !b.right).count();
    let n_only_second = pairs().filter(|(a, b)| !a.right && b.right).count();
    let kappa = share_difference(n_only_second, n_only_first, first.len())
        .map_or(0.0, |difference| {
            difference.value * GROUP as f64 / (GROUP - 1) as f64
        });
    let gains: Vec<f64> = pairs()
        .filter_map(|(a, b)| Some(b.gain? - a.gain?))
        .collect();
    let gain = mean(&gains, seed).map_or(0.0, |difference| difference.value);
    [
        (mcnemar(n_only_second, n_only_first), kappa),
        (sign_flip(&gains, seed), gain),
    ]
}

/// Documents of a language in two translations, and in the reference.
struct Both {
    second: String,
    /// First translation, second, reference; aligned.
    texts: [Vec<String>; 3],
}

/// ln p of every option given every context, and given nothing.
struct Scores {
    /// `[context][option]`, nats.
    conditional: Vec<Vec<f64>>,
    prior: Vec<f64>,
}

impl Both {
    fn new(
        source: &ParallelSource,
        lang: Lang,
        reference: Lang,
        settings: &DrawSettings,
    ) -> Option<Self> {
        let (first, second) = (source.documents.get(&lang)?, source.second.get(&lang)?);
        let references = source.documents.get(&reference)?;
        let order = order_documents(
            references
                .iter()
                .map(|(id, text)| (id.as_str(), text.as_str())),
            settings.n_documents,
            settings.seed,
        );
        let mut texts: [Vec<String>; 3] = Default::default();
        for id in order {
            let (Some(a), Some(b), Some(c)) =
                (first.get(id), second.documents.get(id), references.get(id))
            else {
                continue;
            };
            let of_document = [a, b, c].map(|text| normalize(text));
            let is_new =
                (0..3).all(|t| !of_document[t].is_empty() && !texts[t].contains(&of_document[t]));
            if is_new && texts[0].len() < settings.n_documents {
                for (texts, text) in texts.iter_mut().zip(of_document) {
                    texts.push(text);
                }
            }
        }
        texts[1] = damaged(&texts[1], settings.damage, derived(settings.seed, lang));
        Some(Self {
            second: second.label.clone(),
            texts,
        })
    }

    /// Every document against every option: language to reference, reference to language, each by
    /// the first translation and by the second.
    fn ask(
        &self,
        runner: &mut Runner<'_>,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<[[Scores; 2]; 2], SurveyError> {
        let items = ItemSettings::new(Seed(0));
        let [first, second, references] = &self.texts;
        let total = |texts: &[String]| texts.iter().map(|text| n_chars(text)).sum::<usize>();
        let content = |texts: &[String]| -> Vec<String> {
            (texts.iter().zip(references))
                .map(|(text, reference)| {
                    let part = items.n_context_chars as f64 / n_chars(reference) as f64;
                    let n = (part.min(1.0) * n_chars(text) as f64).ceil() as usize;
                    cut(text, n).to_owned()
                })
                .collect()
        };
        let mut ask = |contexts: &[String], texts: &[String], n_chars_max: usize| {
            let shortest = texts.iter().map(|text| n_chars(text)).min().unwrap_or(0);
            let options: Vec<String> = (texts.iter())
                .map(|text| cut(text, shortest.min(n_chars_max)).to_owned())
                .collect();
            let telling = telling_numbers(&options);
            let mask = |texts: &[String]| -> Vec<String> {
                texts
                    .iter()
                    .map(|text| mask_numbers(text, &telling))
                    .collect()
            };
            let (conditional, prior) =
                score_all(runner, &mask(contexts), &mask(&options), on_progress)?;
            Ok::<_, SurveyError>(Scores { conditional, prior })
        };
        let n_answer = |texts: &[String]| {
            let ratio = total(texts) as f64 / total(references).max(1) as f64;
            ((items.n_answer_chars as f64 * ratio).round() as usize).max(1)
        };
        Ok([
            [
                ask(&content(first), references, items.n_option_chars)?,
                ask(&content(second), references, items.n_option_chars)?,
            ],
            [
                ask(&content(references), first, n_answer(first))?,
                ask(&content(references), second, n_answer(second))?,
            ],
        ])
    }
}

impl Scores {
    fn outcomes(&self, order: &[usize]) -> Vec<ItemOutcome> {
        let (fours, _) = order.as_chunks::<GROUP>();
        fours
            .iter()
            .flat_map(|four| {
                item_outcomes(&GroupScores {
                    conditional: four.map(|i| four.map(|j| self.conditional[i][j])),
                    prior: four.map(|j| self.prior[j]),
                })
            })
            .collect()
    }
}

/// Texts with a share of their words made nonsense.
fn damaged(texts: &[String], damage: f64, seed: Seed) -> Vec<String> {
    if damage <= 0.0 {
        return texts.to_vec();
    }
    let alphabet = Alphabet::new(texts.iter().map(String::as_str));
    (texts.iter().enumerate())
        .map(|(at, text)| {
            let mut rng = seed.rng("damage", at as u64);
            (word_spans(text).into_iter())
                .map(|span| {
                    let segment = &text[span.start..span.end];
                    if span.is_word && rng.random::<f64>() < damage {
                        alphabet.nonsense(segment, seed)
                    } else {
                        segment.to_owned()
                    }
                })
                .collect()
        })
        .collect()
}
