//! The secret that every request must carry.

use std::fmt;

use crate::error::ApiError;

/// Bytes of a random token.
const N_BYTES: usize = 24;

/// A seed for draws that nobody gave one for.
///
/// # Errors
/// Where the system has no source of randomness.
pub(crate) fn random_seed() -> Result<u64, ApiError> {
    getrandom::u64()
        .map_err(|error| ApiError::new(500, format!("cannot draw a random seed: {error}")))
}

/// An access token: never printed by accident, never part of an error.
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// A token of the user's; `None` if it is empty or holds what a header cannot carry.
    pub fn new(text: &str) -> Option<Self> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(text.to_owned()))
    }

    /// 192 random bits of the operating system, as 48 hexadecimal digits.
    ///
    /// # Errors
    /// Where the system has no source of randomness.
    pub fn random() -> Result<Self, crate::ServeError> {
        use fmt::Write;
        let mut bytes = [0; N_BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|error| crate::ServeError::Random(error.to_string()))?;
        let mut text = String::with_capacity(2 * N_BYTES);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a string takes all text");
        }
        Ok(Self(text))
    }

    /// For the one line that tells it to the user.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether a header `Authorization: Bearer …` carries it. The time does not tell how much of a
    /// guess is right.
    pub(crate) fn is_in(&self, authorization: Option<&str>) -> bool {
        let Some((scheme, given)) = authorization.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let (given, own) = (given.trim().as_bytes(), self.0.as_bytes());
        let differences = own
            .iter()
            .zip(given.iter().chain(std::iter::repeat(&0)))
            .fold(0, |all, (a, b)| all | (a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && given.len() == own.len() && differences == 0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let token = AccessToken::new("abc").unwrap();
        for (header, expected) in [
            (Some("Bearer abc"), true),
            (Some("bearer  abc "), true),
            (Some("Bearer ab"), false),
            (Some("Bearer abcd"), false),
            (Some("Bearer "), false),
            (Some("Basic abc"), false),
            (Some("abc"), false),
            (Some("Bearer กขค"), false),
            (None, false),
        ] {
            assert_eq!(token.is_in(header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_token_is_never_shown_and_never_the_same() {
        let (a, b) = (
            AccessToken::random().unwrap(),
            AccessToken::random().unwrap(),
        );
        assert_eq!(a.secret().len(), 48);
        assert_ne!(a.secret(), b.secret());
        assert!(!format!("{a:?}").contains(a.secret()));
        for bad in ["", "a b", "a\nb", "ภาษา"] {
            assert!(AccessToken::new(bad).is_none(), "{bad:?}");
        }
    }
}
