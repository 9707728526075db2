//! Counters, gauges and histograms of one lane: written by that lane alone, read by whoever scrapes. No read-modify-write,
//! no sharing of a counter between cores; a scrape adds up the lanes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows, or one that is set.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds, by the owning lane only.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Sets, by the owning lane only.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Raises to `value` if it is lower, by the owning lane only.
    pub fn raise(&self, value: u64) {
        if value > self.0.load(Relaxed) {
            self.0.store(value, Relaxed);
        }
    }

    /// Reads, by anybody.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the time buckets, in microseconds; one more bucket holds what is longer.
pub const TIME_BOUNDS_MICROS: [u64; 24] = [
    50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 20_000, 30_000, 50_000, 75_000,
    100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// Upper bounds of the count buckets; one more bucket holds what is more.
pub const COUNT_BOUNDS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000];

/// A histogram with fixed bounds, its count, sum and maximum. `N` is the count of bounds plus one.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64],
    buckets: [Cell; N],
    sum: Cell,
    max: Cell,
}

/// A histogram of microseconds.
pub type TimeHistogram = Histogram<{ TIME_BOUNDS_MICROS.len() + 1 }>;
/// A histogram of counts.
pub type CountHistogram = Histogram<{ COUNT_BOUNDS.len() + 1 }>;

impl Default for TimeHistogram {
    fn default() -> Self {
        Histogram::new(&TIME_BOUNDS_MICROS)
    }
}

impl Default for CountHistogram {
    fn default() -> Self {
        Histogram::new(&COUNT_BOUNDS)
    }
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: &'static [u64]) -> Self {
        assert_eq!(bounds.len() + 1, N, "one bucket more than bounds");
        Histogram {
            bounds,
            buckets: std::array::from_fn(|_| Cell::default()),
            sum: Cell::default(),
            max: Cell::default(),
        }
    }

    /// Counts one value.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts the same value `count` times.
    pub fn record_many(&self, value: u64, count: u64) {
        self.buckets[self.bounds.partition_point(|bound| *bound < value)].add(count);
        self.sum.add(value.wrapping_mul(count));
        self.max.raise(value);
    }

    /// The upper bounds; the last bucket has none.
    pub fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// How many values fell into each bucket (not cumulated).
    pub fn counts(&self) -> [u64; N] {
        std::array::from_fn(|index| self.buckets[index].value())
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.value()
    }

    /// The largest value.
    pub fn max(&self) -> u64 {
        self.max.value()
    }
}

/// What a lane counts about itself.
#[derive(Debug, Default)]
pub struct LaneMetrics {
    /// Turns that handled an input or a timer.
    pub turns: Cell,
    /// Inputs handled.
    pub inputs: Cell,
    /// Commits made durable.
    pub commits: Cell,
    /// Events handed to a commit.
    pub events: Cell,
    /// Bytes made durable, padding included.
    pub commit_bytes: Cell,
    /// From the start of a commit to its end, microseconds.
    pub commit_micros: TimeHistogram,
    /// The durable write alone, microseconds.
    pub sync_micros: TimeHistogram,
    /// Orders created per commit that created any.
    pub commit_orders: CountHistogram,
    /// Inputs that wait now.
    pub inbox_depth: Cell,
    /// Those of them that are requests of clients.
    pub inbox_requests: Cell,
    /// Times that a ring to another lane had no room for all that was to be sent.
    pub rings_full: Cell,
    /// Requests answered `overloaded` because a queue was full.
    pub overloaded: Cell,
    /// Tasks that the loop has in hand: 1 while it works, 0 while it sleeps.
    pub active: Cell,
    /// The longest time a turn took, microseconds.
    pub stall_micros: TimeHistogram,
    /// One round's share of a cut, or of the eviction after it, microseconds: so long the lane did nothing else.
    pub cut_micros: TimeHistogram,
    /// Orders in memory, open and ended, when the last such round ended.
    pub orders_in_memory: Cell,
    /// Orders accepted.
    pub orders_created: Cell,
    /// Orders that ended, by [`orderlane_core::Status`].
    pub orders_ended: [Cell; orderlane_core::Status::ALL.len()],
    /// Orders that are in each status now, by [`orderlane_core::Status`].
    pub orders_in: [Cell; orderlane_core::Status::ALL.len()],
    /// From placing to the step named by the index of [`SAGA_STEPS`], microseconds.
    pub saga_micros: [TimeHistogram; SAGA_STEPS.len()],
    /// Mails counted by the sink.
    pub mails: Cell,
    /// Broken invariants found by the last audit of each shard of this lane.
    pub violations: Cell,
}

/// The steps of a saga that are timed, each from the placing of the order.
pub const SAGA_STEPS: [&str; 5] = ["inventory", "payment", "sale", "notification", "end"];
