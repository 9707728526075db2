//! What a run brought.

use crate::{
    acknowledged::Acknowledged,
    options::{Options, Rate},
    outage::{Span, nanos},
    workload::Workload,
};
use hdrhistogram::Histogram;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The books of a run, of all its threads together.
#[derive(Debug)]
pub struct Outcome {
    /// What the run was told.
    pub options: Options,
    /// Regenerates the orders.
    pub workload: Workload,
    /// Origin of the run's clock.
    pub started: Instant,
    /// The same moment on the wall clock: intended times are compared with the server's `updatedAt` through it.
    pub started_at: SystemTime,
    /// From the start to the last answer, or to the end of the schedule if that was later; outages left out.
    pub elapsed: Duration,
    /// Time that the server was down, as told through [`crate::Outage`].
    pub down: Duration,
    pub(crate) outages: Vec<Span>,
    /// Every acknowledged order.
    pub acknowledged: Acknowledged,
    /// Indices of the orders that may be stored or not: sent, and never answered until the deadline.
    pub unknown: Vec<u64>,
    /// Orders that were refused for good, or given up, by problem code; `not-sent` = due, but never sent.
    pub failed: BTreeMap<String, u64>,
    /// Microseconds from the intended send to the answer.
    pub latency: Histogram<u64>,
    /// The same for the orders whose way touched an outage.
    pub latency_outage: Histogram<u64>,
    /// Attempts beyond the first.
    pub retried: u64,
    /// Answers that came with `Idempotency-Replayed: true` (single requests only).
    pub replayed: u64,
    /// Connections that were lost while open.
    pub reconnects: u64,
    /// CPU time of the generator threads.
    pub client_cpu: Duration,
}

impl Outcome {
    /// Orders a second that the schedule offered; `None` for a closed loop.
    #[must_use]
    pub fn offered_per_second(&self) -> Option<f64> {
        match self.options.rate {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Max => None,
        }
    }

    /// Acknowledged orders a second, outages left out.
    #[must_use]
    pub fn acknowledged_per_second(&self) -> Option<f64> {
        per_second(self.acknowledged.count(), self.elapsed)
    }

    /// Microseconds of the client's CPU for each acknowledged order.
    #[must_use]
    pub fn client_micros_per_order(&self) -> Option<f64> {
        let count = self.acknowledged.count();
        (count > 0).then(|| self.client_cpu.as_secs_f64() * 1e6 / count as f64)
    }

    /// Time from the start to `moment`, outages left out.
    #[must_use]
    pub fn active_until(&self, moment: Instant) -> Duration {
        let end = nanos(moment.saturating_duration_since(self.started));
        let down = |span: &Span| span.up_at.unwrap_or(end).min(end).saturating_sub(span.down_at);
        Duration::from_nanos(end - self.outages.iter().map(down).sum::<u64>().min(end))
    }

    /// The intended send of an order in microseconds since 1970.
    pub(crate) fn wall_micros(&self, intended_micros: u64) -> i64 {
        let start = self.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        start as i64 + intended_micros as i64
    }

    /// Something between these two moments (microseconds since the start) lies in an outage.
    pub(crate) fn touches_outage(&self, from_micros: u64, to_micros: u64) -> bool {
        let touches =
            |span: &Span| span.down_at / 1_000 <= to_micros && span.up_at.is_none_or(|up| from_micros < up / 1_000);
        self.outages.iter().any(touches)
    }
}

/// A rate; none without time.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> Option<f64> {
    (elapsed > Duration::ZERO).then(|| count as f64 / elapsed.as_secs_f64())
}
