//! The measures as rows that every table and chart reads alike.

use isogloss_record::Estimate;
use isogloss_record::survey::{
    ChoiceResult, GainResult, LanguageResults, RegisterResults, SurveyResults, TranslationsResult,
};

use isogloss_record::number::{count, decimal, interval};

/// A number that a survey may hold for a language, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Comprehension,
    ComprehensionGain,
    Production,
    ProductionGain,
    Lexicon,
    Fidelity,
    Alignment,
    Information,
    Cost,
}

/// One measured value, ready to be written or drawn.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) n: usize,
    pub(crate) floor: Option<f64>,
    /// What else is known: label and text.
    pub(crate) details: Vec<(&'static str, String)>,
}

/// How a measure is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Whether equal ratios are equal lengths.
    pub(crate) logarithmic: bool,
}

impl Measure {
    pub(crate) const ALL: [Self; 9] = [
        Self::Comprehension,
        Self::ComprehensionGain,
        Self::Production,
        Self::ProductionGain,
        Self::Lexicon,
        Self::Fidelity,
        Self::Alignment,
        Self::Information,
        Self::Cost,
    ];

    /// Key in `results.json`; a gain is inside its choice.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::ComprehensionGain => "comprehension.gain",
            Self::ProductionGain => "production.gain",
            _ => self.card_id(),
        }
    }

    /// Key of the measure's definition, and of the reason where it is missing.
    pub(crate) fn card_id(self) -> &'static str {
        match self {
            Self::Comprehension | Self::ComprehensionGain => "comprehension",
            Self::Production | Self::ProductionGain => "production",
            Self::Lexicon => "lexicon",
            Self::Fidelity => "fidelity",
            Self::Alignment => "alignment",
            Self::Information => "information",
            Self::Cost => "cost",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Comprehension => "Comprehension",
            Self::ComprehensionGain => "Comprehension gain",
            Self::Production => "Production",
            Self::ProductionGain => "Production gain",
            Self::Lexicon => "Lexicon",
            Self::Fidelity => "Fidelity",
            Self::Alignment => "Alignment",
            Self::Information => "Information",
            Self::Cost => "Token premium",
        }
    }

    /// The title beside the column that it belongs to.
    pub(crate) fn short_title(self) -> &'static str {
        match self {
            Self::ComprehensionGain | Self::ProductionGain => "gain",
            _ => self.title(),
        }
    }

    /// What the number is, in a few words under the title.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Comprehension | Self::Production | Self::Lexicon => "κ, 0 is chance",
            Self::ComprehensionGain | Self::ProductionGain => "bits explained",
            Self::Fidelity => "share in language",
            Self::Alignment => "retrieval margin",
            Self::Information | Self::Cost => "reference is 1",
        }
    }

    /// Decimals that the number deserves.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::Alignment => 3,
            _ => 2,
        }
    }

    /// Plain name of what `n` counts.
    pub(crate) fn items(self, n: usize) -> &'static str {
        let (one, many) = match self {
            Self::Lexicon => ("word", "words"),
            Self::Fidelity => ("continuation", "continuations"),
            Self::Alignment | Self::Information | Self::Cost => ("text", "texts"),
            _ => ("item", "items"),
        };
        if n == 1 { one } else { many }
    }

    /// Reads the measure; `None` where it was not measured.
    pub(crate) fn read(self, results: &RegisterResults) -> Option<Reading> {
        let mut reading = self.read_first(results)?;
        if let Some(translations) = &results.translations {
            reading.details.extend(self.of_second(translations));
        }
        Some(reading)
    }

    /// What a second translation says about the measure.
    fn of_second(self, translations: &TranslationsResult) -> Vec<(&'static str, String)> {
        let ceiling = translations.ceiling.as_ref();
        let (key, ceiling, of_ceiling) = match self {
            Self::Comprehension => ("comprehension", None, None),
            Self::ComprehensionGain => ("comprehension.gain", None, None),
            Self::Production => {
                let kappa = ceiling.map(|c| (c.value, c.low, c.high, c.n));
                ("production", kappa, None)
            }
            Self::ProductionGain => {
                let gain = ceiling.and_then(|c| c.gain.as_ref());
                let gain = gain.map(|g| (g.value, g.low, g.high, g.n));
                ("production.gain", gain, translations.of_ceiling)
            }
            Self::Fidelity => ("fidelity", None, None),
            Self::Lexicon | Self::Alignment | Self::Information | Self::Cost => return Vec::new(),
        };
        let ceiling = ceiling.map(|(value, low, high, n)| Estimate {
            value,
            low,
            high,
            n,
        });
        let difference = translations.differences.get(key).copied();
        details([
            ("ceiling, given a second translation", ceiling.map(estimate)),
            ("share of that ceiling", of_ceiling.map(|x| decimal(x, 2))),
            (
                "second translation minus first",
                difference.map(|d| format!("{}, {}", estimate(d), translations.second)),
            ),
        ])
    }

    fn read_first(self, results: &RegisterResults) -> Option<Reading> {
        match self {
            Self::Comprehension => results.comprehension.as_ref().map(choice),
            Self::ComprehensionGain => results.comprehension.as_ref()?.gain.as_ref().map(gain),
            Self::Production => results.production.as_ref().map(choice),
            Self::ProductionGain => results.production.as_ref()?.gain.as_ref().map(gain),
            Self::Lexicon => results.lexicon.as_ref().map(|r| Reading {
                details: details([
                    ("with cognates", r.with_cognates.map(estimate)),
                    ("word to gloss", r.to_reference.map(estimate)),
                    ("gloss to word", r.from_reference.map(estimate)),
                ]),
                ..plain(r.value, r.low, r.high, r.n)
            }),
            Self::Fidelity => results.fidelity.as_ref().map(|r| Reading {
                details: details([
                    ("as identified", Some(decimal(r.observed, 2))),
                    ("sensitivity", r.sensitivity.map(|x| decimal(x, 2))),
                    ("specificity", r.specificity.map(|x| decimal(x, 3))),
                    (
                        "deciding",
                        (!r.deciding).then(|| "no: the identifier’s errors are not known".into()),
                    ),
                    ("in its script", Some(decimal(r.script_share, 2))),
                    ("looping", (r.loops > 0.0).then(|| decimal(r.loops, 2))),
                    (
                        "no answer",
                        (r.n_no_answer > 0).then(|| r.n_no_answer.to_string()),
                    ),
                    ("in chat", r.chat.map(estimate)),
                ]),
                ..plain(r.value, r.low, r.high, r.n)
            }),
            Self::Alignment => results.alignment.as_ref().map(|r| Reading {
                details: details([
                    ("layer", Some(r.layer.to_string())),
                    ("shuffled", Some(decimal(r.shuffled, 3))),
                    ("language ranker", Some(decimal(r.ranker, 3))),
                ]),
                ..plain(r.value, r.low, r.high, r.n)
            }),
            Self::Information => results.information.as_ref().map(|r| Reading {
                details: details([
                    ("bits per byte", Some(decimal(r.bits_per_byte, 2))),
                    ("bits per character", Some(decimal(r.bits_per_character, 2))),
                ]),
                ..plain(r.value, r.low, r.high, r.n)
            }),
            Self::Cost => results.cost.as_ref().map(|r| Reading {
                details: details([
                    ("bytes", Some(format!("×{}", decimal(r.byte_premium, 2)))),
                    (
                        "tokens per byte",
                        Some(format!("×{}", decimal(r.tokens_per_byte_premium, 2))),
                    ),
                    (
                        "usable context",
                        Some(format!(
                            "{} reference tokens",
                            count(r.usable_context.max(0.0) as u64)
                        )),
                    ),
                ]),
                ..plain(r.value, r.low, r.high, r.n)
            }),
        }
    }

    /// The axis on which all languages and models of a survey are drawn.
    pub(crate) fn axis(self, results: &SurveyResults) -> Axis {
        let (mut min, mut max, logarithmic): (f64, f64, bool) = match self {
            Self::Comprehension | Self::Production | Self::Lexicon => (-1.0 / 3.0, 1.0, false),
            Self::ComprehensionGain | Self::ProductionGain => (-0.1, 0.4, false),
            Self::Alignment => (0.0, 0.2, false),
            Self::Fidelity | Self::Information => (0.0, 1.0, false),
            Self::Cost => (0.8, 4.0, true),
        };
        for language in results
            .models
            .iter()
            .flat_map(|model| model.languages.values())
        {
            if let Some(reading) = self.read(&pooled(language)) {
                min = min.min(reading.low);
                max = max.max(reading.high);
            }
        }
        // A ratio at or below zero has no place on a logarithmic axis.
        Axis {
            min: if logarithmic { min.max(0.1) } else { min },
            max,
            logarithmic,
        }
    }
}

