//! Invariant 12: the state after a recovery is the fold of the log, and folding twice gives what folding once gives.

use orderlane_core::{Config, Event, Shard, Time};

use super::violation;
use crate::sim::Violation;

/// Its name.
pub const NAME: &str = "recovery-is-fold";

/// A fresh shard into which the log was folded.
#[must_use]
pub fn fold<'e>(config: Config, log: impl IntoIterator<Item = (Time, &'e Event)>) -> Shard {
    let mut shard = Shard::new(config);
    log.into_iter().for_each(|(time, event)| shard.apply(time, event));
    shard
}

/// Judges a shard that the engine has folded from its files and whose last event is the last one of the log: a second fold gives
/// the same.
///
/// # Errors
/// The digests that differ.
pub fn check<'e>(
    config: Config,
    log: impl IntoIterator<Item = (Time, &'e Event)>,
    digest: u64,
) -> Result<(), Violation> {
    let folded = fold(config, log).digest();
    if folded != digest {
        let text = format!("the state has digest {digest:x}, a fold of its log {folded:x}");
        return Err(violation(NAME, Some(config.shard), text));
    }
    Ok(())
}
