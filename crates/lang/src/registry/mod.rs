//! The registry: facts about every language of ISO 639-3, with the sources in the data file.
//!
//! The data is `packs/languages/registry.tsv` and `families.tsv`, written by `cargo xtask data` and
//! reviewed; this module only reads it. `None` and empty lists mean "not known".

mod resolve;
mod select;

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use isogloss_record::survey::{LanguageFacts, Region, Sample, Speakers};
use isogloss_record::{Lang, Script};

use crate::script;

pub use resolve::UnknownLanguage;
pub use select::SelectError;

const LANGUAGES: &str = include_str!("../../../../packs/languages/registry.tsv");
const FAMILIES: &str = include_str!("../../../../packs/languages/families.tsv");
const REGIONS: &str = include_str!("../../../../packs/languages/regions.tsv");

/// What is known about one language.
#[derive(Debug, Clone, PartialEq)]
pub struct Language {
    /// Its identity, without script.
    pub lang: Lang,
    /// Canonical BCP 47 tag by CLDR. Several languages may share one (`quz` is `qu`).
    pub tag: String,
    /// English name.
    pub name: String,
    /// Further English names: of ISO 639-3, CLDR, or the texts' index.
    pub other_names: Vec<String>,
    /// Its name for itself.
    pub endonym: Option<String>,
    /// `living`, `extinct`, `ancient`, `historical`, `constructed`, `macrolanguage` or `special`.
    pub kind: String,
    /// Scripts in use, the usual one first.
    pub scripts: Vec<Script>,
    /// Scripts of the texts that Isogloss ships.
    pub text_scripts: Vec<Script>,
    /// Families from the widest to the narrowest, by name.
    pub family: Vec<String>,
    /// The same by ISO 639-5 code.
    pub family_codes: Vec<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// People who speak it as a first or later language; source and year are the registry's.
    pub speakers: Option<u64>,
    /// Where at least a tenth of them live, continents first. Without a count the region of CLDR's
    /// likely territory, without a share.
    pub regions: Vec<Region>,
    /// Default numbering system by CLDR (`latn`, `arab`, `deva`).
    pub digits: Option<String>,
    /// Native numbering system, where it is not the default one.
    pub native_digits: Option<String>,
    /// `modern`, `moderate`, `basic` or `none`: how much of CLDR's locale data exists. A proxy for
    /// software in the language, not for training text.
    pub class: String,
    /// Translations of the Universal Declaration of Human Rights among the shipped texts.
    pub n_udhr: usize,
    /// Words among the shipped names of symbols.
    pub n_words: usize,
    /// Other codes that mean this language: ISO 639-1, 639-2, macrolanguage, retired.
    pub aliases: Vec<String>,
}

/// All languages, and the ways to find them.
#[derive(Debug)]
pub struct Registry {
    languages: BTreeMap<Lang, Language>,
    /// Lower-case names, each with its languages, the likeliest first.
    names: HashMap<String, Vec<Lang>>,
    /// Aliases, as written in the data.
    aliases: HashMap<String, Lang>,
    speakers_source: String,
    speakers_year: u16,
}

/// The registry that Isogloss ships.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        Registry::read(LANGUAGES, FAMILIES, REGIONS)
            .expect("the shipped registry is tested to be readable")
    })
}

impl Registry {
    /// Facts about a language, whatever its script.
    pub fn language(&self, lang: Lang) -> Option<&Language> {
        self.languages.get(&lang.without_script())
    }

    /// All languages in the order of their codes.
    pub fn languages(&self) -> impl Iterator<Item = &Language> {
        self.languages.values()
    }

    /// English name, with the script where the code holds one: "Mandarin Chinese (Simplified Han)";
    /// the code of a language that is not registered.
    pub fn name(&self, lang: Lang) -> String {
        let Some(language) = self.language(lang) else {
            return lang.to_string();
        };
        match lang.script().and_then(script::facts) {
            Some(script) => format!("{} ({})", language.name, script.name),
            None => language.name.clone(),
        }
    }

