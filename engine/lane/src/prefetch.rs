//! The third seam: the one batched read that brings into memory what a batch of inputs needs and does not find there.

use std::collections::VecDeque;
use std::future::Future;

use orderlane_core::{Cold, Input, Sequence, Shard, ShardId, Time};

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

    /// What was found for which input, by its place in the batch, ascending; the batch is handled next.
    fn finish(&mut self, found: Self::Found) -> Vec<(usize, Cold)>;

    /// Keeps house, once a round, when what was taken has been handled. Must not wait.
    fn tend(&mut self, _now: Time, _shards: &mut [Shard], _commits: Commits) -> Tended {
        Tended::default()
    }

    /// Whether no commit may be started for now: for a copy of what all lanes have made durable at one moment.
    fn holds_commits(&self) -> bool {
        false
    }
}

/// How far a lane's commits are. They are numbered from 1 in each run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// The commit that makes the state as it now is durable.
    pub decided: u64,
    /// The last one that is durable.
    pub durable: u64,
    /// Bytes of all that are durable.
    pub bytes: u64,
    /// Whether one is in flight.
    pub in_flight: bool,
}

/// What the housekeeping of a round comes to.
#[derive(Debug, Default)]
pub struct Tended {
    /// There is more to do at once.
    pub more: bool,
    /// The shards were looked through: the lane has waited for it.
    pub worked: bool,
    /// The events of these shards up to these sequences are needed no longer: see [`crate::Commit::covered`].
    pub covered: Vec<(ShardId, Sequence)>,
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

    fn finish(&mut self, (): ()) -> Vec<(usize, Cold)> {
        Vec::new()
    }
}
