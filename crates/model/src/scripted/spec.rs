//! Which scripted model, by name: `scripted:knows:fra=.9,hau=.1/0/.5,other=.3,seed=7`.

use std::collections::BTreeMap;
use std::str::FromStr;

use isogloss_record::{Lang, Seed};
use serde::Serialize;

/// How a scripted model behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Understands and produces as its skills say.
    Knows,
    /// Gives every text the probability that it has alone.
    IgnoresContext,
    /// Finds those texts likelier whose length is that of the context.
    ReadsLength,
    /// Finds those texts likelier that share words with the context.
    CopiesNames,
    /// Finds one option likelier, whatever the context.
    Position,
}

impl Variant {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("knows", Self::Knows),
        ("ignores-context", Self::IgnoresContext),
        ("reads-length", Self::ReadsLength),
        ("copies-names", Self::CopiesNames),
        ("position", Self::Position),
    ];
}

/// What a scripted model can do in a language. Each is a probability per document, `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Skill {
    /// That it recognizes the translation of a text in the language. It guesses otherwise, so this
    /// is κ of comprehension.
    pub comprehension: f64,
    /// That it recognizes the translation of a reference text into the language: κ of production.
    pub production: f64,
    /// That a continuation stays in the language.
    pub fidelity: f64,
}

impl Skill {
    /// The same probability for all.
    pub fn all(probability: f64) -> Self {
        Self {
            comprehension: probability,
            production: probability,
            fidelity: probability,
        }
    }

    /// From a probability, or three with `/` between them.
    fn parse(text: &str) -> Option<Self> {
        let values: Vec<f64> = text
            .split('/')
            .map(|value| value.parse().ok().filter(|p| (0.0..=1.0).contains(p)))
            .collect::<Option<_>>()?;
        match values[..] {
            [all] => Some(Self::all(all)),
            [comprehension, production, fidelity] => Some(Self {
                comprehension,
                production,
                fidelity,
            }),
            _ => None,
        }
    }

    fn name(&self) -> String {
        if *self == Self::all(self.comprehension) {
            return self.comprehension.to_string();
        }
        format!(
            "{}/{}/{}",
            self.comprehension, self.production, self.fidelity
        )
    }
}

/// What every name begins with.
const PREFIX: &str = "scripted:";

/// In a name, the skill in languages that are not named.
const OTHER: &str = "other";

/// In a name, the seed.
const SEED: &str = "seed";

/// In a name, the planted failure.
const FAILS: &str = "fails";

/// A scripted model's planted truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScriptedSpec {
    /// How it behaves.
    pub variant: Variant,
    /// Skills by language.
    pub skills: BTreeMap<Lang, Skill>,
    /// Skill in every other language.
    pub other: Skill,
    /// The language it always knows, and drifts to.
    pub reference: Lang,
    /// Share of a text's bits that a context it understands explains, on average; it varies
    /// evenly from half of it to one and a half. `(0, ⅔)`.
    pub gain: f64,
    /// Seed of what it happens to know.
    pub seed: Seed,
    /// Answers after which it fails, counted from when it was opened; `None`: it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails_after: Option<u64>,
}

impl ScriptedSpec {
    /// A variant with skill ½ in every language, English as reference, gain .3, seed 1.
    pub fn new(variant: Variant) -> Self {
        Self {
            variant,
            skills: BTreeMap::new(),
            other: Skill::all(0.5),
            reference: "eng".parse().expect("a language code"),
            gain: 0.3,
            seed: Seed(1),
            fails_after: None,
        }
    }

    /// Name that parses to this model (but for `gain` and `reference`, which no name says): what
    /// differs from [`ScriptedSpec::new`] is named, languages in the order of their codes.
    pub fn name(&self) -> String {
        let (variant, _) = Variant::ALL
            .into_iter()
            .find(|(_, variant)| *variant == self.variant)
            .expect("every variant has a name");
        let new = Self::new(self.variant);
        let mut entries: Vec<String> = self
            .skills
            .iter()
            .map(|(lang, skill)| format!("{lang}={}", skill.name()))
            .collect();
        if self.other != new.other {
            entries.push(format!("{OTHER}={}", self.other.name()));
        }
        if self.seed != new.seed {
            entries.push(format!("{SEED}={}", self.seed.0));
        }
        if let Some(n) = self.fails_after {
            entries.push(format!("{FAILS}={n}"));
        }
        if entries.is_empty() {
            format!("{PREFIX}{variant}")
        } else {
            format!("{PREFIX}{variant}:{}", entries.join(","))
        }
    }

    pub(super) fn skill(&self, lang: Lang) -> Skill {
        if lang == self.reference {
            return Skill::all(1.0);
        }
        self.skills.get(&lang).copied().unwrap_or(self.other)
    }
}

