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

/// How long a keeper that runs may take to see that less is free than is kept free, microseconds.
const SEEN_AFTER_MICROS: u64 = 1_000_000;

/// Judges a keeper whose disk has had too little room for so long.
///
/// # Errors
/// When new orders are not refused yet.
pub fn refused_in_time(short_micros: u64, refuses: bool) -> Check {
    ensure(refuses || short_micros < SEEN_AFTER_MICROS, || {
        format!("for {short_micros} us less has been free than is kept free, and new orders are not refused")
    })
}
