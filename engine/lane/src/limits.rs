//! Every bound of the lane, by name, with its usual value.

/// Requests that may wait on a lane, at most; one more is answered `overloaded` before anything is stored.
pub const INBOX_REQUESTS_MAX: usize = 32_768;
/// Requests that may wait to leave for one other lane, at most; one more is answered `overloaded`.
pub const OUTBOX_REQUESTS_MAX: usize = 32_768;
/// Slots of the ring between two lanes. What does not fit waits on the sender's side.
pub const RING_SLOTS: usize = 16_384;
/// Inputs handled in one turn, at most.
pub const BATCH_MAX: usize = 1_024;
/// Rounds of the loop before the sockets get their turn, at most.
pub const ROUNDS_MAX: usize = 16;
/// Bytes of one commit beyond which the open batch takes no more inputs.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Lanes of one process, at most.
pub const LANES_MAX: usize = 256;

/// The bounds of a lane's queues and batches. [`Limits::default`] is what a product runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`INBOX_REQUESTS_MAX`].
    pub inbox_requests_max: usize,
    /// See [`OUTBOX_REQUESTS_MAX`].
    pub outbox_requests_max: usize,
    /// See [`RING_SLOTS`].
    pub ring_slots: usize,
    /// See [`BATCH_MAX`].
    pub batch_max: usize,
    /// See [`ROUNDS_MAX`].
    pub rounds_max: usize,
    /// See [`COMMIT_BYTES_MAX`].
    pub commit_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            inbox_requests_max: INBOX_REQUESTS_MAX,
            outbox_requests_max: OUTBOX_REQUESTS_MAX,
            ring_slots: RING_SLOTS,
            batch_max: BATCH_MAX,
            rounds_max: ROUNDS_MAX,
            commit_bytes_max: COMMIT_BYTES_MAX,
        }
    }
}

const _: () = assert!(BATCH_MAX <= INBOX_REQUESTS_MAX, "a full batch fits in the inbox");
