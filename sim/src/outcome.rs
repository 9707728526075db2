//! What a run of a world gives.

use orderlane_core::saga::Reached;

use crate::options::Options;
use crate::sim::Violation;
use crate::watch::ArchiveCounts;

/// The result of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub options: Options,
    /// The first broken promise, if any.
    pub violation: Option<Violation>,
    /// The last events of the shard concerned, as text, oldest first; empty without a violation.
    pub last_events: Vec<String>,
    /// How often each kind of fault was injected and observed, in the order of [`crate::faults::Fault::ALL`].
    pub faults: Vec<(u64, u64)>,
    /// Pairs of the saga table that were reached: by stage, a bit for each trigger.
    pub reached: Reached,
    /// Ends reached, by status.
    pub statuses: [u64; 10],
    /// Virtual time, microseconds.
    pub elapsed_micros: u64,
    /// Orders in the logs at the end.
    pub orders: u64,
    /// What the archive has done.
    pub archive: ArchiveCounts,
    /// Requests of clients, retries included.
    pub requests: u64,
    /// Starts of the engine.
    pub starts: u64,
    /// Digest of the trace.
    pub trace_digest: u64,
    /// Lines of the trace.
    pub trace_lines: u64,
    /// The trace as text, if it was asked for.
    pub trace_text: String,
}
