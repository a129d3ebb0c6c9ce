//! The copy floor's texts: every word that is no name, number or shared word is replaced by a
//! seeded nonsense word of its script.
//!
//! What a model still gets right from such a text, it gets from names alone (a model that knows
//! no Hausa reaches κ .22 so). Example with the name kept:
//! `"A ranar Litinin, Obama ya ce"` becomes `"U tanir Bakanti, Obama wo ri"`.
//!
//! Rules, in this order, per word (ICU segmentation, so scripts without spaces too):
//! 1. a word with a digit is a number: kept;
//! 2. a word whose romanization also stands in the other text is shared: kept. Where case does not
//!    mark names (scripts without case, and languages that write every noun large), a similar one
//!    counts too (`muhmd`, `muhammad`), because names are spelled by sound;
//! 3. a word with a large first letter that does not begin a sentence is a name: kept, but not in
//!    a language that writes more than a quarter of its words so (German nouns are not names);
//! 4. anything else becomes a word of as many graphemes, drawn from the text's own graphemes by
//!    which follows which, and never a word of the text.
//!
//! The same word becomes the same nonsense everywhere in a language, so repetition stays.

use std::collections::{BTreeMap, BTreeSet};

use isogloss_lang::romanize::{similarity_of_sounds, sound};
use isogloss_lang::script::digit_value;
use isogloss_lang::segment::{graphemes, word_spans};
use isogloss_record::Seed;
use rand::RngExt;

/// Above this share of large first letters inside sentences, case does not mark names.
const LARGE_SHARE_MAX: f64 = 0.25;
/// Similarity (1 − distance / length) from which romanized words count as one name.
const NAME_SIMILARITY_MIN: f64 = 0.75;
/// Shorter romanized words are not compared by similarity.
const NAME_LETTERS_MIN: usize = 4;
/// Draws by which-follows-which before letters are drawn freely (in scripts where any two
/// characters make a word, the first way only finds words of the text again).
const CHAIN_DRAWS_MAX: usize = 8;
/// Free draws before a nonsense word that is a word of the text is taken after all.
const FREE_DRAWS_MAX: usize = 8;

/// Graphemes and words of one language's texts: what nonsense is made from.
#[derive(Debug)]
pub struct Alphabet {
    /// Graphemes of all words, in order, with repetitions.
    all: Vec<String>,
    starts: Vec<String>,
    followers: BTreeMap<String, Vec<String>>,
    words: BTreeSet<String>,
    case_marks_names: bool,
}

impl Alphabet {
    /// Learns from all documents of a language; an empty text gives an empty alphabet, with which
    /// nothing is replaced.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut alphabet = Self {
            all: Vec::new(),
            starts: Vec::new(),
            followers: BTreeMap::new(),
            words: BTreeSet::new(),
            case_marks_names: false,
        };
        let (mut n_inner, mut n_large, mut has_case) = (0_usize, 0_usize, false);
        for text in texts {
            for word in words(text) {
                has_case |= word.text.chars().any(char::is_lowercase);
                if !word.starts_sentence {
                    n_inner += 1;
                    n_large += usize::from(starts_large(word.text));
                }
                let lower = word.text.to_lowercase();
                let letters: Vec<&str> = graphemes(&lower).collect();
                for (i, letter) in letters.iter().enumerate() {
                    alphabet.all.push((*letter).to_owned());
                    match i.checked_sub(1) {
                        None => alphabet.starts.push((*letter).to_owned()),
                        Some(before) => alphabet
                            .followers
                            .entry(letters[before].to_owned())
                            .or_default()
                            .push((*letter).to_owned()),
                    }
                }
                alphabet.words.insert(lower);
            }
        }
        alphabet.case_marks_names =
            has_case && (n_large as f64) <= LARGE_SHARE_MAX * n_inner as f64;
        alphabet
    }

    /// The nonsense for a word: as many graphemes, large first letter where the word has one.
    pub fn nonsense(&self, word: &str, seed: Seed) -> String {
        let lower = word.to_lowercase();
        let n = graphemes(&lower).count();
        if self.all.is_empty() || n == 0 {
            return word.to_owned();
        }
        let mut rng = seed.rng(&format!("nonsense {lower}"), 0);
        let mut drawn = String::new();
        for draw in 0..CHAIN_DRAWS_MAX + FREE_DRAWS_MAX {
            let mut last: Option<&String> = None;
            drawn.clear();
            for _ in 0..n {
                let pool = match last {
                    _ if draw >= CHAIN_DRAWS_MAX => &self.all,
                    None => &self.starts,
                    Some(last) => self.followers.get(last).unwrap_or(&self.all),
                };
                let letter = &pool[rng.random_range(0..pool.len())];
                drawn.push_str(letter);
                last = Some(letter);
            }
            if !self.words.contains(&drawn) {
                break;
            }
        }
        if starts_large(word) {
            let mut letters = drawn.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        } else {
            drawn
        }
    }

    /// `text` with all but names, numbers and words shared with `other` made nonsense.
    pub fn without_words(&self, text: &str, other: &Romanized, seed: Seed) -> String {
        let kept: BTreeSet<usize> = words(text)
            .filter(|word| {
                word.text.chars().any(|c| digit_value(c).is_some())
                    || other.shares(word.text, !self.case_marks_names)
                    || (self.case_marks_names && !word.starts_sentence && starts_large(word.text))
            })
            .map(|word| word.start)
            .collect();
        word_spans(text)
            .into_iter()
            .map(|span| {
                let segment = &text[span.start..span.end];
                if kept.contains(&span.start) || !span.is_word {
                    segment.to_owned()
                } else {
                    self.nonsense(segment, seed)
                }
            })
            .collect()
    }
}

