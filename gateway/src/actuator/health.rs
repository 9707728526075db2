//! Whether the process is alive and whether it wants requests.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use serde_json::{Value, json};

/// Where the process is between start and end: set by whoever runs it, read by probes.
#[derive(Debug)]
pub struct State {
    ready: AtomicBool,
    draining: AtomicBool,
    lanes: Box<[AtomicU8]>,
}

/// A lane has not started yet.
const STARTING: u8 = 0;
/// A lane runs.
const UP: u8 = 1;
/// A lane has died.
const FAILED: u8 = 2;

/// Spring Boot's words, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Up,
    OutOfService,
    Down,
}

impl Health {
    fn name(self) -> &'static str {
        match self {
            Health::Up => "UP",
            Health::OutOfService => "OUT_OF_SERVICE",
            Health::Down => "DOWN",
        }
    }

    fn http_status(self) -> u16 {
        match self {
            Health::Up => 200,
            Health::OutOfService | Health::Down => 503,
        }
    }
}

impl State {
    /// Of a process that starts: it recovers, and no lane runs.
    #[must_use]
    pub fn new(lanes: usize) -> State {
        State {
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            lanes: (0..lanes).map(|_| AtomicU8::new(STARTING)).collect(),
        }
    }

    /// Recovery is over and every lane listens.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The process is about to end: it finishes what is in flight and wants nothing new.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// A lane runs.
    pub fn set_lane_up(&self, lane: usize) {
        self.lanes[lane].store(UP, Ordering::Release);
    }

    /// A lane has died.
    pub fn set_lane_failed(&self, lane: usize) {
        self.lanes[lane].store(FAILED, Ordering::Release);
    }

    /// Whether requests are wanted: ready, not draining, no lane dead.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness() == Health::Up
    }

    fn failed(&self) -> Vec<usize> {
        let is_failed = |lane: &AtomicU8| lane.load(Ordering::Acquire) == FAILED;
        self.lanes.iter().enumerate().filter(|(_, lane)| is_failed(lane)).map(|(index, _)| index).collect()
    }

    /// Only a dead lane makes a process worth killing.
    fn liveness(&self) -> Health {
        if self.failed().is_empty() { Health::Up } else { Health::Down }
    }

    fn readiness(&self) -> Health {
        let in_service = self.ready.load(Ordering::Acquire) && !self.draining.load(Ordering::Acquire);
        self.liveness().max(if in_service { Health::Up } else { Health::OutOfService })
    }

    /// Why readiness is not UP, or that it is.
    fn phase(&self) -> &'static str {
        match (self.ready.load(Ordering::Acquire), self.draining.load(Ordering::Acquire)) {
            (_, true) => "draining",
            (false, false) => "recovering",
            (true, false) => "accepting",
        }
    }

    fn lanes_component(&self) -> Value {
        let up = self.lanes.iter().filter(|lane| lane.load(Ordering::Acquire) == UP).count();
        json!({
            "status": self.liveness().name(),
            "details": {"count": self.lanes.len(), "up": up, "failed": self.failed()},
        })
    }

    /// The document of all, or of one group, and its HTTP status.
    pub(super) fn render(&self, group: Option<&str>, out: &mut Vec<u8>) -> Option<u16> {
        let liveness = || json!({"status": self.liveness().name()});
        let readiness = || json!({"status": self.readiness().name(), "details": {"phase": self.phase()}});
        let (health, document) = match group {
            None => (
                self.readiness(),
                json!({
                    "status": self.readiness().name(),
                    "groups": ["liveness", "readiness"],
                    "components": {
                        "lanes": self.lanes_component(),
                        "livenessState": liveness(),
                        "readinessState": readiness(),
                    },
                }),
            ),
            Some("liveness") => (
                self.liveness(),
                json!({
                    "status": self.liveness().name(),
                    "components": {"lanes": self.lanes_component(), "livenessState": liveness()},
                }),
            ),
            Some("readiness") => (
                self.readiness(),
                json!({
                    "status": self.readiness().name(),
                    "components": {"lanes": self.lanes_component(), "readinessState": readiness()},
                }),
            ),
            Some(_) => return None,
        };
        out.extend_from_slice(document.to_string().as_bytes());
        Some(health.http_status())
    }
}
