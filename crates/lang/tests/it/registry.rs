use isogloss_lang::{SelectError, registry};
use isogloss_record::{Explain, Lang};

#[track_caller]
fn resolves(text: &str, code: &str) {
    match registry().resolve(text) {
        Ok(lang) => assert_eq!(lang.to_string(), code, "`{text}`"),
        Err(error) => panic!("{error}; {:?}", error.hint()),
    }
}

fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

#[test]
fn every_language_of_iso_639_3_is_there() {
    // 7,867 rows in npm iso-639-3 3.0.1.
    assert!(registry().languages().count() >= 7_800);
    for language in registry().languages() {
        assert!(!language.name.is_empty(), "{}", language.lang);
        assert!(!language.tag.is_empty(), "{}", language.lang);
        for (value, limit) in [(language.latitude, 90.0), (language.longitude, 180.0)] {
            assert!(
                value.is_none_or(|degrees: f64| degrees.abs() <= limit),
                "{}",
                language.lang
            );
        }
        assert_eq!(language.family.len(), language.family_codes.len());
    }
}

#[test]
fn codes_tags_and_names_in_any_form() {
    for text in [
        "hau", "ha", "ha-Latn", "hau_Latn", "ha-NG", "Hausa", "HAUSA", " hau ",
    ] {
        resolves(text, "hau");
    }
    for (text, code) in [
        ("English", "eng"),
        ("euskara", "eus"),
        ("Basque", "eus"),
        ("বাংলা", "ben"),
        ("العربية", "arb"),
        ("Arabic", "arb"),
        ("zh", "cmn_Hans"),
        ("zh-Hant", "cmn_Hant"),
        ("zh-TW", "cmn_Hant"),
        ("cmn_Hans", "cmn_Hans"),
        ("zho_Hant", "cmn_Hant"),
        ("Chinese", "cmn_Hans"),
        ("sr-Latn", "srp_Latn"),
        ("sr", "srp_Cyrl"),
        ("kor_Hang", "kor"),
        ("jpn_Jpan", "jpn"),
        ("chi", "cmn_Hans"),
        ("iw", "heb"),
    ] {
        resolves(text, code);
    }
}

#[test]
fn wider_codes_mean_their_usual_language() {
    for (wide, code) in [
        ("sw", "swh"),
        ("or", "ory"),
        ("no", "nob"),
        ("fa", "pes"),
        ("et", "ekk"),
        ("lv", "lvs"),
        ("ms", "zsm"),
        ("mg", "plt"),
        ("ne", "npi"),
        ("sq", "als"),
        ("ku", "kmr"),
        ("ps", "pbu"),
        ("ar", "arb"),
        ("ff-Adlm", "fuf_Adlm"),
    ] {
        resolves(wide, code);
    }
    // Uzbek and Azerbaijani texts come in two scripts: the usual one is meant.
    resolves("uz", "uzn_Latn");
    resolves("az", "azj_Latn");
}

#[test]
fn codes_that_cldr_merges_are_kept() {
    resolves("quz", "quz");
    resolves("quy", "quy");
    resolves("tgl", "tgl");
    resolves("swh", "swh");
    resolves("prs", "prs");
    assert_eq!(registry().language(lang("quz")).unwrap().tag, "qu");
    assert_eq!(registry().language(lang("tgl")).unwrap().tag, "fil");
    assert_eq!(
        registry().language(lang("ckb")).unwrap().name,
        "Central Kurdish"
    );
}

#[test]
fn a_code_has_its_script_only_where_needed() {
    for (written, canonical) in [
        ("hau_Latn", "hau"),
        ("hau_Arab", "hau_Arab"),
        ("cmn", "cmn_Hans"),
        ("srp", "srp_Cyrl"),
        ("arb_Arab", "arb"),
        ("arb_Latn", "arb_Latn"),
        ("ace_Arab", "ace_Arab"),
        ("kas_Arab", "kas"),
        ("kas_Deva", "kas_Deva"),
    ] {
        assert_eq!(
            registry().canonical(lang(written)),
            lang(canonical),
            "{written}"
        );
    }
    let name = |code| registry().facts(lang(code), None).unwrap().name;
    assert_eq!(name("cmn_Hans"), "Mandarin Chinese (Simplified Han)");
    assert_eq!(name("srp_Latn"), "Serbian (Latin)");
    assert_eq!(name("hau"), "Hausa");
    assert!(registry().is_same(lang("srp"), lang("srp_Cyrl")));
    assert!(!registry().is_same(lang("srp"), lang("srp_Latn")));
}

