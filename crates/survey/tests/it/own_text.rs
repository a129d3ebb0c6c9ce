//! `--text`: the accepted forms, and one clear error for each bad one.

use std::path::{Path, PathBuf};

use isogloss_record::{Explain, Lang};
use isogloss_survey::text::own::{Own, TextError, from_files, from_table, own};

fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

fn folder(files: &[(&str, &str)]) -> Result<Own, TextError> {
    let files: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect();
    from_files("mine", &files)
}

fn documents(own: &Own, code: &str) -> Vec<Option<String>> {
    own.text.translations(lang(code)).unwrap()[0]
        .documents
        .clone()
}

fn texts(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[track_caller]
fn fails(result: Result<Own, TextError>, sentence: &str, hint: &str) {
    let error = result.unwrap_err();
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        message.push_str(": ");
        message.push_str(&error.to_string());
        source = error.source();
    }
    assert_eq!(message, sentence);
    assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
}

#[test]
fn folders_of_aligned_lines() {
    let own = folder(&[
        ("eng.txt", "One.\nTwo.\n"),
        ("hau_Latn.dev", "\u{feff}Ɗaya.\r\nBiyu.\r\n"),
        ("corpus.ar", "واحد.\nاثنان.\n"),
        ("zho_Hant.txt", "一個。\n兩個。\n"),
    ])
    .unwrap();
    assert_eq!(documents(&own, "eng"), texts(&["One.", "Two."]));
    assert_eq!(documents(&own, "hau"), texts(&["Ɗaya.", "Biyu."]));
    assert_eq!(documents(&own, "arb"), texts(&["واحد.", "اثنان."]));
    assert_eq!(documents(&own, "cmn_Hant"), texts(&["一個。", "兩個。"]));
    assert_eq!(own.text.document_ids, ["line-1", "line-2"]);
    assert_eq!(own.text.register.id, "mine");
    assert!(own.notes.is_empty(), "{:?}", own.notes);
}

#[test]
fn text_is_composed_and_its_script_found() {
    let own = folder(&[
        ("eng.txt", "One.\n"),
        ("vie.txt", "Mo\u{323}\u{302}t.\n"),
        ("srp.txt", "Jedan.\n"),
    ])
    .unwrap();
    assert_eq!(documents(&own, "vie"), texts(&["M\u{1ed9}t."]));
    assert_eq!(documents(&own, "srp_Latn"), texts(&["Jedan."]));
    // A code that names another script is believed, with a warning.
    let own = folder(&[("eng.txt", "One.\n"), ("srp_Cyrl.txt", "Jedan.\n")]).unwrap();
    assert!(own.text.languages.contains_key(&lang("srp_Cyrl")));
    assert!(
        own.notes[0].contains("only 0 % of the letters in `srp_Cyrl.txt` are Cyrillic"),
        "{:?}",
        own.notes
    );
}

#[test]
fn two_files_of_a_language_are_two_translations() {
    let own = folder(&[
        ("deu.a", "Eins.\n"),
        ("deu.b", "Ein Einziges.\n"),
        ("eng.txt", "One.\n"),
    ])
    .unwrap();
    assert_eq!(own.text.translations(lang("deu")).unwrap().len(), 2);
}

#[test]
fn empty_texts_are_counted_and_left_out() {
    let own = folder(&[
        ("eng.txt", "One.\nTwo.\nThree.\n"),
        ("hau.txt", "Ɗaya.\n \n\n"),
    ])
    .unwrap();
    assert_eq!(
        documents(&own, "hau"),
        [Some("Ɗaya.".to_owned()), None, None]
    );
    assert_eq!(
        own.notes,
        ["2 of 3 texts in `hau.txt` are empty and left out (the first: number 2)"]
    );
}

#[test]
fn tables() {
    let table = |name: &str, text: &str| from_table(name, text.as_bytes()).unwrap();
    let own = table(
        "pairs.tsv",
        "id\teng\thi\nfirst\tOne.\tएक।\nsecond\tTwo.\tदो।\n",
    );
    assert_eq!(documents(&own, "hin"), texts(&["एक।", "दो।"]));
    assert_eq!(own.text.document_ids, ["first", "second"]);
    let own = table("eng-tha.tsv", "One.\tหนึ่ง\nTwo.\tสอง\n");
    assert_eq!(documents(&own, "tha"), texts(&["หนึ่ง", "สอง"]));
    for name in [
        "eng-hau.tsv",
        "Sentence pairs in English-Hausa - 2026-11-24.tsv",
    ] {
        let own = table(name, "12\tOne.\t77\tƊaya.\n13\tTwo.\t78\tBiyu.\n");
        assert_eq!(documents(&own, "eng"), texts(&["One.", "Two."]), "{name}");
        assert_eq!(documents(&own, "hau"), texts(&["Ɗaya.", "Biyu."]), "{name}");
    }
}

