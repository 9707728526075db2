//! The log of each shard as the engine wrote it, seen from outside: what every check is made against. It outlives crashes.

use orderlane_core::{Event, Sequence, ShardId, Time};

use crate::executor::Moment;

/// One event.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was decided, by the lane's clock.
    pub time: Time,
    /// What happened.
    pub event: Event,
    /// When it was decided, in the order of all that happened.
    pub decided: Moment,
    /// When its commit was reported durable; `None` while it is not.
    pub durable: Option<Moment>,
}

/// The logs of all shards.
#[derive(Debug)]
pub struct Logs {
    shards: Vec<Vec<Entry>>,
}

impl Logs {
    /// Empty logs.
    #[must_use]
    pub fn new(shards: u16) -> Logs {
        Logs { shards: (0..shards).map(|_| Vec::new()).collect() }
    }

    /// The log of a shard: the event with sequence `n` is at index `n - 1`.
    #[must_use]
    pub fn of(&self, shard: ShardId) -> &[Entry] {
        &self.shards[shard.index()]
    }

    /// Every shard with its log.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, &[Entry])> {
        self.shards.iter().enumerate().map(|(index, log)| (ShardId(index as u16), log.as_slice()))
    }

    /// Adds the events of a turn; false when they do not follow the last one.
    #[must_use]
    pub fn append(&mut self, shard: ShardId, first: Sequence, time: Time, events: &[Event], decided: Moment) -> bool {
        let log = &mut self.shards[shard.index()];
        let follows = first == log.len() as u64 + 1;
        log.extend(events.iter().map(|event| Entry { time, event: event.clone(), decided, durable: None }));
        follows
    }

    /// Events of a shard up to `last` are durable.
    pub fn set_durable(&mut self, shard: ShardId, last: Sequence, moment: Moment) {
        for entry in self.shards[shard.index()][..last as usize].iter_mut().rev() {
            if entry.durable.is_some() {
                break;
            }
            entry.durable = Some(moment);
        }
    }

    /// The sequence up to which a shard's events were reported durable.
    #[must_use]
    pub fn durable(&self, shard: ShardId) -> Sequence {
        self.of(shard).iter().take_while(|entry| entry.durable.is_some()).count() as u64
    }

    /// After a recovery: only the first `length` events of a shard ever happened; they are durable.
    pub fn truncate(&mut self, shard: ShardId, length: u64, moment: Moment) {
        self.shards[shard.index()].truncate(length as usize);
        self.set_durable(shard, length, moment);
    }
}
