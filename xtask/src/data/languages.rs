//! The registry: ISO 639-3, IANA, CLDR and the UDHR index -> `packs/languages/registry.tsv`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::npm::Packages;
use super::regions::Regions;
use super::{TextScripts, rows};

/// How a language is written in files: with its script where the texts at hand have several.
pub(super) fn written(code: &str, script: &str, text_scripts: &TextScripts) -> String {
    match text_scripts.get(code) {
        Some(scripts) if scripts.len() > 1 => format!("{code}_{script}"),
        _ => code.to_owned(),
    }
}

/// ISO 639-3 with the other code sets.
pub(super) struct Codes {
    languages: Vec<BTreeMap<String, String>>,
    /// Three-letter code to its place in `languages`.
    index: BTreeMap<String, usize>,
    /// Two-letter code to three-letter code.
    part1: BTreeMap<String, String>,
    /// Macrolanguage (or `code_Script`) to the language that it means.
    macrolanguages: BTreeMap<String, String>,
}

impl Codes {
    pub(super) fn read(packages: &Packages) -> Result<Self, String> {
        let languages = packages.records("iso-639-3/iso6393.js")?;
        let index: BTreeMap<String, usize> = languages
            .iter()
            .enumerate()
            .map(|(i, record)| (record["iso6393"].clone(), i))
            .collect();
        let part1 = languages
            .iter()
            .filter_map(|record| Some((record.get("iso6391")?.clone(), record["iso6393"].clone())))
            .collect();
        let path = crate::root().join("packs/languages/macrolanguages.tsv");
        let text = isogloss_record::files::read_to_string(&path).map_err(|e| e.to_string())?;
        let mut macrolanguages = BTreeMap::new();
        for row in rows(&text) {
            let [from, to, ..] = row[..] else {
                return Err(format!("`macrolanguages.tsv`: not two columns: {row:?}"));
            };
            for code in [&from[..3], to] {
                if !index.contains_key(code) {
                    return Err(format!(
                        "`macrolanguages.tsv`: `{code}` is no ISO 639-3 code"
                    ));
                }
            }
            macrolanguages.insert(from.to_owned(), to.to_owned());
        }
        Ok(Self {
            languages,
            index,
            part1,
            macrolanguages,
        })
    }

    /// The language that a CLDR locale's tag means, by ISO 639-3, for texts in a script.
    pub(super) fn of_tag(&self, language: &str, script: &str) -> String {
        let code = self.part1.get(language).map_or(language, String::as_str);
        self.macrolanguages
            .get(&format!("{code}_{script}"))
            .or_else(|| self.macrolanguages.get(code))
            .cloned()
            .unwrap_or_else(|| code.to_owned())
    }

    /// The two-letter code where there is one.
    fn shortest<'a>(&'a self, code: &'a str) -> &'a str {
        self.index
            .get(code)
            .and_then(|&i| self.languages[i].get("iso6391"))
            .map_or(code, String::as_str)
    }

    /// Wider codes that mean this language.
    fn wider<'a>(&'a self, code: &'a str) -> impl Iterator<Item = &'a str> {
        self.macrolanguages
            .iter()
            .filter(move |(from, to)| *to == code && from.len() == 3)
            .map(|(from, _)| from.as_str())
    }
}

/// CLDR's likely script of a tag.
pub(super) struct LikelyScripts(Value);

impl LikelyScripts {
    pub(super) fn read(packages: &Packages) -> Result<Self, String> {
        let mut json = packages.json("cldr-core/supplemental/likelySubtags.json")?;
        Ok(Self(json["supplemental"]["likelySubtags"].take()))
    }

    /// The script that a tag names or implies; `Latn` where CLDR knows nothing of tag and code.
    pub(super) fn of(&self, tag: &str, code: &str) -> String {
        let parts: Vec<&str> = tag.split(['-', '_']).collect();
        if let Some(script) = parts.iter().skip(1).find(|part| is_script(part)) {
            return (*script).to_owned();
        }
        self.get(tag)
            .or_else(|| self.get(parts[0]))
            .or_else(|| self.get(code))
            .unwrap_or_else(|| "Latn".to_owned())
    }

    fn get(&self, tag: &str) -> Option<String> {
        let full = self.0[tag].as_str()?;
        full.split('-')
            .find(|part| is_script(part))
            .map(str::to_owned)
    }
}

