//! SentencePiece's byte-pair encoding: the adjacent pair whose union is the piece of the highest
//! score is joined, the leftmost among equals, until no union is a piece.
//!
//! A symbol that may not be cut is one from the start and joins with nothing. A union that the
//! model has but does not use is cut again at the end.
//!
//! Source: `bpe_model.cc` of SentencePiece.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use super::added::AddedTokens;
use super::spm::{Piece, PieceKind};

/// Pieces of a text in order, `None` for a letter that is no piece. `kept` symbols are not cut.
pub(crate) fn segment(
    pieces: &HashMap<Box<str>, Piece>,
    kept: &AddedTokens,
    text: &str,
) -> Vec<(Range<usize>, Option<u32>)> {
    let mut symbols = Symbols::new(text, kept);
    let mut queue = BinaryHeap::new();
    for left in 1..symbols.list.len() {
        queue.extend(join(pieces, &symbols, left - 1));
    }
    // Where a union that is not used was made: start and end, and where it is cut again.
    let mut cuts = HashMap::new();
    while let Some(found) = queue.pop() {
        if !symbols.is_current(&found) {
            continue;
        }
        if found.is_unused {
            let left = symbols.list[found.left];
            cuts.insert((left.start, found.n_bytes), left.n_bytes);
        }
        let previous = symbols.merge(found.left);
        queue.extend(previous.and_then(|previous| join(pieces, &symbols, previous)));
        queue.extend(join(pieces, &symbols, found.left));
    }
    let mut out = Vec::new();
    // The last to do is on top.
    let mut to_do = Vec::new();
    for symbol in symbols.list.iter().filter(|symbol| symbol.n_bytes > 0) {
        to_do.push((symbol.start, symbol.n_bytes));
        while let Some((start, n_bytes)) = to_do.pop() {
            if let Some(n_left) = cuts.get(&(start, n_bytes)) {
                to_do.push((start + n_left, n_bytes - n_left));
                to_do.push((start, *n_left));
                continue;
            }
            let range = start..start + n_bytes;
            let piece = pieces.get(&text[range.clone()]);
            out.push((range, piece.map(|piece| piece.id)));
        }
    }
    out
}

/// The union of the symbol at `left` with the next one, if it is a piece.
fn join(pieces: &HashMap<Box<str>, Piece>, symbols: &Symbols<'_>, left: usize) -> Option<Join> {
    let a = symbols.list[left];
    let b = symbols.list.get(a.next)?;
    if a.is_kept || b.is_kept {
        return None;
    }
    let n_bytes = a.n_bytes + b.n_bytes;
    let piece = pieces.get(&symbols.text[a.start..a.start + n_bytes])?;
    Some(Join {
        score: piece.score,
        left,
        n_bytes,
        is_unused: piece.kind == PieceKind::Unused,
    })
}

/// A stretch of the text; neighbors are linked by index.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// Joins with nothing.
    is_kept: bool,
    /// 0 once it was merged into its left neighbor.
    n_bytes: usize,
    /// `usize::MAX` at the ends.
    previous: usize,
    next: usize,
}

struct Symbols<'a> {
    text: &'a str,
    list: Vec<Symbol>,
}

impl<'a> Symbols<'a> {
    /// One symbol a character, or a kept one.
    fn new(text: &'a str, kept: &AddedTokens) -> Self {
        let (mut list, mut start) = (Vec::new(), 0);
        while let Some(letter) = text[start..].chars().next() {
            let whole = kept.match_at(&text[start..]);
            let n_bytes = whole.map_or(letter.len_utf8(), |(_, n_bytes)| n_bytes);
            list.push(Symbol {
                start,
                is_kept: whole.is_some(),
                n_bytes,
                previous: list.len().wrapping_sub(1),
                next: list.len() + 1,
            });
            start += n_bytes;
        }
        if let Some(last) = list.last_mut() {
            last.next = usize::MAX;
        }
        Self { text, list }
    }

    /// Whether neither side was merged since the join was found.
    fn is_current(&self, join: &Join) -> bool {
        let left = self.list[join.left];
        let right = self.list.get(left.next);
        left.n_bytes > 0 && right.is_some_and(|right| left.n_bytes + right.n_bytes == join.n_bytes)
    }

    /// Merges the symbol at `left` with the next one; gives the index before it.
    fn merge(&mut self, left: usize) -> Option<usize> {
        let right = self.list[left].next;
        let Symbol { n_bytes, next, .. } = self.list[right];
        self.list[right].n_bytes = 0;
        self.list[left].n_bytes += n_bytes;
        self.list[left].next = next;
        if let Some(after) = self.list.get_mut(next) {
            after.previous = left;
        }
        let previous = self.list[left].previous;
        (previous < self.list.len()).then_some(previous)
    }
}

/// Two neighbors whose union is a piece.
#[derive(Debug)]
struct Join {
    score: f32,
    left: usize,
    /// Of the union: tells whether the join is out of date.
    n_bytes: usize,
    is_unused: bool,
}

impl Ord for Join {
    /// The highest score first, then the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Join {}
