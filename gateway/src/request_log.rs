//! One line for one request in so many, and for every answer of 500 and above.

use orderlane_core::Time;

use crate::connection::Tag;
use crate::metrics::METHODS;

/// Decides which answers are logged. One per lane.
#[derive(Debug)]
pub struct RequestLog {
    every: u64,
    count: u64,
}

impl RequestLog {
    /// Logs one answer in `every`; 0 logs none but those of 500 and above.
    #[must_use]
    pub fn new(every: u64) -> RequestLog {
        RequestLog { every, count: 0 }
    }

    /// Logs the answer, or not.
    pub(crate) fn answered(&mut self, tag: &Tag, status: u16, now: Time) {
        self.count += 1;
        if status >= 500 {
            tracing::warn!(
                target: "orderlane::request",
                method = METHODS[tag.method], uri = tag.endpoint.template(), status,
                micros = now.micros_since(tag.started), correlation_id = tag.correlation.as_str(),
                trace_id = tag.trace_id(), subject = tag.subject(), "answered"
            );
        } else if self.every > 0 && self.count.is_multiple_of(self.every) {
            tracing::info!(
                target: "orderlane::request",
                method = METHODS[tag.method], uri = tag.endpoint.template(), status,
                micros = now.micros_since(tag.started), correlation_id = tag.correlation.as_str(),
                trace_id = tag.trace_id(), subject = tag.subject(), "answered"
            );
        }
    }
}
