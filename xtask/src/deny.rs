//! Licences and sources of everything that is linked in: the rules of `deny.toml`, applied to
//! `cargo metadata`. cargo-deny reads the same file; this check needs no further tool.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Rules {
    licenses: LicenseRules,
}

#[derive(Deserialize)]
struct LicenseRules {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn run() -> Result<String, String> {
    let root = crate::root();
    let rules = isogloss_record::files::read_to_string(&root.join("deny.toml"))
        .map_err(|error| error.to_string())?;
    let rules: Rules = toml::from_str(&rules).map_err(|error| format!("deny.toml: {error}"))?;
    let allow: BTreeSet<&str> = rules.licenses.allow.iter().map(String::as_str).collect();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let refused: Vec<String> = metadata
        .packages
        .iter()
        .filter_map(|package| refusal(package, &allow))
        .collect();
    if refused.is_empty() {
        Ok(format!(
            "{} packages: licences and sources are fine",
            metadata.packages.len()
        ))
    } else {
        Err(format!(
            "dependencies that deny.toml does not allow\n{}",
            refused.join("\n")
        ))
    }
}

/// Why a package may not be used; `None` if it may.
fn refusal(package: &Package, allow: &BTreeSet<&str>) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    match &package.source {
        None => return None, // our own
        Some(source) if source == CRATES_IO => {}
        Some(source) => return Some(format!("{name}: unknown source {source}")),
    }
    let Some(license) = &package.license else {
        return Some(format!("{name}: no licence stated"));
    };
    let allowed =
        spdx::Expression::parse_mode(license, spdx::ParseMode::LAX).is_ok_and(|expression| {
            expression.evaluate(|requirement| allow.contains(requirement.to_string().as_str()))
        });
    (!allowed).then(|| format!("{name}: licence `{license}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(license: Option<&str>, source: &str, allowed: bool) {
        let package = Package {
            name: "a".into(),
            version: "1.0.0".into(),
            license: license.map(str::to_owned),
            source: Some(source.to_owned()),
        };
        let allow = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
        assert_eq!(
            refusal(&package, &allow).is_none(),
            allowed,
            "{license:?} from {source}"
        );
    }

    #[test]
    fn expressions_are_evaluated_not_searched() {
        check(Some("MIT"), CRATES_IO, true);
        check(Some("MIT/Apache-2.0"), CRATES_IO, true);
        check(Some("GPL-3.0-only OR MIT"), CRATES_IO, true);
        check(Some("GPL-3.0-only AND MIT"), CRATES_IO, false);
        check(
            Some("Apache-2.0 WITH LLVM-exception OR GPL-2.0"),
            CRATES_IO,
            true,
        );
        check(Some("GPL-3.0-only"), CRATES_IO, false);
        check(None, CRATES_IO, false);
        check(Some("MIT"), "git+https://example.org/a", false);
    }
}
