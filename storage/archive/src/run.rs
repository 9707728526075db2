//! A run: what one cut of a lane puts into the archive.

use orderlane_core::{Archived, Sequence, ShardId};

/// What one cut of a lane puts into the archive.
#[derive(Debug, Default)]
pub struct Run {
    /// The lane.
    pub lane: u16,
    /// The orders, in any order; no order twice.
    pub orders: Vec<RunOrder>,
    /// Their records, as they came.
    pub parts: Vec<Vec<u8>>,
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
    /// Which of [`Run::parts`] its record is in.
    pub part: u32,
    /// The first byte of its record there.
    pub start: u32,
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
        &self.parts[order.part as usize][order.start as usize..][..order.length as usize]
    }

    /// Bytes of all records.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}
