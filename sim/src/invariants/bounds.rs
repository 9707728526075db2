//! Every queue has a bound, and a full one is an answer: no lane ever holds more than its limits say.

use orderlane_core::ShardId;
use orderlane_lane::Limits;

use super::{Check, ensure};

/// Its name.
pub const NAME: &str = "bounds";

/// What a lane had in hand after a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests of clients that wait (`LaneMetrics::inbox_requests`).
    pub inbox_requests: u64,
    /// Inputs of the turn.
    pub turn_inputs: u64,
}

/// Judges what a lane has in hand.
///
/// # Errors
/// The bound that was passed.
pub fn check(load: Load, limits: &Limits) -> Check {
    let Load { inbox_requests, turn_inputs } = load;
    let inbox_max = limits.inbox_requests_max as u64;
    ensure(inbox_requests <= inbox_max, || format!("{inbox_requests} requests wait, {inbox_max} may"))?;
    let batch_max = limits.batch_max as u64;
    ensure(turn_inputs <= batch_max, || format!("a turn took {turn_inputs} inputs, {batch_max} may"))
}

/// Judges the queues at the end, when nothing is under way any more.
///
/// # Errors
/// What still waits.
pub fn is_idle(shards: &[ShardId], inbox_depth: u64) -> Check {
    ensure(inbox_depth == 0, || format!("{inbox_depth} inputs wait on the lane of shards {shards:?}"))
}
