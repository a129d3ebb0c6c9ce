//! Where models are kept and how the hub is reached: the only reader of the environment in the
//! libraries.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `ISOGLOSS_HOME` | files of the built-in names | the user cache folder, `isogloss` in it |
//! | `HF_HOME` | the hub's folder | the user cache folder, `huggingface` in it |
//! | `HF_HUB_CACHE` | the hub's files | `$HF_HOME/hub` |
//! | `HF_ENDPOINT` | the hub's address | `https://huggingface.co` |
//! | `HF_TOKEN` | access token | `$HF_HOME/token`, if there is one |
//! | `HF_HUB_OFFLINE` | `1`: use what is there, ask no hub | off |
//! | `ISOGLOSS_API_KEY` | sent to a model's server (`http://…/v1#model`), and to no other | none |
//!
//! `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are honored by the HTTP library.
//!
//! The user cache folder is `$XDG_CACHE_HOME`, else `~/.cache` (`~/Library/Caches` on macOS for
//! our own files, `%LOCALAPPDATA%` on Windows). An empty variable counts as unset.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use isogloss_record::files;

use crate::installer::{self, Installer};

/// An access token: never printed, never part of an error.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Trims white space; `None` where nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// For the one header that carries it.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Everything outside the program that decides where a model comes from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our own cache: `models/` in it holds the built-in names' files.
    pub home: PathBuf,
    /// The hub's cache: `models--org--name` folders, shared with the Python libraries.
    pub hub_cache: PathBuf,
    /// The hub's address, without a trailing slash.
    pub endpoint: String,
    /// Sent to `endpoint` only, never to where it redirects.
    pub token: Option<Token>,
    /// Ask no hub.
    pub offline: bool,
    /// Longest wait for a connection.
    pub timeout_connect: Duration,
    /// Longest wait for an answer, and then for each next piece of it.
    pub timeout_read: Duration,
    /// How often a request is sent again after a failure that may pass.
    pub n_retries: u32,
    /// First wait before a retry, doubled each time; `Retry-After` of the hub wins.
    pub retry_wait: Duration,
    /// Longest wait that a hub's `Retry-After` is granted.
    pub retry_wait_max: Duration,
    /// Package clients to try for the built-in names, in this order.
    pub installers: Vec<Installer>,
}

impl Settings {
    /// From the environment of this process.
    pub fn from_env() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads it"
        )]
        let variable = |name: &str| std::env::var(name).ok();
        Self::from_variables(&variable, std::env::home_dir().as_deref())
    }

    /// From any environment; `user_home` is the user's home folder.
    pub fn from_variables(
        variable: &dyn Fn(&str) -> Option<String>,
        user_home: Option<&Path>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| set(name).map(|value| expand_home(&value, user_home));
        let user_home_or_here = user_home.unwrap_or(Path::new("."));
        let xdg_cache = path("XDG_CACHE_HOME");
        let hub_default = xdg_cache
            .clone()
            .unwrap_or_else(|| user_home_or_here.join(".cache"));
        let own_default = xdg_cache.unwrap_or_else(|| {
            if cfg!(windows) {
                path("LOCALAPPDATA").unwrap_or_else(|| user_home_or_here.join(".cache"))
            } else if cfg!(target_os = "macos") {
                user_home_or_here.join("Library/Caches")
            } else {
                user_home_or_here.join(".cache")
            }
        });
        let hf_home = path("HF_HOME").unwrap_or_else(|| hub_default.join("huggingface"));
        let token = set("HF_TOKEN")
            .or_else(|| set("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| {
                let file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
                files::read_to_string(&file).ok()
            });
        Self {
            home: path("ISOGLOSS_HOME").unwrap_or_else(|| own_default.join("isogloss")),
            hub_cache: path("HF_HUB_CACHE").unwrap_or_else(|| hf_home.join("hub")),
            endpoint: set("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim()
                .trim_end_matches('/')
                .to_owned(),
            token: token.as_deref().and_then(Token::new),
            offline: set("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            timeout_connect: Duration::from_secs(10),
            timeout_read: Duration::from_secs(30),
            n_retries: 4,
            retry_wait: Duration::from_secs(1),
            retry_wait_max: Duration::from_mins(2),
            installers: installer::ORDINARY.to_vec(),
        }
    }

    /// Folder of the built-in names' files.
    pub fn models_folder(&self) -> PathBuf {
        self.home.join("models")
    }
}

/// How a model's server is asked.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Sent with every request to the server that the user named.
    pub key: Option<Token>,
    /// Requests that are under way at once.
    pub n_in_flight: usize,
    /// Prompts of one request.
    pub n_prompts: usize,
    /// Tokens of the prompts of one request (one long prompt may have more).
    pub n_tokens: usize,
    /// Longest wait for a connection.
    pub timeout_connect: Duration,
    /// Longest wait for an answer, from when its request was sent.
    pub timeout_answer: Duration,
    /// How often a request is sent again after a failure that may pass.
    pub n_retries: u32,
    /// First wait before a retry, doubled each time; the server's `Retry-After` wins.
    pub retry_wait: Duration,
    /// Longest wait that a `Retry-After` is granted.
    pub retry_wait_max: Duration,
}

