//! The two shipped registers: counts, alignment, and the known traps of their sources.

use std::collections::BTreeSet;

use isogloss_lang::{normalize, registry, script};
use isogloss_record::Lang;
use isogloss_survey::text::{available, languages, udhr, words};

fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

#[test]
fn the_declaration_has_440_languages_and_30_articles() {
    let codes: BTreeSet<String> = udhr()
        .languages
        .keys()
        .map(|l| l.code().to_owned())
        .collect();
    assert!(codes.len() >= 440, "{}", codes.len());
    assert_eq!(udhr().document_ids.len(), 30);
    assert_eq!(udhr().document_ids[0], "article-01");
    for (lang, translations) in &udhr().languages {
        assert!(!translations.is_empty());
        for translation in translations {
            assert_eq!(translation.documents.len(), 30, "{lang}");
            assert!(
                translation.n_documents() >= 18,
                "{lang}: {}",
                translation.label
            );
        }
    }
    // Nearly all texts are complete.
    let complete = udhr()
        .languages
        .values()
        .filter(|t| t[0].n_documents() == 30)
        .count();
    assert!(complete >= 415, "{complete}");
}

#[test]
fn every_text_is_nfc_in_the_script_of_its_code_and_without_markup() {
    for (&lang, translations) in &udhr().languages {
        let script = registry().script(lang).unwrap();
        for document in translations
            .iter()
            .flat_map(|t| t.documents.iter().flatten())
        {
            assert!(normalize::is_nfc(document), "{lang}: {document}");
            assert!(
                !document.contains(['<', '>', '@', '\u{1f}', '\u{fffd}']),
                "{lang}: {document}"
            );
            assert!(!document.contains("&1"), "{lang}: {document}");
            assert_eq!(document.trim(), document, "{lang}");
        }
        let all: String = translations[0]
            .documents
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let share = script::share(&all, script).unwrap();
        assert!(share > 0.9, "{lang}: {share} in {script}");
    }
    for (&lang, words) in &words().languages {
        for word in words.iter().flatten() {
            assert!(normalize::is_nfc(word), "{lang}: {word}");
        }
    }
}

#[test]
fn articles_begin_with_text_not_with_numbers_or_headings() {
    let mut numbered = Vec::new();
    for (lang, translations) in &udhr().languages {
        for document in translations
            .iter()
            .flat_map(|t| t.documents.iter().flatten())
        {
            if document.starts_with(|c: char| script::digit_value(c).is_some())
                || document.to_lowercase().starts_with("artículo ")
                || document.to_lowercase().starts_with("article 1")
            {
                numbered.push(format!(
                    "{lang}: {}",
                    document.chars().take(30).collect::<String>()
                ));
            }
        }
    }
    assert!(numbered.is_empty(), "{numbered:#?}");
}

#[test]
fn known_bad_files_are_repaired_relabelled_or_left_out() {
    // `ckb.html` is the Kurmanji of `kmr.html`.
    assert!(udhr().translations(lang("ckb")).is_none());
    assert!(udhr().translations(lang("kmr")).is_some());
    // Files without a language.
    assert!(!udhr().languages.keys().any(|l| l.code() == "und"));
    // Fragments and misnumbered files.
    for code in ["taj", "chv", "azb"] {
        assert!(udhr().translations(lang(code)).is_none(), "{code}");
    }
    // Headings and texts were exchanged: article 3 of Edo is its text again.
    let edo = &udhr().translations(lang("bin")).unwrap()[0];
    assert!(
        edo.documents[2]
            .as_ref()
            .unwrap()
            .starts_with("Domwande-omwan")
    );
    // In Nyamwezi the headings hold the ends of the articles before.
    let nyamwezi = &udhr().translations(lang("nym")).unwrap()[0];
    assert!(
        nyamwezi.documents[0]
            .as_ref()
            .unwrap()
            .contains("\nBanhu bose bina masala")
    );
    assert!(
        nyamwezi.documents[2]
            .as_ref()
            .unwrap()
            .starts_with("Kila munhu wina haki ya bupanga")
    );
    // Placeholders are missing documents.
    let limba = &udhr().translations(lang("lia")).unwrap()[0];
    assert_eq!(limba.documents[25..], [None, None, None, None, None]);
    // A file named after no code.
    assert_eq!(udhr().translations(lang("lvs")).unwrap().len(), 2);
    assert!(
        udhr().translations(lang("gsw")).unwrap()[0]
            .label
            .contains("Alsatian")
    );
    // Never in the source.
    for code in [
        "ory", "asm", "snd", "kas", "sat", "bak", "kik", "luo", "szl",
    ] {
        assert!(udhr().translations(lang(code)).is_none(), "{code}");
    }
}

#[test]
fn codes_that_cldr_merges_keep_their_texts() {
    for code in [
        "quz", "quy", "tgl", "fat", "twi", "prs", "pes", "gaz", "gug", "pbu", "src",
    ] {
        assert!(udhr().translations(lang(code)).is_some(), "{code}");
    }
    assert_ne!(
        udhr().translations(lang("quz")).unwrap()[0].documents[0],
        udhr().translations(lang("quy")).unwrap()[0].documents[0]
    );
}

