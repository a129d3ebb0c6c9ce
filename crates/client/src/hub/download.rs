//! One file of a repository into the cache: resumed where it stopped, checked before it counts.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use isogloss_record::files::FileError;
use ureq::http::{HeaderMap, header};

use super::cache::Cache;
use super::http::{Http, Trouble, cut};
use super::listing::{RemoteFile, is_blob_name};
use crate::builtin::{Hashing, lock};
use crate::error::ClientError;
use crate::progress::{OnProgress, Progress};

/// What to download, from where.
pub(crate) struct Download<'a> {
    pub(crate) repo: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) url: String,
    pub(crate) file: &'a RemoteFile,
}

/// What the first answer's headers say about a file.
#[derive(Default)]
struct Told {
    etag: Option<String>,
    n_bytes: Option<u64>,
}

impl Download<'_> {
    /// Into the cache and into the snapshot.
    pub(crate) fn run(
        &self,
        http: &Http<'_>,
        cache: &Cache,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ClientError> {
        let etag = match self.file.blob_name() {
            Some(etag) => etag.to_owned(),
            None => self.ask_etag(http, on_progress)?,
        };
        let blob = cache.blob(&etag);
        let guard = lock(&cache.lock_base(&etag), on_progress)?;
        if !blob.exists() {
            self.fetch(http, &blob, on_progress)?;
        }
        drop(guard);
        Ok(cache.link(self.commit, &self.file.name, &etag)?)
    }

    /// For a hub whose listing has no ids: the name of the blob from a first answer's headers.
    fn ask_etag(
        &self,
        http: &Http<'_>,
        on_progress: OnProgress<'_>,
    ) -> Result<String, ClientError> {
        http.with_retries(&self.file.name, on_progress, |_| {
            let mut told = Told::default();
            let answer = http.get(self.repo, &self.url, 0, &mut |headers| {
                told = read(headers);
            });
            let etag = answer.and_then(|answer| {
                told.etag
                    .take()
                    .or_else(|| read(answer.headers()).etag)
                    .ok_or_else(|| {
                        Trouble::Final(ClientError::HubAnswer {
                            repo: self.repo.to_owned(),
                            why: format!("no ETag for `{}`", self.file.name),
                        })
                    })
            });
            (0, etag)
        })
    }

    /// Under the lock: grows `<blob>.incomplete`, checks it, renames it.
    fn fetch(
        &self,
        http: &Http<'_>,
        blob: &Path,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ClientError> {
        let part = blob.with_added_extension("incomplete");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&part)
            .map_err(FileError::at("create", &part))?;
        let mut resumed = false;
        http.with_retries(&self.file.name, on_progress, |on_progress| {
            let result = self.attempt(http, &mut file, &part, &mut resumed, on_progress);
            let reached = file.metadata().map_or(0, |metadata| metadata.len());
            (reached, result)
        })?;
        drop(file);
        fs::rename(&part, blob).map_err(FileError::at("write", blob))?;
        Ok(())
    }

    /// One request: from where the file ends, to the end.
    fn attempt(
        &self,
        http: &Http<'_>,
        file: &mut File,
        part: &Path,
        resumed: &mut bool,
        on_progress: OnProgress<'_>,
    ) -> Result<(), Trouble> {
        let local = |action| move |error| Trouble::Final(FileError::at(action, part)(error).into());
        let mut total = self.file.n_bytes();
        let mut have = file.metadata().map_err(local("read"))?.len();
        if total.is_some_and(|total| have > total) {
            have = 0;
        }
        *resumed = have > 0;
        if total != Some(have) || have == 0 {
            let mut told = Told::default();
            let answer = http.get(self.repo, &self.url, have, &mut |headers| {
                told = read(headers);
            });
            let answer = match answer {
                // Our part and the hub's file do not fit together: start again.
                Err(Trouble::BeyondEnd) => {
                    file.set_len(0).map_err(local("write"))?;
                    return Err(Trouble::BeyondEnd);
                }
                other => other?,
            };
            if answer.status() == 206 {
                if range_start(answer.headers()) != Some(have) {
                    have = 0;
                    file.set_len(0).map_err(local("write"))?;
                    if range_start(answer.headers()) != Some(0) {
                        return Err(Trouble::Passing {
                            why: "the hub sends another range than asked for".into(),
                            after: None,
                        });
                    }
                }
            } else {
                // The whole file, whatever we asked for.
                have = 0;
            }
            *resumed = have > 0;
            total = total.or(told.n_bytes).or_else(|| {
                let length = header_text(answer.headers(), header::CONTENT_LENGTH.as_str())?;
                Some(have + length.parse::<u64>().ok()?)
            });
            // Left alone where it has that length, since a device in its place has no other.
            if file.metadata().map_err(local("read"))?.len() != have {
                file.set_len(have).map_err(local("write"))?;
            }
            file.seek(io::SeekFrom::Start(have))
                .map_err(local("write"))?;
            let mut body = answer.into_body().into_reader();
            let mut buffer = vec![0; 1 << 16];
            loop {
                on_progress(Progress::Bytes {
                    what: &self.file.name,
                    done: have,
                    total,
                });
                let n = body.read(&mut buffer).map_err(|error| cut(&error))?;
                if n == 0 {
                    break;
                }
                file.write_all(&buffer[..n]).map_err(local("write"))?;
                have += n as u64;
                if total.is_some_and(|total| have > total) {
                    break;
                }
            }
        }
        self.check(file, part, have, total, *resumed, on_progress)
    }

    /// Size, and for large files the hash; what fails after a resume is fetched once more whole.
    fn check(
        &self,
        file: &mut File,
        part: &Path,
        have: u64,
        total: Option<u64>,
        resumed: bool,
        on_progress: OnProgress<'_>,
    ) -> Result<(), Trouble> {
        let local = |action| move |error| Trouble::Final(FileError::at(action, part)(error).into());
        if let Some(total) = total
            && have < total
        {
            return Err(Trouble::Passing {
                why: format!("the body ends after {have} of {total} bytes"),
                after: None,
            });
        }
        let error = if let Some(total) = total.filter(|total| have > *total) {
            Some(ClientError::WrongSize {
                path: part.to_owned(),
                expected: total,
                found: have,
            })
        } else if let Some(expected) = self.file.sha256() {
            on_progress(Progress::Checking { path: part });
            file.seek(io::SeekFrom::Start(0)).map_err(local("read"))?;
            let mut sink = Hashing::new(io::sink());
            io::copy(file, &mut sink).map_err(local("read"))?;
            let found = sink.hex();
            (!found.eq_ignore_ascii_case(expected)).then(|| ClientError::WrongHash {
                path: part.to_owned(),
                expected: expected.to_owned(),
                found,
            })
        } else {
            None
        };
        let Some(error) = error else {
            return file.sync_all().map_err(local("write"));
        };
        // Never resumed again, whoever comes next.
        file.set_len(0).map_err(local("write"))?;
        Err(if resumed {
            Trouble::Passing {
                why: "the resumed file is not the one expected".into(),
                after: None,
            }
        } else {
            Trouble::Final(error)
        })
    }
}

fn read(headers: &HeaderMap) -> Told {
    let etag = header_text(headers, "x-linked-etag").or_else(|| header_text(headers, "etag"));
    Told {
        etag: etag
            .map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned())
            .filter(|etag| is_blob_name(etag)),
        n_bytes: header_text(headers, "x-linked-size").and_then(|text| text.parse().ok()),
    }
}

fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `Content-Range: bytes 5-9/10` → 5.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = header_text(headers, "content-range")?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