impl ServerSettings {
    /// From the environment of this process.
    pub fn from_env() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads it"
        )]
        let key = std::env::var("ISOGLOSS_API_KEY").ok();
        Self {
            key: key.as_deref().and_then(Token::new),
            ..Self::default()
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            key: None,
            n_in_flight: 8,
            n_prompts: 16,
            n_tokens: 4096,
            timeout_connect: Duration::from_secs(10),
            timeout_answer: Duration::from_mins(10),
            n_retries: 6,
            retry_wait: Duration::from_millis(500),
            retry_wait_max: Duration::from_mins(2),
        }
    }
}

/// `~` and `~/x` as a shell reads them; the Python library expands them too.
fn expand_home(value: &str, user_home: Option<&Path>) -> PathBuf {
    match (value.strip_prefix('~'), user_home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(value),
    }
}

/// What the Python library takes for true.
fn is_true(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "1" | "on" | "yes" | "true"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Settings::from_variables(&variable, Some(Path::new("/home/ana")))
    }

    #[test]
    fn the_hub_folder_follows_the_python_library() {
        let hub = |variables| settings(variables).hub_cache;
        assert_eq!(hub(&[]), Path::new("/home/ana/.cache/huggingface/hub"));
        assert_eq!(hub(&[("HF_HOME", "/d/hf")]), Path::new("/d/hf/hub"));
        assert_eq!(hub(&[("HF_HOME", "~/hf")]), Path::new("/home/ana/hf/hub"));
        assert_eq!(
            hub(&[("HF_HOME", "/d/hf"), ("HF_HUB_CACHE", "/d/c")]),
            Path::new("/d/c")
        );
        assert_eq!(
            hub(&[("XDG_CACHE_HOME", "/x")]),
            Path::new("/x/huggingface/hub")
        );
    }

    #[test]
    fn our_own_folder_can_be_moved() {
        let home = |variables| settings(variables).home;
        assert_eq!(home(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/isogloss"));
        assert_eq!(home(&[("ISOGLOSS_HOME", "/y")]), Path::new("/y"));
        #[cfg(target_os = "linux")]
        assert_eq!(
            home(&[("ISOGLOSS_HOME", " ")]),
            Path::new("/home/ana/.cache/isogloss")
        );
    }

    #[test]
    fn a_token_is_never_shown() {
        let settings = settings(&[("HF_TOKEN", " hf_very_secret\n")]);
        assert_eq!(
            settings.token.as_ref().map(Token::secret),
            Some("hf_very_secret")
        );
        assert!(!format!("{settings:?}").contains("very_secret"));
    }

    #[test]
    fn offline_takes_the_words_of_the_python_library() {
        for (value, expected) in [("1", true), ("TRUE", true), ("0", false), ("", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, expected);
        }
    }

    #[test]
    fn the_endpoint_loses_its_slash() {
        let settings = settings(&[("HF_ENDPOINT", "http://mirror.example/")]);
        assert_eq!(settings.endpoint, "http://mirror.example");
    }
}
