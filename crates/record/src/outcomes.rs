//! What every single item of a survey gave, so that any two models can be compared on the items that
//! both answered, from their `results.json` alone.
//!
//! Lists are written as one string each, so that hundreds of languages stay small and a file stays
//! readable: flags as `0` and `1` (`-` for no answer), gains as decimals of four digits between
//! spaces (`-` where there is none), ids between spaces with white space and `%` in them
//! percent-encoded.
//!
//! ```text
//! "ids": "3 11 7 20", "right": "1101", "gain": "0.2113 0.1950 -0.0042 -"
//! ```

use serde::{Deserialize, Serialize};

/// The items of one language in one register.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemOutcomes {
    /// Documents (or words, by concept) in the order in which they were asked. Every list below is
    /// about the first ones of these, as many as it is long.
    #[serde(with = "ids")]
    pub ids: Vec<String>,
    /// Text in the language, choice in the reference language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comprehension: Option<ChoiceOutcomes>,
    /// Text in the reference language, choice in the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<ChoiceOutcomes>,
    /// Whether the continuation of each document stayed in the language, as the identifier heard it;
    /// `None` where it said nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "answers")]
    pub stayed: Vec<Option<bool>>,
    /// Whether a word's gloss was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "flags")]
    pub to_reference: Vec<bool>,
    /// Whether a gloss's word was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "flags")]
    pub from_reference: Vec<bool>,
    /// Whether a word looks like its gloss, so that it does not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "flags")]
    pub cognate: Vec<bool>,
}

/// A four-way choice, item by item, beside its copy floor: the same items with nonsense contexts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceOutcomes {
    /// Whether the right text was chosen.
    #[serde(with = "flags")]
    pub right: Vec<bool>,
    /// Share of the text's bits that the right context explains, to four decimals; `None` where
    /// there was nothing to explain.
    #[serde(with = "gains")]
    pub gain: Vec<Option<f64>>,
    /// The same of the copy floor; as long as `right` where it was measured, else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "flags")]
    pub floor_right: Vec<bool>,
    /// The gains of the copy floor, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "gains")]
    pub floor_gain: Vec<Option<f64>>,
}

/// Decimals that gains are kept with.
const N_DIGITS: usize = 4;

/// A gain as it is kept.
pub fn rounded(gain: f64) -> f64 {
    let scale = 10_f64.powi(N_DIGITS as i32);
    // Adding zero leaves no negative zero.
    (gain * scale).round() / scale + 0.0
}

mod ids {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ids: &[String], to: S) -> Result<S::Ok, S::Error> {
        let words: Vec<String> = ids.iter().map(|id| encoded(id)).collect();
        to.serialize_str(&words.join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        let text = String::deserialize(from)?;
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| {
                decoded(word).ok_or_else(|| {
                    serde::de::Error::custom(format!("`{word}` is not percent-encoded UTF-8"))
                })
            })
            .collect()
    }

    fn encoded(id: &str) -> String {
        use std::fmt::Write as _;
        let mut word = String::with_capacity(id.len());
        for c in id.chars() {
            if c.is_whitespace() || c.is_control() || c == '%' {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    write!(word, "%{byte:02x}").expect("writing to a string");
                }
            } else {
                word.push(c);
            }
        }
        word
    }

    fn decoded(word: &str) -> Option<String> {
        let mut bytes = Vec::with_capacity(word.len());
        let mut parts = word.split('%');
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(bytes).ok()
    }
}

mod answers {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        answers: &[Option<bool>],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let text: String = answers
            .iter()
            .map(|answer| match answer {
                Some(true) => '1',
                Some(false) => '0',
                None => '-',
            })
            .collect();
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Option<bool>>, D::Error> {
        String::deserialize(from)?
            .chars()
            .map(|c| match c {
                '1' => Ok(Some(true)),
                '0' => Ok(Some(false)),
                '-' => Ok(None),
                other => Err(serde::de::Error::custom(format!(
                    "found `{other}` among answers, expected `0`, `1` or `-`"
                ))),
            })
            .collect()
    }
}

