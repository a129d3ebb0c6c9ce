//! What each model of the ladder reads: so many tokens of each language, in random order.

use std::collections::BTreeMap;

use isogloss_model::tokenizer::{Tokenizer, TokenizerError};
use isogloss_record::{Lang, Seed};
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::SurveyTexts;
use crate::items::normal::normalize;
use crate::session::tracks::pairs;

/// One line in so many is held out for the survey.
const HELD_OUT: u64 = 16;

/// Shares of a language's tokens: running text, pairs with the reference language (both directions),
/// words with their glosses (both directions).
///
/// What follows a line must more often be another line of the language than its translation:
/// otherwise a greedy continuation leaves the language, however well the model knows it (with .3, .6
/// and .1 a model that had seen 10⁷ tokens of Russian stayed in one of ten).
const SHARES: [f64; 3] = [0.55, 0.35, 0.1];

/// Lines of running text in one sequence.
const N_LINES: usize = 3;

/// Texts to learn from: aligned lines and words.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// The other side of every pair.
    pub reference: Lang,
    /// By language its lines with those of the reference language.
    pub pairs: BTreeMap<Lang, Vec<(String, String)>>,
    /// By language its words with their glosses.
    pub words: BTreeMap<Lang, Vec<(String, String)>>,
    /// Lines of the reference language.
    pub lines: Vec<String>,
}

/// The lines that are learned from, and those that the survey asks: which is which depends on the
/// seed and the line alone.
pub fn split(texts: &SurveyTexts, reference: Lang, seed: Seed) -> (Corpus, SurveyTexts) {
    let is_held_out = |id: &str| {
        let mut rng = seed.rng(&format!("held out {id}"), 0);
        rng.random_range(0..HELD_OUT) == 0
    };
    let mut held_out = texts.clone();
    for source in &mut held_out.parallel {
        for documents in source.documents.values_mut() {
            documents.retain(|id, _| is_held_out(id));
        }
    }
    let mut corpus = Corpus {
        reference,
        pairs: BTreeMap::new(),
        words: BTreeMap::new(),
        lines: Vec::new(),
    };
    for source in &texts.parallel {
        for (&lang, documents) in &source.documents {
            if lang == reference {
                let learned = documents.iter().filter(|(id, _)| !is_held_out(id));
                corpus
                    .lines
                    .extend(learned.map(|(_, text)| normalize(text)));
                continue;
            }
            let learned = pairs(source, lang, reference)
                .into_iter()
                .filter(|pair| !is_held_out(pair.id))
                .map(|pair| (normalize(pair.text), normalize(pair.reference)));
            corpus.pairs.entry(lang).or_default().extend(learned);
        }
    }
    if let Some(source) = &texts.words {
        for &lang in source.entries.keys().filter(|&&lang| lang != reference) {
            let words = source.pairs(lang, reference).into_iter();
            corpus.words.insert(
                lang,
                words
                    .map(|(_, word, gloss)| (word.to_owned(), gloss.to_owned()))
                    .collect(),
            );
        }
    }
    (corpus, held_out)
}

/// One sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// Lines of a language, from the place in its order.
    Running(Lang, [u32; N_LINES]),
    /// A line and its translation; `true`: the reference language stands second.
    Pair(Lang, u32, bool),
    /// A word and its gloss; `true`: the gloss stands second.
    Word(Lang, u32, bool),
    /// Lines of the reference language.
    Reference([u32; N_LINES]),
}

/// What one model reads.
#[derive(Debug, Clone)]
pub struct Mixture<'a> {
    corpus: &'a Corpus,
    pieces: Vec<Piece>,
    /// Tokens of each language among them, the reference language included.
    pub n_tokens: BTreeMap<Lang, u64>,
}

