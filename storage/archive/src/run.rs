//! A run: what one cut of a lane puts into the archive.

use orderlane_core::{Archived, Sequence, ShardId};

/// What one cut of a lane puts into the archive.
#[derive(Debug, Default)]
pub struct Run {
    /// The lane.
    pub lane: u16,
    /// The orders, in any order; no order twice.
    pub orders: Vec<RunOrder>,
    /// Their records, one after the other.
    pub bytes: Vec<u8>,
    /// The lane's shards, all of them.
    pub shards: Vec<RunShard>,
}

/// One order of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunOrder {
    /// Its home shard.
    pub shard: ShardId,
    /// Its number there.
    pub number: u64,
    /// The first byte of its record in [`Run::bytes`].
    pub start: usize,
    /// The length of its record.
    pub length: u32,
}

/// One shard of a run.
#[derive(Clone, Debug)]
pub struct RunShard {
    /// Which.
    pub shard: ShardId,
    /// The sequence at which it was cut.
    pub sequence: Sequence,
    /// Sums of the orders that were called back since the cut before: they are in the archive and count no longer.
    pub recalled: Archived,
}

impl Run {
    /// The record of one of its orders.
    ///
    /// # Panics
    /// When the order is of another run.
    #[must_use]
    pub fn record(&self, order: &RunOrder) -> &[u8] {
        &self.bytes[order.start..order.start + order.length as usize]
    }
}
