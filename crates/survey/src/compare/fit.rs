//! Whether runs may be compared: the same texts, settings, seed, policy and version.
//!
//! Runs that differ are never compared silently: the error says what differs and which command makes
//! a run that fits.

use std::collections::BTreeSet;
use std::fmt;

use isogloss_record::survey::{ModelResults, SurveyResults};
use isogloss_record::{Explain, Lang};
use serde_json::Value;

use super::compare;
use crate::measures::Measure;

/// A run, as it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its folder.
    pub name: String,
    /// Its results.
    pub results: SurveyResults,
    /// Its configuration as `run.json` has it, for the command that repeats it.
    pub config: Option<Value>,
}

/// Why runs cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// Two runs that were made differently.
    #[error(transparent)]
    Differs(Box<Difference>),
    /// Results that hold no item outcomes.
    #[error("`{run}` does not say what its items gave: it is of an older version")]
    NoOutcomes {
        /// The run.
        run: String,
        /// The command that adds them.
        command: String,
    },
    /// One name for two models.
    #[error("`{first}` and `{second}` hold two models of the name `{name}`")]
    SameName {
        /// A run.
        first: String,
        /// Another run.
        second: String,
        /// The name.
        name: String,
    },
    /// No run, or no model in any.
    #[error("there are no models to compare")]
    Nothing,
}

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{first}` and `{second}` cannot be compared: {what} differs, found {found}, expected {expected}"
)]
pub struct Difference {
    /// The run that is compared with.
    pub first: String,
    /// The run that does not fit.
    pub second: String,
    /// What differs.
    pub what: String,
    /// As the second has it.
    pub found: String,
    /// As the first has it.
    pub expected: String,
    /// The command that makes the second fit.
    pub command: String,
}

impl Explain for Misfit {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Differs(difference) => format!("run again: {}", difference.command),
            Self::NoOutcomes { command, .. } => {
                format!("its answers are kept, so this takes seconds: {command}")
            }
            Self::SameName { .. } => "survey one of them from a path of another name".to_owned(),
            Self::Nothing => "give folders that `isogloss survey … --out` wrote".to_owned(),
        })
    }
}

/// The models of several runs as one survey, compared; a model that is in two runs is taken once.
///
/// Languages are those that any of the runs has; a model of a run without one has no results there.
pub fn merge(runs: &[Run]) -> Result<SurveyResults, Misfit> {
    let Some((first, others)) = runs.split_first() else {
        return Err(Misfit::Nothing);
    };
    for run in runs {
        check_outcomes(run)?;
    }
    let mut merged = first.results.clone();
    for run in others {
        check_fit(first, run)?;
        for model in &run.results.models {
            let known = merged.models.iter().find(|known| known.name == model.name);
            match known {
                None => merged.models.push(model.clone()),
                Some(known) if known.fingerprint.hash == model.fingerprint.hash => {}
                Some(known) => return Err(same_name(runs, known, run)),
            }
        }
        for (lang, facts) in &run.results.languages {
            merged
                .languages
                .entry(*lang)
                .or_insert_with(|| facts.clone());
        }
        merged.failed.extend(run.results.failed.iter().cloned());
    }
    if merged.models.is_empty() {
        return Err(Misfit::Nothing);
    }
    // One that failed in a run and is whole in another is whole.
    let whole: BTreeSet<String> = merged.models.iter().map(|m| m.name.clone()).collect();
    merged.failed.retain(|failed| !whole.contains(&failed.name));
    merged.comparisons = compare(&merged);
    Ok(merged)
}

fn same_name(runs: &[Run], known: &ModelResults, second: &Run) -> Misfit {
    let holds = |run: &&Run| {
        let mut models = run.results.models.iter();
        models.any(|model| model.fingerprint.hash == known.fingerprint.hash)
    };
    Misfit::SameName {
        first: runs
            .iter()
            .find(holds)
            .map_or_else(String::new, |run| run.name.clone()),
        second: second.name.clone(),
        name: known.name.clone(),
    }
}

/// Text items were asked, so their outcomes must be there.
fn check_outcomes(run: &Run) -> Result<(), Misfit> {
    let languages = run
        .results
        .models
        .iter()
        .flat_map(|model| model.languages.values());
    let lacks = |register: &isogloss_record::survey::RegisterResults| {
        register.comprehension.is_some() && register.outcomes.is_none()
    };
    let is_old = languages.flat_map(|l| l.registers.values()).any(lacks);
    if is_old {
        return Err(Misfit::NoOutcomes {
            run: run.name.clone(),
            command: command(run, run, &run.name),
        });
    }
    Ok(())
}

/// Everything but models and languages that decides a number.
fn check_fit(first: &Run, second: &Run) -> Result<(), Misfit> {
    let (a, b) = (&first.results, &second.results);
    let differs = |what: String, found: &dyn fmt::Display, expected: &dyn fmt::Display| {
        Err(Misfit::Differs(Box::new(Difference {
            first: first.name.clone(),
            second: second.name.clone(),
            what,
            found: found.to_string(),
            expected: expected.to_string(),
            command: command(first, second, "NEW-FOLDER"),
        })))
    };
    if a.version != b.version {
        return differs("the version of Isogloss".to_owned(), &b.version, &a.version);
    }
    if a.policy != b.policy {
        let name = |policy: &isogloss_record::survey::PolicyStamp| {
            let edited = if policy.edited { ", edited" } else { "" };
            format!("{} {}{edited}", policy.id, policy.version)
        };
        let (mut found, mut expected) = (name(&b.policy), name(&a.policy));
        let of = |run: &SurveyResults, key: &str| {
            let value = run.policy.thresholds.get(key);
            value.map_or_else(|| "none".to_owned(), f64::to_string)
        };
        let keys: BTreeSet<&String> =
            (a.policy.thresholds.keys().chain(b.policy.thresholds.keys())).collect();
        if let Some(key) = keys.into_iter().find(|key| of(a, key) != of(b, key)) {
            found = format!("{found} with {key} = {}", of(b, key));
            expected = format!("{expected} with {key} = {}", of(a, key));
        }
        return differs("the policy".to_owned(), &found, &expected);
    }
    for (x, y) in a.settings.registers.iter().zip(&b.settings.registers) {
        if x != y {
            let show = |register: &isogloss_record::survey::Register| {
                format!("{} ({:.12}…)", register.id, register.hash)
            };
            return differs("the text".to_owned(), &show(y), &show(x));
        }
    }
    let settings = |run: &SurveyResults| {
        let value = serde_json::to_value(&run.settings).expect("settings are plain values");
        match value {
            Value::Object(map) => map,
            _ => serde_json::Map::new(),
        }
    };
    let (x, y) = (settings(a), settings(b));
    let keys: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
    let none = Value::Null;
    for key in keys {
        let (expected, found) = (x.get(key).unwrap_or(&none), y.get(key).unwrap_or(&none));
        if expected != found {
            return differs(format!("the setting `{key}`"), found, expected);
        }
    }
    Ok(())
}

/// The command that surveys the models of `second` as `first` was made.
fn command(first: &Run, second: &Run, out: &str) -> String {
    let results = &first.results;
    let settings = &results.settings;
    let config = |key: &str| first.config.as_ref().and_then(|config| config.get(key));
    let given = second
        .config
        .as_ref()
        .and_then(|config| config.get("models")?.as_array());
    let models: Vec<String> = match given {
        Some(given) => given
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        None => second
            .results
            .models
            .iter()
            .map(|model| model.name.clone())
            .collect(),
    };
    let languages: Vec<String> = results
        .languages
        .keys()
        .filter(|lang| **lang != settings.reference)
        .map(Lang::to_string)
        .collect();
    let mut words = vec!["isogloss survey".to_owned()];
    words.extend(models.iter().map(|name| quoted(name)));
    words.push(format!("--langs {}", languages.join(",")));
    words.push(format!("--out {}", quoted(out)));
    let fast: Vec<&str> = Measure::FAST.iter().map(|measure| measure.id()).collect();
    let is_fast = settings.measures.len() == fast.len()
        && settings
            .measures
            .iter()
            .all(|id| fast.contains(&id.as_str()));
    if is_fast {
        words.push("--fast".to_owned());
    }
    let all_items = config("items").and_then(Value::as_str) == Some("All");
    words.push(if all_items {
        "--items all".to_owned()
    } else {
        format!("--items {}", settings.n_items)
    });
    words.push(format!("--words {}", settings.n_words));
    words.push(format!("--continuations {}", settings.n_continuations));
    if settings.complete {
        words.push("--complete".to_owned());
    }
    words.push(format!("--seed {}", settings.seed.0));
    if settings.reference.to_string() != "eng" {
        words.push(format!("--reference {}", settings.reference));
    }
    let shipped = ["udhr", "words", "made"];
    if let Some(own) = (settings.registers.iter()).find(|r| !shipped.contains(&r.id.as_str())) {
        words.push(format!("--text YOUR-TEXT ({})", own.id));
    }
    if results.policy.edited {
        words.push("--policy YOUR-POLICY.toml".to_owned());
    }
    words.join(" ")
}

fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=,#@".contains(c);
    if name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}