fn is_script(part: &str) -> bool {
    part.len() == 4 && part.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Filipino is the standard of Tagalog: CLDR has one locale for both.
const SAME_LOCALE: [(&str, &str); 1] = [("tgl", "fil")];

/// What the texts say about languages.
pub(super) struct TextCounts<'a> {
    pub(super) udhr: BTreeMap<String, usize>,
    pub(super) words: BTreeMap<String, usize>,
    pub(super) scripts: &'a TextScripts,
}

/// The three tables.
pub(super) struct Tables {
    pub(super) languages: String,
    pub(super) families: String,
    pub(super) regions: String,
}

/// Everything read from CLDR and IANA that lines of the registry are looked up in.
struct Sources<'a> {
    packages: &'a Packages,
    codes: &'a Codes,
    likely: LikelyScripts,
    aliases: Value,
    language_data: Value,
    names: Value,
    coverage: Value,
    speakers: BTreeMap<String, f64>,
    regions: Regions,
    /// Member to its narrowest group.
    groups: BTreeMap<String, String>,
    places: BTreeMap<String, (String, String)>,
    text_names: BTreeMap<String, String>,
    /// Three-letter code to the subtag of its macrolanguage.
    macrolanguage_of: BTreeMap<String, String>,
    /// Retired ISO 639-3 codes to what replaces them.
    retired: BTreeMap<String, BTreeSet<String>>,
}

/// Builds the registry.
pub(super) fn registry(
    packages: &Packages,
    codes: &Codes,
    texts: &TextCounts,
) -> Result<Tables, String> {
    let mut names = packages.json("cldr-localenames-full/main/en/languages.json")?;
    let mut aliases = packages.json("cldr-core/supplemental/aliases.json")?;
    let mut language_data = packages.json("cldr-core/supplemental/languageData.json")?;
    let mut coverage = packages.json("cldr-core/coverageLevels.json")?;
    let iana = packages.json("language-subtag-registry/data/json/registry.json")?;
    let sources = Sources {
        packages,
        codes,
        likely: LikelyScripts::read(packages)?,
        aliases: aliases["supplemental"]["metadata"]["alias"]["languageAlias"].take(),
        language_data: language_data["supplemental"]["languageData"].take(),
        names: names["main"]["en"]["localeDisplayNames"]["languages"].take(),
        coverage: coverage["coverageLevels"].take(),
        speakers: speakers(packages)?,
        regions: Regions::read(packages)?,
        groups: groups(packages)?,
        places: places(packages)?,
        text_names: text_names(packages)?,
        macrolanguage_of: macrolanguage_of(&iana),
        retired: retired(&iana, codes),
    };
    let mut lines = Vec::new();
    for record in &codes.languages {
        lines.push(line(record, &sources, texts)?);
    }
    lines.sort();
    Ok(Tables {
        languages: format!("{HEADER}{}\n", lines.join("\n")),
        families: families(&sources, &iana)?,
        regions: sources.regions.names(),
    })
}

const HEADER: &str = "\
# Languages of ISO 639-3, one a line; empty fields are not known.
#
# Sources: npm iso-639-3 3.0.1 (MIT; code, kind, aliases), language-subtag-registry 0.4.2 (IANA, CC0;
# retired codes, families' names), Unicode CLDR 48.2.0 (cldr-core, cldr-localenames-full,
# cldr-numbers-full; Unicode-3.0; tag, names, endonym, scripts, family, speakers, regions, digits,
# class), udhr 6.0.0 (MIT; latitude, longitude, texts), packs/languages/macrolanguages.tsv (by hand).
#
# tag: canonical BCP 47 tag by CLDR; several codes may share one (`quz` and `que` are `qu`): the code
#   stays the identity.
# scripts: the usual one first. text_scripts: scripts among the texts that Isogloss ships.
# family: the narrowest group in families.tsv.
# speakers: sum over territories of population x share of speakers (first or later language).
# regions: where at least a tenth of these speakers live, by codes of regions.tsv with the share in
#   percent, continents first; without a count the region of CLDR's likely territory, without a share.
# digits: default numbering system, then the native one where it differs.
# class: how much of CLDR's locale data exists for the language: `modern`, `moderate`, `basic`, or
#   `none`. A proxy for software in the language, derived from data at hand; it is not the amount of
#   training text.
# udhr: translations among the shipped texts; words: names of symbols among the shipped words.
# aliases: other codes that mean this language (ISO 639-1, 639-2, macrolanguage, retired).
#
# speakers-source: Unicode CLDR 48.2.0 territoryInfo
# speakers-year: 2025
# Written by `cargo xtask data`; do not edit.
#
# code\ttag\tname\tother_names\tendonym\tkind\tscripts\ttext_scripts\tfamily\tlatitude\tlongitude\tspeakers\tregions\tdigits\tclass\tudhr\twords\taliases
";