#[test]
fn canonical_is_a_fixed_point_for_all_languages() {
    for language in registry().languages() {
        for script in language.scripts.iter().copied().map(Some).chain([None]) {
            let written = script.map_or(language.lang, |script| language.lang.with_script(script));
            let canonical = registry().canonical(written);
            assert_eq!(registry().canonical(canonical), canonical, "{written}");
            // A macrolanguage may mean one language in one script and another in the next.
            if language.kind != "macrolanguage" {
                let resolved = registry().resolve(&canonical.to_string()).unwrap();
                assert_eq!(resolved, registry().canonical(canonical), "{written}");
            }
        }
    }
}

#[test]
fn an_unknown_language_comes_with_the_nearest() {
    let error = registry().resolve("Hausaa").unwrap_err();
    assert_eq!(error.nearest()[0].0, lang("hau"));
    assert!(error.to_string().contains("`Hausaa`"));
    assert!(error.hint().unwrap().contains("`hau` (Hausa)"));
    // A paragraph is no mistyped name, though it begins as one; it is not compared with all names.
    let named = |text: &str| !registry().resolve(text).unwrap_err().nearest().is_empty();
    assert!(named(&format!("Northern Frisian{}", "x".repeat(10))));
    assert!(!named(&format!("Northern Frisian{}", "x".repeat(120))));
    let error = registry().resolve("xq9").unwrap_err();
    assert!(error.hint().is_some());
    for text in [
        "",
        "hau_Latin!",
        "eng_Latm",
        "ha__",
        "\u{1f600}",
        "zz-Zzzz-zz-zz",
        "klingonese of the north",
    ] {
        assert!(registry().resolve(text).is_err(), "`{text}`");
    }
}

#[test]
fn directions_spaces_and_digits() {
    for code in [
        "arb", "heb", "urd", "pes", "div", "ydd", "snd", "ckb", "uig_Arab", "fuf_Adlm",
    ] {
        assert!(registry().is_right_to_left(lang(code)), "{code}");
    }
    for code in ["eng", "hin", "tha", "khk", "uig_Latn", "tur"] {
        assert!(!registry().is_right_to_left(lang(code)), "{code}");
    }
    for code in [
        "tha", "khm", "lao", "mya", "jpn", "cmn", "bod", "yue", "dzo",
    ] {
        assert_eq!(
            registry().has_spaces_between_words(lang(code)),
            Some(false),
            "{code}"
        );
    }
    for code in ["eng", "hin", "arb", "kor", "vie", "amh", "kat"] {
        assert_eq!(
            registry().has_spaces_between_words(lang(code)),
            Some(true),
            "{code}"
        );
    }
    let digits = |code| registry().language(lang(code)).unwrap().digits.as_deref();
    assert_eq!(digits("eng"), Some("latn"));
    assert_eq!(digits("mar"), Some("deva"));
    assert_eq!(digits("pes"), Some("arabext"));
    assert_eq!(digits("npi"), Some("deva"));
    let native = |code| {
        registry()
            .language(lang(code))
            .unwrap()
            .native_digits
            .as_deref()
    };
    assert_eq!(native("tha"), Some("thai"));
    assert_eq!(native("hin"), Some("deva"));
}

#[test]
fn families_places_and_speakers() {
    let facts = |code| registry().facts(lang(code), None).unwrap();
    let hausa = facts("hau");
    assert_eq!(hausa.family, ["Afro-Asiatic", "Chadic"]);
    assert_eq!(facts("kaz").family.last().unwrap(), "Turkic");
    assert_eq!(facts("eus").family, ["Basque"]);
    let speakers = facts("eus").speakers.unwrap();
    // CLDR: about a million.
    assert!(
        (900_000..1_300_000).contains(&speakers.count),
        "{}",
        speakers.count
    );
    assert!(speakers.source.contains("CLDR"));
    assert_eq!(facts("arb").endonym.as_deref(), Some("العربية"));
    assert!(hausa.latitude.is_some() && hausa.longitude.is_some());
    assert_eq!(facts("srp_Latn").tag, "sr-Latn");
    assert_eq!(facts("srp_Cyrl").tag, "sr");
    assert_eq!(hausa.resource_class.as_deref(), Some("modern"));
}

