//! The order in which languages are read: the same in the atlas, the summary and the tables.

use isogloss_record::Lang;
use isogloss_record::survey::SurveyResults;

use crate::marks;

/// Languages from the reference over served to unknown, the best understood first, by the first model.
pub(crate) fn reading_order(results: &SurveyResults) -> Vec<Lang> {
    let mut order: Vec<Lang> = results.languages.keys().copied().collect();
    let first = results.models.first();
    order.sort_by(|a, b| {
        let key = |lang: &Lang| {
            let result = first.and_then(|model| model.languages.get(lang));
            let rank = result.map_or(u8::MAX, |result| marks::rank(result.verdict));
            let understood = result
                .and_then(|result| {
                    result
                        .comprehension
                        .map(|r| r.value)
                        .or(result.lexicon.map(|r| r.value))
                })
                .unwrap_or(f64::NEG_INFINITY);
            (rank, understood)
        };
        let ((rank_a, value_a), (rank_b, value_b)) = (key(a), key(b));
        rank_a
            .cmp(&rank_b)
            .then(value_b.total_cmp(&value_a))
            .then(a.cmp(b))
    });
    order
}
