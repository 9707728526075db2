//! Every bound of the archive and of its keeper, by name. Relations between bounds are checked at compile time.

/// Orders of a window: once it has as many, it closes. What is past its retention goes by whole windows.
pub const WINDOW_ORDERS: u64 = 4_194_304;
/// Filters of runs that one shard may have in the open window before they are merged: each costs a probe a list of a customer.
pub const RUN_FILTERS_MAX: usize = 64;
/// As [`RUN_FILTERS_MAX`], of runs from before the start, which are in no sieve: each costs a probe a new key.
pub const RUN_FILTERS_UNSIEVED_MAX: usize = 4;
/// Runs whose sums are kept one by one. A start may fall back behind as many; there are two checkpoints and one cut under way.
pub const RUNS_KEPT: usize = 8;
/// Orders of a run that are read in one step.
pub const PREPARE_STEP_MAX: usize = 16_384;
/// Entries that a merge of filters or an export reads in one step.
pub const SCAN_STEP_MAX: usize = 65_536;
/// Entries that a page of a list reads at once, at first and at most.
pub const PAGE_CHUNK_MIN: usize = 64;
/// See [`PAGE_CHUNK_MIN`].
pub const PAGE_CHUNK_MAX: usize = 1024;
/// A window closes, too, when its orders ended over more than this part of their retention.
pub const WINDOW_AGE_PARTS: u64 = 8;
/// Bytes of the store's cache of blocks.
pub const CACHE_BYTES: u64 = 64 << 20;
/// Tables of a keyspace before the store merges them: more than a window has, so that it does not.
pub const TABLES_UNMERGED_MAX: u8 = 250;
/// Threads of the store: they move finished tables and free superseded ones.
pub const STORE_THREADS: usize = 1;

const _: () = assert!(CUT_ORDERS <= WINDOW_ORDERS, "a run fits into a window");
const _: () = assert!(PAGE_CHUNK_MIN <= PAGE_CHUNK_MAX);

/// Ended orders of a lane in memory that start a cut.
pub const CUT_ORDERS: u64 = 131_072;
/// Bytes of journal since the last cut that start one, at least; see [`CUT_BYTES_FACTOR`].
pub const CUT_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// A cut comes when the journal since the last one is this many times as long as the last checkpoint: what a start replays stays in
/// proportion to what it reads.
pub const CUT_BYTES_FACTOR: u64 = 2;
/// A state that has moved is cut at least this often, microseconds.
pub const CUT_MICROS_MAX: u64 = 300_000_000;
/// While new orders are refused because the disk is full: the pause between cuts, which free the journal, microseconds.
pub const CUT_SHED_MICROS: u64 = 10_000_000;
/// Things that one round of a lane looks at for a cut, or lets leave the memory, at most.
pub const SLICE: usize = 512;
/// How often what an outcome needs is read again after an error.
pub const READ_AGAIN_MAX: u32 = 16;
/// Parts go to the keeper in pieces of about this many bytes.
pub const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of parts that wait for the commit of the cut's events; then the cut waits, too.
pub const PIECES_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of one chunk of a checkpoint file, at most: what is read and checked at once.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Free bytes that the disk keeps unless told otherwise; below, new orders are refused.
pub const RESERVE_BYTES: u64 = 512 * 1024 * 1024;
/// How often the keeper looks at the disk, microseconds.
pub const SPACE_MICROS: u64 = 200_000;
/// How often the keeper looks for what is past its retention, microseconds.
pub const RETAIN_MICROS: u64 = 10_000_000;
/// How often lanes that sleep are woken to look at their clocks, microseconds.
pub const WAKE_MICROS: u64 = 60_000_000;
/// Bytes of a backup that are copied at once; reads of lanes come between.
pub const COPY_BYTES: usize = 1024 * 1024;
/// How long the keeper's thread waits for messages before it looks at its clocks, milliseconds.
pub const IDLE_MILLIS: u64 = 100;

const _: () = assert!(PIECE_BYTES < PIECES_WAITING_BYTES_MAX, "a piece fits in what may wait");
const _: () = assert!(CUT_SHED_MICROS < CUT_MICROS_MAX, "a full disk is cut more often than an idle one");
const _: () = assert!(SPACE_MICROS <= 250_000, "the disk is looked at four times a second");