impl<'a> Mixture<'a> {
    /// Draws `budgets` tokens of each language and `n_reference` of the reference language (those in
    /// pairs count), again from the beginning where the texts are used up, and mixes them evenly over
    /// the whole training.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn new(
        corpus: &'a Corpus,
        tokenizer: &Tokenizer,
        budgets: &BTreeMap<Lang, u64>,
        n_reference: u64,
        seed: Seed,
    ) -> Result<Self, TokenizerError> {
        let count = |text: &String| tokenizer.tokenize(text).len() as u64;
        let counts = |pairs: &[(String, String)]| -> Vec<(u64, u64)> {
            pairs.iter().map(|(a, b)| (count(a), count(b))).collect()
        };
        let mut pieces = Vec::new();
        let mut n_tokens = BTreeMap::new();
        let mut n_paired = 0;
        for (&lang, &budget) in budgets {
            let lines = counts(corpus.pairs.get(&lang).map_or(&[], Vec::as_slice));
            let words = counts(corpus.words.get(&lang).map_or(&[], Vec::as_slice));
            let mut orders = [
                Order::new(lines.len(), seed, &format!("running {lang}")),
                Order::new(lines.len(), seed, &format!("pairs {lang}")),
                Order::new(words.len(), seed, &format!("words {lang}")),
            ];
            let mut spent = [0_u64; SHARES.len()];
            let mut there = [false; SHARES.len()];
            while spent.iter().sum::<u64>() < budget {
                // Whatever is furthest behind its share; without words or lines it is never behind.
                let Some(kind) = (0..SHARES.len())
                    .filter(|&kind| !orders[kind].is_empty())
                    .min_by(|&a, &b| {
                        let behind = |kind: usize| spent[kind] as f64 / SHARES[kind];
                        behind(a).total_cmp(&behind(b))
                    })
                else {
                    break;
                };
                let order = &mut orders[kind];
                // By kind: a common one could fall in step with the order of the kinds.
                there[kind] = !there[kind];
                let there = there[kind];
                spent[kind] += match kind {
                    0 => {
                        let lines_of = order.take();
                        pieces.push(Piece::Running(lang, lines_of));
                        lines_of.iter().map(|&i| lines[i as usize].0).sum()
                    }
                    1 => {
                        let line = order.one();
                        pieces.push(Piece::Pair(lang, line, there));
                        n_paired += lines[line as usize].1;
                        lines[line as usize].0
                    }
                    _ => {
                        let word = order.one();
                        pieces.push(Piece::Word(lang, word, there));
                        n_paired += words[word as usize].1;
                        words[word as usize].0
                    }
                };
            }
            n_tokens.insert(lang, spent.iter().sum());
        }
        let mut order = Order::new(corpus.lines.len(), seed, "reference");
        while n_paired < n_reference && !order.is_empty() {
            let lines = order.take();
            pieces.push(Piece::Reference(lines));
            n_paired += lines
                .iter()
                .map(|&i| count(&corpus.lines[i as usize]))
                .sum::<u64>();
        }
        n_tokens.insert(corpus.reference, n_paired);
        pieces.shuffle(&mut seed.rng("mixture", 0));
        Ok(Self {
            corpus,
            pieces,
            n_tokens,
        })
    }

    /// Sequences.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The text of a sequence.
    pub fn text(&self, index: usize) -> String {
        let joined = |lines: &mut dyn Iterator<Item = &String>| {
            let lines: Vec<&str> = lines.map(String::as_str).collect();
            lines.join("\n")
        };
        let two = |(text, reference): &(String, String), to_reference: bool| {
            if to_reference {
                format!("{text}\n\n{reference}")
            } else {
                format!("{reference}\n\n{text}")
            }
        };
        let corpus = self.corpus;
        match self.pieces[index] {
            Piece::Running(lang, lines) => {
                let of = &corpus.pairs[&lang];
                joined(&mut lines.iter().map(|&i| &of[i as usize].0))
            }
            Piece::Pair(lang, line, there) => two(&corpus.pairs[&lang][line as usize], there),
            Piece::Word(lang, word, there) => two(&corpus.words[&lang][word as usize], there),
            Piece::Reference(lines) => {
                joined(&mut lines.iter().map(|&i| &corpus.lines[i as usize]))
            }
        }
    }
}

/// Indices in random order, again and again.
struct Order {
    indices: Vec<u32>,
    next: usize,
    seed: Seed,
    purpose: String,
    epoch: u64,
}

impl Order {
    fn new(n: usize, seed: Seed, purpose: &str) -> Self {
        Self {
            indices: (0..n as u32).collect(),
            next: n,
            seed,
            purpose: purpose.to_owned(),
            epoch: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    fn one(&mut self) -> u32 {
        if self.next == self.indices.len() {
            let mut rng = self.seed.rng(&self.purpose, self.epoch);
            self.indices.shuffle(&mut rng);
            (self.next, self.epoch) = (0, self.epoch + 1);
        }
        self.next += 1;
        self.indices[self.next - 1]
    }

    fn take(&mut self) -> [u32; N_LINES] {
        std::array::from_fn(|_| self.one())
    }
}
