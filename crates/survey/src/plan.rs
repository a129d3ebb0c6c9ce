//! What a survey is asked to do, and what that will cost.
//!
//! ```text
//! Settings -> Plan { tokens at least, tokens at most } -> seconds at a measured speed
//! ```
//!
//! The least is what is spent if every language is at its floor after the first look, the most if
//! every one is pursued to the end: the stopping rule decides between them while the survey runs.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_model::truncate::Truncate;
use isogloss_model::{Backend, BackendError};
use isogloss_record::survey::LanguageFacts;
use isogloss_record::{Lang, Seed, Span};

use crate::error::SurveyError;
use crate::items::{GROUP, Group, Side};
use crate::measures::Measure;
use crate::session::score::pair;
use crate::session::texts::SurveyTexts;
use crate::session::tracks::{Track, tracks};

/// The settings that change a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Language whose texts are the other side of every measure.
    pub reference: Lang,
    /// Text items per language and register in the first look.
    pub n_items: ItemCount,
    /// Words per language (without cognates).
    pub n_words: usize,
    /// Continuations per language and register, before more are drawn where they decide.
    pub n_continuations: usize,
    /// New tokens per continuation.
    pub n_continuation_tokens: usize,
    /// Measures.
    pub measures: BTreeSet<Measure>,
    /// Whether languages at their floor are measured to the end.
    pub complete: bool,
    /// Whether a second translation is asked too, where there is one: ceiling and noise floor.
    pub second_translations: bool,
    /// Seed of every draw.
    pub seed: Seed,
    /// What is done with a text that is longer than a model's context.
    pub truncate: Truncate,
}

/// How many text items are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemCount {
    /// So many in the first look (rounded up to a multiple of four), twice as many where the verdict
    /// is open.
    First(usize),
    /// All documents, in one look.
    All,
}

impl ItemCount {
    /// Items of the first look, of `n_documents`.
    pub fn n_first(self, n_documents: usize) -> usize {
        match self {
            Self::First(n) => n.next_multiple_of(GROUP),
            Self::All => n_documents,
        }
    }

    /// Items of all looks together.
    pub fn n_most(self, n_documents: usize) -> usize {
        match self {
            Self::First(_) => self.n_first(n_documents).saturating_mul(2),
            Self::All => n_documents,
        }
    }

    /// Looks at the items: the number that decisions are corrected for.
    pub fn n_looks(self) -> usize {
        match self {
            Self::First(_) => 2,
            Self::All => 1,
        }
    }
}

impl Settings {
    /// All measures: 12 text items, 48 words, 4 continuations of 32 tokens.
    pub fn full() -> Self {
        Self {
            reference: english(),
            n_items: ItemCount::First(12),
            n_words: 48,
            n_continuations: 4,
            n_continuation_tokens: 32,
            measures: BTreeSet::from(Measure::ALL),
            complete: false,
            second_translations: true,
            seed: Seed(0),
            truncate: Truncate::Refuse,
        }
    }

    /// `--fast`: comprehension on 8 items, 24 words, information, cost.
    pub fn fast() -> Self {
        Self {
            n_items: ItemCount::First(8),
            n_words: 24,
            measures: BTreeSet::from(Measure::FAST),
            second_translations: false,
            ..Self::full()
        }
    }

    /// The tour's: all measures on 8 text items, 24 words, 4 continuations.
    pub fn tour() -> Self {
        Self {
            n_items: ItemCount::First(8),
            n_words: 24,
            second_translations: false,
            ..Self::full()
        }
    }

    pub(crate) fn check(&self) -> Result<(), SurveyError> {
        let wrong = |what, found: &dyn std::fmt::Display, expected: &str| {
            Err(SurveyError::Settings {
                what,
                found: found.to_string(),
                expected: expected.to_owned(),
            })
        };
        if self.n_items == ItemCount::First(0) {
            return wrong("number of items", &0, "at least 4, or all");
        }
        if self.measures.is_empty() {
            return wrong("measures", &"none", "at least one");
        }
        if self.measures.contains(&Measure::Fidelity) && self.n_continuation_tokens == 0 {
            return wrong("tokens of a continuation", &0, "at least 1");
        }
        Ok(())
    }
}

/// English, the usual reference.
pub fn english() -> Lang {
    "eng".parse().expect("`eng` is an ISO 639-3 code")
}

/// Twenty languages of ten scripts, those of the tour.
pub const TOUR_LANGUAGES: [&str; 20] = [
    "fra", "spa", "deu", "por", "ind", "vie", "tur", "swh", "hau", "eus", // Latin
    "rus", "kaz", // Cyrillic
    "arb", "pes", // Arabic
    "hin", // Devanagari
    "tha", // Thai
    "cmn", // Han
    "jpn", // Japanese
    "kor", // Hangul
    "amh", // Ethiopic
];

/// What a survey of one model will compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Languages with running text.
    pub n_languages: usize,
    /// Tokens if every language is at its floor.
    pub n_tokens_least: u64,
    /// Tokens if every language is pursued to the end.
    pub n_tokens_most: u64,
}

