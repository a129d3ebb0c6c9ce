//! What a repository holds, and which of its files a model needs.

use serde::Deserialize;

use crate::error::ClientError;
use crate::spec::{HubId, is_gguf, is_safe_file};

/// The hub's answer about one revision.
#[derive(Debug, Deserialize)]
pub(crate) struct Listing {
    /// The commit.
    pub(crate) sha: String,
    /// All files.
    pub(crate) siblings: Vec<RemoteFile>,
    #[serde(rename = "cardData")]
    card: Option<serde_json::Value>,
}

/// One file of a repository.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RemoteFile {
    /// Path in the repository.
    #[serde(rename = "rfilename")]
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl RemoteFile {
    /// SHA-256, for large files.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.lfs.as_ref()?.sha256.as_deref()
    }

    /// Name of the blob in the cache, as the Python library names it: the hub's ETag, which is
    /// the SHA-256 of a large file and the git id of a small one.
    pub(crate) fn blob_name(&self) -> Option<&str> {
        self.sha256().or(self.blob_id.as_deref())
    }

    /// Bytes.
    pub(crate) fn n_bytes(&self) -> Option<u64> {
        self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size)
    }
}

impl Listing {
    /// Parses and refuses what could lead out of the cache.
    pub(crate) fn parse(bytes: &[u8], repo: &str) -> Result<Self, ClientError> {
        let odd = |why: String| ClientError::HubAnswer {
            repo: repo.to_owned(),
            why,
        };
        let listing: Self =
            serde_json::from_slice(bytes).map_err(|error| odd(format!("bad JSON: {error}")))?;
        if !is_commit(&listing.sha) {
            return Err(odd(format!(
                "`{}` is not a commit",
                listing.sha.escape_debug()
            )));
        }
        for file in &listing.siblings {
            if !is_safe_file(&file.name) {
                return Err(odd(format!(
                    "it names a file `{}` that leaves its folder",
                    file.name.escape_debug()
                )));
            }
            if let Some(sha256) = file.sha256()
                && !(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                return Err(odd(format!("`{}` has no proper SHA-256", file.name)));
            }
            if file.blob_name().is_some_and(|name| !is_blob_name(name)) {
                return Err(odd(format!("`{}` has no proper blob id", file.name)));
            }
        }
        Ok(listing)
    }

    /// The license on the model's card.
    pub(crate) fn license(&self) -> Option<String> {
        let field = |name: &str| match self.card.as_ref()?.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Array(list) => {
                let names: Vec<&str> = list.iter().filter_map(|value| value.as_str()).collect();
                (!names.is_empty()).then(|| names.join(", "))
            }
            _ => None,
        };
        // `license: other` names it in a second field.
        match field("license") {
            Some(license) if license == "other" => field("license_name").or(Some(license)),
            license => license,
        }
    }

    /// By name.
    pub(crate) fn file(&self, name: &str) -> Option<&RemoteFile> {
        self.siblings.iter().find(|file| file.name == name)
    }

    /// Names of all files.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.siblings
            .iter()
            .map(|file| file.name.as_str())
            .collect()
    }
}

/// What a model needs of a repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// One GGUF file.
    Gguf(String),
    /// Configuration and tokenizer files, and the weights in one file.
    Whole { small: Vec<String>, weights: String },
    /// The same, with weights in shards that the index names.
    Sharded { small: Vec<String> },
}

pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Files of the top folder that describe model and tokenizer, where present.
const SMALL: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    INDEX,
];

/// Chooses among a repository's file names.
pub(crate) fn choose(names: &[&str], id: &HubId) -> Result<Need, ClientError> {
    let no_model = |why: String| ClientError::NoModel {
        id: id.to_string(),
        why,
    };
    let ggufs: Vec<&str> = names.iter().copied().filter(|name| is_gguf(name)).collect();
    if let Some(file) = &id.file {
        return if names.contains(&file.as_str()) {
            Ok(Need::Gguf(file.clone()))
        } else {
            Err(no_model(match ggufs.as_slice() {
                [] => "it holds no .gguf file".into(),
                ggufs => format!("that file is not in it; it holds {}", list(ggufs)),
            }))
        };
    }
    let small: Vec<String> = SMALL
        .iter()
        .filter(|name| names.contains(name))
        .map(|name| (*name).to_owned())
        .collect();
    let has_config = names.contains(&"config.json");
    if has_config && names.contains(&INDEX) {
        return Ok(Need::Sharded { small });
    }
    if has_config && names.contains(&"model.safetensors") {
        return Ok(Need::Whole {
            small,
            weights: "model.safetensors".into(),
        });
    }
    match ggufs.as_slice() {
        [one] => Ok(Need::Gguf((*one).to_owned())),
        [] if !has_config => Err(no_model(
            "it holds neither a config.json nor a .gguf file".into(),
        )),
        [] => Err(no_model("it holds no safetensors weights".into())),
        several => Err(no_model(format!(
            "it holds {}: say which, `{}:{}`",
            list(several),
            id.repo,
            several[0]
        ))),
    }
}

