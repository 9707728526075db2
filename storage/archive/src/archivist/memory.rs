//! What the archivist needs of a shard.

use orderlane_core::{CutEnd, CutPart, OrderId, Sequence, Shard, ShardId};

/// A shard, as far as it is cut and looked up. The second one is the tests' own, which shows every step.
pub(super) trait Memory {
    fn id(&self) -> ShardId;
    fn sequence(&self) -> Sequence;
    fn orders_quiet(&self) -> u64;
    fn orders_placed(&self) -> u64;
    fn holds(&self, order: OrderId) -> bool;
    fn shed(&mut self, on: bool);
    fn begin_cut(&mut self);
    fn cut(&mut self, count_max: usize, part: &mut CutPart) -> Option<CutEnd>;
    fn evict(&mut self, count_max: usize) -> bool;
}

impl Memory for Shard {
    fn id(&self) -> ShardId {
        Shard::id(self)
    }

    fn sequence(&self) -> Sequence {
        Shard::sequence(self)
    }

    fn orders_quiet(&self) -> u64 {
        Shard::orders_quiet(self)
    }

    fn orders_placed(&self) -> u64 {
        Shard::orders_placed(self)
    }

    fn holds(&self, order: OrderId) -> bool {
        Shard::holds(self, order)
    }

    fn shed(&mut self, on: bool) {
        Shard::shed(self, on);
    }

    fn begin_cut(&mut self) {
        Shard::begin_cut(self);
    }

    fn cut(&mut self, count_max: usize, part: &mut CutPart) -> Option<CutEnd> {
        Shard::cut(self, count_max, part)
    }

    fn evict(&mut self, count_max: usize) -> bool {
        Shard::evict(self, count_max)
    }
}
