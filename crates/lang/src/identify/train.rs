//! How the identifier learns: documents -> counts per part -> weights.
//!
//! Multinomial naive Bayes with Dirichlet smoothing, sparse. For an n-gram g of one order and
//! register, c times in a part of n, with d̄ the mean number of distinct n-grams of the parts of its
//! script, and q the mean over those parts of c/n:
//!
//! ```text
//! p(g | part) = (c + d̄·q) / (n + d̄)
//! ln p(g | part) / q = ln(1 + c / (d̄·q))  +  ln(d̄ / (n + d̄))
//!                      stored per entry       stored per part and order
//! ```
//!
//! So an n-gram that a part lacks costs one number per part, whatever the n-gram, and the size of
//! a part's text cancels. Parts of one register are of like size (one translation each; word lists
//! of languages without running text are cut to such a size), because a language with six times
//! the text takes its small sisters' words for its own.

use std::collections::{BTreeMap, HashMap};

use isogloss_record::Lang;

use super::han::HanForms;
use super::letters::{Letters, ORDER_MAX};
use super::model::{Calibration, Header, Model, Part, Register};

/// A piece of training text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The language.
    pub label: Lang,
    /// Translation or word list: documents of one label, register and name make one part.
    pub part: String,
    /// Kind of text.
    pub register: Register,
    /// The text, in any normal form.
    pub text: String,
}

/// What the trainer can vary; the defaults are the shipped model's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Weight per order, 1 first. Single letters say more about a text's topic than its language.
    pub order_weights: [f64; ORDER_MAX],
    /// The same for Han characters, each of which is a word or a part of one.
    pub order_weights_han: [f64; ORDER_MAX],
    /// An n-gram of each order is kept in a part that has it so often.
    pub count_min: [f64; ORDER_MAX],
    /// An n-gram of each order is kept where it occurs so often in all parts together.
    pub total_min: [f64; ORDER_MAX],
    /// Weights are stored in steps of so many nats; what rounds to zero steps is left out.
    pub step: f64,
    /// How much the reading without accents and tone marks counts beside the text itself.
    pub without_marks: f64,
    /// Weight of the word register beside the running one.
    pub words_weight: f64,
    /// Handicap of languages without words, nats a character.
    pub words_handicap: f64,
    /// What Han text must say for another language than Mandarin, nats: it is what nearly everyone
    /// writes, speakers of the others too.
    pub han_prior: f64,
    /// Traditional and simplified characters. Without them, each form is its own language.
    pub han: HanForms,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            order_weights: [0.0, 0.7, 1.0, 1.2, 1.4],
            order_weights_han: [1.4, 1.2, 1.0, 0.0, 0.0],
            count_min: [0.0, 0.0, 0.5, 0.9, 0.9],
            total_min: [0.0, 0.0, 4.0, 5.0, 24.0],
            step: 0.5,
            without_marks: 0.3,
            words_weight: 1.0,
            words_handicap: 0.3,
            han_prior: 12.0,
            han: HanForms::default(),
        }
    }
}

impl Settings {
    /// Weight per order for text of a script.
    fn weights(&self, script: &str) -> &[f64; ORDER_MAX] {
        match script {
            "Hani" | "Jpan" => &self.order_weights_han,
            _ => &self.order_weights,
        }
    }
}

/// An n-gram of a part.
struct Count {
    key: u32,
    part: u16,
    order: u8,
    n: f32,
}

