//! Every bound of the core, by name. Relations between bounds are checked at compile time.

/// Shards of a data directory, at most. A participant of an order fits in a bit of a `u64` because an order has at most
/// [`LINES_MAX`] lines, whatever the shard count.
pub const SHARDS_MAX: u16 = 1024;
/// Lines of an order, at most.
pub const LINES_MAX: usize = 50;
/// Units on one line, at most.
pub const QUANTITY_MAX: u32 = 10_000;
/// Minor units of one product's price, at most.
pub const UNIT_PRICE_MAX: u64 = 10_000_000_000;
/// Units of stock of one SKU, and of one adjustment, at most (absolute value).
pub const STOCK_MAX: u64 = 1_000_000_000_000;
/// Minor units of an order's total: JSON numbers stay exact below this.
pub const TOTAL_MAX: u64 = (1 << 53) - 1;
/// Characters of `customer`, `sku` and `reference`, at most.
pub const ID_LEN_MAX: usize = 64;
/// Bytes of a token's subject, at most.
pub const SUBJECT_LEN_MAX: usize = 255;
/// Characters of an idempotency key, at most.
pub const KEY_LEN_MAX: usize = 255;
/// Bytes of `payment.token`, at most.
pub const TOKEN_LEN_MAX: usize = 255;
/// Bytes of `email`, at most.
pub const EMAIL_LEN_MAX: usize = 254;
/// Entries of `metadata`, at most.
pub const METADATA_COUNT_MAX: usize = 16;
/// Characters of a metadata name, at most.
pub const METADATA_NAME_LEN_MAX: usize = 40;
/// Characters of a metadata value, at most.
pub const METADATA_VALUE_LEN_MAX: usize = 500;
/// Bytes of a product's name, at most.
pub const PRODUCT_NAME_LEN_MAX: usize = 255;
/// Bytes of an adjustment's reason, at most.
pub const REASON_LEN_MAX: usize = 255;
/// Payment attempts of one order, at most: each is a bit of a `u8`.
pub const ATTEMPTS_MAX: u8 = 3;
/// Orders of one shard that have not ended, at most; beyond it a new order is answered `overloaded`.
pub const OPEN_ORDERS_MAX: usize = 1_000_000;
/// Orders of one shard in memory, ended ones too, at most; beyond it a new order is answered `overloaded`: they leave the memory
/// when the archive has them.
pub const HOT_ORDERS_MAX: usize = 4_000_000;
/// Connections that wait for the end of one order, at most; one more is answered at once.
pub const WAITERS_MAX: usize = 64;
/// Orders on one page of a list, at most.
pub const PAGE_MAX: usize = 200;
/// Orders that one page of a list may look at, at most: a page may be short and still have a next one.
pub const LIST_SCAN_MAX: usize = 10_000;
/// Adjustments that one shard remembers to answer a retry, at most; one more and the oldest is forgotten.
pub const ADJUSTMENT_KEYS_MAX: usize = 65_536;
/// Deadlines that fire in one turn, at most: a restart after a long pause does not fire them all at once.
pub const DEADLINES_PER_TURN_MAX: usize = 256;
/// Orders that need their deadline no longer and are passed over in one turn, at most: a few more than a turn can end.
pub const DEADLINES_PASSED_PER_TURN_MAX: usize = 4096;

const _: () = assert!(OPEN_ORDERS_MAX < HOT_ORDERS_MAX, "there is room for orders that have ended");
const _: () = assert!(LINES_MAX <= u64::BITS as usize, "a participant is a bit of a u64");
const _: () = assert!(ATTEMPTS_MAX as u32 <= u8::BITS, "an attempt is a bit of a u8");
const _: () =
    assert!((LINES_MAX as u64) * (QUANTITY_MAX as u64) * UNIT_PRICE_MAX < TOTAL_MAX, "a total stays below 2^53");
