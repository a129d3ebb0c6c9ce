//! The shipped identifier, and training in small.

use std::collections::BTreeMap;
use std::path::Path;

use isogloss_lang::Identifier;
use isogloss_lang::identify::Register;
use isogloss_lang::identify::evaluate::{beginning, flores_labels, macro_mean};
use isogloss_lang::identify::train::{Document, Settings};
use isogloss_record::Lang;

/// What FLORES-200 must reach, lines cut to 100 characters, a little below what was measured: every
/// tenth line here, all lines in the committed table.
const FLORES_FLOOR: f64 = 0.90;
const TABLE_FLOOR: f64 = 0.91;

/// What the last articles must reach with training on the others, a little below what was measured:
/// whole articles, 50 characters.
const ARTICLES_FLOOR: [f64; 2] = [0.985, 0.98];

#[test]
fn every_script_is_identified() {
    for (lang, text) in [
        ("deu", "Der Zug nach Hamburg fährt heute leider nicht mehr."),
        ("tur", "Bugün hava çok güzel, birlikte denize gidelim mi?"),
        ("arb", "ذهب الولد إلى المدرسة في الصباح مع أصدقائه"),
        ("hin", "मुझे आज बाज़ार से कुछ सब्ज़ियाँ खरीदनी हैं।"),
        ("tha", "วันนี้อากาศดีมาก เราไปเที่ยวทะเลกันไหม"),
        ("cmn_Hans", "今天天气很好，我们一起去公园散步，好吗？"),
        ("cmn_Hant", "今天天氣很好，我們一起去公園散步，好嗎？"),
        ("yue_Hans", "佢哋喺嗰度等咗好耐，唔知你嘅朋友几时嚟。"),
        ("yue_Hant", "佢哋喺嗰度等咗好耐，唔知你嘅朋友幾時嚟。"),
        ("jpn", "今日は天気がいいので、公園を散歩しましょう。"),
        ("kor", "오늘은 날씨가 좋아서 공원에 가고 싶어요."),
        ("amh", "ዛሬ አየሩ በጣም ጥሩ ስለሆነ ወደ ገበያ እንሄዳለን።"),
        ("rus", "Сегодня хорошая погода, пойдём гулять в парк."),
        ("ell", "Σήμερα ο καιρός είναι πολύ καλός για μια βόλτα."),
        (
            "vie",
            "Hôm nay trời đẹp quá, chúng ta đi dạo công viên nhé?",
        ),
    ] {
        let found = Identifier::shipped().identify(text);
        assert_eq!(found.lang, Some(lang.parse().unwrap()), "{text}: {found:?}");
        assert!(found.score > 0.0 && found.score <= 1.0 && found.second != found.lang);
    }
}

/// What a character says of the form decides between a language's two labels, and never which
/// language it is; a text without such characters is in both.
#[test]
fn simplified_and_traditional_are_one_language_in_two_labels() {
    let identifier = Identifier::shipped();
    for (simplified, traditional) in [
        ("这个国家的人们说什么语言？", "這個國家的人們說什麼語言？"),
        (
            "佢哋话呢个国家嘅人讲乜嘢话？",
            "佢哋話呢個國家嘅人講乜嘢話？",
        ),
    ] {
        let [hans, hant] = [simplified, traditional].map(|text| identifier.top(text, usize::MAX));
        let scripts = |top: &[(Lang, f64)]| -> Vec<String> {
            let scripts = top.iter().filter_map(|(lang, _)| lang.script());
            scripts.map(|script| script.to_string()).collect()
        };
        assert!(scripts(&hans).iter().all(|script| script == "Hans"));
        assert!(scripts(&hant).iter().all(|script| script == "Hant"));
        for ((a, p), (b, q)) in hans.iter().zip(&hant) {
            assert_eq!(a.without_script(), b.without_script(), "{simplified}");
            assert!((p - q).abs() < 1e-9, "{simplified}");
        }
    }
    let top = identifier.top("我有一本小的", 2);
    assert_eq!(
        top.iter()
            .map(|(lang, _)| lang.to_string())
            .collect::<Vec<_>>(),
        ["cmn_Hans", "cmn_Hant"]
    );
    assert_eq!(top[0].1, top[1].1);
}

