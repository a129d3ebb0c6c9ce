//! Which language is a text in? Offline, for all languages of the texts at hand.
//!
//! ```text
//! text --letters--> n-grams --model--> score per label --calibration--> Identification
//! packs/texts, CLDR names --cargo xtask identifier (train)--> packs/identifier/model.zst
//! ```
//!
//! ```
//! use isogloss_lang::Identifier;
//!
//! let identifier = Identifier::shipped();
//! let found = identifier.identify("Mutane suna da hakkin yin magana da kansu a ko'ina.");
//! assert_eq!(found.lang.unwrap().to_string(), "hau");
//! assert_eq!(identifier.identify("2026-11-24 …").lang, None);
//! ```

pub mod evaluate;
mod han;
mod letters;
mod model;
mod reliability;
pub mod train;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use isogloss_record::Lang;

pub use han::HanForms;
use letters::{Letters, ORDER_MAX};
use model::{Header, Model};
pub use model::{ModelError, Register};
pub use reliability::Reliability;

/// Fewer letters than this name no language, in any script.
const N_LETTERS_MIN: usize = 4;

/// A smaller share of letters among what is not white space is a list of numbers or code.
const LETTER_SHARE_MIN: f64 = 0.4;

/// A larger share of replacement and control characters is no text.
const BROKEN_SHARE_MAX: f64 = 0.1;

/// With a lower probability nothing is said. Sisters in one script (Chinese, Serbo-Croatian) share
/// the probability of a sound answer, so this is low.
const SCORE_MIN: f64 = 0.15;

/// Share of the text's n-grams of three characters that the language found must know: .43 and more
/// in 19 of 20 sentences of every language measured, .16 to .32 in letters struck at random.
const KNOWN_SHARE_MIN: f64 = 0.35;

/// The scripts that this holds for: elsewhere there are too many characters to have seen most
/// triples (Han, Hangul, Ethiopic), or nearly one language (Thai).
const KNOWN_SHARE_SCRIPTS: [&str; 2] = ["Latn", "Cyrl"];

/// The language that Han text is in unless it says otherwise.
const HAN_STANDARD: &str = "cmn";

/// Held-out texts from which a script has a calibration of its own ...
const N_CALIBRATION_MIN: usize = 60;

/// ... if so many of them are taken for another language: where none is, any temperature is warm
/// enough.
const N_WRONG_MIN: usize = 5;

/// The identifier: about 500 languages, by character n-grams.
#[derive(Debug, Clone)]
pub struct Identifier {
    model: Model,
    /// Labels by script, with their parts of each register.
    candidates: Vec<Vec<Candidate>>,
    reliability: Vec<Reliability>,
}

#[derive(Debug, Clone)]
struct Candidate {
    label: usize,
    running: Vec<u16>,
    words: Vec<u16>,
}

/// Scores before they are probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The script of most letters, as Unicode names it (`Hani`; `Jpan`).
    pub script: &'static str,
    /// Letters of the text.
    pub n_letters: usize,
    /// All labels of its script, best first.
    pub labels: Vec<Lang>,
    /// Their scores, nats; only differences mean something.
    pub scores: Vec<f64>,
}

/// What the identifier says about a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Identification {
    /// The most probable language; `None` where the identifier abstains: fewer than four letters;
    /// fewer letters than 40 % of what is not white space; more than 10 % broken characters; a
    /// script that no label has; in Latin and Cyrillic script, a language that knows less than 35 %
    /// of the text's three-character n-grams; a probability below .15.
    pub lang: Option<Lang>,
    /// Probability, from 0 to 1, that `lang` is right if the text is in a language that has a
    /// label; calibrated for the text's length. 0 where it abstains.
    pub score: f64,
    /// The runner-up.
    pub second: Option<Lang>,
}

impl Identification {
    const NOTHING: Self = Self {
        lang: None,
        score: 0.0,
        second: None,
    };
}

/// Scratch space of one caller, so that many texts need no new memory.
#[derive(Debug, Default)]
struct Scratch {
    /// Sum of weights per part, in steps.
    sums: Vec<u32>,
    /// Score in nats per candidate of the script.
    scores: Vec<(usize, f64)>,
}

