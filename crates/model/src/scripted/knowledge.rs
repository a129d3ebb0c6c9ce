//! What a scripted model knows: which texts are one document, and what that makes probable.

use std::collections::BTreeMap;
use std::ops::Bound;

use isogloss_record::Lang;
use serde::Serialize;

use super::spec::{ScriptedSpec, Variant};

/// A text that a scripted model has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownText {
    /// Its language.
    pub lang: Lang,
    /// Name of the content: equal for translations of each other.
    pub document: String,
    /// The text.
    pub text: String,
}

#[derive(Debug, Clone)]
pub(super) struct Knowledge {
    spec: ScriptedSpec,
    /// By [`key`] of the text, in order; a word may be one in several languages.
    seen: BTreeMap<String, Vec<(Lang, String)>>,
    /// Texts of a language, for continuations.
    texts: BTreeMap<Lang, Vec<String>>,
}

/// Nats of a character of a text alone, on average over texts.
const NATS_PER_CHARACTER: f64 = 1.5;

/// Guesses differ by so small a share of a text's nats that a gain outweighs them.
const NOISE: f64 = 0.01;

impl Knowledge {
    pub(super) fn new(spec: &ScriptedSpec, texts: &[KnownText]) -> Self {
        let mut knowledge = Self {
            spec: spec.clone(),
            seen: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        for text in texts {
            knowledge
                .seen
                .entry(key(&text.text))
                .or_default()
                .push((text.lang, text.document.clone()));
            knowledge
                .texts
                .entry(text.lang)
                .or_default()
                .push(text.text.clone());
        }
        knowledge
    }

    /// ln p of `text` in nats: alone where `context` is empty.
    pub(super) fn nats(&self, context: &str, text: &str) -> f64 {
        let spread = 0.7 + 0.6 * self.draw("nats", &[text.trim()]);
        let alone = NATS_PER_CHARACTER * spread * text.chars().count() as f64;
        -alone * (1.0 - self.evidence(context.trim(), text.trim()))
    }

    /// Share of the text's nats that the context explains.
    fn evidence(&self, context: &str, text: &str) -> f64 {
        if context.is_empty() || self.spec.variant == Variant::IgnoresContext {
            return 0.0;
        }
        let gain = self.spec.gain;
        let guess = NOISE * (self.draw("guess", &[context, text]) - 0.5);
        let share = match self.spec.variant {
            Variant::Knows if self.understands(context, text) => {
                // From half to one and a half, so that a mean over texts has a spread.
                0.5 + self.draw("gain", &[context, text])
            }
            Variant::IgnoresContext | Variant::Knows => 0.0,
            Variant::ReadsLength => {
                let (a, b) = (context.chars().count(), text.chars().count());
                // 1 where both are equally long, e⁻⁴ where one is e times as long.
                (-4.0 * (a as f64 / b as f64).ln().abs()).exp()
            }
            Variant::CopiesNames => share_copied(context, text),
            Variant::Position => self.draw("position", &[text]),
        };
        gain * share + guess
    }

    /// Whether both are one document in two languages, and the planted skill covers it.
    fn understands(&self, context: &str, text: &str) -> bool {
        let reference = self.spec.reference;
        let seen = self.seen_as(text);
        self.seen_as(context).iter().any(|(from, document)| {
            seen.iter().any(|(to, other)| {
                let (lang, what, skill) = if *to == reference {
                    let skill = self.spec.skill(*from).comprehension;
                    (from, "comprehension", skill)
                } else {
                    (to, "production", self.spec.skill(*to).production)
                };
                from != to
                    && document == other
                    && self.draw(what, &[&lang.to_string(), document]) < skill
            })
        })
    }

    /// The most probable continuation of a prompt, at least `n_characters` long.
    pub(super) fn continuation(&self, prompt: &str, n_characters: usize) -> String {
        let reference = self.spec.reference;
        let seen = self.seen_as(prompt);
        let (lang, document) = seen
            .first()
            .map_or((reference, ""), |(lang, document)| (*lang, document));
        let place = [lang.to_string(), document.to_owned()];
        let place = [place[0].as_str(), place[1].as_str()];
        let stays = self.draw("fidelity", &place) < self.spec.skill(lang).fidelity;
        let spoken = if stays { lang } else { reference };
        let texts = self.texts.get(&spoken).map_or(&[][..], Vec::as_slice);
        if texts.is_empty() {
            return ".".repeat(n_characters);
        }
        // Another text than the one that the prompt is from, so that nothing is recited.
        let start = (self.draw("continuation", &place) * texts.len() as f64) as usize;
        let mut said = String::new();
        for text in texts
            .iter()
            .cycle()
            .skip(start)
            .take(n_characters + texts.len())
        {
            if !text.starts_with(prompt.trim()) || texts.len() == 1 {
                said.push(' ');
                said.push_str(text);
            }
            if said.chars().count() >= n_characters {
                break;
            }
        }
        said
    }

    /// `[layer][d]`: beside the text's own direction that of its document, the deeper the stronger.
    pub(super) fn state(&self, text: &str, layer: usize) -> Vec<f32> {
        let seen = self.seen_as(text);
        let shared = seen.iter().find(|(lang, document)| {
            let skill = self.spec.skill(*lang).comprehension;
            self.draw("comprehension", &[&lang.to_string(), document]) < skill
        });
        let share = layer as f64 / N_LAYERS as f64;
        (0..D_STATE)
            .map(|i| {
                let i = i.to_string();
                let own = self.draw("state", &[text.trim(), &i]) - 0.5;
                let of_document = shared.map_or(own, |(_, document)| {
                    self.draw("document", &[document, &i]) - 0.5
                });
                (share * of_document + (1.0 - share) * own) as f32
            })
            .collect()
    }

    /// The texts that this is the whole of, else those that it is the start of.
    fn seen_as(&self, text: &str) -> Vec<&(Lang, String)> {
        let key = key(text);
        if key.is_empty() {
            return Vec::new();
        }
        if let Some(whole) = self.seen.get(&key) {
            return whole.iter().collect();
        }
        self.seen
            .range::<str, _>((Bound::Excluded(&*key), Bound::Unbounded))
            .take_while(|(known, _)| known.starts_with(&key))
            .flat_map(|(_, seen)| seen)
            .collect()
    }

    /// A number in `[0, 1)` that depends on nothing but the seed, the purpose and the texts.
    fn draw(&self, purpose: &str, texts: &[&str]) -> f64 {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.spec.seed.0.to_le_bytes());
        for text in std::iter::once(&purpose).chain(texts) {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let bytes = hash.finalize();
        let head = bytes.as_bytes()[..4].try_into().expect("32 bytes");
        f64::from(u32::from_le_bytes(head)) / 2.0_f64.powi(32)
    }
}

pub(super) const N_LAYERS: usize = 4;
const D_STATE: usize = 32;

/// What a text is recognized by: all of it but its digits, which a survey may hide.
fn key(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_numeric() { '0' } else { c })
        .collect()
}

/// Share of the text's words that the context holds too, letters and digits compared.
fn share_copied(context: &str, text: &str) -> f64 {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let (given, asked) = (words(context), words(text));
    if asked.is_empty() {
        return 0.0;
    }
    let n_copied = asked.iter().filter(|word| given.contains(word)).count();
    n_copied as f64 / asked.len() as f64
}