/// The romanized words of a text, to find out what another text shares with it.
#[derive(Debug)]
pub struct Romanized {
    words: BTreeSet<String>,
}

impl Romanized {
    /// Romanizes every word of a text.
    pub fn new(text: &str) -> Self {
        Self {
            words: words(text)
                .map(|word| sound(word.text))
                .filter(|word| !word.is_empty())
                .collect(),
        }
    }

    /// Whether a word of another text stands here too: the same, or (`or_similar`) one spelled
    /// almost so.
    fn shares(&self, word: &str, or_similar: bool) -> bool {
        let word = sound(word);
        if word.is_empty() {
            return false;
        }
        self.words.contains(&word)
            || (or_similar
                && word.chars().count() >= NAME_LETTERS_MIN
                && self
                    .words
                    .iter()
                    .any(|other| similarity_of_sounds(&word, other) >= NAME_SIMILARITY_MIN))
    }
}

struct Word<'a> {
    text: &'a str,
    /// Its first byte.
    start: usize,
    starts_sentence: bool,
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut starts_sentence = true;
    word_spans(text).into_iter().filter_map(move |span| {
        let segment = &text[span.start..span.end];
        if !span.is_word {
            starts_sentence |= segment.contains(SENTENCE_ENDS);
            return None;
        }
        Some(Word {
            text: segment,
            start: span.start,
            starts_sentence: std::mem::take(&mut starts_sentence),
        })
    })
}

/// What a sentence or quotation may begin after.
const SENTENCE_ENDS: [char; 18] = [
    '.', '!', '?', ':', ';', '"', '“', '„', '«', '»', '¿', '¡', '。', '！', '？', '…', '։', '।',
];

fn starts_large(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(7);

    fn floor(texts: &[&str], i: usize, other: &str) -> String {
        Alphabet::new(texts.iter().copied()).without_words(texts[i], &Romanized::new(other), SEED)
    }

    #[test]
    fn names_numbers_and_shared_words_stay_and_nothing_else() {
        let texts = [
            "Jiya shugaban kasa Obama ya isa birnin Kano da mutane 300 a ranar.",
            "Mutane sun ce ba su san dalilin wannan abu ba a garin.",
        ];
        let text = floor(
            &texts,
            0,
            "President Obama arrived in the city of Kano with 300 people.",
        );
        for kept in ["Obama", "Kano", "300", "."] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
        for gone in ["Jiya", "shugaban", "birnin", "mutane", "ranar"] {
            assert!(!text.contains(gone), "{gone} in {text}");
        }
        // As long as before, so that length alone gives as much as before.
        assert_eq!(text.chars().count(), texts[0].chars().count());
    }

    #[test]
    fn every_script_gets_nonsense_of_its_own_graphemes() {
        for texts in [
            [
                "人人生而自由，在尊严和权利上一律平等。",
                "他们赋有理性和良心，并应以兄弟关系的精神相对待。",
            ],
            ["มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน", "ทุกคนมีสิทธิในการดำรงชีวิต"],
            [
                "सभी मनुष्यों को गौरव और अधिकारों में स्वतन्त्रता",
                "प्रत्येक व्यक्ति को जीवन का अधिकार",
            ],
            [
                "يولد جميع الناس أحراراً متساوين في الكرامة",
                "لكل فرد الحق في الحياة والحرية",
            ],
            [
                "Все люди рождаются свободными и равными",
                "Каждый человек имеет право на жизнь",
            ],
            [
                "Tất cả mọi người sinh ra đều được tự do",
                "Ai cũng có quyền sống, tự do",
            ],
        ] {
            let text = floor(&texts, 0, "All human beings are born free and equal");
            assert_ne!(text, texts[0]);
            let letters: BTreeSet<String> = texts
                .iter()
                .flat_map(|text| graphemes(text))
                .flat_map(|letter| {
                    [
                        letter.to_owned(),
                        letter.to_lowercase(),
                        letter.to_uppercase(),
                    ]
                })
                .collect();
            for letter in graphemes(&text) {
                assert!(letters.contains(letter), "{letter:?} of {text}");
            }
        }
    }

    #[test]
    fn names_are_found_by_sound_where_case_does_not_show_them() {
        let texts = ["राष्ट्रपति ओबामा कल दिल्ली पहुंचे", "लोग शहर में नहीं थे"];
        let text = floor(&texts, 0, "President Obama arrived in Dilli yesterday");
        assert!(text.contains("ओबामा"), "{text}");
        assert!(!text.contains("पहुंचे"), "{text}");
        // German writes every noun large: those are no names.
        let german = [
            "Gestern kam der Präsident der Republik mit seiner Familie in die Stadt Weimar",
            "Das Haus steht neben der Kirche am Fluss",
        ];
        let text = floor(&german, 0, "The president came to Weimar");
        assert!(
            text.contains("Weimar") && !text.contains("Familie"),
            "{text}"
        );
    }

    #[test]
    fn the_same_word_is_the_same_nonsense_for_a_seed() {
        let texts = ["aaa bbb aaa ccc", "abc cab bca"];
        let text = floor(&texts, 0, "");
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[0], words[2]);
        assert_eq!(text, floor(&texts, 0, ""));
    }
}
