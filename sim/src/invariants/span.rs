//! Which states of a shard an answer may show.

use orderlane_core::{Sequence, ShardId};

use crate::executor::Moment;
use crate::history::Operation;
use crate::log::Logs;

/// From one sequence to another, both included: all that was decided before the request was sent was there, and nothing that
/// was not durable when the answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The oldest state.
    pub low: Sequence,
    /// The newest one.
    pub high: Sequence,
}

impl Span {
    /// Of an operation that was answered.
    #[must_use]
    pub fn of(operation: &Operation, shard: ShardId, logs: &Logs) -> Span {
        let returned = operation.returned.unwrap_or(Moment(u64::MAX));
        let log = logs.of(shard);
        let low = log.partition_point(|entry| entry.decided < operation.invoked) as u64;
        let high = log.partition_point(|entry| entry.durable.is_some_and(|durable| durable <= returned)) as u64;
        Span { low, high }
    }

    /// Whether something that happened at `sequence` may be shown, and whether it must.
    #[must_use]
    pub fn sees(self, sequence: Sequence) -> (bool, bool) {
        (sequence <= self.high, sequence <= self.low)
    }
}
