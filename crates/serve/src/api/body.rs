//! Pieces of bodies that may be written in several ways.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::ApiError;

/// `prompt`: a text, ids, or a list of either.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Prompts {
    Texts(Vec<String>),
    Ids(Vec<Vec<u32>>),
}

impl Prompts {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Ids(ids) => ids.len(),
        }
    }
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptsVisitor)
    }
}

struct PromptsVisitor;

/// One element of a list of prompts.
enum Element {
    Text(String),
    Id(u32),
    Ids(Vec<u32>),
}

const EXPECTED: &str = "a text, a list of token ids, or a list of either";

impl<'de> Visitor<'de> for PromptsVisitor {
    type Value = Prompts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Prompts, E> {
        Ok(Prompts::Texts(vec![text.to_owned()]))
    }

    /// Ids go straight into their list: a body of ids takes no more memory than its bytes.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Prompts, A::Error> {
        let mixed = || A::Error::custom(format!("`prompt` mixes kinds: expected {EXPECTED}"));
        let (mut texts, mut flat, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(element) = seq.next_element::<Element>()? {
            match element {
                Element::Text(text) if flat.is_empty() && lists.is_empty() => texts.push(text),
                Element::Id(id) if texts.is_empty() && lists.is_empty() => flat.push(id),
                Element::Ids(ids) if texts.is_empty() && flat.is_empty() => lists.push(ids),
                _ => return Err(mixed()),
            }
        }
        if !texts.is_empty() {
            return Ok(Prompts::Texts(texts));
        }
        if !lists.is_empty() {
            return Ok(Prompts::Ids(lists));
        }
        if flat.is_empty() {
            return Err(A::Error::custom("`prompt` is an empty list"));
        }
        Ok(Prompts::Ids(vec![flat]))
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a token id, or a list of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Element, E> {
        Ok(Element::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Element, E> {
        let id = u32::try_from(id);
        id.map(Element::Id)
            .map_err(|_| E::custom("a token id is larger than any vocabulary"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = seq.next_element::<u32>()? {
            ids.push(id);
        }
        Ok(Element::Ids(ids))
    }
}

/// Most stop texts of a request.
const N_STOPS: usize = 16;

/// `stop`: a text, a list of texts, or null.
pub(crate) fn stops(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let wrong = || {
        ApiError::field(
            "stop",
            format!("`stop` must be a text or a list of up to {N_STOPS} texts, none of them empty"),
        )
    };
    let text = |value: &Value| match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(wrong()),
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= N_STOPS => values.iter().map(text).collect(),
        Some(value @ Value::String(_)) => Ok(vec![text(value)?]),
        Some(_) => Err(wrong()),
    }
}

/// `seed`: any whole number of 64 bits; without one, `None`.
pub(crate) fn seed(value: Option<&serde_json::Number>) -> Result<Option<u64>, ApiError> {
    let Some(number) = value else {
        return Ok(None);
    };
    number
        .as_u64()
        .or_else(|| number.as_i64().map(i64::cast_unsigned))
        .map(Some)
        .ok_or_else(|| ApiError::field("seed", "`seed` must be a whole number of 64 bits"))
}

/// `temperature`: 0 takes the most probable token; 1 where there is none, as in the OpenAI API.
pub(crate) fn temperature(value: Option<f32>) -> Result<f32, ApiError> {
    let value = value.unwrap_or(1.0);
    if value.is_finite() && (0.0..=100.0).contains(&value) {
        Ok(value)
    } else {
        Err(ApiError::field(
            "temperature",
            format!("`temperature` must be from 0 to 100, not {value}"),
        ))
    }
}

/// `top_k` and `min_p` of vLLM and llama.cpp: only what leaves the distribution whole.
pub(crate) fn whole_distribution(top_k: Option<i64>, min_p: Option<f64>) -> Result<(), ApiError> {
    match top_k {
        Some(1..) => Err(ApiError::field(
            "top_k",
            "`top_k` can only be 0 or -1 here (all tokens)",
        )),
        _ => neutral("min_p", min_p, 0.0),
    }
}

/// Refuses a setting that would change the answer and that we do not have.
pub(crate) fn neutral(
    param: &'static str,
    value: Option<f64>,
    neutral: f64,
) -> Result<(), ApiError> {
    match value {
        Some(value) if value != neutral => Err(ApiError::field(
            param,
            format!("`{param}` can only be {neutral} here, not {value}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(json: &str) -> Result<Prompts, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn prompts_in_every_form() {
        let texts = |texts: &[&str]| Ok(Prompts::Texts(texts.iter().map(|&t| t.into()).collect()));
        assert_eq!(prompts(r#""สวัสดี""#), texts(&["สวัสดี"]));
        assert_eq!(prompts(r#"["a", "नमस्ते"]"#), texts(&["a", "नमस्ते"]));
        assert_eq!(prompts("[1, 2]"), Ok(Prompts::Ids(vec![vec![1, 2]])));
        assert_eq!(
            prompts("[[1, 2], [3]]"),
            Ok(Prompts::Ids(vec![vec![1, 2], vec![3]]))
        );
        for (json, part) in [
            ("[]", "empty list"),
            ("[1, \"a\"]", "mixes"),
            ("[[1], 2]", "mixes"),
            ("[-1]", "token id"),
            ("[4294967296]", "larger than any vocabulary"),
            ("[1.5]", "token id"),
            ("{}", "expected a text"),
            ("null", "expected a text"),
            ("[[\"a\"]]", "expected u32"),
        ] {
            let error = prompts(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn stops_seeds_and_temperatures() {
        let stop = |json: &str| stops(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(stop("\"\\n\"").unwrap(), ["\n"]);
        assert_eq!(stop("[\"।\", \"x\"]").unwrap(), ["।", "x"]);
        assert!(stop("null").unwrap().is_empty());
        for bad in ["\"\"", "[\"\"]", "1", "[1]", "{}"] {
            assert_eq!(stop(bad).unwrap_err().param, Some("stop"), "{bad}");
        }
        let number = |json: &str| seed(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(number("18446744073709551615").unwrap(), Some(u64::MAX));
        assert_eq!(number("-1").unwrap(), Some(u64::MAX));
        assert_eq!(number("0.5").unwrap_err().param, Some("seed"));
        assert!(temperature(Some(-0.1)).is_err());
        assert!(temperature(Some(f32::INFINITY)).is_err());
        assert!(neutral("top_p", Some(1.0), 1.0).is_ok());
        assert_eq!(
            neutral("top_p", Some(0.9), 1.0).unwrap_err().param,
            Some("top_p")
        );
    }
}
