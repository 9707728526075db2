//! How a process ends: killed, without power, asked to, or because a lane has failed.

use super::{Life, World};
use crate::disk::{Crash, SimDisk};
use crate::faults::Fault;
use crate::process::Process;

/// The product looks for failed lanes so often.
const FAILED_LANE_MICROS_MAX: u64 = 20_000;

impl World {
    /// The process ends, in one of the ways that are on.
    pub(super) fn end_somehow(&mut self) {
        let ways = [Fault::ProcessKill, Fault::PowerLoss, Fault::GracefulStop];
        let ways: Vec<Fault> = ways.into_iter().filter(|way| self.sim().faults().is_on(*way)).collect();
        if ways.is_empty() {
            return;
        }
        let way = *self.random.pick(&ways);
        self.sim().faults().injected(way);
        match way {
            Fault::ProcessKill => self.crash(Crash::Kill, Some(way)),
            Fault::PowerLoss => self.crash(Crash::Power, Some(way)),
            _ => self.ask_to_stop(),
        }
    }

    pub(super) fn crash_drawn(&mut self) {
        if let Some(policy) = self.fate {
            return self.crash_by(|disk| disk.crash_with(policy));
        }
        let power = self.sim().faults().is_on(Fault::PowerLoss) && self.random.chance(500);
        self.crash(if power { Crash::Power } else { Crash::Kill }, None);
    }

    pub(super) fn crash(&mut self, crash: Crash, fault: Option<Fault>) {
        self.sim().note("crash", &[u64::from(crash == Crash::Power)]);
        self.crash_by(|disk| disk.crash(crash));
        self.crash_pending = fault.or(self.crash_pending);
    }

    fn crash_by(&mut self, crash: impl FnOnce(&SimDisk)) {
        let until = self.elapsed() + 10_u64.pow(self.random.between(2, 6) as u32);
        let life = std::mem::replace(&mut self.life, Life::Down { until });
        if let Life::Up(process) | Life::Stopping(process, _) | Life::Failing(process, _) = life {
            self.count_fullness(&process);
            process.kill(&self.around);
        }
        crash(&self.around.disk);
    }

    pub(super) fn lane_failed(&mut self) {
        let until = self.elapsed() + self.random.below(FAILED_LANE_MICROS_MAX);
        let life = std::mem::replace(&mut self.life, Life::Down { until });
        if let Life::Up(process) | Life::Stopping(process, _) = life {
            let why = process.failed().unwrap_or_default();
            self.sim().note("lane-failed", &[]);
            if self.disk_errors() == self.disk_errors_before {
                self.sim().violate(
                    "lane-fails-for-a-reason",
                    None,
                    format!("a lane has failed without a fault: {why}"),
                );
            }
            self.life = Life::Failing(process, until);
        }
    }

    /// A process that was asked to stop has ended.
    pub(super) fn ended(&mut self) {
        if self.sim().faults().is_active() {
            self.sim().faults().observed(Fault::GracefulStop);
        }
        self.crash(Crash::Kill, None);
    }

    /// Errors that the disk has given to lanes so far.
    pub(super) fn disk_errors(&self) -> u64 {
        let counts = self.sim().faults().counts();
        let all: u64 = Fault::OF_LANE_DISKS.iter().map(|fault| counts[*fault as usize].1).sum();
        all - self.around.disk.keeper_errors()
    }

    fn count_fullness(&self, process: &Process) {
        let (overloaded, rings_full) = process.fullness();
        let faults = self.sim().faults();
        if overloaded > 0 {
            faults.injected(Fault::InboxFull);
            faults.observed(Fault::InboxFull);
        }
        if rings_full > 0 {
            faults.injected(Fault::RingFull);
            faults.observed(Fault::RingFull);
        }
    }
}
