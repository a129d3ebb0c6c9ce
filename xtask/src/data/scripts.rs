//! Scripts: CLDR script metadata, names, digits -> `packs/languages/scripts.tsv`.

use std::fmt::Write as _;

use icu_properties::CodePointMapData;
use icu_properties::PropertyNamesShort;
use icu_properties::props::Script;

use super::npm::Packages;

/// Scripts whose words are not separated by spaces although CLDR's `lbLetters` does not say so:
/// Tibetan marks syllables by the tsheg, and spaces only phrases.
const NO_SPACES: [&str; 1] = ["Tibt"];

/// The file's text: one script a line.
pub(super) fn table(packages: &Packages) -> Result<String, String> {
    let metadata = packages.json("cldr-core/scriptMetadata.json")?;
    let metadata = metadata["scriptMetadata"]
        .as_object()
        .ok_or("`scriptMetadata.json` holds no scripts")?;
    let names = packages.json("cldr-localenames-full/main/en/scripts.json")?;
    let names = &names["main"]["en"]["localeDisplayNames"]["scripts"];
    let mut text = String::from(
        "# Scripts. Sources: Unicode CLDR 48.2.0 (cldr-core scriptMetadata, cldr-localenames-full; Unicode-3.0).\n\
         # spaces: whether words are separated by spaces (CLDR `lbLetters` is not YES; by hand: not Tibt).\n\
         # Written by `cargo xtask data`; do not edit.\n\
         #\n\
         # script\tname\tdirection\tspaces\n",
    );
    let mut codes: Vec<&String> = metadata.keys().collect();
    codes.sort();
    for code in codes {
        let facts = &metadata[code];
        let direction = if facts["rtl"] == "YES" { "rtl" } else { "ltr" };
        let spaces = facts["lbLetters"] != "YES" && !NO_SPACES.contains(&code.as_str());
        let name = names[format!("{code}-alt-stand-alone")]
            .as_str()
            .or(names[code].as_str())
            .unwrap_or(code);
        writeln!(
            text,
            "{code}\t{name}\t{direction}\t{}",
            if spaces { "yes" } else { "no" }
        )
        .expect("writing to a string");
    }
    Ok(text)
}

/// The script that most letters of a text are in, by ISO 15924, with its share of the letters.
///
/// Combined scripts are named as languages name them: `Jpan`, `Kore`, and `Hans` or `Hant` by the
/// characters that the two write differently.
pub(super) fn of_text(text: &str) -> Option<(String, f64)> {
    let map = CodePointMapData::<Script>::new();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for script in text.chars().map(|c| map.get(c)) {
        if matches!(script, Script::Common | Script::Inherited | Script::Unknown) {
            continue;
        }
        let name = PropertyNamesShort::<Script>::new()
            .get(script)
            .unwrap_or("Zzzz");
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    let kana = counts.remove("Hira").unwrap_or(0) + counts.remove("Kana").unwrap_or(0);
    if kana * 10 > total {
        let han = counts.get("Hani").copied().unwrap_or(0);
        return Some(("Jpan".into(), (kana + han) as f64 / total as f64));
    }
    let (script, n) = counts.into_iter().max_by_key(|(_, n)| *n)?;
    let share = n as f64 / total as f64;
    let script = match script.as_str() {
        "Hang" => "Kore",
        "Hani" => {
            let count = |characters: &str| text.chars().filter(|c| characters.contains(*c)).count();
            let (simplified, traditional) = (count("权国严个这为会"), count("權國嚴個這為會"));
            if simplified > traditional {
                "Hans"
            } else {
                "Hant"
            }
        }
        other => other,
    };
    Some((script.to_owned(), share))
}
