//! The unigram language model: of all ways to cut a text into pieces the one whose scores have the
//! largest sum.
//!
//! A piece's score is its log-probability (nats). A letter that is no piece costs ten nats more
//! than the rarest piece. A user-defined symbol scores just below its length times the best
//! piece, so it is always taken. Of equal sums the one found first wins: the shorter last piece's
//! rival, as in the reference, which compares from the left.
//!
//! Source: Kudo 2018, arXiv:1804.10959; `Model::EncodeOptimized` in `unigram_model.cc` of
//! SentencePiece.

use std::ops::Range;

use super::spm::{Piece, PieceKind};

/// Cost of a letter without a piece, beside the lowest score.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Pieces in alphabetical order of their bytes, so that all that a text begins with are found by
/// narrowing a range byte by byte.
#[derive(Debug)]
pub(crate) struct Unigram {
    pieces: Vec<(Box<str>, Piece)>,
    score_min: f32,
    score_max: f32,
}

/// The best cut of a text's beginning.
#[derive(Debug, Clone, Copy)]
struct Best {
    score: f32,
    /// Where its last piece begins; `usize::MAX` if no cut ends here.
    starts_at: usize,
    /// `None`: an unknown letter.
    id: Option<u32>,
}

impl Unigram {
    pub(crate) fn new(pieces: impl IntoIterator<Item = (Box<str>, Piece)>) -> Self {
        let mut pieces: Vec<_> = pieces.into_iter().collect();
        pieces.sort_by(|a, b| a.0.cmp(&b.0));
        let scores = pieces
            .iter()
            .filter(|(_, piece)| piece.kind == PieceKind::Normal);
        let scores: Vec<f32> = scores.map(|(_, piece)| piece.score).collect();
        Self {
            score_min: scores.iter().copied().reduce(f32::min).unwrap_or(0.0),
            score_max: scores.iter().copied().reduce(f32::max).unwrap_or(0.0),
            pieces,
        }
    }

    /// Pieces of a text in order, `None` where a letter is no piece.
    pub(crate) fn segment(&self, text: &str) -> Vec<(Range<usize>, Option<u32>)> {
        let none = Best {
            score: 0.0,
            starts_at: usize::MAX,
            id: None,
        };
        let mut best = vec![none; text.len() + 1];
        for (start, letter) in text.char_indices() {
            let so_far = best[start].score;
            let mut offer = |end: usize, score: f32, id: Option<u32>| {
                let score = so_far + score;
                if best[end].starts_at == usize::MAX || score > best[end].score {
                    best[end] = Best {
                        score,
                        starts_at: start,
                        id,
                    };
                }
            };
            let mut is_known = false;
            for (n_bytes, piece) in self.prefixes(&text[start..]) {
                let score = match piece.kind {
                    PieceKind::Unused => continue,
                    PieceKind::Normal => piece.score,
                    PieceKind::UserDefined => n_bytes as f32 * self.score_max - 0.1,
                };
                is_known |= n_bytes == letter.len_utf8();
                offer(start + n_bytes, score, Some(piece.id));
            }
            if !is_known {
                offer(
                    start + letter.len_utf8(),
                    self.score_min - UNKNOWN_PENALTY,
                    None,
                );
            }
        }
        let (mut pieces, mut end) = (Vec::new(), text.len());
        while end > 0 {
            let Best { starts_at, id, .. } = best[end];
            pieces.push((starts_at..end, id));
            end = starts_at;
        }
        pieces.reverse();
        pieces
    }

    /// Pieces that a text begins with, from the shortest, and their lengths in bytes.
    fn prefixes<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, Piece)> + 'a {
        let mut range = self.pieces.as_slice();
        text.bytes()
            .enumerate()
            .map_while(move |(depth, byte)| {
                // All of `range` share `depth` bytes; those that end there come first.
                let at = |piece: &str| piece.as_bytes().get(depth).copied();
                let from = range.partition_point(|(piece, _)| at(piece) < Some(byte));
                let to = range.partition_point(|(piece, _)| at(piece) <= Some(byte));
                range = &range[from..to];
                let (piece, found) = range.first()?;
                Some((piece.len() == depth + 1).then_some((depth + 1, *found)))
            })
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unigram(pieces: &[(&str, f32, PieceKind)]) -> Unigram {
        Unigram::new(pieces.iter().zip(0..).map(|((text, score, kind), id)| {
            let piece = Piece {
                id,
                score: *score,
                kind: *kind,
            };
            (Box::from(*text), piece)
        }))
    }

    #[test]
    fn the_cut_of_the_largest_sum_wins() {
        use PieceKind::{Normal, Unused, UserDefined};
        let model = unigram(&[
            ("a", -3.0, Normal),
            ("ab", -4.0, Normal),
            ("b", -2.0, Normal),
            ("bก", -1.0, Normal),
            ("abก", -9.0, Normal),
            ("aa", 0.0, Unused),
            ("<x>", 0.0, UserDefined),
        ]);
        // a + bก = −4, abก = −9, ab + unknown = −4 − 19.
        assert_eq!(model.segment("abก"), [(0..1, Some(0)), (1..5, Some(3))]);
        // ab = −4, a + b = −5.
        assert_eq!(model.segment("ab"), [(0..2, Some(1))]);
        // An unused piece is not taken.
        assert_eq!(model.segment("aa"), [(0..1, Some(0)), (1..2, Some(0))]);
        assert_eq!(model.segment("ข<x>"), [(0..3, None), (3..6, Some(6))]);
        assert_eq!(model.segment(""), []);
        assert_eq!(unigram(&[]).segment("é"), [(0..2, None)]);
    }
}
