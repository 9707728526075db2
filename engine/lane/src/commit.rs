//! The second seam: how a turn's events become durable.

use std::fmt;
use std::future::Future;

use orderlane_core::{Event, Sequence, ShardId, Time};

/// Makes the events of a turn durable, all of them or none. One commit is in flight at a time; meanwhile the next batch is
/// appended.
pub trait Commit: 'static {
    /// Adds events of `shard`, whose numbers are dense from `first`, to the open batch. All were decided at `time`.
    fn append(&mut self, shard: ShardId, first: Sequence, time: Time, events: &[Event]);

    /// Bytes of the open batch so far; beyond [`crate::Limits::commit_bytes_max`] the loop appends no more before the next start.
    fn open_bytes(&self) -> usize;

    /// Seals the open batch and starts making it durable; the batch after it is open from now on. `None` when nothing was
    /// appended. Called only when no commit is in flight.
    fn start(&mut self) -> Option<impl Future<Output = Result<Receipt, CommitError>> + 'static>;

    /// Takes back what a finished commit lent out (buffers, counters).
    fn finish(&mut self, receipt: Receipt);

    /// Called when the loop falls asleep with no commit in flight, also several times in a row: the moment to mark the head of a
    /// journal. Must not wait.
    fn idle(&mut self) {}

    /// The events of these shards up to these sequences are needed no longer, by no start: checkpoints and archive have them. Must
    /// not wait.
    fn covered(&mut self, _upto: &[(ShardId, Sequence)]) {}
}

/// What a commit cost.
#[derive(Debug, Default)]
pub struct Receipt {
    /// The batch buffer, to be used again.
    pub buffer: Vec<u8>,
    /// Microseconds of the durable write (`fdatasync`, or the database's COMMIT); `None` when durability is left to the OS.
    pub sync_micros: Option<u64>,
}

/// The commit failed or its outcome stays unknown: the lane ends and restarts from what is durable.
#[derive(Debug)]
pub struct CommitError {
    /// What was being done.
    pub action: &'static str,
    /// What the system said.
    pub source: std::io::Error,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} failed: {}; the lane stops and recovers what is durable at its next start",
            self.action, self.source
        )
    }
}

impl std::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