/// The shards that an index names, each once, in order of name.
pub(crate) fn shards(index: &[u8], id: &HubId) -> Result<Vec<String>, ClientError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let odd = |why: String| ClientError::HubAnswer {
        repo: id.repo.clone(),
        why,
    };
    let index: Index =
        serde_json::from_slice(index).map_err(|error| odd(format!("bad `{INDEX}`: {error}")))?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    match names.iter().find(|name| !is_safe_file(name)) {
        Some(name) => Err(odd(format!(
            "`{INDEX}` names a file `{}` that leaves its folder",
            name.escape_debug()
        ))),
        None => Ok(names),
    }
}

/// 40 hexadecimal digits.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A name that is safe as one file name.
pub(crate) fn is_blob_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=128).contains(&name.len()) && name.bytes().all(plain)
}

/// At most six names, and how many more.
fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(6)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len() {
        0..=6 => shown.join(", "),
        n => format!("{} and {} more", shown.join(", "), n - 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(file: Option<&str>) -> HubId {
        HubId {
            repo: "a/b".into(),
            revision: None,
            file: file.map(str::to_owned),
        }
    }

    #[test]
    fn safetensors_win_over_gguf_and_an_index_over_one_file() {
        let small = vec!["config.json".to_owned(), "tokenizer.json".to_owned()];
        assert_eq!(
            choose(
                &[
                    "model.safetensors",
                    "x.gguf",
                    "tokenizer.json",
                    "config.json",
                    "README.md"
                ],
                &id(None)
            )
            .unwrap(),
            Need::Whole {
                small,
                weights: "model.safetensors".into()
            }
        );
        assert_eq!(
            choose(&["config.json", INDEX, "model.safetensors"], &id(None)).unwrap(),
            Need::Sharded {
                small: vec!["config.json".into(), INDEX.into()]
            }
        );
        assert_eq!(
            choose(&["README.md", "m.GGUF"], &id(None)).unwrap(),
            Need::Gguf("m.GGUF".into())
        );
    }

    #[test]
    fn what_cannot_be_chosen_is_listed() {
        let error = choose(&["q4.gguf", "q8.gguf"], &id(None))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`q4.gguf`, `q8.gguf`") && error.contains("a/b:q4.gguf"),
            "{error}"
        );
        let error = choose(&["q4.gguf"], &id(Some("q5.gguf")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("it holds `q4.gguf`"), "{error}");
        assert!(choose(&["config.json", "pytorch_model.bin"], &id(None)).is_err());
    }

    #[test]
    fn hostile_listings_are_refused() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        let parse = |sha: &str, file: &str| {
            let json = format!(r#"{{"sha":"{sha}","siblings":[{file}]}}"#);
            Listing::parse(json.as_bytes(), "a/b")
        };
        assert!(parse(sha, r#"{"rfilename":"config.json","blobId":"ab12"}"#).is_ok());
        assert!(parse("../../../x", r#"{"rfilename":"config.json"}"#).is_err());
        for file in [
            r#"{"rfilename":"../../.ssh/authorized_keys"}"#,
            r#"{"rfilename":"/etc/passwd"}"#,
            r#"{"rfilename":"a\\..\\b"}"#,
            r#"{"rfilename":"x","blobId":"../../y"}"#,
            r#"{"rfilename":"x","lfs":{"sha256":"../y"}}"#,
        ] {
            assert!(parse(sha, file).is_err(), "{file}");
        }
        assert!(shards(br#"{"weight_map":{"w":"../evil"}}"#, &id(None)).is_err());
        assert_eq!(
            shards(
                br#"{"weight_map":{"b":"2.st","a":"2.st","c":"1.st"}}"#,
                &id(None)
            )
            .unwrap(),
            ["1.st", "2.st"]
        );
    }
}
