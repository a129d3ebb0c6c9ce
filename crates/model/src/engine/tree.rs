//! Sequences as a tree of segments: what was computed once serves every sequence that begins so.
//!
//! A segment is a run of tokens with its keys, values and final hidden states. A child hangs at
//! any offset of its parent, so nothing is ever split or copied: a path is a list of (segment,
//! tokens of it that are used). Segments stay after a call until the memory budget is used up;
//! the least recently used leaf goes first. What a generation under way uses is pinned and stays.
//!
//! Keys and values depend on the adapter that they were computed with, so sequences of different
//! adapters share nothing.

use crate::arch::kv::{Kv, KvShape};

/// Index of a segment; reused after it was dropped.
pub(crate) type SegmentId = usize;

/// What the output layer says at one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Head {
    /// Largest logit.
    pub(crate) max: f32,
    /// Its token; the smallest id among equals.
    pub(crate) argmax: u32,
    /// `ln Σ e^logit`.
    pub(crate) log_sum: f64,
}

/// A run of tokens; its keys and values lie beside it in [`Tree::kvs`].
#[derive(Debug)]
pub(crate) struct Segment {
    /// Segment before this one, and how many of its tokens precede.
    pub(crate) parent: Option<(SegmentId, usize)>,
    /// Position of the first token.
    pub(crate) start: usize,
    pub(crate) tokens: Vec<u32>,
    /// Final residual stream of each token, `[token][d_model]`.
    pub(crate) hidden: Vec<f32>,
    /// Output layer at each token, where it was asked for.
    pub(crate) heads: Vec<Option<Head>>,
    children: Vec<SegmentId>,
    /// With which adapter it was computed; 0: none.
    adapter: usize,
    /// Whether sequences of later calls may find it.
    shared: bool,
    /// How many generations under way use it.
    n_users: usize,
    last_used: u64,
    alive: bool,
}

/// All segments in memory.
#[derive(Debug)]
pub(crate) struct Tree {
    shape: KvShape,
    d_model: usize,
    pub(crate) segments: Vec<Segment>,
    pub(crate) kvs: Vec<Kv>,
    free: Vec<SegmentId>,
    roots: Vec<SegmentId>,
    clock: u64,
    /// Tokens that all segments have room for.
    n_tokens: usize,
}

/// The segments that hold a sequence, and how many tokens of each.
pub(crate) type Path = Vec<(SegmentId, usize)>;

impl Tree {
    pub(crate) fn new(shape: KvShape, d_model: usize) -> Self {
        Self {
            shape,
            d_model,
            segments: Vec::new(),
            kvs: Vec::new(),
            free: Vec::new(),
            roots: Vec::new(),
            clock: 0,
            n_tokens: 0,
        }
    }

    /// The longest beginning of a sequence that is known under an adapter, and its length.
    pub(crate) fn find(&mut self, adapter: usize, tokens: &[u32]) -> (Path, usize) {
        self.clock += 1;
        let (mut path, mut n) = (Path::new(), 0);
        let mut candidates = &self.roots;
        loop {
            let at = path.last().map(|(_, used)| *used);
            // Siblings at one offset may begin alike (a text computed again): the longest wins.
            let best = candidates
                .iter()
                .filter(|id| {
                    let segment = &self.segments[**id];
                    segment.adapter == adapter && segment.parent.map(|(_, at)| at) == at
                })
                .map(|id| (*id, common(&self.segments[*id].tokens, &tokens[n..])))
                .max_by_key(|(id, common)| (*common, std::cmp::Reverse(*id)));
            let Some((id, used)) = best.filter(|(_, used)| *used > 0) else {
                break;
            };
            path.push((id, used));
            n += used;
            candidates = &self.segments[id].children;
        }
        for (id, _) in &path {
            self.segments[*id].last_used = self.clock;
        }
        // A child may leave its parent before the parent's own tokens stop matching: look for a
        // longer way through children of the segments on the path is not needed, because a child
        // is only made where the parent's next token differs.
        (path, n)
    }

