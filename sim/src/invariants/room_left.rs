//! A disk that others fill up is never filled up by the engine: it refuses new orders while there is still room for what has
//! begun to end.

use super::{Check, ensure};

/// Its name.
pub const NAME: &str = "room-left";

/// Judges a write when it is asked for.
///
/// # Errors
/// When there is no room for it.
pub fn check(free: u64, bytes: u64) -> Check {
    ensure(bytes <= free, || format!("{bytes} bytes are written where {free} are free"))
}
