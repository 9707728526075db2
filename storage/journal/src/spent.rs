//! Which segments of this run nobody needs any more, and what becomes of them.
//!
//! ```text
//! finished ── all of its events covered, a later one holds a durable commit ──> freed ─┬─ oldest of the fit ones ─> recycled
//!                                                                                      └─ surplus ─> removed
//! ```
//! Always the oldest one first, so that what is left of the run has no gap at any moment.

use std::collections::VecDeque;

use orderlane_core::{Sequence, ShardId};

use crate::limits::SEGMENTS_FREED_MAX;

/// The events of the segments written so far, and the segments that were freed.
pub(crate) struct Spent {
    /// The segment of the last frame.
    segment: u32,
    /// By shard: the last event in the frames so far, or before this run: its first segment says where the shards started, and goes
    /// only when that is covered, too.
    placed: Vec<Sequence>,
    /// The events of the open batch, whose place is not known yet.
    open: Vec<(ShardId, Sequence)>,
    finished: VecDeque<Finished>,
    /// By shard.
    covered: Vec<Sequence>,
    freed: VecDeque<u32>,
}

struct Finished {
    segment: u32,
    /// By shard: the last event in this segment or before it.
    last: Vec<Sequence>,
}

impl Spent {
    /// At the start of a run.
    pub(crate) fn new(shards: u16, starts: &[(ShardId, Sequence)]) -> Spent {
        let none = vec![0; usize::from(shards)];
        let mut placed = none.clone();
        for (shard, next) in starts {
            placed[shard.index()] = next - 1;
        }
        let (open, finished, freed) = Default::default();
        Spent { segment: 0, placed, open, finished, covered: none, freed }
    }

    /// The open batch has events of `shard` up to `last`.
    pub(crate) fn appended(&mut self, shard: ShardId, last: Sequence) {
        self.open.push((shard, last));
    }

    /// The next frame goes to `segment`.
    pub(crate) fn placed_in(&mut self, segment: u32) {
        if segment != self.segment {
            self.finished.push_back(Finished { segment: self.segment, last: self.placed.clone() });
            self.segment = segment;
        }
    }

    /// The open batch is the frame that was placed last.
    pub(crate) fn batch_placed(&mut self) {
        for (shard, last) in self.open.drain(..) {
            self.placed[shard.index()] = last;
        }
    }

    /// Events up to these are needed no longer.
    pub(crate) fn cover(&mut self, upto: &[(ShardId, Sequence)]) {
        for (shard, upto) in upto {
            let covered = &mut self.covered[shard.index()];
            *covered = (*covered).max(*upto);
        }
    }

    /// Frees the finished segments before `anchored` whose events are all covered. None before the first checkpoint: an empty first
    /// segment stays, for what its header says.
    pub(crate) fn free_before(&mut self, anchored: u32) {
        let Spent { covered, freed, finished, .. } = self;
        if covered.iter().all(|covered| *covered == 0) {
            return;
        }
        let is_spent = |oldest: &mut Finished| {
            oldest.segment < anchored && oldest.last.iter().zip(&*covered).all(|(last, covered)| last <= covered)
        };
        while let Some(oldest) = finished.pop_front_if(is_spent) {
            freed.push_back(oldest.segment);
        }
    }

    /// Whether [`Spent::take_surplus`] has something to give.
    pub(crate) fn has_surplus(&self, is_fit: impl Fn(u32) -> bool) -> bool {
        self.freed.len() > SEGMENTS_FREED_MAX || self.freed.front().is_some_and(|oldest| !is_fit(*oldest))
    }

    /// The oldest freed segment, if it is not fit to be recycled or there are too many.
    pub(crate) fn take_surplus(&mut self, is_fit: impl Fn(u32) -> bool) -> Option<u32> {
        if self.has_surplus(is_fit) { self.freed.pop_front() } else { None }
    }

    /// The oldest freed segment, if it is fit to be recycled.
    pub(crate) fn take_fit(&mut self, is_fit: impl Fn(u32) -> bool) -> Option<u32> {
        self.freed.pop_front_if(|oldest| is_fit(*oldest))
    }
}