/// Learns a model; the same documents in any order give the same bytes. The calibration is not
/// fitted here: the temperature is 1.
pub(super) fn train(documents: &[Document], settings: &Settings) -> Model {
    let read: Vec<(&Document, Letters)> = documents
        .iter()
        .map(|document| (document, Letters::read(&document.text).fold(&settings.han)))
        .filter(|(_, letters)| !letters.chars.is_empty())
        .collect();
    // A part's script is that of most of its letters; all parts by register, script, label, name.
    let mut by_part: BTreeMap<(Register, Lang, &str), Vec<&Letters>> = BTreeMap::new();
    for (document, letters) in &read {
        by_part
            .entry((document.register, document.label, &document.part))
            .or_default()
            .push(letters);
    }
    let mut labels: Vec<Lang> = by_part.keys().map(|(_, label, _)| *label).collect();
    labels.sort_unstable();
    labels.dedup();
    let mut scripts: Vec<String> = by_part.values().map(|texts| script(texts)).collect();
    scripts.sort_unstable();
    scripts.dedup();
    let place = |script: &str| {
        scripts
            .binary_search_by(|known| known.as_str().cmp(script))
            .expect("collected from the same parts")
    };

    let mut parts = Vec::new();
    let mut counts = Vec::new();
    // Sums per part and order: occurrences, distinct n-grams.
    let mut sizes: Vec<[(f64, f64); ORDER_MAX]> = Vec::new();
    for ((register, label, _), texts) in &by_part {
        let part = parts.len() as u16;
        let mut own: HashMap<u32, (u8, f32)> = HashMap::new();
        for letters in texts {
            letters
                .for_each_gram(|order, key| own.entry(key).or_insert((order as u8, 0.0)).1 += 1.0);
            if settings.without_marks > 0.0
                && letters.script == "Latn"
                && let Some(plain) = letters.without_marks()
            {
                plain.for_each_gram(|order, key| {
                    own.entry(key).or_insert((order as u8, 0.0)).1 += settings.without_marks as f32;
                });
            }
        }
        let script = script(texts);
        let order_weights = settings.weights(&script);
        let mut own: Vec<Count> = own
            .into_iter()
            .map(|(key, (order, n))| Count {
                key,
                part,
                order,
                n,
            })
            .filter(|count| order_weights[count.order as usize - 1] > 0.0)
            .collect();
        // Sums of floats depend on their order.
        own.sort_unstable_by_key(|count| count.key);
        let mut size = [(0.0, 0.0); ORDER_MAX];
        for count in &own {
            let (occurrences, distinct) = &mut size[count.order as usize - 1];
            *occurrences += f64::from(count.n);
            *distinct += 1.0;
        }
        own.retain(|count| f64::from(count.n) >= settings.count_min[count.order as usize - 1]);

        counts.append(&mut own);
        sizes.push(size);
        parts.push(Part {
            register: *register,
            script: place(&script),
            label: labels
                .binary_search(label)
                .expect("collected from the same parts"),
            unseen: [0.0; ORDER_MAX],
        });
    }
    let pseudo = pseudo_counts(&mut parts, &sizes, &scripts, settings);
    counts.sort_unstable_by_key(|count| (count.key, count.part));

    let (mut keys, mut starts) = (Vec::new(), vec![0_u32]);
    let (mut entry_parts, mut weights) = (Vec::new(), Vec::new());
    for same in counts.chunk_by(|a, b| a.key == b.key) {
        let total: f64 = same.iter().map(|count| f64::from(count.n)).sum();
        if total < settings.total_min[same[0].order as usize - 1] {
            continue;
        }
        // Mean share per register and script: a handful of pairs.
        let mut mean: BTreeMap<(Register, usize), f64> = BTreeMap::new();
        for count in same {
            let part = &parts[count.part as usize];
            let (n, _) = sizes[count.part as usize][count.order as usize - 1];
            *mean.entry((part.register, part.script)).or_default() += f64::from(count.n) / n;
        }
        for count in same {
            let part = &parts[count.part as usize];
            let order = count.order as usize - 1;
            let (d, n_parts) = pseudo[&(part.register, part.script)][order];
            let q = mean[&(part.register, part.script)] / n_parts;
            let order_weight = settings.weights(&scripts[part.script])[order];
            let weight = order_weight * (f64::from(count.n) / (d * q)).ln_1p();
            let steps = (weight / settings.step).round().min(f64::from(u8::MAX)) as u8;
            if steps > 0 {
                entry_parts.push(count.part);
                weights.push(steps);
            }
        }
        if entry_parts.len() > *starts.last().expect("it begins with 0") as usize {
            keys.push(same[0].key);
            starts.push(entry_parts.len() as u32);
        }
    }
    let header = Header {
        labels,
        scripts,
        parts,
        step: settings.step,
        words_weight: settings.words_weight,
        words_handicap: settings.words_handicap,
        han_prior: settings.han_prior,
        han: settings.han.clone(),
        calibration: Calibration {
            temperature: 1.0,
            growth: 0.0,
        },
        calibration_by_script: BTreeMap::new(),
    };
    Model::new(header, keys, starts, entry_parts, weights)
}

/// The script of most letters of a part.
fn script(texts: &[&Letters]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for letters in texts {
        *counts.entry(letters.script).or_default() += letters.n_letters;
    }
    counts
        .into_iter()
        .max_by_key(|(_, n)| *n)
        .map_or_else(String::new, |(script, _)| script.to_owned())
}

/// By register and script, per order: d̄ and the number of parts; fills in the parts' `unseen`.
fn pseudo_counts(
    parts: &mut [Part],
    sizes: &[[(f64, f64); ORDER_MAX]],
    scripts: &[String],
    settings: &Settings,
) -> BTreeMap<(Register, usize), [(f64, f64); ORDER_MAX]> {
    let mut pseudo = BTreeMap::new();
    for register in [Register::Running, Register::Words] {
        for (script, name) in scripts.iter().enumerate() {
            let members: Vec<usize> = (0..parts.len())
                .filter(|&i| parts[i].register == register && parts[i].script == script)
                .collect();
            if members.is_empty() {
                continue;
            }
            let mut all = [(1.0, members.len() as f64); ORDER_MAX];
            for (order, (d, _)) in all.iter_mut().enumerate() {
                let distinct: f64 = members.iter().map(|&i| sizes[i][order].1).sum();
                *d = (distinct / members.len() as f64).max(1.0);
                for &i in &members {
                    let unseen = (*d / (sizes[i][order].0 + *d)).ln();
                    parts[i].unseen[order] = (settings.weights(name)[order] * unseen) as f32;
                }
            }
            pseudo.insert((register, script), all);
        }
    }
    pseudo
}