impl Identifier {
    /// The identifier in this binary, decoded at the first call.
    pub fn shipped() -> &'static Self {
        static SHIPPED: OnceLock<Identifier> = OnceLock::new();
        SHIPPED.get_or_init(|| {
            let model = include_bytes!("../../../../packs/identifier/model.zst");
            let reliability = include_str!("../../../../packs/identifier/reliability.tsv");
            let mut identifier = Self::decode(model).expect("the embedded model passes its test");
            identifier.reliability = reliability::read(reliability);
            identifier
        })
    }

    /// Reads a model file. It knows no reliability.
    pub fn decode(compressed: &[u8]) -> Result<Self, ModelError> {
        Ok(Self::new(Model::decode(compressed)?))
    }

    /// The model file's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, std::io::Error> {
        self.model.encode()
    }

    /// Learns from documents; not calibrated yet.
    #[must_use]
    pub fn train(documents: &[train::Document], settings: &train::Settings) -> Self {
        Self::new(train::train(documents, settings))
    }

    fn new(model: Model) -> Self {
        let header = &model.header;
        let mut candidates: Vec<Vec<Candidate>> = vec![Vec::new(); header.scripts.len()];
        for (i, part) in header.parts.iter().enumerate() {
            let same = &mut candidates[part.script];
            let at = same
                .iter()
                .position(|candidate| candidate.label == part.label)
                .unwrap_or_else(|| {
                    same.push(Candidate {
                        label: part.label,
                        running: Vec::new(),
                        words: Vec::new(),
                    });
                    same.len() - 1
                });
            match part.register {
                Register::Running => same[at].running.push(i as u16),
                Register::Words => same[at].words.push(i as u16),
            }
        }
        share_forms(&mut candidates, header);
        Self {
            model,
            candidates,
            reliability: Vec::new(),
        }
    }

    /// All languages that can be named, in order.
    pub fn labels(&self) -> &[Lang] {
        &self.model.header.labels
    }

    /// The language of a text, or an abstention.
    pub fn identify(&self, text: &str) -> Identification {
        self.identify_with(text, &mut Scratch::default())
    }

    /// The languages of many texts; the same as one by one, faster.
    pub fn identify_all<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Identification> {
        let mut scratch = Scratch::default();
        texts
            .into_iter()
            .map(|text| self.identify_with(text, &mut scratch))
            .collect()
    }

    fn identify_with(&self, text: &str, scratch: &mut Scratch) -> Identification {
        let letters = self.read(text);
        if !is_text(&letters) {
            return Identification::NOTHING;
        }
        self.score(&letters, scratch);
        let Some(&(best, _)) = scratch.scores.first() else {
            return Identification::NOTHING;
        };
        let score = self.probabilities(&letters, &scratch.scores)[0];
        let is_strange = KNOWN_SHARE_SCRIPTS.contains(&letters.script)
            && self.known_share(&letters, best) < KNOWN_SHARE_MIN;
        if score < SCORE_MIN || is_strange {
            return Identification::NOTHING;
        }
        Identification {
            lang: Some(self.model.header.labels[best]),
            score,
            second: scratch
                .scores
                .get(1)
                .map(|&(label, _)| self.model.header.labels[label]),
        }
    }

    /// The `k` most probable languages with their probabilities, without abstaining: whatever the
    /// letters are, they are most like something. Empty for text without letters of a known script.
    pub fn top(&self, text: &str, k: usize) -> Vec<(Lang, f64)> {
        let letters = self.read(text);
        let mut scratch = Scratch::default();
        self.score(&letters, &mut scratch);
        let probabilities = self.probabilities(&letters, &scratch.scores);
        scratch
            .scores
            .iter()
            .zip(probabilities)
            .take(k)
            .map(|(&(label, _), p)| (self.model.header.labels[label], p))
            .collect()
    }

    fn read(&self, text: &str) -> Letters {
        Letters::read(text).fold(&self.model.header.han)
    }

    /// Scores of all labels of the text's script, best first; ties by label.
    fn score(&self, letters: &Letters, scratch: &mut Scratch) {
        let header = &self.model.header;
        scratch.scores.clear();
        let Some(script) = header.scripts.iter().position(|s| s == letters.script) else {
            return;
        };
        scratch.sums.clear();
        scratch.sums.resize(header.parts.len(), 0);
        let n_running = header
            .parts
            .partition_point(|part| part.register == Register::Running);
        let mut n_known = [[0_u32; ORDER_MAX]; 2];
        letters.for_each_gram(|order, key| {
            let (parts, weights) = self.model.entries(key);
            let (Some(&first), Some(&last)) = (parts.first(), parts.last()) else {
                return;
            };
            n_known[0][order - 1] += u32::from((first as usize) < n_running);
            n_known[1][order - 1] += u32::from((last as usize) >= n_running);
            for (&part, &weight) in parts.iter().zip(weights) {
                scratch.sums[part as usize] += u32::from(weight);
            }
        });
        let sums = &scratch.sums;
        let best_of = |parts: &[u16], n_known: &[u32; ORDER_MAX]| {
            parts
                .iter()
                .map(|&part| {
                    let unseen: f64 = n_known
                        .iter()
                        .zip(header.parts[part as usize].unseen)
                        .map(|(&n, unseen)| f64::from(n) * f64::from(unseen))
                        .sum();
                    f64::from(sums[part as usize]) * header.step + unseen
                })
                .max_by(f64::total_cmp)
        };
        let candidates: Vec<&Candidate> = self.candidates[script]
            .iter()
            .filter(|candidate| {
                let own = header.labels[candidate.label].script();
                letters.form.is_empty() || own.is_none_or(|own| own.code() == letters.form)
            })
            .collect();
        let words: Vec<Option<f64>> = candidates
            .iter()
            .map(|candidate| best_of(&candidate.words, &n_known[1]))
            .collect();
        let best_words = words.iter().flatten().copied().max_by(f64::total_cmp);
        // Without words of its own, a language is taken to know the words a little worse than the
        // one that knows them best: words decide among those that have them.
        let without = best_words.map_or(0.0, |best| {
            best - header.words_handicap * letters.chars.len() as f64
        });
        for (candidate, words) in candidates.into_iter().zip(words) {
            let running = best_of(&candidate.running, &n_known[0]).unwrap_or(f64::MIN / 4.0);
            let label = header.labels[candidate.label];
            let is_rare = letters.script == "Hani" && label.code() != HAN_STANDARD;
            let prior = if is_rare { header.han_prior } else { 0.0 };
            let score = running + header.words_weight * words.unwrap_or(without) - prior;
            scratch.scores.push((candidate.label, score));
        }
        scratch
            .scores
            .sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }

    /// Posterior of each score, in their order; sums to 1.
    fn probabilities(&self, letters: &Letters, scores: &[(usize, f64)]) -> Vec<f64> {
        let Some(&(_, best)) = scores.first() else {
            return Vec::new();
        };
        let header = &self.model.header;
        let calibration = header
            .calibration_by_script
            .get(letters.script)
            .unwrap_or(&header.calibration);
        let temperature =
            calibration.temperature * (letters.n_letters.max(1) as f64).powf(calibration.growth);
        let odds: Vec<f64> = scores
            .iter()
            .map(|(_, score)| ((score - best) / temperature).exp())
            .collect();
        let total: f64 = odds.iter().sum();
        odds.into_iter().map(|odds| odds / total).collect()
    }

    /// Share of the three-character n-grams that some part of a label has.
    fn known_share(&self, letters: &Letters, label: usize) -> f64 {
        let (mut n, mut n_known) = (0_usize, 0_usize);
        letters.for_each_gram(|order, key| {
            if order == 3 {
                n += 1;
                let (parts, _) = self.model.entries(key);
                n_known += usize::from(
                    parts
                        .iter()
                        .any(|&part| self.model.header.parts[part as usize].label == label),
                );
            }
        });
        n_known as f64 / n.max(1) as f64
    }

    /// Fits the probabilities to held-out texts, over all scripts and for each that has enough, each a pair of what [`Identifier::evidence`] said
    /// (of this identifier or one trained on less) and the place of the right label in it.
    pub fn calibrate(&mut self, held_out: &[(Evidence, usize)]) {
        let header = &mut self.model.header;
        header.calibration = evaluate::fit(&held_out.iter().collect::<Vec<_>>());
        header.calibration_by_script.clear();
        let mut by_script: BTreeMap<&str, Vec<&(Evidence, usize)>> = BTreeMap::new();
        for case in held_out
            .iter()
            .filter(|(evidence, _)| evidence.labels.len() > 1)
        {
            by_script.entry(case.0.script).or_default().push(case);
        }
        for (script, cases) in by_script {
            let n_wrong = cases.iter().filter(|(_, right)| *right > 0).count();
            if cases.len() >= N_CALIBRATION_MIN && n_wrong >= N_WRONG_MIN {
                let fitted = evaluate::fit(&cases);
                header
                    .calibration_by_script
                    .insert(script.to_owned(), fitted);
            }
        }
    }

    /// Scores of all labels of a text's script, best first; `None` without letters of one.
    pub fn evidence(&self, text: &str) -> Option<Evidence> {
        let letters = self.read(text);
        let mut scratch = Scratch::default();
        self.score(&letters, &mut scratch);
        (!scratch.scores.is_empty()).then(|| Evidence {
            script: letters.script,
            n_letters: letters.n_letters,
            labels: scratch
                .scores
                .iter()
                .map(|&(label, _)| self.model.header.labels[label])
                .collect(),
            scores: scratch.scores.iter().map(|&(_, score)| score).collect(),
        })
    }

    /// Scripts that a label's training texts are in, as Unicode names them (`Hani`; `Jpan`).
    pub fn scripts(&self, lang: Lang) -> Vec<&str> {
        let header = &self.model.header;
        let mut scripts: Vec<&str> = header
            .parts
            .iter()
            .filter(|part| header.labels[part.label] == lang)
            .map(|part| header.scripts[part.script].as_str())
            .collect();
        scripts.sort_unstable();
        scripts.dedup();
        scripts
    }

    /// How well a language is told from the others, measured on text of a register that was not
    /// trained on; `None` where there was no such text: nothing is known then.
    pub fn reliability(&self, lang: Lang) -> Option<&Reliability> {
        self.reliability.iter().find(|known| known.lang == lang)
    }

    /// Whether two languages are told apart: less than a tenth of either is taken for the other,
    /// about 100 characters a text. `None` where neither was measured.
    pub fn tells_apart(&self, a: Lang, b: Lang) -> Option<bool> {
        reliability::tells_apart(self.reliability(a), self.reliability(b), a, b)
    }
}

