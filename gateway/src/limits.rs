//! Every bound of the gateway, by name. The ones of the domain are in [`orderlane_core::limits`].

/// Bytes of a request head, at most; longer: 431.
pub const HEAD_LEN_MAX: usize = 32 * 1024;
/// Fields of a request head, at most; more: 431.
pub const FIELD_COUNT_MAX: usize = 100;
/// Bytes of a request target, at most; longer: 414.
pub const TARGET_LEN_MAX: usize = 8 * 1024;
/// Bytes of a token, at most; longer: 401.
pub const TOKEN_LEN_MAX: usize = 8 * 1024;
/// Bytes of a body, at most; longer: 413.
pub const BODY_LEN_MAX: usize = 1024 * 1024;
/// Bytes of the body of a `:batch`, at most; longer: 413.
pub const BATCH_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Items of a `:batch`, at most; those beyond are refused.
pub const BATCH_ITEMS_MAX: usize = 100_000;
/// Bytes of one item of a `:batch`, at most; a longer one is refused.
pub const BATCH_ITEM_LEN_MAX: usize = 256 * 1024;
/// Items of a `:batch` that are in progress, at most; beyond it the body is not read on.
pub const BATCH_OUTSTANDING_MAX: usize = 2_048;
/// Bytes of one line of chunk size with its extensions, at most.
pub const CHUNK_LINE_LEN_MAX: usize = 256;
/// Bytes of a trailer section, at most.
pub const TRAILER_LEN_MAX: usize = 8 * 1024;
/// Bytes after the last answer that are read and thrown away before a connection is cut, at most.
pub const LINGER_LEN_MAX: u64 = 4 * 1024 * 1024;
/// Requests of one connection that are in progress, at most; beyond it nothing is parsed.
pub const PIPELINE_MAX: usize = 128;
/// Bytes received and not parsed, beyond which nothing is read, except for the body of a request.
pub const INPUT_LEN_MAX: usize = 64 * 1024;
/// Bytes ready to be written, beyond which nothing is parsed.
pub const OUTPUT_LEN_MAX: usize = 256 * 1024;
/// Bytes of one read, at least and at most; the reader adapts.
pub const READ_LEN_MIN: usize = 4 * 1024;
/// See [`READ_LEN_MIN`].
pub const READ_LEN_MAX: usize = 64 * 1024;
/// Connections of one lane, at most; beyond it: 503 and close.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Characters of a correlation id, at most; a longer one is replaced.
pub const CORRELATION_LEN_MAX: usize = 64;
/// Seconds that a client may ask to wait, at most; more is cut to it.
pub const WAIT_SECONDS_MAX: u64 = 60;
/// Orders on a page when `limit` is absent.
pub const PAGE_DEFAULT: usize = 50;
/// How often the shards are asked on for one list, at most: each time they look at
/// [`orderlane_core::limits::LIST_SCAN_MAX`] orders.
pub const LIST_ROUNDS_MAX: u32 = 1_000;

/// From the first byte of a head to its end, at most; longer: 408.
pub const HEAD_MICROS_MAX: u64 = 10_000_000;
/// From the end of a head to the end of its body, at most, plus the time of its size at [`BODY_BYTES_PER_SECOND_MIN`].
pub const BODY_MICROS_MAX: u64 = 30_000_000;
/// See [`BODY_MICROS_MAX`].
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// Without a request, at most; then the connection is closed.
pub const IDLE_MICROS_MAX: u64 = 60_000_000;
/// Without progress of a write, at most; then the connection is cut.
pub const STALL_MICROS_MAX: u64 = 10_000_000;
/// From the last answer to the end of the client's bytes, at most; then the connection is cut.
pub const LINGER_MICROS_MAX: u64 = 2_000_000;
/// Between two looks at the deadlines of all connections.
pub const SWEEP_MICROS: u64 = 100_000;
/// After a failed accept.
pub const ACCEPT_BACKOFF_MICROS: u64 = 50_000;
/// From the start of a drain to the end of the last connection, at most.
pub const DRAIN_MICROS_MAX: u64 = 30_000_000;

const _: () = assert!(INPUT_LEN_MAX >= HEAD_LEN_MAX, "a whole head fits in the input");
const _: () = assert!(TARGET_LEN_MAX < HEAD_LEN_MAX, "a target fits in a head");
const _: () = assert!(TOKEN_LEN_MAX < HEAD_LEN_MAX, "a token fits in a head");
const _: () = assert!(PAGE_DEFAULT <= orderlane_core::limits::PAGE_MAX, "the default page is a possible page");
const _: () = assert!(BATCH_ITEM_LEN_MAX <= BODY_LEN_MAX, "an item is not longer than a single order may be");
