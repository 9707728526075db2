//! Every bound of the lane, by name.

/// Requests that may wait on a lane, at most; one more is answered `overloaded` before anything is stored.
pub const INBOX_REQUESTS_MAX: usize = 32_768;
/// Requests that may wait to leave for one other lane, at most; one more is answered `overloaded`.
pub const OUTBOX_REQUESTS_MAX: usize = 32_768;
/// Slots of the ring between two lanes. What does not fit waits on the sender's side.
pub const RING_SLOTS: usize = 16_384;
/// Inputs handled in one turn, at most.
pub const BATCH_MAX: usize = 2_048;
/// Rounds of the loop before the sockets get their turn, at most.
pub const ROUNDS_MAX: usize = 16;
/// Bytes of one commit beyond which the open batch takes no more inputs.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lanes of one process, at most.
pub const LANES_MAX: usize = 256;

const _: () = assert!(BATCH_MAX <= INBOX_REQUESTS_MAX, "a full batch fits in the inbox");