impl Axis {
    /// Place on the axis, from 0 to 1; values beyond the ends sit on them.
    pub(crate) fn place(self, value: f64) -> f64 {
        let scale = |x: f64| {
            if self.logarithmic {
                x.max(f64::MIN_POSITIVE).ln()
            } else {
                x
            }
        };
        let (low, high) = (scale(self.min), scale(self.max));
        if high > low {
            ((scale(value) - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.5
        }
    }

    /// Round values inside the axis, few enough to be read.
    pub(crate) fn ticks(self) -> Vec<f64> {
        if self.logarithmic {
            return [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
                .into_iter()
                .filter(|tick| (self.min..=self.max).contains(tick))
                .collect();
        }
        let span = self.max - self.min;
        let step = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|step| span / step <= 3.2)
            .unwrap_or(span);
        let first = (self.min / step).ceil() as i64;
        let last = (self.max / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A language's results over all registers, in the shape of one register's.
pub(crate) fn pooled(results: &LanguageResults) -> RegisterResults {
    RegisterResults {
        comprehension: results.comprehension,
        production: results.production,
        lexicon: results.lexicon,
        fidelity: results.fidelity,
        alignment: results.alignment,
        information: results.information,
        cost: results.cost,
        memory: results.memory,
        translations: results.translations.clone(),
        outcomes: None,
    }
}

fn plain(value: f64, low: f64, high: f64, n: usize) -> Reading {
    Reading {
        value,
        low,
        high,
        n,
        floor: None,
        details: Vec::new(),
    }
}

fn choice(r: &ChoiceResult) -> Reading {
    Reading {
        floor: r.floor,
        details: details([
            ("copy floor", r.floor.map(|x| decimal(x, 2))),
            ("length alone", r.length_baseline.map(|x| decimal(x, 2))),
            ("relative", r.relative.map(|x| decimal(x, 2))),
        ]),
        ..plain(r.value, r.low, r.high, r.n)
    }
}

fn gain(r: &GainResult) -> Reading {
    Reading {
        floor: r.floor,
        details: details([
            ("copy floor", r.floor.map(|x| decimal(x, 2))),
            ("above floor", r.above_floor.map(estimate)),
            ("relative", r.relative.map(|x| decimal(x, 2))),
        ]),
        ..plain(r.value, r.low, r.high, r.n)
    }
}

fn estimate(e: Estimate) -> String {
    format!(
        "{} ({}; n {})",
        decimal(e.value, 2),
        interval(e.low, e.high, 2),
        e.n
    )
}

fn details<const N: usize>(
    all: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    all.into_iter()
        .filter_map(|(label, text)| Some((label, text?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_translation_stands_beside_what_it_is_about() {
        let choice = |value| ChoiceResult {
            value,
            low: value - 0.2,
            high: value + 0.2,
            n: 12,
            floor: None,
            length_baseline: None,
            relative: None,
            gain: None,
        };
        let difference = Estimate {
            value: -0.11,
            low: -0.4,
            high: 0.2,
            n: 12,
        };
        let results = RegisterResults {
            comprehension: Some(choice(0.6)),
            production: Some(choice(0.4)),
            translations: Some(TranslationsResult {
                second: "Hausa (2)".to_owned(),
                ceiling: Some(choice(0.8)),
                of_ceiling: None,
                differences: [("comprehension".to_owned(), difference)].into(),
            }),
            ..RegisterResults::default()
        };
        let read = Measure::Comprehension.read(&results).unwrap();
        let (label, text) = read.details.last().unwrap();
        assert_eq!(*label, "second translation minus first");
        assert!(
            text.starts_with("−0.11") && text.ends_with("Hausa (2)"),
            "{text}"
        );
        let read = Measure::Production.read(&results).unwrap();
        assert_eq!(read.details.len(), 1, "{:?}", read.details);
        assert!(read.details[0].1.starts_with("0.80"), "{:?}", read.details);
        assert!(Measure::ProductionGain.read(&results).is_none());
    }

    #[test]
    fn places_and_ticks() {
        // κ from −⅓ to 1: chance (0) lies at ⅓ ÷ 4⁄3 = ¼ of the axis.
        let kappa = Axis {
            min: -1.0 / 3.0,
            max: 1.0,
            logarithmic: false,
        };
        assert!((kappa.place(0.0) - 0.25).abs() < 1e-12);
        assert_eq!(kappa.place(7.0), 1.0);
        assert_eq!(kappa.ticks(), [0.0, 0.5, 1.0]);
        // Premiums from 1 to 16: 4 = √16 lies in the middle.
        let cost = Axis {
            min: 1.0,
            max: 16.0,
            logarithmic: true,
        };
        assert!((cost.place(4.0) - 0.5).abs() < 1e-12);
        assert_eq!(cost.ticks(), [1.0, 2.0, 4.0, 8.0, 16.0]);
        let empty = Axis {
            min: 1.0,
            max: 1.0,
            logarithmic: false,
        };
        assert_eq!(empty.place(1.0), 0.5);
    }
}
