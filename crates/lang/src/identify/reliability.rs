//! How well the identifier does per language: `packs/identifier/reliability.tsv`.

use isogloss_record::Lang;

/// Languages confused more often than this are sisters that are not told apart.
const CONFUSED_SHARE: f64 = 0.1;

/// Reliability for one language, on lines cut to about the length of a 32-token continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    /// The language.
    pub lang: Lang,
    /// Share of its texts that were found, from 0 to 1; an abstention counts as missed.
    pub sensitivity: f64,
    /// Share of the other languages' texts that were not taken for it, each language weighted
    /// equally, from 0 to 1.
    pub specificity: f64,
    /// Texts of this language.
    pub n: usize,
    /// Characters of a text at most.
    pub n_chars: usize,
    /// The register, which the identifier was not trained on.
    pub register: String,
    /// Languages that its texts were taken for, with their shares, largest first.
    pub confused_with: Vec<(Lang, f64)>,
}

/// Length whose figures [`read`] keeps: nearest to a continuation of 32 tokens.
const N_CHARS: usize = 100;

/// Reads the table; other lengths than a continuation's are for readers.
///
/// Columns: language, characters, n, sensitivity, specificity, register, confusions as
/// `LANG:SHARE` separated by spaces. Lines that begin with `#` are comments.
pub(super) fn read(table: &str) -> Vec<Reliability> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let lang = fields.next()?.parse().ok()?;
            let n_chars = fields.next()?.parse().ok()?;
            let n = fields.next()?.parse().ok()?;
            let sensitivity = fields.next()?.parse().ok()?;
            let specificity = fields.next()?.parse().ok()?;
            let register = fields.next()?.to_owned();
            let confused_with = fields
                .next()?
                .split_whitespace()
                .filter_map(|pair| {
                    let (lang, share) = pair.split_once(':')?;
                    Some((lang.parse().ok()?, share.parse().ok()?))
                })
                .collect();
            (n_chars == N_CHARS).then_some(Reliability {
                lang,
                sensitivity,
                specificity,
                n,
                n_chars,
                register,
                confused_with,
            })
        })
        .collect()
}

/// See [`super::Identifier::tells_apart`].
pub(super) fn tells_apart(
    of_a: Option<&Reliability>,
    of_b: Option<&Reliability>,
    a: Lang,
    b: Lang,
) -> Option<bool> {
    if of_a.is_none() && of_b.is_none() {
        return None;
    }
    let confuses = |of: Option<&Reliability>, other: Lang| {
        of.is_some_and(|known| {
            known
                .confused_with
                .iter()
                .any(|(lang, share)| *lang == other && *share >= CONFUSED_SHARE)
        })
    };
    Some(!confuses(of_a, b) && !confuses(of_b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_sisters_are_found() {
        let table = "# comment\n\
            bos\t50\t500\t.3\t.9\tnews\thrv:.5\n\
            bos\t100\t500\t.4\t.99\tnews\thrv:.3 srp_Latn:.05\n\
            deu\t100\t500\t1\t1\tnews\t\n";
        let all = read(table);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].sensitivity, all[0].confused_with.len()), (0.4, 2));
        let [bos, deu, hrv, srp] =
            ["bos", "deu", "hrv", "srp_Latn"].map(|lang| lang.parse::<Lang>().unwrap());
        let known = |lang: Lang| all.iter().find(|r| r.lang == lang);
        for (a, b, want) in [
            (bos, hrv, Some(false)),
            (hrv, bos, Some(false)),
            (bos, srp, Some(true)),
            (bos, deu, Some(true)),
            (hrv, srp, None),
        ] {
            assert_eq!(tells_apart(known(a), known(b), a, b), want, "{a} {b}");
        }
    }
}