fn line(
    record: &BTreeMap<String, String>,
    sources: &Sources,
    texts: &TextCounts,
) -> Result<String, String> {
    let code = record["iso6393"].as_str();
    let codes = sources.codes;
    let wider: Vec<&str> = codes.wider(code).collect();
    let tag = tag(record, sources);

    // CLDR locales by the language's own code, and by the wider code that means it.
    let own = codes.shortest(code);
    let locales: Vec<&str> = std::iter::once(own)
        .chain(wider.iter().map(|wider| codes.shortest(wider)))
        .chain(
            SAME_LOCALE
                .iter()
                .filter(|(of, _)| *of == code)
                .map(|(_, locale)| *locale),
        )
        .collect();
    let is_macro_elsewhere = codes.macrolanguages.contains_key(code);

    // Names: CLDR's where it names the code itself; its name of the wider code where ISO's only
    // says that it means the individual language; else ISO's.
    let iso = record["name"].as_str();
    let bare = iso
        .split(" (individual language)")
        .next()
        .unwrap_or(iso)
        .split(" (macrolanguage)")
        .next()
        .unwrap_or(iso);
    let cldr = |tag: &str| sources.names[tag].as_str().map(str::to_owned);
    let name = cldr(own)
        .or_else(|| {
            iso.contains("(individual language)")
                .then(|| wider.iter().find_map(|wider| cldr(codes.shortest(wider))))
                .flatten()
        })
        .unwrap_or_else(|| bare.to_owned());
    let mut others: Vec<String> = [iso.to_owned(), bare.to_owned()].into();
    others.extend(locales.iter().filter_map(|locale| cldr(locale)));
    others.extend(sources.text_names.get(code).cloned());
    let mut other_names: Vec<String> = Vec::new();
    for other in others {
        if other != name && !other_names.contains(&other) {
            other_names.push(other);
        }
    }

    let special = matches!(record["scope"].as_str(), "special");
    let kind = match record["scope"].as_str() {
        "individual" => record["type"].as_str(),
        scope => scope,
    };

    // Facts by locale: never for a macrolanguage that means another language.
    let mut endonym = String::new();
    let mut digits = String::new();
    let mut class = String::from("none");
    let mut speakers = String::new();
    let mut regions = String::new();
    if !is_macro_elsewhere && !special {
        for locale in &locales {
            if endonym.is_empty() {
                endonym = own_name(sources.packages, locale)?.unwrap_or_default();
            }
            if digits.is_empty() {
                digits = numbering(sources.packages, locale)?.unwrap_or_default();
            }
            if class == "none"
                && let Some(level) = sources.coverage[*locale].as_str()
            {
                level.clone_into(&mut class);
            }
            if speakers.is_empty()
                && let Some(count) = sources.speakers.get(*locale)
                && *count >= 1.0
            {
                speakers = format!("{count:.0}");
            }
        }
        regions = sources.regions.of(&locales);
    }
    let text_scripts = texts.scripts.get(code).cloned().unwrap_or_default();
    let scripts = all_scripts(sources, &locales, code, &text_scripts);
    let family = locales
        .iter()
        .copied()
        .chain([code])
        .chain(sources.macrolanguage_of.get(code).map(String::as_str))
        .find_map(|locale| sources.groups.get(locale))
        .cloned()
        .unwrap_or_default();
    let (latitude, longitude) = sources.places.get(code).cloned().unwrap_or_default();

    let mut aliases: Vec<String> = Vec::new();
    if !is_macro_elsewhere {
        for id in std::iter::once(&code).chain(&wider) {
            let record = &codes.languages[codes.index[*id]];
            for set in ["iso6391", "iso6392B", "iso6392T", "iso6393"] {
                aliases.extend(record.get(set).cloned());
            }
            aliases.extend(sources.retired.get(*id).into_iter().flatten().cloned());
        }
        for (from, to) in &codes.macrolanguages {
            if let Some((wider, script)) = from.split_once('_')
                && to == code
            {
                aliases.extend([wider, codes.shortest(wider)].map(|id| format!("{id}_{script}")));
            }
        }
    }
    let mut unique: Vec<String> = Vec::new();
    for alias in aliases {
        if alias != code && !unique.contains(&alias) {
            unique.push(alias);
        }
    }

    let count = |counts: &BTreeMap<String, usize>| {
        counts
            .get(code)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let text_scripts: Vec<String> = text_scripts.into_iter().collect();
    Ok([
        code,
        &tag,
        &name,
        &other_names.join("; "),
        &endonym,
        kind,
        &scripts.join(" "),
        &text_scripts.join(" "),
        &family,
        &latitude,
        &longitude,
        &speakers,
        &regions,
        &digits,
        &class,
        &count(&texts.udhr),
        &count(&texts.words),
        &unique.join(" "),
    ]
    .join("\t"))
}

/// Canonical tag by CLDR's aliases, without the region or script that some of them add.
fn tag(record: &BTreeMap<String, String>, sources: &Sources) -> String {
    let code = record["iso6393"].as_str();
    let replaced = sources.aliases[code]["_replacement"].as_str();
    replaced
        .or(record.get("iso6391").map(String::as_str))
        .unwrap_or(code)
        .split(' ')
        .next()
        .unwrap_or(code)
        .to_owned()
}

/// The usual script first, then others in use, then those of the texts.
fn all_scripts(
    sources: &Sources,
    locales: &[&str],
    code: &str,
    text_scripts: &BTreeSet<String>,
) -> Vec<String> {
    let mut scripts: Vec<String> = Vec::new();
    // The language's own code decides (`azb` is Arabic although `az` is Latin).
    let likely = std::iter::once(code)
        .chain(locales.iter().copied())
        .find_map(|locale| sources.likely.get(locale));
    scripts.extend(likely);
    for locale in locales {
        for key in [(*locale).to_owned(), format!("{locale}-alt-secondary")] {
            let listed = sources.language_data[&key]["_scripts"].as_array();
            scripts.extend(
                listed
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned),
            );
        }
    }
    scripts.extend(text_scripts.iter().cloned());
    let mut unique: Vec<String> = Vec::new();
    for script in scripts {
        if !unique.contains(&script) {
            unique.push(script);
        }
    }
    unique
}

