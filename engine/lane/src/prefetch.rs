//! The third seam: the one batched read that brings into memory what a batch of inputs needs and does not find there.

use std::collections::VecDeque;
use std::future::Future;

use orderlane_core::{Input, Shard, ShardId};

/// Brings finished orders and old keys back before the batch that needs them is handled.
///
/// The rule for order: inputs leave the stage as they came, first in, first out, also those that need nothing; so an input
/// never overtakes an earlier one that waits for the read.
pub trait Prefetch: 'static {
    /// What a read found.
    type Found: 'static;

    /// Starts the read that `inputs` need; `None` when all is in memory. Called only when no read is in flight.
    fn start(
        &mut self,
        inputs: &VecDeque<(ShardId, Input)>,
        shards: &[Shard],
    ) -> Option<impl Future<Output = Self::Found> + 'static>;

    /// Puts what was found into the shards, just before the batch is handled.
    fn finish(&mut self, found: Self::Found, shards: &mut [Shard]);
}

/// Everything is in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllInMemory;

impl Prefetch for AllInMemory {
    type Found = ();

    fn start(
        &mut self,
        _inputs: &VecDeque<(ShardId, Input)>,
        _shards: &[Shard],
    ) -> Option<impl Future<Output = ()> + 'static> {
        None::<std::future::Ready<()>>
    }

    fn finish(&mut self, (): (), _shards: &mut [Shard]) {}
}