/// What one form of Han writing taught about a language holds for the other form too: n-grams are
/// those of one form ([`han`]). Labels without a form are one for both.
fn share_forms(candidates: &mut [Vec<Candidate>], header: &Header) {
    let is_han = |script: &str| ["Hans", "Hant"].contains(&script);
    for same_script in candidates {
        let taught = same_script.clone();
        for candidate in same_script {
            let own = header.labels[candidate.label];
            for other in &taught {
                let other_label = header.labels[other.label];
                let is_sister = [own, other_label]
                    .iter()
                    .all(|label| label.script().is_some_and(|script| is_han(script.code())));
                if is_sister
                    && own != other_label
                    && own.without_script() == other_label.without_script()
                {
                    candidate.running.extend(&other.running);
                    candidate.words.extend(&other.words);
                }
            }
        }
    }
}

/// Whether there is enough to judge, and it is text.
fn is_text(letters: &Letters) -> bool {
    let n = letters.n_letters;
    let all = letters.chars.iter().filter(|c| **c != ' ').count() + letters.n_others;
    n >= N_LETTERS_MIN
        && n as f64 >= LETTER_SHARE_MIN * (n + letters.n_others) as f64
        && letters.n_broken as f64 <= BROKEN_SHARE_MAX * all as f64
}