/// Names of languages in the index of the texts, where they are not qualified.
fn text_names(packages: &Packages) -> Result<BTreeMap<String, String>, String> {
    let mut names = BTreeMap::new();
    for record in packages.records("udhr/index.js")? {
        if let Some(name) = record.get("name")
            && !name.contains('(')
        {
            names
                .entry(record["iso6393"].clone())
                .or_insert_with(|| name.clone());
        }
    }
    Ok(names)
}

/// What a CLDR locale calls its own language.
fn own_name(packages: &Packages, locale: &str) -> Result<Option<String>, String> {
    let json = packages.json_if_any(&format!(
        "cldr-localenames-full/main/{locale}/languages.json"
    ))?;
    Ok(json.and_then(|json| {
        let names = &json["main"][locale]["localeDisplayNames"]["languages"];
        names[locale].as_str().map(str::to_owned)
    }))
}

/// Default numbering system of a CLDR locale, with the native one where it differs.
fn numbering(packages: &Packages, locale: &str) -> Result<Option<String>, String> {
    let json = packages.json_if_any(&format!("cldr-numbers-full/main/{locale}/numbers.json"))?;
    Ok(json.and_then(|json| {
        let numbers = &json["main"][locale]["numbers"];
        let default = numbers["defaultNumberingSystem"].as_str()?;
        let native = numbers["otherNumberingSystems"]["native"].as_str();
        Some(match native {
            Some(native) if native != default => format!("{default} {native}"),
            _ => default.to_owned(),
        })
    }))
}

/// Speakers per CLDR language, summed over territories and scripts.
fn speakers(packages: &Packages) -> Result<BTreeMap<String, f64>, String> {
    let mut speakers = BTreeMap::new();
    each_population(packages, |_, language, people| {
        *speakers.entry(language.to_owned()).or_insert(0.0) += people;
    })?;
    Ok(speakers)
}

