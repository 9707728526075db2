//! The journal may go up to a covered position: it is durable, and it never goes back.

use orderlane_core::Sequence;

use super::{Check, ensure};

/// Its name.
pub const NAME: &str = "covered";

/// Judges a position of a shard when the journal is told of it.
///
/// # Errors
/// When it goes back, or covers what may still be lost.
pub fn check(before: Sequence, upto: Sequence, durable: Sequence) -> Check {
    ensure(upto >= before, || format!("covered up to {before}, then up to {upto}"))?;
    ensure(upto <= durable, || format!("covered up to {upto}, durable up to {durable}"))
}
