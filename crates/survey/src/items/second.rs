//! Items of a second translation: the same groups of four, asked with another wording.
//!
//! ```text
//! first look's groups + second translation -> for each group that it has whole:
//!     the group in its wording (noise floor), its contexts for the first's options (ceiling)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use isogloss_record::Lang;

use super::normal::{mask_numbers, numbers};
use super::{GROUP, Group, ItemSettings, Pair, groups};

/// A group of the first translation, asked with the second.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondGroup {
    /// Index of the first translation's group.
    pub first: usize,
    /// The same documents in the second translation.
    pub group: Group,
    /// The second translation's texts as contexts of the first's options
    /// ([`Group::from_reference`]): what tells most of these options without being them.
    pub ceiling: [String; GROUP],
}

/// The groups that the second translation has whole, in the order of the first's.
pub fn second_groups(
    lang: Lang,
    first: &[Group],
    pairs: &[Pair<'_>],
    settings: &ItemSettings,
) -> Vec<SecondGroup> {
    let at_hand: BTreeSet<&str> = pairs.iter().map(|pair| pair.id).collect();
    let order: Vec<&str> = first
        .iter()
        .filter(|group| group.ids.iter().all(|id| at_hand.contains(id.as_str())))
        .flat_map(|group| group.ids.iter().map(String::as_str))
        .collect();
    // Documents that are one text in this translation are skipped and shift the groups after them:
    // only those that kept their four documents are compared.
    let mut by_ids: BTreeMap<[String; GROUP], Group> =
        groups(lang, pairs, &order, order.len(), settings)
            .into_iter()
            .map(|group| (group.ids.clone(), group))
            .collect();
    first
        .iter()
        .enumerate()
        .filter_map(|(at, first)| {
            let group = by_ids.remove(&first.ids)?;
            let options = &first.from_reference.options;
            let ceiling = group
                .to_reference
                .contexts
                .each_ref()
                .map(|context| without_telling_numbers(context, options));
            Some(SecondGroup {
                first: at,
                group,
                ceiling,
            })
        })
        .collect()
}

/// A context without the numbers that some option lacks.
fn without_telling_numbers(context: &str, options: &[String; GROUP]) -> String {
    let sets = options.each_ref().map(|option| numbers(option));
    let telling = numbers(context)
        .into_iter()
        .filter(|number| !sets.iter().all(|set| set.contains(number)))
        .collect();
    mask_numbers(context, &telling)
}

#[cfg(test)]
mod tests {
    use isogloss_record::Seed;

    use super::*;

    const ENGLISH: [&str; 8] = [
        "Everyone has the right to life in the year 1948 and to security of person everywhere.",
        "No one shall be held in slavery or servitude, and the slave trade is prohibited at last.",
        "All are equal before the law and are entitled to equal protection of the law, always.",
        "Everyone has the right to leave any country, including his own, and to return to it.",
        "Everyone has the right to a nationality, and no one shall be arbitrarily deprived of it.",
        "Everyone has the right to own property alone as well as in association with others now.",
        "Everyone has the right to rest and leisure, including a limit of working hours a day.",
        "Everyone has duties to the community in which alone his free development is possible.",
    ];

    fn pairs<'a>(ids: &'a [String], texts: &'a [String]) -> Vec<Pair<'a>> {
        (0..8)
            .map(|i| Pair {
                id: &ids[i],
                text: &texts[i],
                reference: ENGLISH[i],
            })
            .collect()
    }

    #[test]
    fn the_same_documents_are_asked_in_another_wording_without_telling_numbers() {
        let lang: Lang = "hin".parse().unwrap();
        let ids: Vec<String> = (0..8).map(|i| format!("{i}")).collect();
        let order: Vec<&str> = ids.iter().map(String::as_str).collect();
        let settings = ItemSettings::new(Seed(1));
        let one = ENGLISH.map(|text| format!("प्रत्येक व्यक्ति १९४८ {text}"));
        let two = ENGLISH.map(|text| format!("हर व्यक्ति १९४८ {text}"));
        let first = groups(lang, &pairs(&ids, &one), &order, 8, &settings);
        let second = second_groups(lang, &first, &pairs(&ids, &two), &settings);
        assert_eq!(second.len(), 2);
        for (at, second) in second.iter().enumerate() {
            assert_eq!((second.first, &second.group.ids), (at, &first[at].ids));
            // The English options do not depend on the translation.
            assert_eq!(
                second.group.to_reference.options,
                first[at].to_reference.options
            );
            assert!(second.ceiling.iter().all(|text| text.starts_with("हर")));
        }
        // A number that some option lacks is hidden; one that all have stays.
        let options = ["in 1948", "1948, 30", "१९४८", "1948."].map(str::to_owned);
        let hidden = without_telling_numbers("१९४८ और ३०", &options);
        assert_eq!(hidden, "१९४८ और ००");
        // A document that the second translation lacks takes its group with it, and no other.
        let without: Vec<Pair<'_>> = pairs(&ids, &two).into_iter().skip(1).collect();
        let rest = second_groups(lang, &first, &without, &settings);
        assert_eq!(
            rest.iter().map(|group| group.first).collect::<Vec<_>>(),
            [1]
        );
        // Two documents with one text: their group is left out.
        let mut doubled = two.clone();
        doubled[1] = doubled[0].clone();
        let rest = second_groups(lang, &first, &pairs(&ids, &doubled), &settings);
        assert!(
            rest.iter()
                .all(|group| group.group.ids == first[group.first].ids)
        );
        assert!(rest.iter().all(|group| group.first != 0));
    }
}