/// Calls `take` with territory, language (without script) and people for every pair in CLDR.
pub(super) fn each_population(
    packages: &Packages,
    mut take: impl FnMut(&str, &str, f64),
) -> Result<(), String> {
    let json = packages.json("cldr-core/supplemental/territoryInfo.json")?;
    let territories = json["supplemental"]["territoryInfo"]
        .as_object()
        .ok_or("`territoryInfo.json` holds no territories")?;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    for (code, territory) in territories {
        let population = number(&territory["_population"]).unwrap_or(0.0);
        for (language, facts) in territory["languagePopulation"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let language = language.split('_').next().unwrap_or(language);
            let percent = number(&facts["_populationPercent"]).unwrap_or(0.0);
            take(code, language, population * percent / 100.0);
        }
    }
    Ok(())
}

/// The group that each language and group belongs to. Nine creoles and doubtful languages are in
/// several: the first in alphabetical order is taken.
fn groups(packages: &Packages) -> Result<BTreeMap<String, String>, String> {
    let json = packages.json("cldr-core/supplemental/languageGroups.json")?;
    let listed: BTreeMap<&String, &Value> = json["supplemental"]["languageGroups"]
        .as_object()
        .ok_or("`languageGroups.json` holds no groups")?
        .iter()
        .collect();
    let mut groups = BTreeMap::new();
    for (group, members) in listed {
        // "Multiple languages" is no family.
        if group == "mul" {
            continue;
        }
        for member in members.as_str().unwrap_or_default().split_whitespace() {
            groups
                .entry(member.to_owned())
                .or_insert_with(|| group.clone());
        }
    }
    Ok(groups)
}

/// Latitude and longitude per ISO 639-3 code, from the first file of the language.
fn places(packages: &Packages) -> Result<BTreeMap<String, (String, String)>, String> {
    let mut places = BTreeMap::new();
    for record in packages.records("udhr/index.js")? {
        if let (Some(latitude), Some(longitude)) = (record.get("latitude"), record.get("longitude"))
            && record["iso6393"] != "und"
        {
            places
                .entry(record["iso6393"].clone())
                .or_insert((latitude.clone(), longitude.clone()));
        }
    }
    Ok(places)
}

/// IANA's macrolanguage of each language, for the family: CLDR groups often list that one alone.
fn macrolanguage_of(iana: &Value) -> BTreeMap<String, String> {
    iana.as_array()
        .into_iter()
        .flatten()
        .filter_map(|record| {
            let wider = record["Macrolanguage"].as_str()?;
            Some((record["Subtag"].as_str()?.to_owned(), wider.to_owned()))
        })
        .collect()
}

/// Retired three-letter codes by the code that IANA prefers today.
fn retired(iana: &Value, codes: &Codes) -> BTreeMap<String, BTreeSet<String>> {
    let mut retired: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in iana.as_array().into_iter().flatten() {
        if let (Some("language"), Some(old), Some(new)) = (
            record["Type"].as_str(),
            record["Subtag"].as_str(),
            record["Preferred-Value"].as_str(),
        ) {
            let new = codes.part1.get(new).map_or(new, String::as_str);
            let current = codes.index.contains_key(old);
            if old != new && !current {
                retired
                    .entry(new.to_owned())
                    .or_default()
                    .insert(old.to_owned());
            }
        }
    }
    retired
}

/// Groups that a language of the registry belongs to, with names and parents.
fn families(sources: &Sources, iana: &Value) -> Result<String, String> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for record in iana.as_array().into_iter().flatten() {
        // Mostly collections; CLDR also uses some languages as groups.
        if let (Some("language"), Some(code), Some(name)) = (
            record["Type"].as_str(),
            record["Subtag"].as_str(),
            record["Description"][0].as_str(),
        ) {
            names.insert(code, name);
        }
    }
    let used: BTreeSet<&String> = sources.groups.values().collect();
    let mut text = String::from(
        "# Families and their parents. Sources: Unicode CLDR 48.2.0 (cldr-core languageGroups;\n\
         # Unicode-3.0), names from IANA (language-subtag-registry 0.4.2, CC0).\n\
         # Written by `cargo xtask data`; do not edit.\n\
         #\n\
         # code\tname\tparent\n",
    );
    for code in used {
        let name = names
            .get(code.as_str())
            .copied()
            .or(sources.names[code.as_str()].as_str())
            .ok_or_else(|| format!("group `{code}` has no name"))?;
        let name = name
            .trim_end_matches(" languages")
            .trim_end_matches(" (family)");
        let parent = sources.groups.get(code).map_or("", String::as_str);
        writeln!(text, "{code}\t{name}\t{parent}").expect("writing to a string");
    }
    Ok(text)
}