#[test]
fn several_files_of_one_language_are_several_translations() {
    let german = udhr().translations(lang("deu")).unwrap();
    assert_eq!(german.len(), 2);
    assert!(german[0].label.contains("1996") && !german[0].is_variant);
    // The spelling of 1901 is no second translation.
    assert!(german[1].label.contains("1901") && german[1].is_variant);
    assert_eq!(udhr().independent(lang("deu")).count(), 1);
    // Hausa has three that are.
    assert_eq!(udhr().translations(lang("hau")).unwrap().len(), 4);
    assert_eq!(udhr().independent(lang("hau")).count(), 3);
    // Independent translations do not share their articles.
    for (lang, translations) in &udhr().languages {
        let independent: Vec<_> = translations.iter().filter(|t| !t.is_variant).collect();
        for (i, a) in independent.iter().enumerate() {
            for b in &independent[i + 1..] {
                let same = (0..30)
                    .filter(|d| a.documents[*d].is_some() && a.documents[*d] == b.documents[*d]);
                assert!(same.count() <= 3, "{lang}: `{}` and `{}`", a.label, b.label);
            }
        }
        assert!(!independent.is_empty(), "{lang}");
    }
}

#[test]
fn scripts_are_kept_apart() {
    for code in [
        "srp_Cyrl", "srp_Latn", "uzn_Cyrl", "uzn_Latn", "cmn_Hans", "cmn_Hant", "jav_Java",
    ] {
        assert!(udhr().languages.contains_key(&lang(code)), "{code}");
    }
    // Either form finds the text.
    assert!(udhr().translations(lang("hau_Latn")).is_some());
    assert!(udhr().translations(lang("srp")).is_some());
    assert!(udhr().translations(lang("hau_Arab")).is_none());
    // Keys are canonical.
    for lang in languages() {
        assert_eq!(registry().canonical(lang), lang);
    }
}

#[test]
fn words_have_english_glosses_of_one_word() {
    let list = words();
    assert!(
        (550..620).contains(&list.glosses.len()),
        "{}",
        list.glosses.len()
    );
    for gloss in &list.glosses {
        assert!(gloss.chars().all(char::is_alphabetic), "{gloss}");
    }
    let english = list.words(lang("eng")).unwrap();
    for (gloss, word) in list.glosses.iter().zip(english) {
        assert_eq!(word.as_ref(), Some(gloss));
    }
    assert!(list.languages.len() >= 120, "{}", list.languages.len());
    for (&code, words) in &list.languages {
        assert_eq!(words.len(), list.glosses.len());
        assert!(words.iter().flatten().count() >= 48, "{code}");
        for (gloss, word) in list.glosses.iter().zip(words) {
            if let Some(word) = word
                && code != lang("eng")
            {
                assert_ne!(word.to_lowercase(), gloss.to_lowercase(), "{code}");
            }
        }
    }
    for code in ["ory", "asm", "hau", "eus", "amh", "kaz", "snd"] {
        let n = list.words(lang(code)).unwrap().iter().flatten().count();
        assert!(n >= 500, "{code}: {n}");
    }
    let word = |code: &str, gloss: &str| {
        let at = list.glosses.iter().position(|g| g == gloss).unwrap();
        list.words(lang(code)).unwrap()[at].clone().unwrap()
    };
    assert_eq!(word("deu", "ear"), "Ohr");
    assert_eq!(word("eus", "ear"), "belarri");
    assert_eq!(word("rus", "ear"), "ухо");
}

#[test]
fn languages_with_words_only_say_so() {
    let find = |code: &str| *available().iter().find(|a| a.lang == lang(code)).unwrap();
    assert_eq!(find("ory").n_documents, 0);
    assert!(find("ory").n_words > 500);
    assert_eq!(find("eng").n_documents, 30);
    assert!(available().len() > 450, "{}", available().len());
    let is_sorted = available()
        .windows(2)
        .all(|pair| pair[0].lang < pair[1].lang);
    assert!(is_sorted);
}

#[test]
fn registers_are_named_and_hashed() {
    assert_eq!(udhr().register.id, "udhr");
    assert_eq!(words().register.id, "words");
    assert_eq!(udhr().register.hash.len(), 64);
    assert!(words().register.source.contains("Unicode"));
}

#[test]
fn the_survey_takes_the_users_text_first() {
    use isogloss_survey::text::own::from_table;
    use isogloss_survey::text::survey_texts;

    let own = from_table("mine.tsv", "eng\tory\nOne.\tଗୋଟିଏ।\n".as_bytes()).unwrap();
    let texts = survey_texts(Some(&own));
    let ids: Vec<&str> = texts
        .parallel
        .iter()
        .map(|p| p.register.id.as_str())
        .collect();
    assert_eq!(ids, ["mine", "udhr"]);
    assert!(texts.parallel[0].is_own && !texts.parallel[1].is_own);
    assert_eq!(texts.parallel[0].documents[&lang("ory")]["line-1"], "ଗୋଟିଏ।");
    assert_eq!(texts.parallel[1].documents[&lang("eng")].len(), 30);
    // A missing document has no name.
    assert!(!texts.parallel[1].documents[&lang("mag")].contains_key("article-16"));
    let words = texts.words.unwrap();
    assert_eq!(words.entries[&lang("deu")]["ear"], "Ohr");
    assert_eq!(survey_texts(None).parallel.len(), 1);
}
