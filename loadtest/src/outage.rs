//! The time during which the server was down, as told by whoever killed it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A handle to say that the server goes down and is up again. While it is down the schedule stands still, and an order
/// whose way from the intended send to its answer touches an outage is measured apart.
#[derive(Clone, Debug)]
pub struct Outage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    /// Counts `down` and `up`, so that it is odd while the server is down.
    changes: AtomicU64,
    spans: Mutex<Vec<Span>>,
}

/// One outage, in nanoseconds since the origin of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) down_at: u64,
    pub(crate) up_at: Option<u64>,
}

impl Outage {
    pub(crate) fn new(origin: Instant) -> Self {
        Self(Arc::new(Shared { origin, changes: AtomicU64::new(0), spans: Mutex::new(Vec::new()) }))
    }

    /// The server is about to go down. A second call in a row changes nothing.
    pub fn down(&self) {
        self.change(|spans, now| {
            let is_up = spans.last().is_none_or(|span| span.up_at.is_some());
            if is_up {
                spans.push(Span { down_at: now, up_at: None });
            }
            is_up
        });
    }

    /// The server answers again. A second call in a row changes nothing.
    pub fn up(&self) {
        self.change(|spans, now| match spans.last_mut() {
            Some(span) if span.up_at.is_none() => {
                span.up_at = Some(now);
                true
            }
            _ => false,
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Span>, u64) -> bool) {
        let mut spans = self.0.spans.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock is read under the lock: spans stay in order.
        if change(&mut spans, nanos(self.0.origin.elapsed())) {
            self.0.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Grows with every change; odd while the server is down.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Time down before `end`.
    pub(crate) fn total_until(&self, end: u64) -> Duration {
        let down = |span: &Span| span.up_at.unwrap_or(end).min(end).saturating_sub(span.down_at);
        Duration::from_nanos(self.spans().iter().map(down).sum())
    }
}

/// A duration as nanoseconds; 584 years fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_calls_change_nothing() {
        let outage = Outage::new(Instant::now());
        outage.up();
        assert_eq!((outage.changes(), outage.spans().len()), (0, 0));
        outage.down();
        outage.down();
        assert_eq!((outage.changes(), outage.spans().len()), (1, 1));
        outage.up();
        outage.up();
        assert_eq!(outage.changes(), 2);
        assert!(outage.spans()[0].up_at.is_some());
    }
}
