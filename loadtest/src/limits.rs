//! Every bound of the generator.

use std::time::Duration;

/// Lines an order may have, as the API says.
pub(crate) const LINES_MAX: usize = 50;
/// Items of a quantity: 1 to this.
pub(crate) const QUANTITY_MAX: u64 = 3;
/// Draws for a SKU that is not yet in the order, before its neighbours are taken.
pub(crate) const SKU_DRAWS_MAX: usize = 8;

/// How often a worker looks for answers that are overdue, and for a stop.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Reconnecting waits from this …
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(2);
/// … doubling up to this: a restarted server is found again quickly, a dead one costs nothing.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_millis(50);
/// Wait before a refused order is tried again when the answer has no `Retry-After`.
pub(crate) const RETRY_DEFAULT: Duration = Duration::from_millis(50);
/// Longest `Retry-After` that is obeyed.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(30);

/// First size of a connection's input buffer.
pub(crate) const INPUT_BYTES_MIN: usize = 16 << 10;
/// Largest answer that is read; longer ones end the connection.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Header fields of an answer.
pub(crate) const FIELDS_MAX: usize = 100;
/// Events taken from epoll at once.
pub(crate) const EVENTS_MAX: usize = 256;

/// Size of a block of the record of acknowledged orders.
pub(crate) const RECORD_BLOCK_BYTES: usize = 1 << 20;
/// Latencies are recorded up to an hour, in microseconds, with three significant digits.
pub(crate) const LATENCY_MICROS_MAX: u64 = 3_600_000_000;

/// Products in one request of the catalogue loader.
pub(crate) const CATALOGUE_CHUNK: u64 = 2_000;
/// Requests on their way per connection of the verification. Two windows of answers fit into the socket buffers, so
/// that writing never waits for a reader that is ourselves.
pub(crate) const VERIFY_WINDOW: usize = 64;
/// How often a verification connection is renewed before it gives up.
pub(crate) const VERIFY_RECONNECTS_MAX: usize = 20;
/// A control request (catalogue, invariants, verification) waits this long for its answer.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the invariants are read while sagas end.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(25);

const _: () = assert!(BACKOFF_MIN.as_nanos() < BACKOFF_MAX.as_nanos());
const _: () = assert!(INPUT_BYTES_MIN < ANSWER_BYTES_MAX);