#[test]
fn selections() {
    let available: Vec<Lang> = [
        "cmn_Hans", "cmn_Hant", "eng", "hin", "kaz", "mar", "srp_Cyrl", "tur",
    ]
    .map(lang)
    .to_vec();
    let select = |pattern: &str| registry().select(pattern, &available);
    let codes = |pattern: &str| -> Vec<String> {
        select(pattern)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(select("all").unwrap(), available);
    assert_eq!(codes("tur,eng"), ["tur", "eng"]);
    assert_eq!(codes("eng, English,en"), ["eng"]);
    assert_eq!(codes("script:Deva"), ["hin", "mar"]);
    assert_eq!(codes("script:deva,tr"), ["hin", "mar", "tur"]);
    assert_eq!(codes("family:Turkic"), ["kaz", "tur"]);
    assert_eq!(codes("family:trk"), ["kaz", "tur"]);
    assert_eq!(codes("zh"), ["cmn_Hans"]);
    assert_eq!(codes("zh-Hant,srp"), ["cmn_Hant", "srp_Cyrl"]);
    // A code without script takes what is at hand; a code with another script does not.
    let latin = [lang("srp_Latn")];
    assert_eq!(registry().select("srp", &latin).unwrap(), latin);
    assert!(registry().select("srp_Cyrl", &latin).is_err());
    // Every language at hand selects itself.
    for &lang in &available {
        assert_eq!(select(&lang.to_string()).unwrap(), [lang]);
    }
}

#[test]
fn selections_that_cannot_be_made() {
    let available = ["eng", "tur"].map(lang);
    let select = |pattern: &str| registry().select(pattern, &available).unwrap_err();
    assert!(matches!(select("eng,xx1"), SelectError::Unknown(_)));
    assert!(matches!(select("hau"), SelectError::NoText { .. }));
    assert!(matches!(select("script:Thai"), SelectError::Script { .. }));
    assert!(matches!(select(""), SelectError::Empty));
    assert!(matches!(select(" , "), SelectError::Empty));
    let error = select("family:Turkik");
    assert!(
        error.hint().unwrap().contains("family:Turkic"),
        "{:?}",
        error.hint()
    );
}

#[test]
fn regions_are_where_a_tenth_of_the_speakers_live() {
    let regions = |code: &str| -> Vec<String> {
        let language = registry().language(lang(code)).unwrap();
        language
            .regions
            .iter()
            .map(|region| {
                let share = region
                    .share
                    .map_or_else(|| "?".into(), |x| format!("{x:.2}"));
                match &region.continent {
                    None => format!("{} {share}", region.name),
                    Some(continent) => format!("{} ({continent}) {share}", region.name),
                }
            })
            .collect()
    };
    // By hand from CLDR 48.2 territoryInfo: Hausa 44.2 of 45.2 million in Western Africa; Arabic
    // (ar, for arb) .555 Northern Africa, .394 Western Asia; Basque .914 in Spain, .086 in France.
    assert_eq!(
        regions("hau"),
        ["Africa 1.00", "Western Africa (Africa) 0.98"]
    );
    assert_eq!(
        regions("arb"),
        [
            "Africa 0.60",
            "Asia 0.40",
            "Northern Africa (Africa) 0.56",
            "Western Asia (Asia) 0.39",
        ]
    );
    assert_eq!(
        regions("eus"),
        ["Europe 1.00", "Southern Europe (Europe) 0.91"]
    );
    // No count: the territory of the likely subtags, agr-Latn-PE.
    assert_eq!(regions("agr"), ["Americas ?", "South America (Americas) ?"]);
    for language in registry().languages() {
        let names: Vec<&str> = language.regions.iter().map(|r| r.name.as_str()).collect();
        for region in &language.regions {
            assert!(
                region
                    .share
                    .is_none_or(|share| (0.1 - 0.005..=1.0).contains(&share)),
                "{}",
                language.lang
            );
            // A part is named under its continent.
            if let Some(continent) = &region.continent {
                assert!(names.contains(&continent.as_str()), "{}", language.lang);
            }
        }
    }
}