/// A name that stands for no scripted model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` names no scripted model: {expected}")]
pub struct ScriptedNameError {
    /// The name.
    pub found: String,
    /// What it may be.
    pub expected: String,
}

impl isogloss_record::Explain for ScriptedNameError {
    fn hint(&self) -> Option<String> {
        Some("for example `scripted:knows:fra=.9,hau=.1`".into())
    }
}

impl FromStr for ScriptedSpec {
    type Err = ScriptedNameError;

    /// `scripted:VARIANT`, with skills per language after another colon: a probability for all
    /// three, or three with `/` between them (comprehension, production, fidelity). `other=` is the
    /// skill in all other languages, `seed=` the seed, `fails=` the number of answers after which it
    /// fails.
    fn from_str(text: &str) -> Result<Self, ScriptedNameError> {
        let error = |expected: String| ScriptedNameError {
            found: text.to_owned(),
            expected,
        };
        let rest = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| error("expected `scripted:` and a variant".into()))?;
        let (name, skills) = rest.split_once(':').unwrap_or((rest, ""));
        let names = Variant::ALL.map(|(name, _)| name).join(", ");
        let (_, variant) = Variant::ALL
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| error(format!("the variants are {names}")))?;
        let mut spec = Self::new(variant);
        for entry in skills.split(',').filter(|entry| !entry.is_empty()) {
            let form = || error(format!("`{entry}` is not of the form `fra=.9`"));
            let (key, value) = entry.split_once('=').ok_or_else(form)?;
            if key == SEED {
                let seed = value
                    .parse()
                    .map_err(|_| error(format!("`{value}` is no seed: a whole number is")))?;
                spec.seed = Seed(seed);
                continue;
            }
            if key == FAILS {
                let n = value.parse().map_err(|_| {
                    error(format!("`{value}` is no number of answers: a whole one is"))
                })?;
                spec.fails_after = Some(n);
                continue;
            }
            let skill = Skill::parse(value).ok_or_else(|| {
                error(format!(
                    "`{value}` is no skill: a probability from 0 to 1 is, or three with `/` between them"
                ))
            })?;
            if key == OTHER {
                spec.other = skill;
            } else {
                let lang = key
                    .parse()
                    .map_err(|_| error(format!("`{key}` is no ISO 639-3 code such as `fra`")))?;
                spec.skills.insert(lang, skill);
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let spec: ScriptedSpec = "scripted:knows:fra=.9,hau=.1/0/.5".parse().unwrap();
        assert_eq!(spec.variant, Variant::Knows);
        assert_eq!(spec.skill("fra".parse().unwrap()), Skill::all(0.9));
        let hausa = spec.skill("hau".parse().unwrap());
        assert_eq!((hausa.production, hausa.fidelity), (0.0, 0.5));
        assert_eq!(spec.skill("eng".parse().unwrap()), Skill::all(1.0));
        assert_eq!(spec.skill("tha".parse().unwrap()), Skill::all(0.5));
        for (name, variant) in Variant::ALL {
            let spec: ScriptedSpec = format!("scripted:{name}").parse().unwrap();
            assert_eq!(
                (spec.variant, spec.name()),
                (variant, format!("scripted:{name}"))
            );
        }
    }

    #[test]
    fn a_model_says_its_whole_name() {
        for (given, said) in [
            ("scripted:knows", "scripted:knows"),
            ("scripted:knows:fra=.9", "scripted:knows:fra=0.9"),
            (
                "scripted:knows:seed=7,other=0,hau=.1/0/.5,fra=1",
                "scripted:knows:fra=1,hau=0.1/0/0.5,other=0,seed=7",
            ),
            // The usual values need no words.
            ("scripted:position:other=.5,seed=1", "scripted:position"),
            (
                "scripted:knows:fails=30,fra=1",
                "scripted:knows:fra=1,fails=30",
            ),
        ] {
            let spec: ScriptedSpec = given.parse().unwrap();
            assert_eq!(spec.name(), said);
            assert_eq!(said.parse::<ScriptedSpec>().unwrap(), spec);
        }
    }

    #[test]
    fn wrong_names_say_what_is_possible() {
        for wrong in [
            "knows",
            "scripted:guesses",
            "scripted:knows:fra",
            "scripted:knows:fra=2",
            "scripted:knows:fra=.1/.2",
            "scripted:knows:French=.1",
            "scripted:knows:seed=-1",
            "scripted:knows:other",
        ] {
            assert!(wrong.parse::<ScriptedSpec>().is_err(), "{wrong}");
        }
        let error = "scripted:guesses".parse::<ScriptedSpec>().unwrap_err();
        assert!(error.to_string().contains("copies-names"), "{error}");
        let error = "scripted:knows:ha=1".parse::<ScriptedSpec>().unwrap_err();
        assert!(
            error.to_string().contains("`ha` is no ISO 639-3"),
            "{error}"
        );
    }
}
