use super::*;

fn settings() -> ItemSettings {
    ItemSettings::new(Seed(1))
}

const ENGLISH: [&str; 8] = [
    "All human beings are born free and equal in dignity and rights, and should act as brothers.",
    "Everyone has the right to life, liberty and security of person wherever he may happen to be.",
    "No one shall be held in slavery or servitude; slavery shall be prohibited in all its forms.",
    "No one shall be subjected to torture or to cruel, inhuman or degrading treatment or punishment.",
    "Everyone has the right to recognition everywhere as a person before the law of every land.",
    "Everyone has the right to rest and leisure, including reasonable limits of working hours, 8 a day.",
    "No one shall be subjected to arbitrary arrest, detention or exile by any power of any state.",
    "Nothing in this Declaration may be interpreted as implying for any state a right to destroy it.",
];

/// Six scripts; invented strings of the script are enough here, what counts is how they are cut.
fn translations() -> Vec<(&'static str, [String; 8])> {
    let alphabets = [
        ("hau", "aikata bisa ga dokoki na kasa da mutane"),
        ("rus", "все люди рождаются свободными и равными"),
        ("hin", "सभी मनुष्यों को गौरव और अधिकारों के मामले में"),
        ("arb", "يولد جميع الناس أحراراً متساوين في الكرامة"),
        ("tha", "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน"),
        ("zho", "人人生而自由在尊严和权利上一律平等他们赋有理性"),
    ];
    alphabets
        .into_iter()
        .map(|(code, letters)| {
            let texts = std::array::from_fn(|i| {
                let rotated: String = letters.chars().cycle().skip(i * 3).take(60 + i).collect();
                format!("{rotated} {i}.")
            });
            (code, texts)
        })
        .collect()
}

fn pairs(texts: &[String; 8]) -> Vec<Pair<'_>> {
    const IDS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];
    (0..8)
        .map(|i| Pair {
            id: IDS[i],
            text: &texts[i],
            reference: ENGLISH[i],
        })
        .collect()
}

fn order() -> Vec<&'static str> {
    const IDS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];
    order_documents((0..8).map(|i| (IDS[i], ENGLISH[i])), 8, Seed(1))
}

#[test]
fn items_of_six_scripts_have_options_of_one_length_and_share_the_reference() {
    let order = order();
    assert_eq!(order.len(), 8);
    let mut reference_options = BTreeSet::new();
    for (code, texts) in translations() {
        let groups = groups(
            code.parse().unwrap(),
            &pairs(&texts),
            &order,
            8,
            &settings(),
        );
        assert_eq!(groups.len(), 2, "{code}");
        for group in &groups {
            for side in [&group.to_reference, &group.from_reference] {
                let lengths = side.options.each_ref().map(|option| n_chars(option));
                let (min, max) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
                assert!(*min as f64 >= 0.88 * *max as f64, "{code}: {lengths:?}");
                assert_ne!(side.contexts, side.nonsense, "{code}");
                for (context, nonsense) in side.contexts.iter().zip(&side.nonsense) {
                    assert!(!context.is_empty() && !nonsense.is_empty(), "{code}");
                }
            }
            assert!(group.to_reference.options.iter().all(|o| n_chars(o) <= 90));
        }
        reference_options.insert(
            groups
                .iter()
                .map(|g| g.to_reference.options.clone())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(
        reference_options.len(),
        1,
        "all languages share the reference's options"
    );
}

#[test]
fn a_language_that_lacks_documents_gets_groups_of_those_it_has() {
    let (code, texts) = translations().remove(0);
    let mut pairs = pairs(&texts);
    pairs.remove(2);
    let lang = code.parse().unwrap();
    let few = groups(lang, &pairs, &order(), 8, &settings());
    assert_eq!(few.len(), 1);
    assert!(!few[0].ids.contains(&"3".to_owned()));
    assert!(groups(lang, &[], &order(), 8, &settings()).is_empty());
}

#[test]
fn the_order_depends_on_the_seed_only_where_there_is_a_choice() {
    let texts: Vec<(String, String)> = (0..100)
        .map(|i| {
            (
                format!("{i:03}"),
                format!("{} {i:03}", "word ".repeat(16 + i / 10)),
            )
        })
        .collect();
    let documents = || texts.iter().map(|(id, text)| (id.as_str(), text.as_str()));
    let first = order_documents(documents(), 12, Seed(1));
    assert_eq!(first, order_documents(documents(), 12, Seed(1)));
    assert_ne!(first, order_documents(documents(), 12, Seed(2)));
    assert_eq!(first.len(), 100);
    // Only the shorter third is drawn from first.
    assert!(
        first[..12]
            .iter()
            .all(|id| id.parse::<usize>().unwrap() < 36)
    );
    let few = |seed| order_documents(documents().take(12), 12, Seed(seed));
    assert_eq!(few(1), few(2));
    assert!(order_documents([], 12, Seed(1)).is_empty());
}

#[test]
fn lengths_alone_are_answered_by_expected_value() {
    // Contexts of 10, 20, 30, 40 and options of the same lengths: all four right.
    assert_eq!(
        n_right_by_length(&[10, 20, 30, 40], &[10, 20, 30, 40], 1.0),
        4.0
    );
    // Options of one length: each context draws among four, 4 · ¼ = 1.
    assert_eq!(
        n_right_by_length(&[10, 20, 30, 40], &[25, 25, 25, 25], 1.0),
        1.0
    );
    // Two and two: each draws among two, 4 · ½ = 2.
    assert_eq!(
        n_right_by_length(&[10, 10, 40, 40], &[10, 10, 40, 40], 1.0),
        2.0
    );
}