    /// A new segment behind `path` (of the same adapter) with room for `capacity` tokens, `tokens` of
    /// them given.
    pub(crate) fn push(
        &mut self,
        path: &mut Path,
        adapter: usize,
        tokens: &[u32],
        capacity: usize,
        shared: bool,
    ) -> SegmentId {
        let parent = path.last().copied();
        let start = parent.map_or(0, |(id, used)| self.segments[id].start + used);
        let segment = Segment {
            parent,
            start,
            tokens: tokens.to_vec(),
            hidden: vec![0.0; capacity * self.d_model],
            heads: vec![None; capacity],
            children: Vec::new(),
            adapter,
            shared,
            n_users: 0,
            last_used: self.clock,
            alive: true,
        };
        let kv = Kv::new(self.shape, capacity);
        self.n_tokens += capacity;
        let id = if let Some(id) = self.free.pop() {
            self.segments[id] = segment;
            self.kvs[id] = kv;
            id
        } else {
            self.segments.push(segment);
            self.kvs.push(kv);
            self.segments.len() - 1
        };
        if shared {
            match parent {
                Some((parent, _)) => self.segments[parent].children.push(id),
                None => self.roots.push(id),
            }
        }
        path.push((id, tokens.len()));
        id
    }

    /// Adds a token to the end of a segment that has room.
    pub(crate) fn grow(&mut self, id: SegmentId, token: u32) {
        assert!(
            self.segments[id].tokens.len() < self.kvs[id].capacity(),
            "the segment has room"
        );
        self.segments[id].tokens.push(token);
    }

    /// Keeps the segments of a path until they are given back with [`Tree::unpin`].
    pub(crate) fn pin(&mut self, path: &Path) {
        for (id, _) in path {
            self.segments[*id].n_users += 1;
        }
    }

    pub(crate) fn unpin(&mut self, path: &Path) {
        for (id, _) in path {
            self.segments[*id].n_users -= 1;
        }
    }

    /// Bytes of a token in a segment: keys, values, hidden state, output layer.
    pub(crate) fn bytes_per_token(shape: KvShape, d_model: usize) -> usize {
        (shape.floats_per_token() + d_model) * size_of::<f32>()
            + size_of::<Option<Head>>()
            + size_of::<u32>()
    }

    /// Bytes of so many tokens in segments.
    pub(crate) fn bytes_of(&self, n_tokens: usize) -> usize {
        n_tokens.saturating_mul(Self::bytes_per_token(self.shape, self.d_model))
    }

    /// Bytes that are held.
    pub(crate) fn n_bytes(&self) -> usize {
        self.bytes_of(self.n_tokens)
    }

    /// Final residual stream at a token of a segment.
    pub(crate) fn hidden(&self, id: SegmentId, at: usize) -> &[f32] {
        &self.segments[id].hidden[at * self.d_model..(at + 1) * self.d_model]
    }

    pub(crate) fn hidden_mut(&mut self, id: SegmentId, at: usize) -> &mut [f32] {
        &mut self.segments[id].hidden[at * self.d_model..(at + 1) * self.d_model]
    }

    /// Forgets a segment that nothing hangs on.
    pub(crate) fn drop_segment(&mut self, id: SegmentId) {
        let segment = &mut self.segments[id];
        assert!(segment.children.is_empty(), "only leaves are dropped");
        segment.alive = false;
        segment.tokens = Vec::new();
        segment.hidden = Vec::new();
        segment.heads = Vec::new();
        let (parent, shared) = (segment.parent, segment.shared);
        self.n_tokens -= self.kvs[id].capacity();
        self.kvs[id] = Kv::new(self.shape, 0);
        self.free.push(id);
        if shared {
            let siblings = match parent {
                Some((parent, _)) => &mut self.segments[parent].children,
                None => &mut self.roots,
            };
            siblings.retain(|sibling| *sibling != id);
        }
    }

    /// Drops least recently used leaves that nobody uses until at most `budget` bytes are held.
    pub(crate) fn shrink_to(&mut self, budget: usize) {
        while self.n_bytes() > budget {
            let leaf = (0..self.segments.len())
                .filter(|id| {
                    let segment = &self.segments[*id];
                    segment.alive && segment.n_users == 0 && segment.children.is_empty()
                })
                .min_by_key(|id| self.segments[*id].last_used);
            let Some(leaf) = leaf else { break };
            self.drop_segment(leaf);
        }
    }

    /// Segment and offset of a position on a path.
    pub(crate) fn locate(&self, path: &Path, position: usize) -> (SegmentId, usize) {
        let at = path.partition_point(|(id, _)| self.segments[*id].start <= position) - 1;
        let (id, _) = path[at];
        (id, position - self.segments[id].start)
    }
}

/// Length of the common beginning.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
