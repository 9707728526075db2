//! What a lane's gateway counts: written by that lane alone, read by whoever scrapes.

use std::sync::OnceLock;

use orderlane_lane::metrics::{Cell, TimeHistogram};

use crate::routes::Endpoint;

/// Methods that have a column of their own; every other one is counted as the last.
pub const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "OTHER"];
/// Statuses that this server answers with; anything else is counted as the last.
pub const STATUSES: [u16; 26] = [
    200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414, 415, 417, 422, 429, 431, 501, 503,
    505, 499, 500,
];

type Slot = OnceLock<Box<TimeHistogram>>;

/// Counters of one lane's gateway.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Connections open now.
    pub connections_active: Cell,
    /// Connections accepted.
    pub connections_accepted: Cell,
    /// Connections refused because the lane has too many.
    pub connections_refused: Cell,
    /// Connections cut by a deadline.
    pub connections_timed_out: Cell,
    /// Requests in progress now: parsed and not answered.
    pub requests_active: Cell,
    /// Bytes received.
    pub bytes_received: Cell,
    /// Bytes handed to the sockets.
    pub bytes_sent: Cell,
    /// Items of batches answered.
    pub batch_items: Cell,
    /// By endpoint, method and status; made when first used.
    requests: Box<[Slot]>,
}

/// One series of `http_server_requests_seconds`.
#[derive(Clone, Copy, Debug)]
pub struct RequestSeries<'a> {
    /// The method, or `OTHER`.
    pub method: &'static str,
    /// The template of the path, or `UNKNOWN`.
    pub uri: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Micrometer's word for the class of the status.
    pub outcome: &'static str,
    /// From the first byte of the request's head to its answer, microseconds.
    pub micros: &'a TimeHistogram,
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        GatewayMetrics {
            connections_active: Cell::default(),
            connections_accepted: Cell::default(),
            connections_refused: Cell::default(),
            connections_timed_out: Cell::default(),
            requests_active: Cell::default(),
            bytes_received: Cell::default(),
            bytes_sent: Cell::default(),
            batch_items: Cell::default(),
            requests: (0..Endpoint::ALL.len() * METHODS.len() * STATUSES.len()).map(|_| Slot::new()).collect(),
        }
    }
}

impl GatewayMetrics {
    /// Counts one answered request, by the owning lane only.
    pub(crate) fn record(&self, endpoint: Endpoint, method: usize, status: u16, micros: u64) {
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        let index = (endpoint as usize * METHODS.len() + method) * STATUSES.len() + status;
        self.requests[index].get_or_init(Box::default).record(micros);
    }

    /// Every series of `http_server_requests_seconds` that this lane has, in a fixed order.
    pub fn requests(&self) -> impl Iterator<Item = RequestSeries<'_>> {
        self.requests.iter().enumerate().filter_map(|(index, slot)| {
            let status = STATUSES[index % STATUSES.len()];
            let rest = index / STATUSES.len();
            Some(RequestSeries {
                method: METHODS[rest % METHODS.len()],
                uri: Endpoint::ALL[rest / METHODS.len()].template(),
                status,
                outcome: outcome(status),
                micros: slot.get()?,
            })
        })
    }
}

/// Micrometer's `outcome` of a status.
#[must_use]
pub fn outcome(status: u16) -> &'static str {
    match status {
        100..=199 => "INFORMATIONAL",
        200..=299 => "SUCCESS",
        300..=399 => "REDIRECTION",
        400..=499 => "CLIENT_ERROR",
        500..=599 => "SERVER_ERROR",
        _ => "UNKNOWN",
    }
}

/// The column of a method.
pub(crate) fn method_index(method: &str) -> usize {
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_appears_with_its_labels_once_it_is_used() {
        let metrics = GatewayMetrics::default();
        assert_eq!(metrics.requests().count(), 0);
        metrics.record(Endpoint::PlaceOrder, method_index("POST"), 202, 70);
        metrics.record(Endpoint::PlaceOrder, method_index("POST"), 202, 90);
        metrics.record(Endpoint::Unknown, method_index("BREW"), 404, 1);
        let series: Vec<_> = metrics.requests().map(|one| (one.method, one.uri, one.status, one.outcome)).collect();
        assert_eq!(series, [("POST", "/v1/orders", 202, "SUCCESS"), ("OTHER", "UNKNOWN", 404, "CLIENT_ERROR")]);
        assert_eq!(metrics.requests().next().map(|one| one.micros.sum()), Some(160));
    }
}
