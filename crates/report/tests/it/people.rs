//! How many people the line leaves out, and what the atlas can be filtered by.

use isogloss_record::people::{PeopleOfVerdict, people, sources_of_speakers};
use isogloss_record::survey::Verdict;
use isogloss_report::{AtlasOptions, atlas_html, atlas_markdown};

use crate::fixture::{lang, survey};

#[test]
fn speakers_are_summed_and_the_uncounted_are_told() {
    let mut results = survey();
    // Six languages: Chinese in two scripts, one language without a count.
    let keep = ["fra", "hau", "cmn", "tha", "ory"].map(lang);
    results.languages.retain(|lang, _| keep.contains(lang));
    let model = &mut results.models[0];
    model.languages.retain(|lang, _| keep.contains(lang));
    let traditional = lang("cmn_Hant");
    let facts = results.languages[&lang("cmn")].clone();
    results.languages.insert(traditional, facts);
    let result = model.languages[&lang("cmn")].clone();
    model.languages.insert(traditional, result);
    for (code, verdict) in [
        ("fra", Verdict::Served),
        ("hau", Verdict::NotServed),
        ("cmn", Verdict::Served),
        ("cmn_Hant", Verdict::Served),
        ("tha", Verdict::NotServed),
        ("ory", Verdict::NotServed),
    ] {
        model.languages.get_mut(&lang(code)).unwrap().verdict = verdict;
    }
    for (code, count) in [
        ("fra", 292),
        ("hau", 45),
        ("cmn", 1_325),
        ("cmn_Hant", 1_325),
    ] {
        let facts = results.languages.get_mut(&lang(code)).unwrap();
        facts.speakers.as_mut().unwrap().count = count;
    }
    results.languages.get_mut(&lang("ory")).unwrap().speakers = None;
    results
        .languages
        .get_mut(&lang("tha"))
        .unwrap()
        .speakers
        .as_mut()
        .unwrap()
        .count = 60;
    let found = people(&results, &results.models[0]);
    assert_eq!(
        found,
        [
            // 292 + 1,325, Chinese once.
            PeopleOfVerdict {
                verdict: Verdict::Served,
                n_languages: 3,
                n_without_count: 0,
                speakers: 1_617,
            },
            // 45 + 60; Odia's are not known, which is not zero.
            PeopleOfVerdict {
                verdict: Verdict::NotServed,
                n_languages: 3,
                n_without_count: 1,
                speakers: 105,
            },
        ]
    );
    assert_eq!(sources_of_speakers(&results), [("CLDR 48.2", 2025)]);

    let html = atlas_html(&results, None, &AtlasOptions::default()).unwrap();
    let row = "<tr data-verdict=\"not-served\">";
    let row = html[html.find(row).unwrap()..]
        .split("</tr>")
        .next()
        .unwrap();
    assert!(
        row.contains(">3<")
            && row.contains("<b>105</b>")
            && row.ends_with("<td class=\"n\">1</td>"),
        "{row}"
    );
    let markdown = atlas_markdown(&results);
    assert!(
        markdown.contains("| not served | 3 | 105 | 1 |"),
        "{markdown}"
    );
    assert!(markdown.contains("CLDR 48.2 (2025)"));
}

#[test]
fn without_any_count_there_is_no_sum() {
    let mut results = survey();
    for facts in results.languages.values_mut() {
        facts.speakers = None;
    }
    let found = people(&results, &results.models[0]);
    assert!(
        found
            .iter()
            .all(|group| group.speakers == 0 && group.n_without_count == group.n_languages)
    );
    let html = atlas_html(&results, None, &AtlasOptions::default()).unwrap();
    assert!(!html.contains("<b>0</b>"), "not counted is not zero");
    assert!(!html.contains("name=\"from\""), "nothing to filter by");
    assert!(!atlas_markdown(&results).contains("| 0 people"));
}

#[test]
fn regions_can_be_filtered_by() {
    let html = atlas_html(&survey(), None, &AtlasOptions::default()).unwrap();
    assert!(html.contains(
        "<optgroup label=\"Africa\"><option value=\"Africa\">Africa: all</option><option>Eastern Africa</option>"
    ));
    assert!(html.contains("data-regions=\"|Africa|Asia|Northern Africa|Western Asia|\""));
    // A home without a share.
    assert!(html.contains("<dd><bdi>Western Asia</bdi></dd>"));
    assert!(html.contains("<dd><bdi>Northern Africa 55 %, Western Asia 39 %</bdi></dd>"));
}