    /// The script that a language is written in: its own where it names one, else that of the
    /// shipped texts, else the usual one; `None` where nothing is known.
    pub fn script(&self, lang: Lang) -> Option<Script> {
        if let Some(script) = lang.script() {
            return Some(script);
        }
        let language = self.language(lang)?;
        let usual = language.scripts.first().copied();
        match language.text_scripts[..] {
            [] => usual,
            [only] => Some(only),
            [first, ..] => usual
                .filter(|usual| language.text_scripts.contains(usual))
                .or(Some(first)),
        }
    }

    /// The one way in which a language is written as a code: with its script only where the shipped
    /// texts have several, or where the script is not the usual one.
    #[must_use]
    pub fn canonical(&self, lang: Lang) -> Lang {
        // Punjabi in the Arabic script is a language of its own.
        let other = lang
            .script()
            .and_then(|_| self.aliases.get(&lang.to_string()));
        if let (Some(other), Some(script)) = (other, lang.script()) {
            return self.canonical_script(other.with_script(script));
        }
        self.canonical_script(lang)
    }

    fn canonical_script(&self, lang: Lang) -> Lang {
        let bare = lang.without_script();
        let usual = self.script(bare);
        let script = match lang.script().map(|script| script.to_string()).as_deref() {
            // Parts of the combined scripts by which languages name them.
            Some("Hang") => "Kore".parse().ok(),
            Some("Hira" | "Kana") => "Jpan".parse().ok(),
            Some("Hani") if usual.is_some_and(|usual| script::includes(usual, script_hani())) => {
                usual
            }
            _ => lang.script().or(usual),
        };
        let has_several = self
            .language(bare)
            .is_some_and(|language| language.text_scripts.len() > 1);
        match script {
            Some(script) if has_several || Some(script) != usual => bare.with_script(script),
            _ => bare,
        }
    }

    /// Whether two codes mean the same language in the same script (`hau` and `hau_Latn`).
    pub fn is_same(&self, a: Lang, b: Lang) -> bool {
        self.canonical(a) == self.canonical(b)
    }

    /// Whether the language's script runs from right to left.
    pub fn is_right_to_left(&self, lang: Lang) -> bool {
        self.script(lang).is_some_and(script::is_right_to_left)
    }

    /// Whether words are separated by spaces; `None` where the script is not known.
    pub fn has_spaces_between_words(&self, lang: Lang) -> Option<bool> {
        Some(script::facts(self.script(lang)?)?.spaces_between_words)
    }

    /// Canonical BCP 47 tag for text in the language, with the script where it is not the one that
    /// the tag implies: for the `lang` attribute of pages.
    pub fn tag(&self, lang: Lang) -> String {
        let Some(language) = self.language(lang) else {
            return lang.to_string().replace('_', "-");
        };
        match self.script(lang) {
            Some(script)
                if !language.tag.contains('-') && language.scripts.first() != Some(&script) =>
            {
                format!("{}-{script}", language.tag)
            }
            _ => language.tag.clone(),
        }
    }

    /// The facts that a report shows; `None` for a code that is not registered.
    pub fn facts(&self, lang: Lang, sample: Option<Sample>) -> Option<LanguageFacts> {
        let language = self.language(lang)?;
        let unknown = || "Zzzz".parse().expect("a script code");
        Some(LanguageFacts {
            name: self.name(lang),
            endonym: language.endonym.clone(),
            tag: self.tag(lang),
            script: self.script(lang).unwrap_or_else(unknown),
            right_to_left: self.is_right_to_left(lang),
            family: language.family.clone(),
            latitude: language.latitude,
            longitude: language.longitude,
            speakers: language.speakers.map(|count| Speakers {
                count,
                source: self.speakers_source.clone(),
                year: self.speakers_year,
            }),
            resource_class: Some(language.class.clone()),
            sample,
            regions: language.regions.clone(),
        })
    }

