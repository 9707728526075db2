//! What the shards have told each other, derived from the events alone, and how far each has listened.

use std::collections::BTreeMap;

use orderlane_core::{OrderId, Sequence, ShardId};

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Hold the lines of the order.
    Reserve,
    /// Sell what is held.
    Sell,
    /// Give back what is held.
    Release,
    /// Take back what was sold.
    Return,
    /// The answer to `Reserve`.
    Answered,
    /// The answer to `Sell`.
    Sold,
    /// The answer to `Release` and to `Return`.
    Restored,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of which order.
    pub order: OrderId,
    /// What.
    pub what: What,
    /// The event of the source from which it follows.
    pub sequence: Sequence,
}

/// From one shard to one shard.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// All messages ever; number `n` is at index `n - 1`.
    pub told: Vec<Told>,
    /// Messages whose effect is in the target's log, or that were passed over because they came too late.
    pub cursor: u64,
    /// The target's stored mark.
    pub taken: u64,
    /// The source's stored mark.
    pub delivered: u64,
}

/// All links, by source and target.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<(ShardId, ShardId), Link>);

impl Links {
    /// The link, if anything was ever told.
    #[must_use]
    pub fn find(&self, source: ShardId, target: ShardId) -> Option<&Link> {
        self.0.get(&(source, target))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, ShardId, &Link)> {
        self.0.iter().map(|((source, target), link)| (*source, *target, link))
    }

    pub(super) fn tell(&mut self, source: ShardId, target: ShardId, told: Told) {
        self.0.entry((source, target)).or_default().told.push(told);
    }

    /// Everything up to the first such message has had its effect.
    pub(super) fn take_one(&mut self, source: ShardId, target: ShardId, order: OrderId, what: What) {
        let link = self.0.entry((source, target)).or_default();
        if let Some(index) = link.next_such(order, what) {
            link.cursor = index as u64 + 1;
        }
    }

    pub(super) fn set_taken(&mut self, source: ShardId, target: ShardId, upto: u64) {
        let link = self.0.entry((source, target)).or_default();
        link.taken = upto;
        link.cursor = upto;
    }

    pub(super) fn set_delivered(&mut self, source: ShardId, target: ShardId, upto: u64) {
        self.0.entry((source, target)).or_default().delivered = upto;
    }
}

impl Link {
    /// The index of the first message that says this, from the cursor on.
    #[must_use]
    pub fn next_such(&self, order: OrderId, what: What) -> Option<usize> {
        let from = self.cursor as usize;
        let rest = self.told.get(from..)?;
        rest.iter().position(|told| told.order == order && told.what == what).map(|index| from + index)
    }
}
