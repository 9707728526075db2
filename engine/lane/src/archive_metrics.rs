//! What the keeper of the archive counts.

use orderlane_core::Time;

use crate::metrics::{Cell, TimeHistogram};

/// Microseconds of an hour.
const HOUR_MICROS: u64 = 3_600_000_000;
/// A rate is one over about this long.
const RATE_MICROS: u64 = 600_000_000;

/// What the keeper of the archive counts: written by it alone, read by whoever scrapes.
#[derive(Debug, Default)]
pub struct ArchiveMetrics {
    /// Finished orders in the archive.
    pub orders: Cell,
    /// Bytes of them on disk.
    pub order_bytes: Cell,
    /// When the oldest of them ended, microseconds since 1970; 0 when there is none.
    pub orders_oldest_micros: Cell,
    /// Keys in the archive.
    pub keys: Cell,
    /// When the oldest of their orders ended, microseconds since 1970; 0 when there is none.
    pub keys_oldest_micros: Cell,
    /// Windows.
    pub windows: Cell,
    /// Runs stored since the start.
    pub runs: Cell,
    /// Finished orders an hour, of late.
    pub orders_per_hour: Cell,
    /// Bytes of them an hour, of late.
    pub order_bytes_per_hour: Cell,
    /// Batched reads, microseconds.
    pub read_micros: TimeHistogram,
    /// From the cut of a checkpoint to the moment that it was durable, microseconds.
    pub checkpoint_micros: TimeHistogram,
    /// Bytes of the last checkpoints of all lanes.
    pub checkpoint_bytes: Cell,
    /// Whether new orders are refused because of the disk: 0 or 1.
    pub disk_shedding: Cell,
    /// When the last run was stored, microseconds since 1970.
    run_at_micros: Cell,
}

impl ArchiveMetrics {
    /// Counts a run that was stored, by the keeper only.
    pub fn run_stored(&self, now: Time, orders: u64, bytes: u64) {
        self.runs.add(1);
        let since = now.0.saturating_sub(self.run_at_micros.value());
        let is_first = self.run_at_micros.value() == 0;
        self.run_at_micros.set(now.0);
        if !is_first {
            blend(&self.orders_per_hour, orders, since);
            blend(&self.order_bytes_per_hour, bytes, since);
        }
    }
}

/// Moves a rate towards that of the last `micros`, the more the longer they were.
fn blend(rate: &Cell, count: u64, micros: u64) {
    let micros = micros.max(1);
    let latest = u128::from(count) * u128::from(HOUR_MICROS) / u128::from(micros);
    let weight = if rate.value() == 0 { RATE_MICROS } else { micros.min(RATE_MICROS) };
    let [weight, rest] = [weight, RATE_MICROS - weight].map(u128::from);
    let blended = (latest * weight + u128::from(rate.value()) * rest) / u128::from(RATE_MICROS);
    rate.set(u64::try_from(blended).unwrap_or(u64::MAX));
}
