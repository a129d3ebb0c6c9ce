//! The thresholds of a policy: read from its file, checked, stamped.

use std::collections::BTreeMap;

use isogloss_record::Explain;
use isogloss_record::survey::PolicyStamp;
use serde::Deserialize;

/// The policy that Isogloss ships.
pub(super) const DEFAULT: &str = include_str!("../../../../packs/policies/default.toml");

/// Thresholds with a name and a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Name.
    pub id: String,
    /// Version.
    pub version: u32,
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Whether it differs from the one that Isogloss ships.
    pub edited: bool,
}

/// The numbers of a policy; see the file for their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "documented in the policy's own file")]
pub struct Thresholds {
    pub kappa: f64,
    pub gain_above_floor: f64,
    pub fidelity: f64,
    pub fidelity_not_served: f64,
    pub memory_verbatim: f64,
    pub relative_kappa: f64,
    pub relative_gain: f64,
    pub alpha: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    id: String,
    version: u32,
    thresholds: Thresholds,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML of the expected shape.
    #[error("the policy `{name}` cannot be read")]
    Shape {
        /// File or name.
        name: String,
        /// What did not fit.
        #[source]
        source: toml::de::Error,
    },
    /// A threshold outside its range.
    #[error(
        "the policy `{name}` has `{threshold} = {found}`, expected a number from {low} to {high}"
    )]
    Range {
        /// File or name.
        name: String,
        /// Which one.
        threshold: &'static str,
        /// Its value.
        found: f64,
        /// Least allowed.
        low: f64,
        /// Greatest allowed.
        high: f64,
    },
}

impl Explain for PolicyError {
    fn hint(&self) -> Option<String> {
        Some("start from a copy of packs/policies/default.toml".to_owned())
    }
}

impl Policy {
    /// The one that Isogloss ships.
    pub fn shipped() -> Self {
        Self::parse("default", DEFAULT).expect("the shipped policy is read by a test")
    }

    /// Reads a policy; `name` is for error messages.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let file: PolicyFile = toml::from_str(text).map_err(|source| PolicyError::Shape {
            name: name.to_owned(),
            source,
        })?;
        for (threshold, found) in named(&file.thresholds) {
            let (low, high) = if threshold == "alpha" {
                (1e-6, 0.5)
            } else {
                (0.0, 1.0)
            };
            if !(low..=high).contains(&found) {
                return Err(PolicyError::Range {
                    name: name.to_owned(),
                    threshold,
                    found,
                    low,
                    high,
                });
            }
        }
        let shipped: PolicyFile = toml::from_str(DEFAULT).expect("the shipped policy is TOML");
        Ok(Self {
            // Compared by contents, so that a changed comment is no change.
            edited: shipped.id != file.id
                || shipped.version != file.version
                || shipped.thresholds != file.thresholds,
            id: file.id,
            version: file.version,
            thresholds: file.thresholds,
        })
    }

    /// What results say about it.
    pub fn stamp(&self) -> PolicyStamp {
        PolicyStamp {
            id: self.id.clone(),
            version: self.version,
            edited: self.edited,
            thresholds: named(&self.thresholds)
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
        }
    }
}

fn named(thresholds: &Thresholds) -> impl Iterator<Item = (&'static str, f64)> + use<> {
    [
        ("kappa", thresholds.kappa),
        ("gain_above_floor", thresholds.gain_above_floor),
        ("fidelity", thresholds.fidelity),
        ("fidelity_not_served", thresholds.fidelity_not_served),
        ("memory_verbatim", thresholds.memory_verbatim),
        ("relative_kappa", thresholds.relative_kappa),
        ("relative_gain", thresholds.relative_gain),
        ("alpha", thresholds.alpha),
    ]
    .into_iter()
}