    /// Reads the three tables; `None` where they are malformed.
    fn read(languages: &str, families: &str, regions: &str) -> Option<Self> {
        let families = read_groups(families)?;
        let regions = read_groups(regions)?;
        let header = |key: &str| {
            languages.lines().find_map(|line| {
                line.strip_prefix("# ")?
                    .strip_prefix(key)?
                    .strip_prefix(": ")
            })
        };
        let speakers_source = header("speakers-source")?.to_owned();
        let speakers_year = header("speakers-year")?.parse().ok()?;
        let languages: BTreeMap<Lang, Language> = languages
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let language = read_language(line, &families, &regions)?;
                Some((language.lang, language))
            })
            .collect::<Option<_>>()?;

        let mut aliases = HashMap::new();
        let mut names: HashMap<String, Vec<Lang>> = HashMap::new();
        let mut ranked: Vec<&Language> = languages.values().collect();
        ranked.sort_by_key(|language| rank(language));
        for language in ranked {
            for alias in &language.aliases {
                aliases.entry(alias.clone()).or_insert(language.lang);
            }
            let all = std::iter::once(&language.name)
                .chain(&language.endonym)
                .chain(&language.other_names);
            for name in all {
                let found = names.entry(name.to_lowercase()).or_default();
                if !found.contains(&language.lang) {
                    found.push(language.lang);
                }
            }
        }
        Some(Self {
            languages,
            names,
            aliases,
            speakers_source,
            speakers_year,
        })
    }
}

/// Which of several languages a name means first: one with texts, no wider code, more speakers.
fn rank(language: &Language) -> impl Ord + use<> {
    (
        language.n_udhr + language.n_words == 0,
        language.kind == "macrolanguage",
        std::cmp::Reverse(language.speakers),
        language.lang,
    )
}

fn script_hani() -> Script {
    "Hani".parse().expect("a script code")
}

/// Code to name and parent of every group (a family, a region).
type Groups<'a> = HashMap<&'a str, (&'a str, &'a str)>;

fn read_groups(table: &str) -> Option<Groups<'_>> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, (fields.next()?, fields.next()?)))
        })
        .collect()
}

/// `142:35`: the region of a code, with the share of the speakers where it is known.
fn read_region(field: &str, regions: &Groups) -> Option<Region> {
    let (code, share) = match field.split_once(':') {
        Some((code, percent)) => (code, Some(percent.parse::<f64>().ok()? / 100.0)),
        None => (field, None),
    };
    let (name, continent) = regions.get(code)?;
    Some(Region {
        name: (*name).to_owned(),
        continent: regions.get(continent).map(|(name, _)| (*name).to_owned()),
        share,
    })
}

fn read_language(line: &str, families: &Groups, regions: &Groups) -> Option<Language> {
    let fields: [&str; 18] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let [
        code,
        tag,
        name,
        other_names,
        endonym,
        kind,
        scripts,
        text_scripts,
        family,
        latitude,
        longitude,
        speakers,
        region_codes,
        digits,
        class,
        udhr,
        words,
        aliases,
    ] = fields;
    let list = |field: &str, separator: &str| -> Vec<String> {
        field
            .split(separator)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let scripts_of = |field: &str| -> Option<Vec<Script>> {
        field.split_whitespace().map(|s| s.parse().ok()).collect()
    };
    let text = |field: &str| (!field.is_empty()).then(|| field.to_owned());
    let mut chain = Vec::new();
    let mut group = family;
    while !group.is_empty() && chain.len() < 20 {
        let (name, parent) = families.get(group)?;
        chain.push((group.to_owned(), (*name).to_owned()));
        group = parent;
    }
    chain.reverse();
    let (family_codes, family) = chain.into_iter().unzip();
    let mut digits = digits.split_whitespace();
    Some(Language {
        lang: code.parse().ok()?,
        tag: tag.to_owned(),
        name: name.to_owned(),
        other_names: list(other_names, "; "),
        endonym: text(endonym),
        kind: kind.to_owned(),
        scripts: scripts_of(scripts)?,
        text_scripts: scripts_of(text_scripts)?,
        family,
        family_codes,
        latitude: latitude.parse().ok(),
        longitude: longitude.parse().ok(),
        speakers: speakers.parse().ok(),
        regions: region_codes
            .split_whitespace()
            .map(|field| read_region(field, regions))
            .collect::<Option<_>>()?,
        digits: digits.next().map(str::to_owned),
        native_digits: digits.next().map(str::to_owned),
        class: class.to_owned(),
        n_udhr: udhr.parse().unwrap_or(0),
        n_words: words.parse().unwrap_or(0),
        aliases: list(aliases, " "),
    })
}