#[test]
fn the_register_has_a_name_and_a_hash_but_no_path() {
    let folder_a = folder(&[("eng.txt", "One.\n"), ("hau.txt", "Ɗaya.\n")]).unwrap();
    let folder_b = folder(&[("eng.txt", "One.\n"), ("hau.txt", "Biyu.\n")]).unwrap();
    assert_ne!(folder_a.text.register.hash, folder_b.text.register.hash);
    let table = from_table("udhr.tsv", "eng\thau\nOne.\tƊaya.\n".as_bytes()).unwrap();
    // The same texts, and not to be taken for the shipped register.
    assert_eq!(table.text.register.hash, folder_a.text.register.hash);
    assert_eq!(table.text.register.id, "own-udhr");
}

#[test]
fn one_clear_error_each() {
    fails(
        folder(&[("eng.txt", "One.\nTwo.\n"), ("hau.txt", "Ɗaya.\n")]),
        "lines are not aligned: `eng.txt` has 2, `hau.txt` has 1",
        "line n of every file",
    );
    fails(
        folder(&[("eng.txt", "One.\n"), ("hausaa.txt", "Ɗaya.\n")]),
        "`hausaa.txt` is not named after a language: `hausaa` is no language that Isogloss knows",
        "`hau` (Hausa)",
    );
    fails(
        folder(&[("eng.txt", "One.\n")]),
        "`mine` holds one language only: `eng`",
        "reference language",
    );
    fails(folder(&[]), "`mine` holds no text", "one text a line");
    fails(
        folder(&[("eng.txt", "One.\n"), ("hau.txt", "\n")]),
        "`hau.txt` holds no text",
        "one text a line",
    );
    fails(
        from_table("eng-hau.tsv", b"One.\tFir\nTwo.\tB\xff\n"),
        "`eng-hau.tsv` is not UTF-8: byte 0xff in line 2",
        "UTF-8",
    );
    fails(
        from_table("a.tsv", b"eng\thau\nOne.\tFir\nTwo.\n"),
        "line 3 of `a.tsv`: expected 2 columns, found 1",
        "tabs",
    );
    fails(
        from_table("a.tsv", b"One.\tKaza\nTwo.\tBiyu\n"),
        "cannot tell the languages of `a.tsv`",
        "header row",
    );
    fails(
        from_table("a.tsv", b"eng\thaussa\nOne.\tFir\n"),
        "`column haussa of a.tsv` is not named after a language: `haussa` is no language that Isogloss knows",
        "`hau` (Hausa)",
    );
    fails(
        from_table("a.tsv", b"\n\n"),
        "`a.tsv` holds no text",
        "one text a line",
    );
    let missing = own(Path::new("no/such/file.tsv"));
    assert!(matches!(missing, Err(TextError::File(_))));
}

/// Development data beside the checkout.
fn flores() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/flores200/dev")
}

#[test]
fn folders_on_disk_pass_over_what_is_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        isogloss_record::files::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    };
    write("eng_Latn.dev", "One.\n");
    write("hau_Latn.dev", "Ɗaya.\n");
    write("README", "about");
    write("meta.json", "{}");
    write(".hidden", "x");
    let own = own(dir.path()).unwrap();
    assert_eq!(own.text.languages.len(), 2);
    // In development, FLORES-200 lies beside the checkout: 204 language-scripts.
    if flores().is_dir() {
        let own = isogloss_survey::text::own::own(&flores()).unwrap();
        assert!(
            own.text.languages.len() >= 195,
            "{}",
            own.text.languages.len()
        );
        assert!(own.text.translations(lang("cmn_Hant")).is_some());
        assert!(own.text.translations(lang("ace_Arab")).is_some());
    }
}

/// Every translation is aligned, and no document is empty.
fn is_sound(own: &Own) -> bool {
    let n = own.text.document_ids.len();
    own.text.languages.len() >= 2
        && own.text.languages.values().flatten().all(|translation| {
            translation.documents.len() == n
                && translation
                    .documents
                    .iter()
                    .flatten()
                    .all(|text| !text.trim().is_empty())
        })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_give_a_text_or_an_error(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
        table in "(eng|hau|id|\\PC{0,6})(\t(hi|ory|\\PC{0,6})){0,3}(\n\\PC{0,8}(\t\\PC{0,8}){0,3}){0,5}",
        name in "\\PC{0,12}",
    ) {
        for name in ["a.tsv", "eng-hau.tsv", &name] {
            for bytes in [&bytes[..], table.as_bytes()] {
                if let Ok(own) = from_table(name, bytes) {
                    proptest::prop_assert!(is_sound(&own));
                }
            }
        }
        let files = [("eng.txt".to_owned(), b"One.\n".to_vec()), (name, table.into_bytes())];
        if let Ok(own) = from_files("mine", &files) {
            proptest::prop_assert!(is_sound(&own));
        }
    }
}
