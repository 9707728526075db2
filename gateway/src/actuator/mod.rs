//! The management endpoints: health, info, metrics. They tell what is; nothing here is on the path of an order.

mod exposition;
mod health;
mod info;
mod process;
mod prometheus;

use std::sync::Arc;

use orderlane_lane::LaneMetrics;

pub use self::health::State;
pub use self::info::Info;
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
        Actuator { info, state, lanes, gateways }
    }

    /// `/actuator/health`, or `/actuator/health/{group}`: appends the document and gives its HTTP status; `None` for a group
    /// that does not exist.
    pub fn health(&self, group: Option<&str>, out: &mut Vec<u8>) -> Option<u16> {
        self.state.render(group, out)
    }

    /// `/actuator/info`: appends the document.
    pub fn info(&self, out: &mut Vec<u8>) {
        self.info.render(out);
    }

    /// `/actuator/prometheus`: appends the exposition, text format 0.0.4.
    pub fn prometheus(&self, out: &mut Vec<u8>) {
        prometheus::render(self, out);
    }
}

#[cfg(test)]
mod tests;
