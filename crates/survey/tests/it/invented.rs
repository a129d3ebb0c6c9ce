//! Invented parallel texts in six scripts: the same number of words in each, at random, so that
//! nothing but a planted skill ties a text to its translation.

use isogloss_model::scripted::KnownText;
use isogloss_record::Lang;

/// Syllables of a language; no two languages share one.
fn syllables(code: &str) -> (&'static [&'static str], &'static str) {
    match code {
        "eng" => (
            &[
                "ba", "de", "fi", "go", "ku", "lo", "mi", "na", "pe", "ru", "sa", "to",
            ],
            " ",
        ),
        "tur" => (
            &[
                "ça", "ğe", "şi", "ğö", "çü", "şo", "ça", "şe", "ği", "çö", "şü", "ğa",
            ],
            " ",
        ),
        "hin" => (
            &[
                "का", "ने", "मि", "पो", "रु", "ला", "सी", "ते", "दो", "गु", "हा", "शे",
            ],
            " ",
        ),
        "arb" => (
            &[
                "با", "تي", "نو", "ما", "لي", "سو", "را", "دي", "كو", "فا", "هي", "قو",
            ],
            " ",
        ),
        "tha" => (
            &[
                "กา", "มี", "ดู", "นา", "ปี", "รู", "ลา", "สี", "ตู", "ทา", "พี", "หู",
            ],
            "",
        ),
        "zho" => (
            &[
                "山", "水", "火", "木", "金", "土", "日", "月", "人", "口", "手", "田",
            ],
            "",
        ),
        _ => unreachable!("six languages are invented"),
    }
}

pub(crate) const LANGUAGES: [(&str, &str); 5] = [
    ("tur", "Latn"),
    ("hin", "Deva"),
    ("arb", "Arab"),
    ("tha", "Thai"),
    ("zho", "Hans"),
];

/// A number for each language, document and place.
fn number(code: &str, document: usize, place: usize) -> usize {
    let mut x = code
        .bytes()
        .fold(document as u64 * 1_000 + place as u64, |x, byte| {
            x.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
    // splitmix64
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) as usize
}

/// A document of fourteen to twenty words (the same number in all languages), where wanted with a
/// name in the middle that no other document has.
pub(crate) fn document(code: &str, document: usize, named: bool) -> String {
    let (syllables, space) = syllables(code);
    let n_words = 14 + number("words", document, 0) % 7;
    let mut words: Vec<String> = (0..n_words)
        .map(|i| {
            (0..3)
                .map(|j| syllables[number(code, document, 3 * i + j) % syllables.len()])
                .collect()
        })
        .collect();
    if named {
        let letter = |place| char::from(b'a' + (number("name", document, place) % 26) as u8);
        words.insert(5, format!(" Z{}v{}k{} ", letter(0), letter(1), letter(2)));
    }
    words.join(space).replace("  ", " ")
}

pub(crate) fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

/// All documents of some languages and of English, as a scripted model has seen them.
pub(crate) fn seen(codes: &[&str], n: usize, named: bool) -> Vec<KnownText> {
    codes
        .iter()
        .chain(&["eng"])
        .flat_map(|code| {
            (0..n).map(|d| KnownText {
                lang: lang(code),
                document: format!("{d:03}"),
                text: document(code, d, named),
            })
        })
        .collect()
}

/// The language of a text by most of its syllables; `None` for a text of none of them.
pub(crate) fn language_of(text: &str) -> Option<Lang> {
    LANGUAGES
        .iter()
        .map(|(code, _)| *code)
        .chain(["eng"])
        .map(|code| {
            let (syllables, _) = syllables(code);
            (
                syllables
                    .iter()
                    .map(|syllable| text.matches(syllable).count())
                    .sum::<usize>(),
                code,
            )
        })
        .max()
        .filter(|(n, _)| *n > 0)
        .map(|(_, code)| lang(code))
}
