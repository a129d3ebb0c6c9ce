//! Where a model's server is, as a user writes it.

use std::fmt;

use ureq::http::Uri;

use super::error::ServerError;
use crate::installer::hide_credentials;

/// `http://host:port/v1[#model][,tokenizer=NAME]`, understood.
///
/// The model may be left out where the server has only one. With `tokenizer`, text becomes ids
/// here, through the tokenizer of that model (a path, a hub id or a short name); without, the
/// server's `/tokenize` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Without a trailing slash; ends in `/v1` most of the time.
    pub base: String,
    /// The model; `None`: the only one that is served.
    pub model: Option<String>,
    /// Whose tokenizer to use, as a model's name.
    pub tokenizer: Option<String>,
}

impl ServerAddress {
    /// Whether a name is a server's address at all.
    pub fn is_one(given: &str) -> bool {
        given.contains("://")
    }

    /// Understands an address.
    ///
    /// ```
    /// use isogloss_client::ServerAddress;
    /// let address = ServerAddress::parse("http://127.0.0.1:8377/v1#org/model")?;
    /// assert_eq!(address.base, "http://127.0.0.1:8377/v1");
    /// assert_eq!(address.model.as_deref(), Some("org/model"));
    /// # Ok::<(), isogloss_client::ServerError>(())
    /// ```
    ///
    /// # Errors
    /// [`ServerError::BadAddress`].
    pub fn parse(given: &str) -> Result<Self, ServerError> {
        let bad = |why: &str| ServerError::BadAddress {
            given: hide_credentials(given),
            why: why.to_owned(),
        };
        let (base, fragment) = match given.split_once('#') {
            Some((base, fragment)) => (base, fragment),
            None => (given, ""),
        };
        let uri: Uri = base.parse().map_err(|_| bad("it is not a URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("only `http` and `https` are spoken"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(bad("it names no host"));
        }
        if uri
            .authority()
            .is_some_and(|part| part.as_str().contains('@'))
        {
            return Err(bad(
                "it holds a password, which would be seen in lists of processes",
            ));
        }
        if uri.query().is_some() {
            return Err(bad("it has a query (`?`)"));
        }
        let (model, tokenizer) = match fragment.split_once(",tokenizer=") {
            Some((model, tokenizer)) => (model, Some(tokenizer)),
            None => (fragment, None),
        };
        if tokenizer == Some("") {
            return Err(bad("`tokenizer=` names no model"));
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            model: some(model),
            tokenizer: tokenizer.and_then(some),
        })
    }

    /// Where `/tokenize` is: beside `/v1`.
    pub(super) fn root(&self) -> &str {
        self.base.strip_suffix("/v1").unwrap_or(&self.base)
    }

    /// Whether the server is on this machine: no proxy stands between.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.base.parse::<Uri>().ok();
        let host = host.as_ref().and_then(Uri::host).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        let parse = |given: &str| ServerAddress::parse(given).unwrap();
        let address = parse("https://host/v1/#a/b,tokenizer=./t");
        assert_eq!(address.base, "https://host/v1");
        assert_eq!(address.model.as_deref(), Some("a/b"));
        assert_eq!(address.tokenizer.as_deref(), Some("./t"));
        assert_eq!(address.root(), "https://host");
        assert_eq!(parse("http://h:1").model, None);
        assert_eq!(parse("http://h:1/x").root(), "http://h:1/x");
        for (given, expected) in [
            ("http://127.0.0.1:1/v1", true),
            ("http://[::1]:1/v1", true),
            ("http://localhost/v1", true),
            ("http://127.0.0.1.example/v1", false),
            ("https://example.org/v1", false),
        ] {
            assert_eq!(parse(given).is_loopback(), expected, "{given}");
        }
    }

    #[test]
    fn bad_addresses_say_why_and_hide_passwords() {
        for (given, why) in [
            ("ftp://host/v1", "http"),
            ("http://", "URL"),
            ("http://ho st/v1", "URL"),
            ("http://ana:pw@host/v1", "password"),
            ("http://host/v1?key=1", "query"),
            ("http://host/v1#m,tokenizer=", "names no model"),
        ] {
            let error = ServerAddress::parse(given).unwrap_err().to_string();
            assert!(error.contains(why), "{given}: {error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }
}