impl Plan {
    /// Seconds at least and at most, at a speed in tokens per second; `None` for no speed.
    pub fn seconds(self, tokens_per_second: f64) -> Option<(f64, f64)> {
        (tokens_per_second > 0.0 && tokens_per_second.is_finite()).then(|| {
            (
                self.n_tokens_least as f64 / tokens_per_second,
                self.n_tokens_most as f64 / tokens_per_second,
            )
        })
    }
}

/// Counts the tokens of a survey with the model's own tokenizer; shared prefixes once, options of
/// the reference language once. Words and chat answers are estimated at their usual size.
///
/// # Errors
/// [`SurveyError::TooLong`] where texts do not fit the model and are not to be cut, with all the
/// languages that this concerns.
pub fn plan(
    model: &dyn Backend,
    languages: &BTreeMap<Lang, LanguageFacts>,
    texts: &SurveyTexts,
    settings: &Settings,
) -> Result<Plan, SurveyError> {
    settings.check()?;
    let tracks = tracks(languages, texts, settings);
    check_fits(model, &tracks, settings.truncate)?;
    let mut least = 0;
    let mut most = 0;
    let count = |text: &str| Ok::<u64, SurveyError>(model.tokenize(text)?.len() as u64);
    let side_tokens = |groups: &[Group], side: fn(&Group) -> &Side, nonsense: bool| {
        let mut n = 0;
        for group in groups {
            let side = side(group);
            let contexts = if nonsense {
                &side.nonsense
            } else {
                &side.contexts
            };
            let mut n_options = 0;
            for option in &side.options {
                n_options += count(option)?;
            }
            for context in contexts {
                n += count(context)? + n_options;
            }
        }
        Ok::<u64, SurveyError>(n)
    };
    let to: fn(&Group) -> &Side = |group| &group.to_reference;
    let from: fn(&Group) -> &Side = |group| &group.from_reference;
    let wants = |measure| settings.measures.contains(&measure);
    for Track {
        groups,
        n_first,
        second,
        ..
    } in &tracks
    {
        for second in second {
            let group = std::slice::from_ref(&second.group);
            if wants(Measure::Comprehension) {
                most += side_tokens(group, to, false)?;
            }
            if wants(Measure::Production) {
                // In its own wording, and as the ceiling's contexts.
                most += 2 * side_tokens(group, from, false)?;
            }
        }
        let first = &groups[..*n_first];
        if wants(Measure::Comprehension) {
            least += side_tokens(first, to, false)?;
            most += side_tokens(groups, to, false)? + side_tokens(groups, to, true)?;
        }
        if wants(Measure::Production) {
            most += side_tokens(groups, from, false)? + side_tokens(groups, from, true)?;
        }
        if wants(Measure::Fidelity) {
            most += (settings.n_continuations * 2 * (settings.n_continuation_tokens + 64)) as u64;
        }
    }
    if wants(Measure::Lexicon) {
        /// Usual tokens of a word in both directions with its options.
        const N_TOKENS_PER_WORD: u64 = 56;
        let n_with_words = texts.words.as_ref().map_or(0, |words| {
            languages
                .keys()
                .filter(|lang| words.entries.contains_key(lang))
                .count()
        });
        most += n_with_words as u64 * settings.n_words as u64 * N_TOKENS_PER_WORD;
    }
    Ok(Plan {
        n_languages: tracks.len(),
        n_tokens_least: least,
        n_tokens_most: most.max(least),
    })
}

/// Tokens by which a pair may be longer than its parts: what stands first and between them, and what
/// a tokenizer splits otherwise at the seam.
const N_TOKENS_SEAM: usize = 16;

/// Refuses texts that the model cannot hold (even cut, where they may be), before any work.
fn check_fits(
    model: &dyn Backend,
    tracks: &[Track],
    truncate: Truncate,
) -> Result<(), SurveyError> {
    let limit = model.fingerprint().context_length;
    let (mut languages, mut n_texts, mut longest) = (BTreeSet::new(), 0, 0);
    for track in tracks {
        let groups = (track.groups.iter()).chain(track.second.iter().map(|second| &second.group));
        for side in groups.flat_map(|group| [&group.to_reference, &group.from_reference]) {
            let tokens = |text: &String| Ok::<_, SurveyError>(model.tokenize(text)?.len());
            let options = (side.options.iter().map(tokens)).collect::<Result<Vec<_>, _>>()?;
            let n_option = options.iter().copied().max().unwrap_or(0);
            let longest_option = options.iter().position(|n| *n == n_option);
            for context in side.contexts.iter().chain(&side.nonsense) {
                let n_tokens = tokens(context)? + n_option;
                if n_tokens + N_TOKENS_SEAM <= limit {
                    continue;
                }
                let option = longest_option.map_or("", |at| side.options[at].as_str());
                let request = pair(context, option, Span::All, false);
                let found = match model.encode_cut(&request, truncate) {
                    Err(BackendError::TooLong { found, .. }) => found,
                    Err(BackendError::Uncuttable { .. }) => n_tokens,
                    // Anything else is said where it is asked.
                    Ok(_) | Err(_) => continue,
                };
                languages.insert(track.lang);
                n_texts += 1;
                longest = longest.max(found);
            }
        }
    }
    if languages.is_empty() {
        return Ok(());
    }
    Err(SurveyError::TooLong {
        model: model.fingerprint().name.clone(),
        limit,
        n_texts,
        longest,
        languages: languages.into_iter().collect(),
    })
}