#[test]
fn what_is_no_text_names_no_language() {
    let noise: Vec<u8> = (0..400_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let noise = String::from_utf8_lossy(&noise);
    for text in [
        "",
        " \n\t",
        "12 345,67 – 2026-11-24",
        "…!?;; (--) «»",
        "😀🎉🚀",
        "ab",
        "\u{fffd}\u{fffd}\u{fffd}",
        "xqzv wkjh ptlf bnmq",
        &noise,
    ] {
        let found = Identifier::shipped().identify(text);
        assert_eq!((found.lang, found.score), (None, 0.0), "{text:?}");
    }
}

#[test]
fn many_texts_at_once_are_the_same_as_one_by_one() {
    let texts = [
        "Guten Morgen allerseits",
        "",
        "Доброе утро всем",
        "สวัสดีตอนเช้า",
    ];
    let identifier = Identifier::shipped();
    let one_by_one: Vec<_> = texts.iter().map(|text| identifier.identify(text)).collect();
    assert_eq!(identifier.identify_all(texts), one_by_one);
    let top = identifier.top("Guten Morgen allerseits", usize::MAX);
    let total: f64 = top.iter().map(|(_, p)| p).sum();
    assert!((total - 1.0).abs() < 1e-9);
    assert!(top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
}

/// Two toy languages, two hundred documents each.
fn toy(shuffled: bool) -> Vec<Document> {
    let words = [
        ["bada", "gado", "dabo", "oga"],
        ["miki", "nilu", "luki", "umi"],
    ];
    (0..400_usize)
        .map(|i| {
            let language = i % 2;
            // Shuffled: the label says nothing about the words.
            let coin = (i as u32 + 1)
                .wrapping_mul(2_654_435_761)
                .wrapping_mul(0x9e37_79b9)
                >> 13
                & 1;
            let label = if shuffled { coin as usize } else { language };
            let text: Vec<&str> = (0..8)
                .map(|k| words[language][(i / 2 * 7 + k * k * 3 + k) % 4])
                .collect();
            Document {
                label: ["aaa", "bbb"][label].parse().unwrap(),
                part: "toy".into(),
                register: Register::Running,
                text: text.join(" "),
            }
        })
        .collect()
}

#[test]
fn training_learns_what_is_there_and_nothing_from_shuffled_labels() {
    let settings = Settings {
        total_min: [0.0; 5],
        ..Settings::default()
    };
    let share_right = |shuffled| {
        let documents = toy(shuffled);
        let (train, test) = documents.split_at(200);
        let identifier = Identifier::train(train, &settings);
        let hits = test
            .iter()
            .filter(|document| identifier.top(&document.text, 1)[0].0 == document.label)
            .count();
        hits as f64 / test.len() as f64
    };
    assert_eq!(share_right(false), 1.0);
    let chance = share_right(true);
    assert!((chance - 0.5).abs() <= 0.2, "{chance}");
}

#[test]
fn training_gives_the_same_bytes_in_any_order_and_files_are_read_back() {
    let documents = toy(false);
    let mut backwards = documents.clone();
    backwards.reverse();
    let settings = Settings::default();
    let bytes = Identifier::train(&documents, &settings).encode().unwrap();
    assert_eq!(
        Identifier::train(&backwards, &settings).encode().unwrap(),
        bytes
    );
    let read = Identifier::decode(&bytes).unwrap();
    assert_eq!(read.encode().unwrap(), bytes);
    // A torn or foreign file is an error, not a panic.
    for n in 0..bytes.len() {
        assert!(Identifier::decode(&bytes[..n]).is_err(), "{n}");
    }
    assert!(Identifier::decode(b"GGUF").is_err());
}

#[test]
fn reliability_is_known_where_it_was_measured() {
    let identifier = Identifier::shipped();
    let of = |lang: &str| identifier.reliability(lang.parse().unwrap());
    let german = of("deu").unwrap();
    assert!(german.sensitivity > 0.95 && german.specificity > 0.99 && german.n == 500);
    // No second register: FLORES has no Yukaghir, and its "Cantonese" is written Mandarin.
    assert!(of("ykg").is_none() && of("yue_Hant").is_none());
    let apart = |a: &str, b: &str| identifier.tells_apart(a.parse().unwrap(), b.parse().unwrap());
    assert_eq!(apart("deu", "tha"), Some(true));
    assert_eq!(apart("bos_Latn", "hrv"), Some(false));
}

/// The committed table, which every checkout has, is held to the floor too.
#[test]
fn the_committed_reliability_is_above_the_floor() {
    let identifier = Identifier::shipped();
    let shares: Vec<f64> = identifier
        .labels()
        .iter()
        .filter_map(|lang| Some(identifier.reliability(*lang)?.sensitivity))
        .collect();
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    println!("{mean:.4} of {} labels", shares.len());
    assert!(shares.len() >= 160 && mean >= TABLE_FLOOR, "{mean}");
}

/// Articles 25 to 30 of every translation with training on 1 to 24, as `cargo xtask identifier`
/// measures it, but without names, which are no part of the checkout, and without a calibration.
#[test]
fn articles_that_were_not_trained_on_are_identified() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/texts/udhr.zst");
    let bytes = isogloss_record::files::read(&path).unwrap();
    let text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
    let (mut train, mut test): (Vec<Document>, Vec<Document>) = Default::default();
    let mut number = 0;
    let mut translation = None;
    for line in text.lines().skip(1) {
        if let Some(header) = line.strip_prefix('@') {
            let mut fields = header.split('\t');
            let label: Lang = fields.next().unwrap().parse().unwrap();
            translation = Some((label, fields.nth(1).unwrap().to_owned()));
            number = 0;
            continue;
        }
        number += 1;
        let (label, part) = translation.clone().unwrap();
        let text = line.replace('\u{1f}', "\n");
        let register = Register::Running;
        let to = if number < 25 { &mut train } else { &mut test };
        to.push(Document {
            label,
            part,
            register,
            text,
        });
    }
    let identifier = Identifier::train(&train, &Settings::default());
    for (n_chars, floor) in [usize::MAX, 50].into_iter().zip(ARTICLES_FLOOR) {
        let mut shares: BTreeMap<Lang, (usize, usize)> = BTreeMap::new();
        for document in test.iter().filter(|document| !document.text.is_empty()) {
            let top = identifier.top(beginning(&document.text, n_chars), 1);
            let (hits, n) = shares.entry(document.label).or_default();
            *hits += usize::from(top.first().is_some_and(|(lang, _)| *lang == document.label));
            *n += 1;
        }
        let shares: Vec<(usize, usize)> = shares.into_values().collect();
        let mean = macro_mean(&shares).unwrap();
        println!("{n_chars} characters: {mean:.4} of {} labels", shares.len());
        assert!(shares.len() >= 440 && mean >= floor, "{mean}");
    }
}

/// Share found in FLORES and, over its answers, how well the probabilities are calibrated. Where
/// the folder is absent the test says so; the committed table has a test of its own.
#[test]
fn another_register_is_identified_and_the_scores_are_probabilities() {
    let identifier = Identifier::shipped();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/flores200/dev");
    if !folder.is_dir() {
        println!("no FLORES-200 beside the checkout: nothing measured");
        return;
    }
    let mut shares = Vec::new();
    let (mut said, mut right, mut n) = (0.0, 0.0, 0);
    let mut wrong: BTreeMap<String, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let code = path.file_stem().unwrap().to_string_lossy().into_owned();
        let labels = flores_labels(identifier, &code);
        if labels.is_empty() {
            continue;
        }
        let text = isogloss_record::files::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().step_by(10).collect();
        let mut hits = 0;
        for found in identifier.identify_all(lines.iter().map(|line| beginning(line, 100))) {
            let is_right = found.lang.is_some_and(|lang| labels.contains(&lang));
            hits += usize::from(is_right);
            if found.lang.is_some() {
                said += found.score;
                right += f64::from(u8::from(is_right));
                n += 1;
            }
        }
        if hits * 2 < lines.len() {
            wrong.insert(code, hits);
        }
        shares.push((hits, lines.len()));
    }
    let mean = macro_mean(&shares).unwrap();
    let (said, right) = (said / f64::from(n), right / f64::from(n));
    println!(
        "{mean:.4} of {} files; said {said:.4}, right {right:.4}; mostly wrong: {wrong:?}",
        shares.len()
    );
    assert!(shares.len() >= 160 && mean >= FLORES_FLOOR, "{mean}");
    assert!((said - right).abs() <= 0.06, "said {said}, right {right}");
}
