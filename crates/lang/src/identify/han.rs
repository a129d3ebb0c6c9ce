//! Simplified and traditional characters: which of the two a text is in, and one form for both.
//!
//! Mandarin, Cantonese, Wu are languages; simplified and traditional are two ways to write each of
//! them. So n-grams of Han text are those of its simplified form, whatever it is written in, and
//! the characters that exist in one form only say which label of the language is meant:
//!
//! ```text
//! 這是我們的國家 --fold--> 这是我们的国家 (n-grams)    這 們 國: Hant, not Hans
//! ```
//!
//! The table is learned from pairs of the same text in both forms and travels with the model
//! (`packs/identifier/han.tsv` adds what those texts lack).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Texts of so many characters may be two translations of one length ...
const N_CHARS_MANY: usize = 8;

/// ... and are one text in two forms where so large a share of their characters is equal.
const EQUAL_SHARE_MIN: f64 = 0.5;

/// Traditional characters with their simplified forms. The default knows none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HanForms {
    /// Traditional characters that simplified text writes otherwise.
    simplified: BTreeMap<char, char>,
    /// Simplified characters that traditional text never has.
    simplified_only: BTreeSet<char>,
}

impl HanForms {
    /// Learns from pairs of a traditional and a simplified text. Pairs that are not the same text
    /// character by character (of another length; eight and more characters that are less than half
    /// equal) teach nothing. A character that is most often itself, or has no form in more than
    /// half of its places, stays as it is.
    pub fn learn<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut counts: BTreeMap<char, BTreeMap<char, usize>> = BTreeMap::new();
        for (traditional, simplified) in pairs {
            let from: Vec<char> = traditional.chars().collect();
            let to: Vec<char> = simplified.chars().collect();
            let n_equal = from.iter().zip(&to).filter(|(a, b)| a == b).count();
            let same =
                from.len() < N_CHARS_MANY || n_equal as f64 >= EQUAL_SHARE_MIN * from.len() as f64;
            if from.len() == to.len() && same {
                for (&from, &to) in from.iter().zip(&to) {
                    *counts.entry(from).or_default().entry(to).or_default() += 1;
                }
            }
        }
        let simplified: BTreeMap<char, char> = counts
            .iter()
            .filter_map(|(&from, to)| {
                let n: usize = to.values().sum();
                let (&to, _) = to.iter().find(|(_, n_to)| 2 * **n_to > n)?;
                (to != from).then_some((from, to))
            })
            .collect();
        let simplified_only = simplified
            .values()
            .copied()
            .filter(|to| !counts.contains_key(to))
            .collect();
        Self {
            simplified,
            simplified_only,
        }
    }

    /// Rewrites characters in their simplified form and says in which one the text was, by the
    /// majority of those that exist in one form only: `Hans`, `Hant`, or empty where they are
    /// equally many or there are none.
    pub(super) fn fold(&self, chars: &mut [char]) -> &'static str {
        let (mut n_simplified, mut n_traditional) = (0_usize, 0_usize);
        for c in chars {
            if let Some(&simplified) = self.simplified.get(c) {
                *c = simplified;
                n_traditional += 1;
            } else {
                n_simplified += usize::from(self.simplified_only.contains(c));
            }
        }
        match n_simplified.cmp(&n_traditional) {
            std::cmp::Ordering::Less => "Hant",
            std::cmp::Ordering::Equal => "",
            std::cmp::Ordering::Greater => "Hans",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_learned_from_pairs_and_the_form_of_a_text_is_told() {
        let forms = HanForms::learn([
            ("國家在這裡", "国家在这里"),
            ("三里路", "三里路"),
            // Another length, another text: nothing to learn.
            ("電腦程式", "计算机程序"),
            ("我們用電腦寫程式碼", "大家使计算机编代码"),
        ]);
        for (text, folded, form) in [
            ("在這國", "在这国", "Hant"),
            ("在这国", "在这国", "Hans"),
            // Both forms have these; one of each is a tie.
            ("在家里", "在家里", ""),
            ("这國", "这国", ""),
            ("電腦", "電腦", ""),
            ("", "", ""),
        ] {
            let mut chars: Vec<char> = text.chars().collect();
            assert_eq!(forms.fold(&mut chars), form, "{text}");
            assert_eq!(chars.into_iter().collect::<String>(), folded);
        }
    }
}
