//! Models from a hub, through its public API, into the cache that the Python library shares.
//!
//! ```text
//! id -> listing (commit, names, sizes, hashes) -> choose -> download what is missing -> snapshot
//!        |  the hub does not answer: the last snapshot, if it is complete
//! ```
//!
//! Source: <https://huggingface.co/docs/huggingface_hub/guides/manage-cache> for the layout,
//! <https://huggingface.co/docs/hub/api> for `/api/models/{repo}/revision/{revision}`.

mod cache;
mod download;
pub(crate) mod http;
mod listing;

use std::path::PathBuf;

use self::cache::Cache;
use self::download::Download;
use self::http::Http;
use self::listing::{Listing, Need};
use crate::error::ClientError;
use crate::progress::{OnProgress, Progress};
use crate::settings::Settings;
use crate::spec::HubId;
use isogloss_record::files;

const LISTING_BYTES_MAX: u64 = 64 << 20;

/// A model's files on disk and its license, where its card names one.
pub(crate) fn obtain(
    id: &HubId,
    settings: &Settings,
    on_progress: OnProgress<'_>,
) -> Result<(PathBuf, Option<String>), ClientError> {
    let cache = Cache::new(settings, &id.repo);
    let revision = id.revision.as_deref().unwrap_or("main");
    let cached = || match cache.commit_of(revision) {
        Some(commit) => cache.complete(&commit, id),
        None => Ok(None),
    };
    // A commit never changes: what is complete needs no hub.
    if settings.offline || listing::is_commit(revision) {
        match cached()? {
            Some(path) => return Ok((path, None)),
            None if settings.offline => {
                return Err(ClientError::Offline {
                    id: id.to_string(),
                    cache: settings.hub_cache.clone(),
                });
            }
            None => {}
        }
    }
    let http = Http::new(settings);
    let listing = match list(id, revision, &http, settings, on_progress) {
        Ok(listing) => listing,
        Err(error @ (ClientError::Unreachable { .. } | ClientError::Hub { .. })) => {
            let Some(path) = cached()? else {
                return Err(error);
            };
            on_progress(Progress::FromCache {
                path: &path,
                why: &error.to_string(),
            });
            return Ok((path, None));
        }
        Err(error) => return Err(error),
    };
    let path = fill(id, &listing, &cache, &http, settings, on_progress)?;
    cache.remember(revision, &listing.sha)?;
    on_progress(Progress::Ready { path: &path });
    Ok((path, listing.license()))
}

fn list(
    id: &HubId,
    revision: &str,
    http: &Http<'_>,
    settings: &Settings,
    on_progress: OnProgress<'_>,
) -> Result<Listing, ClientError> {
    let url = format!(
        "{}/api/models/{}/revision/{}?blobs=true",
        settings.endpoint,
        id.repo,
        escape(revision, Slash::Escaped)
    );
    let bytes = http.with_retries(&id.repo, on_progress, |_| {
        let answer = http.get(&id.repo, &url, 0, &mut |_| {});
        let bytes = answer.and_then(|answer| http::small_body(answer, LISTING_BYTES_MAX));
        (0, bytes)
    })?;
    Listing::parse(&bytes, &id.repo)
}

/// Brings what is needed into the snapshot; gives the folder or the GGUF file.
fn fill(
    id: &HubId,
    listing: &Listing,
    cache: &Cache,
    http: &Http<'_>,
    settings: &Settings,
    on_progress: OnProgress<'_>,
) -> Result<PathBuf, ClientError> {
    cache.create_folders()?;
    let mut bring = |name: &str| {
        let file = listing.file(name).ok_or_else(|| ClientError::HubAnswer {
            repo: id.repo.clone(),
            why: format!("its index names `{name}`, which it does not hold"),
        })?;
        let url = format!(
            "{}/{}/resolve/{}/{}",
            settings.endpoint,
            id.repo,
            listing.sha,
            escape(name, Slash::Kept)
        );
        Download {
            repo: &id.repo,
            commit: &listing.sha,
            url,
            file,
        }
        .run(http, cache, on_progress)
    };
    let folder = cache.snapshot(&listing.sha);
    match listing::choose(&listing.names(), id)? {
        Need::Gguf(file) => {
            bring(&file)?;
            Ok(folder.join(file))
        }
        Need::Whole { small, weights } => {
            small.iter().try_for_each(|name| bring(name))?;
            bring(&weights)?;
            Ok(folder)
        }
        Need::Sharded { small } => {
            small.iter().try_for_each(|name| bring(name))?;
            let index = files::read(&folder.join(listing::INDEX))?;
            let shards = listing::shards(&index, id)?;
            shards.iter().try_for_each(|name| bring(name))?;
            Ok(folder)
        }
    }
}

/// What becomes of `/` in [`escape`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    Kept,
    Escaped,
}

/// Percent-encodes everything but letters, digits and `-._~`.
fn escape(text: &str, slash: Slash) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte as char);
            }
            b'/' if slash == Slash::Kept => escaped.push('/'),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_only_plain_bytes() {
        assert_eq!(escape("refs/pr/1", Slash::Escaped), "refs%2Fpr%2F1");
        assert_eq!(escape("a b/ภ.gguf", Slash::Kept), "a%20b/%E0%B8%A0.gguf");
    }
}
