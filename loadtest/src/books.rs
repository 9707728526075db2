//! What a thread counts, and the sum over threads.

use crate::{acknowledged::Acknowledged, limits::LATENCY_MICROS_MAX};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// The figures of one thread, or of several together.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) acknowledged: Acknowledged,
    pub(crate) unknown: Vec<u64>,
    pub(crate) failed: BTreeMap<String, u64>,
    /// In microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) latency_outage: Histogram<u64>,
    pub(crate) replayed: u64,
    pub(crate) retried: u64,
    pub(crate) answered_at: u64,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            acknowledged: Acknowledged::default(),
            unknown: Vec::new(),
            failed: BTreeMap::new(),
            latency: micros_histogram(),
            latency_outage: micros_histogram(),
            replayed: 0,
            retried: 0,
            answered_at: 0,
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.acknowledged.append(other.acknowledged);
        self.unknown.extend(other.unknown);
        for (code, count) in other.failed {
            *self.failed.entry(code).or_default() += count;
        }
        self.latency += other.latency;
        self.latency_outage += other.latency_outage;
        self.replayed += other.replayed;
        self.retried += other.retried;
        self.answered_at = self.answered_at.max(other.answered_at);
    }
}

/// 1 µs to an hour, three significant digits.
pub(crate) fn micros_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3).expect("the bounds are constant and valid")
}
