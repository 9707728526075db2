//! Holds effects until the events before them are durable. Answers never overtake the disk, reads included.

use orderlane_core::{Effect, ShardId};

use crate::turn::Held;

#[derive(Default)]
pub(crate) struct Gate {
    /// Of turns whose events are in the open batch.
    open: Vec<Held>,
    /// Of turns whose events are in the commit in flight.
    sealed: Vec<Held>,
}

impl Gate {
    pub(crate) fn hold(&mut self, shard: ShardId, effects: impl Iterator<Item = Effect>) {
        self.open.extend(effects.map(|effect| (shard, effect)));
    }

    /// The open batch goes into flight.
    pub(crate) fn seal(&mut self) {
        assert!(self.sealed.is_empty(), "one commit is in flight at a time");
        std::mem::swap(&mut self.open, &mut self.sealed);
    }

    /// The commit is durable: its effects may go.
    pub(crate) fn release_sealed(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.sealed)
    }

    /// Nothing is in flight and the open batch has no events: all that its effects saw is durable.
    pub(crate) fn release_open(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.open)
    }

    /// Takes an emptied list back, for its room.
    pub(crate) fn give_back(&mut self, list: Vec<Held>) {
        if self.sealed.capacity() < list.capacity() && self.sealed.is_empty() {
            self.sealed = list;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_empty()
    }
}
