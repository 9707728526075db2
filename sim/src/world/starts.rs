//! How a process starts: from what is there exactly, or not at all.

use orderlane_journal::{FilesError, SegmentName};

use super::{Broken, Go, Life, World};
use crate::faults::Fault;
use crate::invariants::{self, recovery_is_fold};
use crate::model::Model;
use crate::process::{Process, Recovery, config, recover};

impl World {
    /// A start: it reads what is there, refuses it by name, or goes on exactly from it.
    pub(super) fn start(&mut self) -> Go {
        let sim = self.around.sim.clone();
        self.starts += 1;
        let lanes_before = self.lanes;
        if self.starts > 1 && sim.faults().draw(Fault::OtherLaneCount, &mut self.random) {
            self.lanes = self.random.between(1, u64::from(sim.options().shards)) as u16;
        }
        if self.starts > 1 && self.crashes_left > 0 && sim.faults().draw(Fault::CrashInRecovery, &mut self.random) {
            self.crashes_left -= 1;
            self.around.disk.crash_at_start(self.random.below(40));
        }
        let rot = if self.starts > 1 { self.around.disk.rot(&mut self.random) } else { None };
        sim.note("start", &[u64::from(self.starts), u64::from(self.lanes), u64::from(rot.is_some())]);
        let directory = self.around.disk.directory();
        let recovered = recover(&sim, &directory, self.lanes);
        if self.around.disk.crashed() {
            sim.faults().observed(Fault::CrashInRecovery);
            self.around.disk.unrot();
            self.crash_drawn();
            return Ok(());
        }
        let met = directory.faults_met();
        let damaged: Vec<String> =
            rot.map(|rot| rot.name).into_iter().chain(met.into_iter().map(|met| met.name)).collect();
        match recovered {
            Err(error) => self.refused(&error, &damaged)?,
            Ok(recovery) => {
                self.judge(&recovery)?;
                self.go_on(recovery, lanes_before);
            }
        }
        self.around.disk.unrot();
        Ok(())
    }

    /// The start refused the files: there must have been something wrong with them, and it must name where, or, for events that
    /// are missing, a segment of the same or of a later run.
    fn refused(&mut self, error: &FilesError, damaged: &[String]) -> Go {
        let text = error.to_string();
        self.sim().note("refused", &[damaged.len() as u64]);
        if damaged.is_empty() {
            self.sim().violate("recovery-refuses", None, format!("nothing was wrong with the files, but: {text}"));
            return Err(Broken);
        }
        let run = |name: &str| SegmentName::parse(name).map(|name| name.run);
        let named: Vec<u32> =
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.').filter_map(run).collect();
        let fits = damaged.iter().filter_map(|name| run(name)).any(|wrong| named.iter().any(|named| *named >= wrong));
        if !fits {
            self.sim().violate("damage-is-named", None, format!("{damaged:?} were damaged, the refusal says: {text}"));
            return Err(Broken);
        }
        let until = self.elapsed() + 10_u64.pow(self.random.between(3, 7) as u32);
        self.life = Life::Down { until };
        Ok(())
    }

    /// Holds what was recovered against what was promised.
    fn judge(&self, recovery: &Recovery) -> Go {
        let sim = self.around.sim.clone();
        let mut seen = self.around.watch.seen_mut();
        let mut lengths = Vec::new();
        for shard in recovery.shards() {
            let events = &recovery.events[shard.id().index()];
            match invariants::after_recovery(shard.id(), events, &seen.logs) {
                Ok(length) => lengths.push((shard.id(), length)),
                Err(violation) => return Err(self.broken(violation)),
            }
        }
        let moment = sim.executor().tick();
        for (shard, length) in lengths {
            seen.logs.truncate(shard, length, moment);
        }
        let seen = &mut *seen;
        seen.model = Model::rebuild(&seen.logs).map_err(|violation| self.broken(violation))?;
        for shard in recovery.shards() {
            let log = seen.logs.of(shard.id()).iter().map(|entry| (entry.time, &entry.event));
            recovery_is_fold::check(config(&sim, shard.id()), log, shard.digest())
                .map_err(|violation| self.broken(violation))?;
        }
        Ok(())
    }

    fn go_on(&mut self, recovery: Recovery, lanes_before: u16) {
        let sim = self.around.sim.clone();
        if lanes_before != self.lanes {
            sim.faults().observed(Fault::OtherLaneCount);
        }
        if let Some(fault) = self.crash_pending.take() {
            sim.faults().observed(fault);
        }
        if self.lanes > 1 && sim.faults().is_on(Fault::ClockSkew) {
            sim.faults().observed(Fault::ClockSkew);
        }
        self.holds_over.clear();
        self.disk_errors_before = self.disk_errors();
        self.life = Life::Up(Process::start(&self.around, self.starts, recovery));
        self.fuse = None;
        if self.crashes_left > 0 {
            self.crashes_left -= 1;
            let steps_max = 3 * 10_u64.pow(self.random.between(1, 4) as u32);
            self.fuse = Some(self.random.between(1, steps_max));
        }
    }
}
