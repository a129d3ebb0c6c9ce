//! Where a language's speakers live, by CLDR's territories -> the registry's `regions`, and
//! `packs/languages/regions.tsv`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::npm::Packages;

/// A region counts where at least this share of a language's speakers lives.
const SHARE_MIN: f64 = 0.1;

/// CLDR's containment below the world, and the speakers of each language in each region.
pub(super) struct Regions {
    /// Code, name and the continent that it is part of (empty for a continent), in CLDR's order.
    table: Vec<(String, String, String)>,
    /// Territory to its subregion.
    of_territory: BTreeMap<String, String>,
    /// Language of CLDR to people per subregion.
    speakers: BTreeMap<String, BTreeMap<String, f64>>,
    likely: Value,
}

impl Regions {
    pub(super) fn read(packages: &Packages) -> Result<Self, String> {
        let containment = packages.json("cldr-core/supplemental/territoryContainment.json")?;
        let containment = &containment["supplemental"]["territoryContainment"];
        let names = packages.json("cldr-localenames-full/main/en/territories.json")?;
        let names = &names["main"]["en"]["localeDisplayNames"]["territories"];
        let mut likely = packages.json("cldr-core/supplemental/likelySubtags.json")?;
        let parts = |code: &str| -> Vec<String> {
            containment[code]["_contains"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|part| part.as_str().map(str::to_owned))
                .collect()
        };
        let name = |code: &str| {
            names[code]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("region `{code}` has no name"))
        };
        let (mut table, mut of_territory) = (Vec::new(), BTreeMap::new());
        for continent in parts("001") {
            table.push((continent.clone(), name(&continent)?, String::new()));
            for region in parts(&continent) {
                table.push((region.clone(), name(&region)?, continent.clone()));
                for territory in parts(&region) {
                    of_territory.insert(territory, region.clone());
                }
            }
        }
        let mut speakers: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        super::languages::each_population(packages, |territory, language, people| {
            if let Some(region) = of_territory.get(territory) {
                *speakers
                    .entry(language.to_owned())
                    .or_default()
                    .entry(region.clone())
                    .or_insert(0.0) += people;
            }
        })?;
        Ok(Self {
            table,
            of_territory,
            speakers,
            likely: likely["supplemental"]["likelySubtags"].take(),
        })
    }

    /// `142:35 019:22 034:25`: continents, then subregions, each from the most speakers to the
    /// fewest with the share in percent. Without a count the likely territory's, without a share:
    /// `002 011`. Empty where neither is known.
    pub(super) fn of(&self, locales: &[&str]) -> String {
        let counted = locales
            .iter()
            .filter_map(|locale| self.speakers.get(*locale))
            .find(|regions| regions.values().sum::<f64>() >= 1.0);
        if let Some(regions) = counted {
            let total: f64 = regions.values().sum();
            let mut continents: BTreeMap<&str, f64> = BTreeMap::new();
            for (region, people) in regions {
                *continents.entry(self.continent(region)).or_insert(0.0) += people;
            }
            let fields: Vec<String> = [
                shares(continents, total),
                shares(
                    regions
                        .iter()
                        .map(|(code, people)| (code.as_str(), *people)),
                    total,
                ),
            ]
            .concat();
            return fields.join(" ");
        }
        locales
            .iter()
            .find_map(|locale| {
                let territory = self.likely[*locale].as_str()?.rsplit('-').next()?;
                let region = self.of_territory.get(territory)?;
                Some(format!("{} {region}", self.continent(region)))
            })
            .unwrap_or_default()
    }

    fn continent(&self, region: &str) -> &str {
        self.table
            .iter()
            .find(|(code, _, _)| code == region)
            .map_or("", |(_, _, continent)| continent)
    }

    /// The table of names.
    pub(super) fn names(&self) -> String {
        let mut text = String::from(
            "# Regions of the world (UN M49) and the continents that they are part of. Source: Unicode\n\
             # CLDR 48.2.0 (cldr-core territoryContainment, cldr-localenames-full; Unicode-3.0).\n\
             # Written by `cargo xtask data`; do not edit.\n\
             #\n\
             # code\tname\tcontinent\n",
        );
        for (code, name, continent) in &self.table {
            writeln!(text, "{code}\t{name}\t{continent}").expect("writing to a string");
        }
        text
    }
}

fn shares<'a>(regions: impl IntoIterator<Item = (&'a str, f64)>, total: f64) -> Vec<String> {
    let mut regions: Vec<(&str, f64)> = regions
        .into_iter()
        .filter(|(_, people)| *people >= SHARE_MIN * total)
        .collect();
    regions.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    regions
        .into_iter()
        .map(|(code, people)| format!("{code}:{:.0}", people / total * 100.0))
        .collect()
}