mod flags {
    use serde::{Deserializer, Serializer};

    use super::answers;

    pub(super) fn serialize<S: Serializer>(flags: &[bool], to: S) -> Result<S::Ok, S::Error> {
        let answers: Vec<Option<bool>> = flags.iter().copied().map(Some).collect();
        answers::serialize(&answers, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<bool>, D::Error> {
        answers::deserialize(from)?
            .into_iter()
            .map(|answer| {
                answer.ok_or_else(|| {
                    serde::de::Error::custom("found `-` among flags, expected `0` or `1`")
                })
            })
            .collect()
    }
}

mod gains {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::N_DIGITS;

    pub(super) fn serialize<S: Serializer>(
        gains: &[Option<f64>],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let words: Vec<String> = gains
            .iter()
            .map(|gain| gain.map_or_else(|| "-".to_owned(), |gain| format!("{gain:.N_DIGITS$}")))
            .collect();
        to.serialize_str(&words.join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Option<f64>>, D::Error> {
        String::deserialize(from)?
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| match word {
                "-" => Ok(None),
                number => match number.parse::<f64>() {
                    Ok(gain) if gain.is_finite() => Ok(Some(gain)),
                    _ => Err(serde::de::Error::custom(format!(
                        "found `{number}` among gains, expected a number or `-`"
                    ))),
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_one_string_each() {
        let outcomes = ItemOutcomes {
            ids: vec!["3".into(), "dog face".into(), "100 %".into(), "لغة".into()],
            comprehension: Some(ChoiceOutcomes {
                right: vec![true, true, false, true],
                gain: vec![Some(rounded(0.211_349)), Some(rounded(-0.000_01)), None],
                ..ChoiceOutcomes::default()
            }),
            stayed: vec![Some(true), None, Some(false)],
            ..ItemOutcomes::default()
        };
        let json = serde_json::to_string(&outcomes).unwrap();
        assert_eq!(
            json,
            r#"{"ids":"3 dog%20face 100%20%25 لغة","comprehension":{"right":"1101","gain":"0.2113 0.0000 -"},"stayed":"1-0"}"#
        );
        assert_eq!(
            serde_json::from_str::<ItemOutcomes>(&json).unwrap(),
            outcomes
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (json, why) in [
            (r#"{"ids":"a%2"}"#, "percent"),
            (r#"{"ids":"a%ff"}"#, "percent"),
            (r#"{"ids":"a","stayed":"1x"}"#, "`x`"),
            (r#"{"ids":"a","cognate":"-"}"#, "`-`"),
            (
                r#"{"ids":"a","production":{"right":"1","gain":"NaN"}}"#,
                "`NaN`",
            ),
            (r#"{"ids":"a","other":1}"#, "other"),
        ] {
            let error = serde_json::from_str::<ItemOutcomes>(json).unwrap_err();
            assert!(error.to_string().contains(why), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            ids in prop::collection::vec("[^\u{0}]{1,12}", 0..6),
            gains in prop::collection::vec(prop::option::of(-30.0..1.0_f64), 0..6),
            stayed in prop::collection::vec(prop::option::of(any::<bool>()), 0..6),
        ) {
            let outcomes = ItemOutcomes {
                ids,
                production: Some(ChoiceOutcomes {
                    right: vec![true; gains.len()],
                    gain: gains.into_iter().map(|gain| gain.map(rounded)).collect(),
                    ..ChoiceOutcomes::default()
                }),
                stayed,
                ..ItemOutcomes::default()
            };
            let json = serde_json::to_string(&outcomes).unwrap();
            prop_assert_eq!(serde_json::from_str::<ItemOutcomes>(&json).unwrap(), outcomes);
        }
    }
}
