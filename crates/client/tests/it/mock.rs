//! A hub with one repository `org/tiny`, and settings that point to it.

use std::path::Path;
use std::time::Duration;

use isogloss_client::{ClientError, ModelFiles, ModelSpec, Progress, Settings, Token, resolve};
use isogloss_testkit::{Answer, HttpRequest};
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const ID: &str = "org/tiny";

/// 100 kB of weights that differ at every place.
pub(crate) fn weights() -> Vec<u8> {
    (0..25_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Files of the repository: small ones by a git id, weights by their SHA-256.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".gitattributes", b"*.safetensors".to_vec()),
        ("README.md", "# Tiny".into()),
        ("config.json", r#"{"model_type":"llama"}"#.into()),
        ("model.safetensors", weights()),
        ("onnx/model.onnx", vec![0; 10]),
        ("tokenizer.json", r#"{"model":"ভাত"}"#.into()),
    ]
}

/// The hub's answer about a revision.
pub(crate) fn listing(files: &[(&str, Vec<u8>)]) -> Answer {
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            if !name.contains(".json") && (name.contains(".safetensors") || name.contains(".gguf"))
            {
                serde_json::json!({
                    "rfilename": name, "size": bytes.len(), "blobId": "aa",
                    "lfs": {"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 130},
                })
            } else {
                serde_json::json!({
                    "rfilename": name, "size": bytes.len(), "blobId": sha256(bytes)[..40],
                })
            }
        })
        .collect();
    let body = serde_json::json!({
        "id": ID, "sha": COMMIT, "siblings": siblings, "cardData": {"license": "apache-2.0"},
    });
    Answer::ok(body.to_string())
}

/// A hub that works.
pub(crate) fn answer(request: &HttpRequest, files: &[(&str, Vec<u8>)]) -> Answer {
    if request.path == format!("/api/models/{ID}/revision/main?blobs=true") {
        return listing(files);
    }
    let prefix = format!("/{ID}/resolve/{COMMIT}/");
    let file = request
        .path
        .strip_prefix(&prefix)
        .and_then(|name| files.iter().find(|(known, _)| *known == name));
    match file {
        Some((_, bytes)) => Answer::ranged(request, bytes),
        None => Answer::status(404),
    }
}

/// Settings that know nothing but this hub and these folders.
pub(crate) fn settings(url: &str, home: &Path) -> Settings {
    let mut settings = Settings::from_variables(&|_| None, Some(home));
    settings.home = home.join("isogloss");
    url.clone_into(&mut settings.endpoint);
    settings.token = Token::new("hf_secret");
    settings.timeout_connect = Duration::from_secs(5);
    settings.timeout_read = Duration::from_secs(5);
    settings.n_retries = 2;
    settings.retry_wait = Duration::from_millis(1);
    settings
}

/// Resolves and gathers what was reported, in words.
pub(crate) fn fetch(
    id: &str,
    settings: &Settings,
) -> (Result<ModelFiles, ClientError>, Vec<String>) {
    let mut said = Vec::new();
    let result = resolve(
        &ModelSpec::parse(id).unwrap(),
        settings,
        &mut |progress: Progress<'_>| said.push(format!("{progress:?}")),
    );
    for text in said
        .iter()
        .chain(result.as_ref().err().map(ToString::to_string).iter())
    {
        assert!(!text.contains("hf_secret"), "a token is shown: {text}");
    }
    (result, said)
}
