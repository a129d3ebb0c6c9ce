//! The signs of the five verdicts: a colour, a shape and a word each, so that none rests on colour.

use isogloss_record::survey::Verdict;

/// Verdicts in the order of every legend.
pub(crate) const VERDICTS: [Verdict; 5] = [
    Verdict::Served,
    Verdict::Partly,
    Verdict::NotServed,
    Verdict::CannotSay,
    Verdict::Reference,
];

/// As in `results.json`.
pub(crate) fn id(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reference => "reference",
        Verdict::Served => "served",
        Verdict::Partly => "partly",
        Verdict::NotServed => "not-served",
        Verdict::CannotSay => "cannot-say",
    }
}

/// In words.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reference => "reference",
        Verdict::Served => "served",
        Verdict::Partly => "partly served",
        Verdict::NotServed => "not served",
        Verdict::CannotSay => "cannot say",
    }
}

/// One sentence for the legend.
pub(crate) fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reference => "The language that the others are measured against.",
        Verdict::Served => "Understands, produces and stays in the language.",
        Verdict::Partly => "Fails on the axis that the reason names.",
        Verdict::NotServed => "No better than guessing, or does not stay in the language.",
        Verdict::CannotSay => {
            "The intervals straddle the threshold, or there is too little to measure with."
        }
    }
}

/// Place in the reading order of tables: the reference first, then from served to unknown.
pub(crate) fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Reference => 0,
        Verdict::Served => 1,
        Verdict::Partly => 2,
        Verdict::NotServed => 3,
        Verdict::CannotSay => 4,
    }
}

/// The shapes, once per page, around the origin with a radius of about 5; used by `<use>`.
/// They take the colour of the text around them.
pub(crate) const SHAPES: &str = r#"<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<g id="g-served"><circle r="5" fill="currentColor"/></g>
<g id="g-partly"><circle r="4.3" class="hollow" stroke="currentColor" stroke-width="1.4"/><path d="M0-5A5 5 0 0 0 0 5Z" fill="currentColor"/></g>
<g id="g-not-served"><path d="M-3.7-3.7 3.7 3.7M-3.7 3.7 3.7-3.7" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" fill="none"/></g>
<g id="g-cannot-say"><circle r="5.2" class="hollow" stroke="currentColor" stroke-width="1.3" stroke-dasharray="2.3 1.1"/><path d="M-1.8-1.3a1.8 1.8 0 1 1 2.8 1.5q-1 .6-1 1.5" stroke="currentColor" stroke-width="1.4" fill="none"/><circle cy="3.3" r=".9" fill="currentColor"/></g>
<g id="g-reference"><path d="M0-5.6 5.6 0 0 5.6-5.6 0Z" fill="currentColor"/></g>
<g id="g-provisional"><circle r="7.6" fill="none" stroke="currentColor" stroke-width=".9"/></g>
</defs></svg>"#;

/// The sign of a verdict inside a line of text.
pub(crate) fn inline(verdict: Verdict, provisional: bool) -> String {
    let id = id(verdict);
    let ring = if provisional {
        r##"<use href="#g-provisional"/>"##
    } else {
        ""
    };
    format!(
        r##"<svg class="mark {id}" viewBox="-9 -9 18 18" aria-hidden="true"><use href="#g-{id}"/>{ring}</svg>"##
    )
}
