//! What was found on a track so far.

use super::tracks::Track;
use crate::items::{Group, Side};
use crate::measures::alignment::Similarities;
use crate::measures::choice::ItemOutcome;
use crate::measures::fidelity::Continuation;
use crate::measures::information::DocumentBits;

/// One direction of a choice, text items so far and their copy floor.
#[derive(Debug, Clone, Default)]
pub(super) struct Direction {
    pub(super) outcomes: Vec<ItemOutcome>,
    /// As long as `outcomes` where it was measured, else empty.
    pub(super) floor: Vec<ItemOutcome>,
}

/// Answers by a second translation, in the order of the track's second groups; empty where they were
/// not asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Second {
    /// From the second translation to the reference.
    pub(super) to_reference: Vec<ItemOutcome>,
    /// From the reference to the second translation.
    pub(super) from_reference: Vec<ItemOutcome>,
    /// From the second translation to the first.
    pub(super) ceiling: Vec<ItemOutcome>,
    /// Continuations of the second translation's texts, one per text of the first ones.
    pub(super) continuations: Vec<Continuation>,
}

/// A track and what was found on it so far.
#[derive(Debug, Clone)]
pub(super) struct Work<'a> {
    pub(super) track: &'a Track,
    pub(super) to_reference: Direction,
    pub(super) from_reference: Direction,
    pub(super) bits: Vec<DocumentBits>,
    pub(super) similarities: Option<Similarities>,
    pub(super) continuations: Vec<Continuation>,
    pub(super) chat: Vec<Continuation>,
    /// What its second translation gave.
    pub(super) second: Second,
    /// Why the track is not pursued.
    pub(super) halted: Option<String>,
}

impl<'a> Work<'a> {
    pub(super) fn new(track: &'a Track) -> Self {
        Self {
            track,
            to_reference: Direction::default(),
            from_reference: Direction::default(),
            bits: Vec::new(),
            similarities: None,
            continuations: Vec::new(),
            chat: Vec::new(),
            second: Second::default(),
            halted: None,
        }
    }

    pub(super) fn first(&self) -> &'a [Group] {
        &self.track.groups[..self.track.n_first]
    }

    pub(super) fn second(&self) -> &'a [Group] {
        &self.track.groups[self.track.n_first..]
    }

    /// Texts in the language that continuations begin, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.first()
            .iter()
            .flat_map(|group| &group.to_reference.contexts)
    }
}

/// Which direction of a group is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the language to the reference language.
    To,
    /// From the reference language to the language.
    From,
}

impl Way {
    pub(super) fn side(self, group: &Group) -> &Side {
        match self {
            Self::To => &group.to_reference,
            Self::From => &group.from_reference,
        }
    }

    pub(super) fn found<'a>(self, work: &'a Work<'_>) -> &'a Direction {
        match self {
            Self::To => &work.to_reference,
            Self::From => &work.from_reference,
        }
    }

    pub(super) fn found_mut<'a>(self, work: &'a mut Work<'_>) -> &'a mut Direction {
        match self {
            Self::To => &mut work.to_reference,
            Self::From => &mut work.from_reference,
        }
    }
}
