//! The identity of a language: the axis along which everything is reported.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A language by its ISO 639-3 code, with a script only where the language has several.
///
/// Written `hau` or `srp_Cyrl`. Parsing accepts exactly these forms (and `-` for `_`); other
/// spellings (`ha`, `zh-Hant`, `Basque`) are resolved by the registry in `isogloss-lang`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lang {
    code: [u8; 3],
    script: Option<Script>,
}

/// A script by its ISO 15924 code, for example `Deva`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Script([u8; 4]);

/// A string that is not a language or script code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct ParseLangError {
    found: String,
    expected: &'static str,
}

impl Lang {
    /// The same language without its script.
    #[must_use]
    pub fn without_script(self) -> Self {
        Self {
            script: None,
            ..self
        }
    }

    /// The same language in a named script.
    #[must_use]
    pub fn with_script(self, script: Script) -> Self {
        Self {
            script: Some(script),
            ..self
        }
    }

    /// The ISO 639-3 code: three lower-case letters.
    pub fn code(&self) -> &str {
        ascii(&self.code)
    }

    /// The script, where it is part of the identity.
    pub fn script(self) -> Option<Script> {
        self.script
    }
}

impl Script {
    /// The ISO 15924 code: four letters, the first upper-case.
    pub fn code(&self) -> &str {
        ascii(&self.0)
    }
}

/// Only ever called on bytes that parsing has shown to be ASCII letters.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("parsed from ASCII letters")
}

impl FromStr for Lang {
    type Err = ParseLangError;

    fn from_str(text: &str) -> Result<Self, ParseLangError> {
        let error = || ParseLangError {
            found: text.to_owned(),
            expected: "an ISO 639-3 code, alone or with a script (`hau`, `srp_Cyrl`)",
        };
        let (code, script) = match text.split_once(['_', '-']) {
            Some((code, script)) => (code, Some(script)),
            None => (text, None),
        };
        let code: [u8; 3] = code.as_bytes().try_into().map_err(|_| error())?;
        if !code.iter().all(u8::is_ascii_lowercase) {
            return Err(error());
        }
        let script = script.map(str::parse).transpose().map_err(|_| error())?;
        Ok(Self { code, script })
    }
}

impl FromStr for Script {
    type Err = ParseLangError;

    fn from_str(text: &str) -> Result<Self, ParseLangError> {
        let error = || ParseLangError {
            found: text.to_owned(),
            expected: "an ISO 15924 script code (`Latn`, `Deva`)",
        };
        let mut code: [u8; 4] = text.as_bytes().try_into().map_err(|_| error())?;
        if !code.iter().all(u8::is_ascii_alphabetic) {
            return Err(error());
        }
        code.make_ascii_lowercase();
        code[0].make_ascii_uppercase();
        Ok(Self(code))
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.script {
            Some(script) => write!(f, "{}_{script}", self.code()),
            None => f.write_str(self.code()),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lang({self})")
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({self})")
    }
}

/// Serde as the written form, so that languages can be map keys.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(Lang);
serde_as_text!(Script);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_read_and_written() {
        for text in ["hau", "srp_Cyrl", "uzn_Latn"] {
            assert_eq!(text.parse::<Lang>().unwrap().to_string(), text);
        }
        assert_eq!("srp-cyrl".parse::<Lang>().unwrap().to_string(), "srp_Cyrl");
        for text in [
            "",
            "ha",
            "Hausa",
            "HAU",
            "hau_",
            "hau_Latin",
            "hau_La1n",
            "hаu",
        ] {
            assert!(text.parse::<Lang>().is_err(), "`{text}` must be refused");
        }
    }
}
