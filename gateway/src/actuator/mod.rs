//! The management endpoints: health, info, metrics. They tell what is; nothing here is on the path of an order.

mod exposition;
mod health;
mod info;
mod process;
mod prometheus;
mod retention;

use std::sync::Arc;

use orderlane_lane::{ArchiveMetrics, LaneMetrics};

pub use self::health::State;
pub use self::info::Info;
pub use self::retention::Retention;
use crate::metrics::GatewayMetrics;

/// What the management endpoints answer from: one for the process, shared by its lanes.
#[derive(Debug)]
pub struct Actuator {
    info: Info,
    state: Arc<State>,
    /// By lane.
    lanes: Vec<Arc<LaneMetrics>>,
    /// By lane.
    gateways: Vec<Arc<GatewayMetrics>>,
    /// Where nothing is stored, nothing is promised.
    archive: Option<(Retention, Arc<ArchiveMetrics>)>,
}

impl Actuator {
    /// Answers from these; `lanes` and `gateways` are in the order of the lanes.
    ///
    /// # Panics
    /// When the counts differ from [`Info::lanes`].
    #[must_use]
    pub fn new(
        info: Info,
        state: Arc<State>,
        lanes: Vec<Arc<LaneMetrics>>,
        gateways: Vec<Arc<GatewayMetrics>>,
    ) -> Actuator {
        assert_eq!(lanes.len(), info.lanes, "every lane has its metrics");
        assert_eq!(gateways.len(), info.lanes, "every lane has a gateway");
        Actuator { info, state, lanes, gateways, archive: None }
    }

    /// Of an engine that keeps what its orders were for so long; `figures` are what its keeper counts.
    #[must_use]
    pub fn with_retention(self, retention: Retention, figures: Arc<ArchiveMetrics>) -> Actuator {
        Actuator { archive: Some((retention, figures)), ..self }
    }

    /// Seconds that an idempotency key is honoured, from the end of its order's saga.
    pub(crate) fn key_retention_seconds(&self) -> Option<u64> {
        self.archive.as_ref().map(|(retention, _)| retention.key_seconds())
    }

    /// `/actuator/health`, or `/actuator/health/{group}`: appends the document and gives its HTTP status; `None` for a group
    /// that does not exist.
    pub fn health(&self, group: Option<&str>, out: &mut Vec<u8>) -> Option<u16> {
        self.state.render(group, out)
    }

    /// `/actuator/info`: appends the document.
    pub fn info(&self, out: &mut Vec<u8>) {
        let retention = self.archive.as_ref().map(|(retention, figures)| retention.render(figures));
        self.info.render(retention, out);
    }

    /// `/actuator/prometheus`: appends the exposition, text format 0.0.4.
    pub fn prometheus(&self, out: &mut Vec<u8>) {
        prometheus::render(self, out);
    }
}

#[cfg(test)]
mod tests;
